/* A table that says how a JSON object becomes a C struct: names, kinds, ranges. One loop reads any of them,
 * and answers with InvalidParameter{parameter} for whatever is unknown, missing, of the wrong type, out of
 * range or holds a NUL. Knows json-c; knows nothing of any method. */
#pragma once

#include "base.h"
#include "error.h"

struct json_object;

#define FIELD_ABSENT INT64_MIN /* an int or fd that was not there or was null */

typedef enum FieldKind {
        FIELD_BOOL,    /* int: 0, 1, or -1 where it was absent or null */
        FIELD_INT,     /* int64_t in min..max, or FIELD_ABSENT */
        FIELD_STRING,  /* char *, of min..max bytes, or NULL where absent; the struct owns it */
        FIELD_STRINGS, /* char ** ended by NULL, of min..max strings, or NULL where absent; owned, too */
        FIELD_FD,      /* int64_t: an index of a descriptor, 0..FDS_MAX-1, or FIELD_ABSENT */
        FIELD_OBJECT,  /* an embedded struct, by sub; all its fields are absent where it is */
} FieldKind;

typedef struct Field {
        const char *name;
        FieldKind kind;
        size_t offset; /* offsetof() in the struct */
        bool required;
        /* of the number, a string's bytes or a list's strings; for the latter two 0 in max means "any" */
        int64_t min, max;
        const struct Field *sub;
} Field; /* a table ends with a name of NULL */

/* params may be NULL (then as if {}). Sets every field of *ret (which need not be initialised), or on
 * failure leaves nothing to free. 0; -EREMOTEIO with *e set, where "inner.name" is a field of an embedded
 * struct; -ENOMEM. */
int fields_parse(struct json_object *params, const Field *table, void *ret, Error *e);
/* Frees what the table says the struct owns, and makes it all absent again. */
void fields_done(const Field *table, void *data);
/* The other way: what fields_parse would make that struct of. The caller's; NULL: out of memory. */
struct json_object *fields_format(const Field *table, const void *data);
