/* link.c over a socket pair: messages whole, in parts and glued together, descriptors with the right one,
 * limits, and peers that vanish. */
#include "link.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX  ((size_t)64 * 1024)
#define QUEUE_MAX    ((size_t)256 * 1024)
/* The most that one sendmsg takes: unix(7). */
#define RECEIVED_MAX 253

/* A link and the bare other end of its socket. */
typedef struct Pair {
        Link *link;
        int peer;
} Pair;

static void pair_done(Pair *p)
{
        link_free(p->link);
        close_fd(p->peer);
}
#define _cleanup_pair_ _cleanup_(pair_done)

static void pair_init(Pair *p)
{
        static const LinkLimits limits = { MESSAGE_MAX, MESSAGE_MAX, QUEUE_MAX };
        int fds[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        cr_assert_eq(link_new(fds[0], &limits, &p->link), 0);
        p->peer = fds[1];
}

/* One sendmsg with n_fds copies of stderr. */
static void peer_send_with(Pair *p, const char *bytes, size_t length, size_t n_fds)
{
        struct iovec iov = { .iov_base = (char *)bytes, .iov_len = length };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * RECEIVED_MAX)];
        } control = {};
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                header.msg_control = &control;
                header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                for (size_t i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int){ STDERR_FILENO },
                               sizeof(int));
        }
        cr_assert_eq(sendmsg(p->peer, &header, 0), (ssize_t)length);
}

static void peer_send(Pair *p, const char *bytes, size_t length)
{
        peer_send_with(p, bytes, length, 0);
}

static void expect_message(Pair *p, const char *expected, size_t n_fds)
{
        _cleanup_(fds_close) Fds fds = {};
        _cleanup_free_ char *message = NULL;
        size_t length = 0;

        cr_assert_eq(link_read(p->link, &message, &length, &fds), 1, "waiting for %s", expected);
        cr_expect_str_eq(message, expected);
        cr_expect_eq(length, strlen(expected));
        cr_expect_eq(fds.n, n_fds, "%s came with %zu", expected, fds.n);
        for (size_t i = 0; i < fds.n; i++)
                cr_expect_eq(fcntl(fds.fd[i], F_GETFD), FD_CLOEXEC);
}

static void expect_result(Pair *p, int expected)
{
        Fds fds = {};
        char *message = NULL;
        size_t length = 0;

        cr_expect_eq(link_read(p->link, &message, &length, &fds), expected);
        cr_expect_null(message);
}

static size_t count_fds(void)
{
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

Test(link, one_message)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        expect_result(&p, -EAGAIN);
        cr_expect_not(link_is_partial(p.link));
        peer_send(&p, "hello", 6);
        expect_message(&p, "hello", 0);
        expect_result(&p, -EAGAIN);
}

Test(link, an_empty_message)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "", 1, 1);
        expect_message(&p, "", 1);
        cr_expect_not(link_is_partial(p.link));
}

Test(link, several_at_once)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send(&p, "one\0two\0\0thr", 12);
        expect_message(&p, "one", 0);
        expect_message(&p, "two", 0);
        expect_message(&p, "", 0);
        expect_result(&p, -EAGAIN);
        cr_expect(link_is_partial(p.link));
        peer_send(&p, "ee", 3);
        expect_message(&p, "three", 0);
        cr_expect_not(link_is_partial(p.link));
}

Test(link, byte_by_byte)
{
        static char text[MESSAGE_MAX + 1];
        _cleanup_pair_ Pair p;

        pair_init(&p);
        memset(text, 'x', MESSAGE_MAX);
        for (size_t i = 0; i < MESSAGE_MAX; i++) {
                peer_send(&p, text + i, 1);
                expect_result(&p, -EAGAIN);
        }
        peer_send(&p, "", 1);
        expect_message(&p, text, 0);
}

/* What a peer that says little and waits makes us keep. */
Test(link, a_part_costs_little)
{
        _cleanup_pair_ Pair p;
        size_t before;

        pair_init(&p);
        before = mallinfo2().uordblks;
        peer_send(&p, "x", 1);
        expect_result(&p, -EAGAIN);
        cr_expect_lt(mallinfo2().uordblks - before, 1024);
}

