/* Copies bytes one way between two descriptors, as one of several in a poll(2) loop. Neither needs to be
 * non-blocking (it may be other people's open file description, too). Knows nothing of what the descriptors
 * are for. */
#pragma once

#include <poll.h>

#include "base.h"

#define RELAY_BUFFER 8192

typedef struct Relay {
        int from, to;
        int owned;   /* which of them is the relay's own, closed when it ends; -EBADF: neither */
        int patient; /* which of them may fail and recover (a pty's master, while nobody has the slave);
                        -EBADF: neither */
        bool ended;
        bool resting; /* nothing can be done until a little later */
        size_t start, end;
        char buffer[RELAY_BUFFER];
} Relay;

/* Takes `owned`. */
void relay_init(Relay *r, int from, int to, int owned, int patient);
void relay_done(Relay *r);

/* What to poll for: p[0] is for `from`, p[1] for `to`, with an fd of -1 where nothing is waited for. Lowers
 * *timeout_ms (negative: forever) if it wants to be asked again by then. */
void relay_prepare(Relay *r, struct pollfd p[2], int *timeout_ms);
/* Does what the poll found possible. At an end of file, or when nobody wants what it copies any more, it
 * ends. */
void relay_run(Relay *r, const struct pollfd p[2]);
/* Copies all that is there to be read at this moment, waiting for `to` as long as it takes. */
void relay_drain(Relay *r);
