/* What a session has printed, piece by piece (the type LogRecord of org.nsroot.session). A Place counts the
 * bytes that were seen of it, so that who asks once more, after nsrootd was away, sees none of them twice.
 * Knows base64 (RFC 4648); prints nothing. */
#pragma once

#include "base.h"

struct json_object;

typedef struct Record {
        const char *stream; /* "stdout"; borrowed from the object */
        char *data;         /* owned; followed by a NUL that is not part of it */
        size_t length;
        uint64_t lost; /* bytes that were dropped before it */
} Record;

#define _cleanup_record_ _cleanup_(record_done)

/* -EBADMSG: it is no record. */
int record_parse(struct json_object *o, Record *ret);
void record_done(Record *r);
/* As an object that is the same but for the data and what was lost, with `data` where it is UTF-8. The
 * caller's; NULL: out of memory. */
struct json_object *record_build(struct json_object *o, const Record *r);

typedef struct Place {
        uint64_t seen; /* bytes that are over and done with, lost ones as well */
        uint64_t at;   /* where the next record begins; 0 when it is asked once more */
} Place;

/* Takes away from r what was seen already, and counts the rest as seen. False: nothing is left. */
bool place_pass(Place *p, Record *r);