Test(link, the_longest)
{
        static char text[MESSAGE_MAX + 2];
        _cleanup_pair_ Pair p;

        pair_init(&p);
        memset(text, 'x', MESSAGE_MAX);
        peer_send(&p, text, MESSAGE_MAX + 1);
        expect_message(&p, text, 0);
}

Test(link, too_long)
{
        static char text[MESSAGE_MAX + 2];
        _cleanup_pair_ Pair p;

        pair_init(&p);
        memset(text, 'x', MESSAGE_MAX + 1);
        peer_send(&p, text, MESSAGE_MAX + 2);
        expect_result(&p, -E2BIG);
}

Test(link, too_long_and_no_end)
{
        static char text[MESSAGE_MAX + 1];
        _cleanup_pair_ Pair p;

        pair_init(&p);
        memset(text, 'x', MESSAGE_MAX + 1);
        peer_send(&p, text, MESSAGE_MAX);
        expect_result(&p, -EAGAIN);
        peer_send(&p, text, 1);
        expect_result(&p, -E2BIG);
}

Test(link, descriptors_come_with_their_message)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send(&p, "none", 5);
        peer_send_with(&p, "three", 6, 3);
        peer_send(&p, "none", 5);
        peer_send_with(&p, "one", 4, 1);
        expect_message(&p, "none", 0);
        expect_message(&p, "three", 3);
        expect_message(&p, "none", 0);
        expect_message(&p, "one", 1);
}

Test(link, descriptors_are_the_first_message_s_of_one_send)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "one\0two", 8, 2);
        expect_message(&p, "one", 2);
        expect_message(&p, "two", 0);
}

Test(link, descriptors_of_a_message_in_parts)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "he", 2, 2);
        expect_result(&p, -EAGAIN);
        peer_send(&p, "llo", 4);
        expect_message(&p, "hello", 2);
}

Test(link, descriptors_must_come_with_the_first_byte)
{
        size_t before = count_fds();

        {
                _cleanup_pair_ Pair p;

                pair_init(&p);
                peer_send(&p, "he", 2);
                peer_send_with(&p, "llo", 4, 1);
                expect_result(&p, -EPROTO);
        }
        cr_expect_eq(count_fds(), before);
}

Test(link, descriptors_must_not_come_later)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "he", 2, 1);
        expect_result(&p, -EAGAIN);
        peer_send_with(&p, "llo", 4, 1);
        expect_result(&p, -EPROTO);
}

/* All that is handed out, and how much it was. */
static size_t take_all(Pair *p)
{
        size_t n = 0;
        Fds fds;

        for (link_take_fds(p->link, &fds); fds.n > 0; link_take_fds(p->link, &fds)) {
                n += fds.n;
                fds_close(&fds);
        }
        return n;
}

/* Whoever has the copy goes on with it. */
Test(link, a_shared_socket_is_handed_out_and_lives_on)
{
        _cleanup_close_ int copy = -EBADF;
        _cleanup_pair_ Pair p;
        char byte = 0;

        pair_init(&p);
        copy = dup(link_fd(p.link));
        link_set_shared(p.link);
        cr_expect_eq(take_all(&p), 1);
        peer_send(&p, "x", 1);
        cr_expect_eq(read(copy, &byte, 1), 1);
        cr_expect_eq(byte, 'x');
}

Test(link, descriptors_of_half_a_message_are_handed_out)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "he", 2, 3);
        expect_result(&p, -EAGAIN);
        cr_expect_eq(take_all(&p), 3);
}

Test(link, descriptors_that_break_the_rules_are_handed_out)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "he", 2, FDS_MAX);
        expect_result(&p, -EAGAIN);
        peer_send_with(&p, "llo", 4, RECEIVED_MAX);
        expect_result(&p, -EPROTO);
        cr_expect_eq(take_all(&p), FDS_MAX + RECEIVED_MAX);
}

