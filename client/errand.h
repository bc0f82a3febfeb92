/* One call that is made again, without ever blocking, until nsrootd answers it: what nsrootctl still wants
 * when nsrootd has gone away and may come back. Knows connection.h; knows no method, and not for how long
 * one should be patient. */
#pragma once

#include <poll.h>

#include "base.h"
#include "failure.h"
#include "link.h"

struct json_object;

typedef struct Errand {
        const char *socket;             /* where nsrootd listens */
        const char *method;             /* NULL: there is nothing to do */
        struct json_object *parameters; /* of the call; owned */
        Link *link;                     /* the call is on its way; owned */
        uint64_t not_before;            /* CLOCK_MONOTONIC, µs: when it is tried again */
        unsigned delay_ms;              /* between the next two tries */
        bool reached;                   /* somebody listened once */
        uint64_t away; /* CLOCK_MONOTONIC, µs: since when errand_try finds none; 0: it does */
} Errand;

#define _cleanup_errand_ _cleanup_(errand_done)

/* Takes parameters. The first try is at once. */
void errand_init(Errand *e, const char *socket, const char *method, struct json_object *parameters);
void errand_done(Errand *e);

/* What to poll for, with an fd of -1 where nothing is; lowers *timeout_ms (negative: forever) if it wants to
 * be asked again by then. */
void errand_prepare(const Errand *e, struct pollfd *p, int *timeout_ms);
/* Goes on with it. 1: answered, *ret is the reply's parameters, and it is done. 0: not yet. Else this try
 * has failed, the next one is arranged, and *f says why: -EREMOTEIO if nsrootd said no, an error of
 * connect(2), or what connection_receive returns for a connection that was lost. */
int errand_step(Errand *e, struct json_object **ret, Failure *f);
/* The same with patience: also 0 after a try that failed while nsrootd need not be away for long.
 * -EREMOTEIO with *f set: it was never there, is away for patience_ms, or says no; and it is done. */
int errand_try(Errand *e, unsigned patience_ms, struct json_object **ret, Failure *f);
/* The same to its end, in a loop of its own. 0, or -EREMOTEIO with *f set. */
int errand_finish(Errand *e, unsigned patience_ms, struct json_object **ret, Failure *f);

/* How long to wait for an nsrootd whose socket is there, and for one whose socket is not. */
#define ERRAND_PATIENCE_MS 10000
#define ERRAND_REFUSED_MS  2000
/* Which of them it is after a try that failed with r. */
unsigned errand_patience(int r);
