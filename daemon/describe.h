/* Sessions, results, roots and failures as the interfaces show them: JSON objects and errors. Knows the
 * interfaces' fields and the modules whose things it shows; decides nothing. Objects are the caller's; NULL
 * where memory is out. */
#pragma once

#include "error.h"
#include "roots.h"
#include "session.h"

struct json_object;

struct json_object *describe_session(const Session *s);
struct json_object *describe_result(const SessionResult *r);
struct json_object *describe_limits(const Limits *l);
struct json_object *describe_group_limits(const GroupLimits *l);      /* as Limits, too */
struct json_object *describe_timestamp(uint64_t realtime_usec);       /* NULL for 0: it has not happened */
struct json_object *describe_root(const RootInfo *info, size_t warm); /* how many wait in it */

/* Puts value into object under key; takes it, and passes over NULL. */
void describe_put(struct json_object *object, const char *key, struct json_object *value);
/* The same of a text (NULL is passed over), a flag, and a number, which is passed over where it is more than
 * fits: not known, or not limited. */
void describe_put_text(struct json_object *object, const char *key, const char *value);
void describe_put_flag(struct json_object *object, const char *key, bool value);
void describe_put_number(struct json_object *object, const char *key, uint64_t value);

/* A set-up that failed as its caller is told: CommandNotFound, ExecFailed, NoSuchUser or SetupFailed. spec
 * is what was asked for, or NULL where it did not come to that. -EREMOTEIO. */
int describe_failure(const LaunchFailure *f, const Spec *spec, Error *e);
/* 0: its first command ran, or somebody ended it before; else as describe_failure. */
int describe_failed_start(const Session *s, Error *e);