Test(link, the_socket_is_handed_out_if_more_may_be_in_it)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "hello", 6, 1);
        expect_message(&p, "hello", 1);
        peer_send_with(&p, "again", 6, 1);
        cr_expect_eq(take_all(&p), 1);
        cr_expect_lt(send(p.peer, "x", 1, MSG_NOSIGNAL), 0, "it is closed");
}

Test(link, nothing_is_handed_out_of_a_link_that_was_read)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "hello", 6, 1);
        expect_message(&p, "hello", 1);
        cr_expect_eq(take_all(&p), 0);
        cr_expect_lt(send(p.peer, "x", 1, MSG_NOSIGNAL), 0, "nothing may come any more");
}

Test(link, as_many_descriptors_as_there_may_be)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send_with(&p, "many", 5, FDS_MAX);
        expect_message(&p, "many", FDS_MAX);
}

Test(link, too_many_descriptors)
{
        size_t before = count_fds();

        {
                _cleanup_pair_ Pair p;

                pair_init(&p);
                peer_send_with(&p, "more", 5, FDS_MAX + 1);
                expect_result(&p, -E2BIG);
        }
        cr_expect_eq(count_fds(), before);
}

Test(link, the_end)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send(&p, "last", 5);
        p.peer = close_fd(p.peer);
        expect_message(&p, "last", 0);
        expect_result(&p, -ENOTCONN);
}

Test(link, the_end_in_the_middle)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        peer_send(&p, "la", 2);
        p.peer = close_fd(p.peer);
        expect_result(&p, -ECONNRESET);
}

/* Everything the peer has to read. */
static size_t peer_drain(Pair *p, char *buffer, size_t size, size_t *n_fds)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        } control;
        size_t total = 0;

        for (;;) {
                struct iovec iov = { .iov_base = buffer + total, .iov_len = size - total };
                struct msghdr header = {
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control),
                };
                ssize_t n = recvmsg(p->peer, &header, MSG_DONTWAIT);

                if (n <= 0)
                        return total;
                if (header.msg_controllen > 0)
                        *n_fds += (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
                total += (size_t)n;
        }
}

Test(link, sending)
{
        _cleanup_pair_ Pair p;
        char bytes[64];
        size_t n_fds = 0;

        pair_init(&p);
        cr_expect_eq(link_flush(p.link), 0);
        cr_expect_eq(link_queue(p.link, "one", 3, NULL), 0);
        cr_expect_eq(link_queue(p.link, "two!", 4, NULL), 0);
        cr_expect_eq(link_queued(p.link), 9);
        cr_expect_eq(peer_drain(&p, bytes, sizeof(bytes), &n_fds), 0, "queueing does not send");
        cr_expect_eq(link_flush(p.link), 0);
        cr_expect_eq(link_queued(p.link), 0);
        cr_expect_eq(peer_drain(&p, bytes, sizeof(bytes), &n_fds), 9);
        cr_expect_arr_eq(bytes, "one\0two!", 9);
}

Test(link, sending_descriptors)
{
        _cleanup_pair_ Pair p;
        Fds fds = {
                .fd = {dup(STDERR_FILENO), dup(STDERR_FILENO)},
                  .n = 2
        };
        char bytes[64];
        size_t n_fds = 0, before = count_fds();

        pair_init(&p);
        cr_expect_eq(link_queue(p.link, "two", 3, &fds), 0);
        cr_expect_eq(fds.n, 0, "taken");
        cr_expect_eq(link_flush(p.link), 0);
        cr_expect_eq(count_fds(), before, "two sockets more, two descriptors less");
        cr_expect_eq(peer_drain(&p, bytes, sizeof(bytes), &n_fds), 4);
        cr_expect_eq(n_fds, 2);
}

