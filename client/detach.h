/* The keys that leave a session: ^] three times within a second. The first two of them are held back until
 * it is clear that they are not that, and then go in like everything else. Knows bytes and times; does no
 * input and no output. */
#pragma once

#include "base.h"

#define DETACH_KEY    '\x1d' /* ^] */
#define DETACH_TIMES  3
#define DETACH_WITHIN USEC_PER_SEC
#define DETACH_HELD   (DETACH_TIMES - 1)

typedef struct Detach {
        uint64_t typed[DETACH_HELD]; /* when those that are held were typed */
        size_t held;
        bool done; /* it was typed; what follows goes nowhere */
} Detach;

/* n bytes that were typed now (CLOCK_MONOTONIC, µs). What is to be passed on is written to out, which has
 * room for n + DETACH_HELD and is not in; returns how many bytes that is. */
size_t detach_type(Detach *d, uint64_t now, const char *in, size_t n, char *out);
/* The same for those that have been held for long enough. */
size_t detach_expire(Detach *d, uint64_t now, char *out);
/* In how many milliseconds that has something to do; -1: it has not. */
int detach_timeout(const Detach *d, uint64_t now);
