/* A Varlink error as data: its full name and up to four named values. Filled by whoever finds a fault of the
 * caller's, turned into a reply by reply.c. Knows nothing of JSON. */
#pragma once

#include "base.h"

#define ERROR_FIELDS_MAX 4

typedef struct ErrorField {
        const char *key; /* static */
        char *text;      /* owned; NULL where the value is a number */
        int64_t number;
} ErrorField;

typedef struct Error {
        const char *name; /* static, for example "org.nsroot.session.NoSuchRoot"; NULL: nothing was set */
        ErrorField fields[ERROR_FIELDS_MAX];
        size_t n_fields;
} Error;

#define _cleanup_error_ _cleanup_(error_done)

void error_done(Error *e);
/* Starts an error over (name must be static). Always returns -EREMOTEIO, the value that says "see the
 * Error". */
int error_set(Error *e, const char *name);
/* As error_set, with one string value made from a format. */
int error_setf(Error *e, const char *name, const char *key, const char *format, ...) _printf_(4, 5);
/* Adds a value; too many are a bug and dropped. Both return -EREMOTEIO, so that they end a function well. */
int error_addf(Error *e, const char *key, const char *format, ...) _printf_(3, 4);
int error_add_number(Error *e, const char *key, int64_t number);
/* The text of a field, or NULL. */
const char *error_text(const Error *e, const char *key);
