/* See demand.h. */
#include "demand.h"

/* A start is over before another one is made for the next, as long as there are enough; else one is made
 * soon. */
#define LAZY_DELAY  (20 * USEC_PER_MSEC)
#define EAGER_DELAY (3 * USEC_PER_MSEC / 2)
#define WANTED_MIN  2                     /* so that there is one while another is made */
#define BURST_USEC  (100 * USEC_PER_MSEC) /* in which one of those that were started fades */

void demand_count(Demand *d, uint64_t now, size_t max)
{
        double faded = (double)(now - d->used_usec) / (double)BURST_USEC;

        d->burst = MIN(MAX(d->burst - faded, 0.0) + 1, (double)max);
        d->used_usec = now;
        d->wanted = MAX(MAX(d->wanted, (size_t)d->burst), MIN(max, (size_t)WANTED_MIN));
}

/* Of what is wanted beyond what there can be, half would always be missing. */
uint64_t demand_patience(const Demand *d, size_t ready, size_t room)
{
        return ready * 2 >= MIN(d->wanted, ready + room) ? LAZY_DELAY : EAGER_DELAY;
}
