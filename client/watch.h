/* A viewer of a session: bytes between its stream and the caller's terminal, or files, until the session
 * ends, the viewer is detached or the terminal is gone. Knows the method Resize; knows nothing of how the
 * stream was got. */
#pragma once

#include "base.h"
#include "failure.h"

typedef enum WatchEnd {
        WATCH_ENDED,    /* the stream is at its end */
        WATCH_DETACHED, /* ^] three times */
} WatchEnd;

typedef struct WatchSession {
        const char *socket; /* where nsrootd listens */
        const char *id;     /* the session's */
        bool terminal;      /* it has one, and takes input */
        int stream;         /* borrowed */
} WatchSession;

/* The terminal has been given back when this returns, in any case. A WatchEnd, or -EREMOTEIO with *f set. */
int watch(const WatchSession *s, Failure *f);
