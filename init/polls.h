/* What one turn of the loop waits for, put together by those who want to know. */
#pragma once

#include <poll.h>

#include "base.h"

#define POLLS_MAX 320 /* room for all commands, sources and viewers there may be, and two: see init.h */

typedef struct Polls {
        struct pollfd fds[POLLS_MAX];
        size_t n;
} Polls;

/* Returns where the answer will be. A negative descriptor is passed over (poll(2)). */
static inline size_t polls_add(Polls *p, int fd, short events)
{
        p->fds[p->n] = (struct pollfd){ .fd = fd, .events = events };
        return p->n++;
}
