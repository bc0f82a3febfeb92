/* Copying, by relay.h. */
#include "relay.h"

#include <unistd.h>

#include "tty.h"

#define REST_MS 100

int relay_init(Relay *r, int from, int to, int owned, int patient)
{
        *r = (Relay){
                .from = from, .to = to, .owned = owned, .patient = patient, .buffer = malloc(RELAY_BUFFER)
        };
        /* Not a pty's master: to open that again makes another pty. */
        r->reader = from == patient ? -EBADF : tty_reopen(from);
        if (r->buffer)
                return 0;
        relay_done(r);
        return -ENOMEM;
}

void relay_done(Relay *r)
{
        r->owned = close_fd(r->owned);
        r->reader = close_fd(r->reader);
        r->ended = true;
        free(r->buffer);
        r->buffer = NULL;
}

bool relay_is_empty(const Relay *r)
{
        return r->start == r->end;
}

/* A pty's master would tell of the process groups on its other side. */
static bool must_not_read(const Relay *r)
{
        return r->from != r->patient && tty_in_background(r->from);
}

void relay_prepare(Relay *r, struct pollfd p[2], int *timeout_ms)
{
        p[0] = p[1] = (struct pollfd){ .fd = -1 };
        if (r->ended)
                return;
        if (r->resting || (relay_is_empty(r) && must_not_read(r))) {
                r->resting = false;
                *timeout_ms = *timeout_ms < 0 ? REST_MS : MIN(*timeout_ms, REST_MS);
                return;
        }
        if (relay_is_empty(r)) {
                p[0] = (struct pollfd){ .fd = r->from, .events = POLLIN };
                if (r->to != r->patient)
                        p[1] = (struct pollfd){ .fd = r->to }; /* to hear when its reader goes */
        } else
                p[1] = (struct pollfd){ .fd = r->to, .events = POLLOUT };
}

/* What a read or write of fd that failed means. */
static void on_error(Relay *r, int fd)
{
        if (errno == EAGAIN || errno == EINTR)
                return;
        if (fd == r->patient)
                r->resting = true;
        else
                relay_done(r);
}

void relay_insert(Relay *r, const char *bytes, size_t n)
{
        if (r->ended || n == 0)
                return;
        memcpy(r->buffer, bytes, n);
        r->start = 0;
        r->end = n;
}

static int source(const Relay *r)
{
        return r->reader >= 0 ? r->reader : r->from;
}

static ssize_t read_filtered(Relay *r)
{
        char in[RELAY_BUFFER - RELAY_MARGIN];
        ssize_t n = read(source(r), in, sizeof(in));

        if (n <= 0)
                return n;
        r->start = 0;
        r->end = r->filter(r->filter_data, in, (size_t)n, r->buffer);
        return n;
}

static ssize_t read_plain(Relay *r)
{
        ssize_t n = read(source(r), r->buffer, RELAY_BUFFER);

        if (n > 0) {
                r->start = 0;
                r->end = (size_t)n;
        }
        return n;
}

static void fill(Relay *r)
{
        ssize_t n = r->filter ? read_filtered(r) : read_plain(r);

        if (n < 0)
                on_error(r, r->from);
        else if (n == 0)
                relay_done(r);
}

static void flush(Relay *r)
{
        ssize_t n = write(r->to, r->buffer + r->start, r->end - r->start);

        if (n < 0)
                on_error(r, r->to);
        else
                r->start += (size_t)n;
}

static bool is_ready(int fd, short events, int timeout_ms)
{
        struct pollfd p = { .fd = fd, .events = events };

        return poll(&p, 1, timeout_ms) > 0;
}

void relay_run(Relay *r, const struct pollfd p[2])
{
        if (r->ended)
                return;
        if (p[0].revents) {
                fill(r);
                if (!r->ended && !relay_is_empty(r) && is_ready(r->to, POLLOUT, 0))
                        flush(r);
        } else if (p[1].revents && !relay_is_empty(r))
                flush(r);
        else if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
                relay_done(r);
}

void relay_drain(Relay *r)
{
        r->resting = false;
        while (!r->ended && !r->resting) {
                if (relay_is_empty(r) && !is_ready(r->from, POLLIN, 0))
                        return;
                if (relay_is_empty(r))
                        fill(r);
                else if (is_ready(r->to, POLLOUT, -1))
                        flush(r);
        }
}
