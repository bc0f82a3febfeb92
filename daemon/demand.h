/* How many sessions are to be ready for who starts some, by how he has started them, and how soon the next
 * is to be made. Knows numbers only. */
#pragma once

#include "base.h"

typedef struct Demand {
        uint64_t used_usec; /* CLOCK_MONOTONIC: the last start */
        size_t wanted;      /* how many are to be ready; 0: none can be made. Else never fewer again */
        double burst;       /* how many were started at about the same time, older ones fading */
} Demand;

/* One is started, of whom at most max (1 or more) can be ready. */
void demand_count(Demand *d, uint64_t now, size_t max);
/* How long to wait before the next is made, in µs, where so many are ready and there may be `room` more. */
uint64_t demand_patience(const Demand *d, size_t ready, size_t room);
