/* Calls with many replies, by stream.h. */
#include "stream.h"

#include <poll.h>
#include <time.h>

#include "call.h"
#include "errand.h"
#include "value.h"

#define DELAY_MIN_MS 20
#define DELAY_MAX_MS 500

void stream_init(Stream *s, const char *socket, const char *method, struct json_object *parameters)
{
        *s = (Stream){
                .socket = socket, .method = method, .parameters = parameters, .delay_ms = DELAY_MIN_MS
        };
}

void stream_done(Stream *s)
{
        link_free(s->link);
        json_object_put(s->parameters);
        *s = (Stream){};
}

/* What is left of the time until a deadline; negative: forever. */
static int left_ms(uint64_t deadline)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (deadline == USEC_INFINITY)
                return -1;
        return deadline > now ? (int)((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC) : 0;
}

/* After a failure that need not be for long: 0 to go on, else -EREMOTEIO. */
static int arrange_next(Stream *s, const Failure *f)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        s->link = link_free(s->link);
        s->away = s->away ?: now;
        if (!s->reached || f->answer || now - s->away > ERRAND_PATIENCE_MS * USEC_PER_MSEC)
                return -EREMOTEIO;
        s->not_before = now + s->delay_ms * USEC_PER_MSEC;
        s->delay_ms = MIN(2 * s->delay_ms, (unsigned)DELAY_MAX_MS);
        return 0;
}

static int begin(Stream *s, Failure *f)
{
        int r = call_begin(s->socket, s->method, json_object_get(s->parameters), true, NULL, &s->link, f);

        s->fresh = true;
        return r < 0 ? arrange_next(s, f) : 0;
}

/* As call_next; -EAGAIN: the connection was lost, and is made again. */
static int receive(Stream *s, int timeout_ms, struct json_object **ret, bool *ret_first, Failure *f)
{
        int r = call_next(s->link, s->socket, timeout_ms, ret, NULL, f);

        if (r == -EREMOTEIO)
                return arrange_next(s, f) < 0 ? r : -EAGAIN;
        if (r >= 0) {
                *ret_first = TAKE_GENERIC(s->fresh, false);
                s->reached = true;
                s->away = 0;
                s->delay_ms = DELAY_MIN_MS;
        }
        return r;
}

int stream_next(Stream *s, int timeout_ms, struct json_object **ret, bool *ret_first, Failure *f)
{
        uint64_t end = timeout_ms < 0 ? USEC_INFINITY
                                      : now_usec(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * USEC_PER_MSEC;

        for (;;) {
                int r;

                if (!s->link) {
                        poll(NULL, 0, left_ms(MIN(end, s->not_before)));
                        if (s->not_before > end)
                                return -ETIMEDOUT;
                        r = begin(s, f);
                        if (r < 0)
                                return r;
                        if (!s->link)
                                continue;
                }
                r = receive(s, left_ms(end), ret, ret_first, f);
                if (r != -EAGAIN)
                        return r;
        }
}
