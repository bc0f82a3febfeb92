/* See viewers.h. A viewer has no buffer: it is sent what the ring has, when it takes it, and is told what
 * the ring had no more when it came to it. Its socket is its client's, too, so it is never made
 * non-blocking: each call is. */
#include "viewers.h"

#include <sys/socket.h>
#include <unistd.h>

#include "number.h"

#define NOTICE_BEGIN "\r\n[nsrootd: "
#define NOTICE_END   " bytes were lost here]\r\n"

#define INPUT_MAX    4096
/* Sent to one viewer in a turn, so that it is everybody's turn. */
#define SEND_MAX     (64 * KIB)

void viewers_init(Viewers *v)
{
        for (size_t i = 0; i < VIEWERS_MAX; i++)
                v->viewers[i] = (Viewer){ .fd = -EBADF };
}

/* What it sent and nobody read would make its end of file an error (unix(7)): so nothing more comes, and
 * what came is read. */
static int close_stream(int fd)
{
        char bytes[INPUT_MAX];

        (void)shutdown(fd, SHUT_RDWR);
        while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
                ;
        return close_fd(fd);
}

static void to_head(Viewer *v, const Ring *ring)
{
        v->position = ring->head;
        v->offset = ring->offset;
}

static void to_tail(Viewer *v, const Ring *ring)
{
        if (ring->tail == ring->head) {
                to_head(v, ring);
                return;
        }
        v->position = ring->tail;
        v->offset = ring_record(ring, ring->tail).offset;
}

/* Where the record's first newline is; its length, where it has none. */
static size_t find_newline(const Ring *ring, uint64_t position, size_t length)
{
        for (size_t at = 0, n; at < length; at += n) {
                const char *bytes = ring_bytes(ring, position + sizeof(RingRecord) + at, length - at, &n);
                const char *newline = memchr(bytes, '\n', n);

                if (newline)
                        return at + (size_t)(newline - bytes);
        }
        return length;
}

/* To the beginning of a line, where there is one. */
static void to_line(Viewer *v, const Ring *ring)
{
        for (uint64_t at = ring->tail, next; at < ring->head; at = next) {
                RingRecord record = ring_record(ring, at);
                size_t newline = find_newline(ring, at, record.length);

                next = at + ring_record_size(record.length);
                if (newline == record.length)
                        continue;
                v->offset = record.offset + newline + 1;
                v->position = newline + 1 == record.length ? next : at;
                return;
        }
}

void viewers_add(Viewers *v, const Ring *ring, int fd, bool replay)
{
        Viewer *free_one = NULL;

        for (size_t i = 0; i < VIEWERS_MAX && !free_one; i++)
                if (v->viewers[i].fd < 0)
                        free_one = &v->viewers[i];
        if (!free_one || !ring->size) {
                close_stream(fd);
                return;
        }
        *free_one = (Viewer){ .fd = fd };
        to_head(free_one, ring);
        if (!replay)
                return;
        to_tail(free_one, ring);
        if (ring->tail > 0)
                to_line(free_one, ring);
}

void viewers_end_input(Viewers *v)
{
        for (size_t i = 0; i < VIEWERS_MAX; i++)
                v->viewers[i].input_ended = true;
}

static bool is_behind(const Viewer *v, const Ring *ring)
{
        return v->lost || v->position < ring->head;
}

bool viewers_are_behind(Viewers *v, const Ring *ring)
{
        bool some = false;

        for (size_t i = 0; i < VIEWERS_MAX; i++) {
                Viewer *one = &v->viewers[i];

                if (one->fd >= 0 && !is_behind(one, ring))
                        one->fd = close_stream(one->fd);
                some |= one->fd >= 0;
        }
        return some;
}

void viewers_poll(Viewers *v, const Ring *ring, const Relay *relay, Polls *polls)
{
        for (size_t i = 0; i < VIEWERS_MAX; i++) {
                Viewer *one = &v->viewers[i];
                bool reads = !one->input_ended && !relay->full;

                one->poll = polls_add(polls, one->fd,
                                      (short)((reads ? POLLIN : 0) | (is_behind(one, ring) ? POLLOUT : 0)));
        }
}

/* One that the ring has overtaken goes on where the ring begins; not in the middle of a notice, which is
 * about what was lost before. */
static void catch_up(Viewer *v, const Ring *ring)
{
        uint64_t offset = v->offset;

        if (v->told || v->position >= ring->tail)
                return;
        to_tail(v, ring);
        v->lost += v->offset - offset;
}

static ssize_t send_bytes(const Viewer *v, const char *bytes, size_t n)
{
        ssize_t sent = send(v->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

        return sent < 0 ? -errno : sent;
}

static ssize_t send_notice(Viewer *v)
{
        char notice[sizeof(NOTICE_BEGIN NOTICE_END) + NUMBER_MAX];
        size_t n = (size_t)(stpcpy(put_number(stpcpy(notice, NOTICE_BEGIN), v->lost), NOTICE_END) - notice);
        ssize_t sent = send_bytes(v, notice + v->told, n - v->told);

        if (sent < 0)
                return sent;
        v->told += (size_t)sent;
        if (v->told == n)
                v->lost = v->told = 0;
        return sent;
}

static ssize_t send_record(Viewer *v, const Ring *ring)
{
        RingRecord record = ring_record(ring, v->position);
        size_t done = (size_t)(v->offset - record.offset), n;
        const char *bytes = ring_bytes(ring, v->position + sizeof(record) + done, record.length - done, &n);
        ssize_t sent = send_bytes(v, bytes, n);

        if (sent < 0)
                return sent;
        v->offset += (uint64_t)sent;
        if (v->offset == record.offset + record.length)
                v->position += ring_record_size(record.length);
        return sent;
}

/* False: it cannot be sent anything any more. */
static bool send_some(Viewer *v, const Ring *ring)
{
        for (size_t total = 0; total < SEND_MAX;) {
                ssize_t sent;

                catch_up(v, ring);
                if (!is_behind(v, ring))
                        return true;
                sent = v->lost ? send_notice(v) : send_record(v, ring);
                if (sent < 0)
                        return sent == -EAGAIN || sent == -EINTR;
                total += (size_t)sent;
        }
        return true;
}

/* Only what the terminal has taken is taken from the socket. Returns whether there may be more. */
static bool take_input(Viewer *v, Relay *relay)
{
        char bytes[INPUT_MAX];
        ssize_t n = recv(v->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

        if (n == 0)
                v->input_ended = true;
        if (n <= 0)
                return false;
        return recv(v->fd, bytes, relay_type(relay, bytes, (size_t)n), MSG_DONTWAIT) > 0;
}

static void dispatch_one(Viewer *v, const Ring *ring, Relay *relay, short events)
{
        bool ok = !(events & ~(POLLIN | POLLOUT));

        if (events & POLLIN)
                (void)take_input(v, relay);
        if (ok && (events & POLLOUT))
                ok = send_some(v, ring);
        if (ok)
                return;
        while (!v->input_ended && take_input(v, relay)) /* what it typed before it left */
                ;
        *v = (Viewer){ .fd = close_stream(v->fd) };
}

void viewers_dispatch(Viewers *v, const Ring *ring, Relay *relay, const Polls *polls)
{
        for (size_t i = 0; i < VIEWERS_MAX; i++) {
                Viewer *one = &v->viewers[i];
                short events = one->fd < 0 ? 0 : polls->fds[one->poll].revents;

                if (events)
                        dispatch_one(one, ring, relay, events);
        }
}