/* More than the socket holds: the descriptors go once, with the first part, and no byte is lost or twice. */
Test(link, sending_in_parts)
{
        static char text[MESSAGE_MAX], bytes[MESSAGE_MAX + 1];
        _cleanup_pair_ Pair p;
        Fds fds = { .fd = { dup(STDERR_FILENO) }, .n = 1 };
        size_t n_fds = 0, n = 0, parts = 0;
        int r;

        pair_init(&p);
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char)('a' + i % 23);
        cr_assert_eq(setsockopt(link_fd(p.link), SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)), 0);
        cr_assert_eq(link_queue(p.link, text, sizeof(text), &fds), 0);
        do {
                r = link_flush(p.link);
                cr_assert_geq(r, 0);
                n += peer_drain(&p, bytes + n, sizeof(bytes) - n, &n_fds);
                parts++;
        } while (r == 1);
        cr_expect_gt(parts, 2);
        cr_expect_eq(n, sizeof(text) + 1);
        cr_expect_arr_eq(bytes, text, sizeof(text));
        cr_expect_eq(n_fds, 1);
        cr_expect_eq(link_queued(p.link), 0);
}

Test(link, what_is_not_sent_is_limited)
{
        static char text[MESSAGE_MAX + 1];
        _cleanup_pair_ Pair p;
        Fds fds = { .fd = { dup(STDERR_FILENO) }, .n = 1 };

        pair_init(&p);
        cr_expect_eq(link_queue(p.link, text, MESSAGE_MAX + 1, &fds), -E2BIG);
        for (size_t n = 0; n + MESSAGE_MAX + 1 <= QUEUE_MAX; n += MESSAGE_MAX + 1)
                cr_expect_eq(link_queue(p.link, text, MESSAGE_MAX, NULL), 0);
        cr_expect_eq(link_queue(p.link, text, MESSAGE_MAX, &fds), -ENOBUFS);
        cr_expect_eq(link_queue(p.link, text, QUEUE_MAX - link_queued(p.link), &fds), -ENOBUFS);
        cr_expect_eq(fds.n, 1, "not taken");
        cr_expect_eq(link_queue(p.link, text, QUEUE_MAX - link_queued(p.link) - 1, &fds), 0);
}

Test(link, one_message_may_wait_however_long_it_is)
{
        static const LinkLimits limits = { MESSAGE_MAX, QUEUE_MAX * 4, QUEUE_MAX };
        static char text[QUEUE_MAX * 2];
        _cleanup_(link_freep) Link *l = NULL;
        int fds[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        cr_assert_eq(link_new(fds[0], &limits, &l), 0);
        cr_expect_eq(link_queue(l, text, sizeof(text), NULL), 0);
        cr_expect_eq(link_queue(l, text, 1, NULL), -ENOBUFS);
        close(fds[1]);
}

Test(link, sending_to_nobody_is_an_error_and_no_signal)
{
        _cleanup_pair_ Pair p;

        pair_init(&p);
        p.peer = close_fd(p.peer);
        cr_expect_eq(link_queue(p.link, "hello", 5, NULL), 0);
        cr_expect_eq(link_flush(p.link), -EPIPE);
}

Test(link, freeing_closes_everything)
{
        size_t before = count_fds();

        {
                _cleanup_pair_ Pair p;
                Fds fds = { .fd = { dup(STDERR_FILENO) }, .n = 1 };

                pair_init(&p);
                cr_expect_eq(link_queue(p.link, "never sent", 10, &fds), 0);
                peer_send_with(&p, "half", 4, 5);
                expect_result(&p, -EAGAIN);
        }
        cr_expect_eq(count_fds(), before);
        cr_expect_null(link_free(NULL));
}

Test(link, the_socket_stays_as_it_was)
{
        _cleanup_pair_ Pair p;
        int flags;

        pair_init(&p);
        flags = fcntl(link_fd(p.link), F_GETFL);
        expect_result(&p, -EAGAIN);
        cr_expect_eq(link_queue(p.link, "x", 1, NULL), 0);
        cr_expect_eq(link_flush(p.link), 0);
        cr_expect_eq(fcntl(link_fd(p.link), F_GETFL), flags);
        cr_expect_not(flags & O_NONBLOCK);
}
