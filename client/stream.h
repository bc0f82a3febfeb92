/* A call with many replies that is made again when nsrootd goes away and comes back: whoever reads goes on
 * where they were, or anew. Knows call.h; knows no method. */
#pragma once

#include "base.h"
#include "failure.h"
#include "link.h"

struct json_object;

typedef struct Stream {
        const char *socket; /* where nsrootd listens */
        const char *method;
        struct json_object *parameters; /* owned */
        Link *link;                     /* owned; NULL: there is no call now */
        bool reached;                   /* there was a reply once */
        bool fresh;                     /* the next reply is the first of its call */
        uint64_t away;                  /* CLOCK_MONOTONIC, µs: since when nsrootd is; 0: it is not */
        uint64_t not_before;            /* when it is tried again */
        unsigned delay_ms;
} Stream;

#define _cleanup_stream_ _cleanup_(stream_done)

/* Takes parameters. */
void stream_init(Stream *s, const char *socket, const char *method, struct json_object *parameters);
void stream_done(Stream *s);

/* The next reply, in timeout_ms at most (negative: forever). *ret_first: it is the first of a call, also of
 * one that was made anew. 1: more follow; 0: it was the last; -ETIMEDOUT; -EREMOTEIO with *f set: nsrootd
 * says no, or was never there, or is away for too long. */
int stream_next(Stream *s, int timeout_ms, struct json_object **ret, bool *ret_first, Failure *f);
