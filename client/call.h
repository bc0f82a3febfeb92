/* One call of a method, from the connection to the reply or to what went wrong in words. Knows connection.h
 * and failure.h; knows no method. */
#pragma once

#include "connection.h"
#include "failure.h"

struct json_object;

/* Connects to the socket at path and sends a call; its replies are then read with call_next. All that is
 * taken (parameters) or only on success (fds) is as in connection_send. 0, or -EREMOTEIO with *f set. */
int call_begin(const char *path, const char *method, struct json_object *parameters, bool more, Fds *fds,
               Link **ret, Failure *f);
/* The next reply of that call: *ret is its parameters (the caller's), *ret_fds (may be NULL: what comes is
 * closed) its descriptors. 1: more follow; 0: it was the last. -ETIMEDOUT; -EREMOTEIO with *f set. */
int call_next(Link *l, const char *path, int timeout_ms, struct json_object **ret, Fds *ret_fds, Failure *f);

/* A call with one reply. *ret (may be NULL: nobody wants it) is its parameters. */
int call_once(const char *path, const char *method, struct json_object *parameters, struct json_object **ret,
              Failure *f);

/* A call with `more`, each reply given to `each`, which returns 0 to go on. */
typedef int (*CallEach)(struct json_object *parameters, void *userdata, Failure *f);
int call_stream(const char *path, const char *method, struct json_object *parameters, CallEach each,
                void *userdata, Failure *f);
