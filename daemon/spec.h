/* What a caller asked for, typed: the parameters of each method as a struct, and the rules a value must keep
 * whoever asks (what this caller may is policy.h's). Knows the interfaces' parameters; knows no session and
 * no configuration. */
#pragma once

#include "base.h"
#include "error.h"
#include "field.h"
#include "limit.h"

/* Run. NULL, -1 (booleans) and FIELD_ABSENT where the caller said nothing. */
typedef struct Spec {
        char *root, *name, *working_directory, *user, *hostname, *network;
        char **arguments, **environment;
        int read_only, detached, terminal, progress;
        int64_t columns, rows;
        int64_t lifeline, stdio[3]; /* indexes of descriptors */
        int64_t limits[LIMITS];     /* INT64_MAX: none */
} Spec;

/* 0, or -EREMOTEIO with *e: InvalidParameter{parameter}. */
int spec_parse(struct json_object *parameters, Spec *ret, Error *e);
void spec_done(Spec *s);

/* Exec: of a Spec, what is about a command. 0, or -EREMOTEIO with *e. */
typedef struct ExecSpec {
        char *id;
        Spec command;
} ExecSpec;
int exec_spec_parse(struct json_object *parameters, ExecSpec *ret, Error *e);
void exec_spec_done(ExecSpec *s);

typedef struct AttachSpec {
        char *id;
        int replay;
} AttachSpec;

typedef struct ResizeSpec {
        char *id;
        int64_t columns, rows;
} ResizeSpec;

typedef struct LogsSpec {
        char *id;
        int follow;
} LogsSpec;

typedef struct IdSpec {
        char *id;
} IdSpec;

typedef struct ListSpec {
        char *id;
        int all;
} ListSpec;

typedef struct SignalSpec {
        char *id, *signal, *command;
        int everyone;
} SignalSpec;

typedef struct StopSpec {
        char *id;
        int64_t timeout_usec;
} StopSpec;

typedef struct WaitSpec {
        char *id, *command;
} WaitSpec;

typedef struct NameSpec {
        char *name;
} NameSpec;

/* For fields_parse and fields_done. */
extern const Field attach_fields[], resize_fields[], logs_fields[], id_fields[], optional_id_fields[];
extern const Field list_fields[], signal_fields[], stop_fields[], wait_fields[], name_fields[],
        optional_name_fields[];
