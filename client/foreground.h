/* A command in the foreground: from the first reply of its call to its result, everything between the caller
 * and the command. Copies what had to be relayed, passes signals on, follows the window's size, gives the
 * terminal back. An nsrootd that goes away and comes back in between is not noticed: the command needs none
 * to go on, and the result is asked for anew. Knows the call's replies and the methods Signal and Wait;
 * knows nothing of what was asked for. */
#pragma once

#include "base.h"
#include "errand.h"
#include "failure.h"
#include "link.h"
#include "relay.h"

struct json_object;

#define SIGNALS_PENDING 16 /* more than that of them are not worth anything */

typedef struct Foreground {
        const char *socket; /* where nsrootd listens */
        bool terminal;      /* one was asked for */
        Link *link;         /* the call in flight, more than one reply of which is expected; owned. NULL: it
                               was lost */
        char *id;           /* the session's; owned */
        char *command;      /* its id within the session, owned, where it is not the session's own */
        int lifeline;    /* its write end, borrowed: it has an error once nobody inside has the other end */
        int pty;         /* the master of the command's terminal, owned, or -EBADF */
        int signals;     /* a signalfd, owned */
        Relay relays[3]; /* those of stdin, stdout and stderr; with a terminal the first two are the
                            terminal's */
        Errand result;   /* Wait, once the link was lost */
        uint64_t gone; /* CLOCK_MONOTONIC, µs: when it was seen that nobody has the lifeline; 0: not yet */
        Errand signal; /* Signal, for the first of those that wait */
        uint64_t signal_began;
        int pending[SIGNALS_PENDING]; /* signals to be passed on, in order */
        size_t n_pending;
        Failure *failure;
} Foreground;

#define FOREGROUND_NEW                                                                                      \
        {                                                                                                   \
                .pty = -EBADF, .signals = -EBADF, .lifeline = -EBADF,                                       \
                .relays = { RELAY_NONE, RELAY_NONE, RELAY_NONE },                                           \
        }

#define _cleanup_foreground_ _cleanup_(foreground_done)

void foreground_done(Foreground *f);

/* The next reply of the call before the session runs, as call_next; it may take as long as a download.
 * Without a terminal this takes charge of the signals that are the command's. */
int foreground_first(Foreground *f, struct json_object **ret_reply, Fds *ret_fds);

/* Stays with the command until its result is known, which is then the caller's; NULL if nsrootd did not say
 * it. The terminal (if pty is one) has been given back when this returns, in any case. -EREMOTEIO with
 * *f->failure set. */
int foreground_stay(Foreground *f, struct json_object **ret_result);
/* What a last reply says of how it ended; belongs to the reply, and may be NULL. */
struct json_object *foreground_result(struct json_object *reply);
