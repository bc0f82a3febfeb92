/* The keys that leave a session, by detach.h. */
#include "detach.h"

/* The first `count` of those that are held go in. */
static size_t release(Detach *d, size_t count, char *out)
{
        memset(out, DETACH_KEY, count);
        memmove(d->typed, d->typed + count, (d->held - count) * sizeof(*d->typed));
        d->held -= count;
        return count;
}

size_t detach_expire(Detach *d, uint64_t now, char *out)
{
        size_t count = 0;

        while (count < d->held && now - d->typed[count] >= DETACH_WITHIN)
                count++;
        return release(d, count, out);
}

size_t detach_type(Detach *d, uint64_t now, const char *in, size_t n, char *out)
{
        size_t length = detach_expire(d, now, out);

        for (size_t i = 0; i < n && !d->done; i++) {
                if (in[i] != DETACH_KEY) {
                        length += release(d, d->held, out + length);
                        out[length++] = in[i];
                } else if (d->held < DETACH_HELD)
                        d->typed[d->held++] = now;
                else
                        d->done = true;
        }
        return length;
}

int detach_timeout(const Detach *d, uint64_t now)
{
        uint64_t end = d->held > 0 ? d->typed[0] + DETACH_WITHIN : 0;

        if (d->held == 0 || d->done)
                return -1;
        return end > now ? (int)((end - now) / USEC_PER_MSEC) + 1 : 0;
}
