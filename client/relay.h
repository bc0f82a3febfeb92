/* Copies bytes one way between two descriptors, as one of several in a poll(2) loop. Neither needs to be
 * non-blocking (it may be other people's open file description, too). Knows nothing of what the descriptors
 * are for. */
#pragma once

#include <poll.h>

#include "base.h"

#define RELAY_BUFFER 8192

#define RELAY_MARGIN 16 /* how many bytes a filter may add */

/* Changes what was read before it is passed on: n bytes of `in` to at most n + RELAY_MARGIN bytes of `out`;
 * returns how many. */
typedef size_t (*RelayFilter)(void *userdata, const char *in, size_t n, char *out);

typedef struct Relay {
        int from, to;
        int reader;  /* `from` opened again, where that is a terminal, so that reads do not wait; owned */
        int owned;   /* which of them is the relay's own, closed when it ends; -EBADF: neither */
        int patient; /* which of them may fail and recover (a pty's master, while nobody has the slave);
                        -EBADF: neither */
        bool ended;
        bool resting;       /* nothing can be done until a little later */
        RelayFilter filter; /* or NULL */
        void *filter_data;
        size_t start, end;
        char *buffer; /* owned, RELAY_BUFFER bytes */
} Relay;

/* One that copies nothing. */
#define RELAY_NONE                                                                                          \
        {                                                                                                   \
                .ended = true, .owned = -EBADF, .reader = -EBADF                                            \
        }

/* Takes `owned`, also on failure: -ENOMEM. There is no filter unless one is put into it afterwards. */
int relay_init(Relay *r, int from, int to, int owned, int patient);
void relay_done(Relay *r);

/* What to poll for: p[0] is for `from`, p[1] for `to`, with an fd of -1 where nothing is waited for. Lowers
 * *timeout_ms (negative: forever) if it wants to be asked again by then. */
void relay_prepare(Relay *r, struct pollfd p[2], int *timeout_ms);
/* Does what the poll found possible. At an end of file, or when nobody wants what it copies any more, it
 * ends. */
void relay_run(Relay *r, const struct pollfd p[2]);
/* What the filter would pass on by now though nothing was read: n bytes, at most RELAY_MARGIN. Nothing may
 * be waiting to be passed on. Lost where it has ended. */
bool relay_is_empty(const Relay *r);
void relay_insert(Relay *r, const char *bytes, size_t n);
/* Copies all that is there to be read at this moment, waiting for `to` as long as it takes. */
void relay_drain(Relay *r);
