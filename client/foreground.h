/* A session in the foreground: from the first reply of its call to the last, everything between the caller
 * and the command. Copies what had to be relayed, passes signals on, follows the window's size, gives the
 * terminal back. Knows the call's replies and the method Signal; knows nothing of what was asked for. */
#pragma once

#include "base.h"
#include "failure.h"
#include "link.h"
#include "relay.h"

struct json_object;

typedef struct Foreground {
        const char *socket; /* where nsrootd listens */
        bool terminal;      /* one was asked for */
        Link *link;         /* the call in flight, more than one reply of which is expected; borrowed */
        char *id;           /* the session's; owned */
        int pty;            /* the master of the command's terminal, owned, or -EBADF */
        int signals;        /* a signalfd, owned */
        Relay relays[3];    /* those of stdin, stdout and stderr; with a terminal the first two are the
                               terminal's */
        Failure *failure;
} Foreground;

#define FOREGROUND_NEW                                                                                      \
        {                                                                                                   \
                .pty = -EBADF, .signals = -EBADF,                                                           \
                .relays = {                                                                                 \
                        {.ended = true,  .owned = -EBADF},                                                 \
                        { .ended = true, .owned = -EBADF},                                                 \
                        { .ended = true, .owned = -EBADF}                                                  \
                },                                                                                          \
        }

#define _cleanup_foreground_ _cleanup_(foreground_done)

void foreground_done(Foreground *f);

/* The next reply of the call before the session runs, as call_next; it may take as long as a download.
 * Without a terminal this takes charge of the signals that are the command's. */
int foreground_first(Foreground *f, struct json_object **ret_reply, Fds *ret_fds);

/* Stays with the session until the last reply, whose parameters are then the caller's. The terminal (if pty
 * is one) has been given back when this returns, in any case. -EREMOTEIO with *f->failure set. */
int foreground_stay(Foreground *f, struct json_object **ret_reply);
