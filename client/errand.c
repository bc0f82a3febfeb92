/* Calls that are made again, by errand.h. */
#include "errand.h"

#include <time.h>

#include "connection.h"
#include "value.h"

#define DELAY_MIN_MS 20
#define DELAY_MAX_MS 500

void errand_init(Errand *e, const char *socket, const char *method, struct json_object *parameters)
{
        *e = (Errand){
                .socket = socket, .method = method, .parameters = parameters, .delay_ms = DELAY_MIN_MS
        };
}

void errand_done(Errand *e)
{
        link_free(e->link);
        json_object_put(e->parameters);
        *e = (Errand){};
}

void errand_prepare(const Errand *e, struct pollfd *p, int *timeout_ms)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        int rest_ms;

        *p = (struct pollfd){ .fd = e->link ? link_fd(e->link) : -1, .events = POLLIN };
        if (!e->method || e->link)
                return;
        rest_ms = e->not_before > now ? (int)((e->not_before - now) / USEC_PER_MSEC) + 1 : 0;
        *timeout_ms = *timeout_ms < 0 ? rest_ms : MIN(*timeout_ms, rest_ms);
}

static int start(Errand *e)
{
        _cleanup_(link_freep) Link *l = NULL;
        int r;

        r = connection_try(e->socket, &l);
        e->reached |= r >= 0 || r == -EAGAIN; /* somebody listens, if not at once */
        if (r < 0)
                return r;
        r = connection_send(l, e->method, json_object_get(e->parameters), false, NULL);
        /* Who is refused may find the connection closed already, with the reason waiting in it. */
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return r;
        e->link = TAKE_PTR(l);
        return 0;
}

static int receive(Errand *e, struct json_object **ret, Failure *f)
{
        _cleanup_(reply_message_done) ReplyMessage reply = {};
        _cleanup_(fds_close) Fds fds = {};
        int r;

        r = connection_receive(e->link, 0, &reply, &fds);
        if (r == -ETIMEDOUT)
                return 0;
        if (r < 0) {
                failure_lost(f, r, e->socket);
                return r;
        }
        if (reply.error)
                return failure_reply(f, reply.error, reply.parameters);
        *ret = TAKE_PTR(reply.parameters);
        return 1;
}

static int arrange_next(Errand *e, int r)
{
        e->link = link_free(e->link);
        e->not_before = now_usec(CLOCK_MONOTONIC) + e->delay_ms * USEC_PER_MSEC;
        e->delay_ms = MIN(2 * e->delay_ms, (unsigned)DELAY_MAX_MS);
        return r;
}

int errand_step(Errand *e, struct json_object **ret, Failure *f)
{
        int r;

        if (!e->method || (!e->link && e->not_before > now_usec(CLOCK_MONOTONIC)))
                return 0;
        if (!e->link && (r = start(e)) < 0) {
                failure_connect(f, r, e->socket);
                return arrange_next(e, r);
        }
        r = receive(e, ret, f);
        if (r < 0)
                return arrange_next(e, r);
        if (r > 0)
                errand_done(e);
        return r;
}

unsigned errand_patience(int r)
{
        return r == -ECONNREFUSED || r == -ENOENT ? ERRAND_REFUSED_MS : ERRAND_PATIENCE_MS;
}

int errand_try(Errand *e, unsigned patience_ms, struct json_object **ret, Failure *f)
{
        int r = errand_step(e, ret, f);
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (r >= 0) {
                if (r == 0 && e->link)
                        e->away = 0;
                return r;
        }
        e->away = e->away ?: now;
        if (r != -EREMOTEIO && e->reached &&
            now - e->away <= MIN(patience_ms, errand_patience(r)) * USEC_PER_MSEC)
                return 0;
        errand_done(e);
        return -EREMOTEIO;
}

int errand_finish(Errand *e, unsigned patience_ms, struct json_object **ret, Failure *f)
{
        for (;;) {
                struct pollfd p;
                int timeout_ms = -1, r = errand_try(e, patience_ms, ret, f);

                if (r != 0)
                        return r < 0 ? r : 0;
                errand_prepare(e, &p, &timeout_ms);
                if (poll(&p, 1, timeout_ms) < 0 && errno != EINTR)
                        return failure_system(f, -errno, "poll");
        }
}
