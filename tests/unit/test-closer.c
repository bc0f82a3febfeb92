/* closer.c: what is closed at once, what by another process, and that nobody waits for one that does not
 * come back. */
#include "closer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOMEBODY 1000
#define ANOTHER  1001

typedef struct Bed {
        sd_event *event;
        Closer *closer;
} Bed;

static void bed_init(Bed *b)
{
        cr_assert_geq(sd_event_new(&b->event), 0);
        cr_assert_eq(closer_new(b->event, &b->closer), 0);
}

static void bed_done(Bed *b)
{
        closer_free(b->closer);
        sd_event_unref(b->event);
}

#define _cleanup_bed_ _cleanup_(bed_done)

static void close_one(Bed *b, uid_t uid, int fd)
{
        Fds fds = { .fd = { fd }, .n = 1 };

        cr_assert_geq(fd, 0);
        closer_close(b->closer, uid, &fds);
        cr_expect_eq(fds.n, 0);
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

/* Until nothing happens for a while. */
static void settle(Bed *b)
{
        while (sd_event_run(b->event, 300 * USEC_PER_MSEC) > 0)
                ;
}

/* A connected TCP socket that has to send more than the other end takes, and lingers for longer than a test
 * may take. */
static int lingering_socket(int *ret_other)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
        int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
        socklen_t size = sizeof(address);
        static char much[64 * KIB];

        cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
        cr_assert_eq(listen(listener, 1), 0);
        cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&address, size), 0);
        *ret_other = accept(listener, NULL, NULL);
        cr_assert_geq(*ret_other, 0);
        while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
                ;
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        close(listener);
        return fd;
}

/* In the queue of a socket that is in the queue of a socket. */
static int wrapped(int fd)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {
                .header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}
        };
        char byte = 'x';
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr header = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        cr_assert_eq(sendmsg(ends[0], &header, 0), 1);
        close(fd);
        close(ends[0]);
        return ends[1];
}

Test(closer, a_pipe_is_closed_at_once)
{
        _cleanup_bed_ Bed b;
        int ends[2];
        char c;

        bed_init(&b);
        cr_assert_eq(pipe(ends), 0);
        close_one(&b, SOMEBODY, ends[1]);
        cr_expect_not(is_open(ends[1]));
        cr_expect_eq(read(ends[0], &c, 1), 0, "nobody has the other end");
        close(ends[0]);
}

Test(closer, everything_else_is_closed_soon)
{
        _cleanup_bed_ Bed b;
        int file, ends[2], pair[2];
        Fds fds = {};

        bed_init(&b);
        cr_assert_eq(pipe(ends), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        file = memfd_create("file", MFD_CLOEXEC);
        fds = (Fds){
                .fd = {pair[0], ends[0], -EBADF, file, open("/dev/null", O_RDWR)},
                  .n = 5
        };
        closer_close(b.closer, SOMEBODY, &fds);
        settle(&b);
        cr_expect_not(is_open(pair[0]));
        cr_expect_not(is_open(ends[0]));
        cr_expect_not(is_open(file));
        cr_expect_eq(poll(&(struct pollfd){ .fd = pair[1], .events = POLLIN }, 1, 0), 1, "the end of it");
        close(ends[1]);
        close(pair[1]);
}

Test(closer, nothing_is_nothing)
{
        _cleanup_bed_ Bed b;
        Fds fds = {};

        bed_init(&b);
        closer_close(b.closer, SOMEBODY, &fds);
        cr_expect_eq(sd_event_run(b.event, 0), 0);
}

Test(closer, processes_that_came_back_do_not_count_and_leave_nothing)
{
        _cleanup_bed_ Bed b;
        int before;

        bed_init(&b);
        before = dup(STDERR_FILENO);
        for (int i = 0; i < 3 * CLOSER_STUCK; i++) {
                close_one(&b, SOMEBODY, memfd_create("file", MFD_CLOEXEC));
                if (i % CLOSER_STUCK == CLOSER_STUCK - 1)
                        settle(&b);
                cr_expect_not(closer_is_stuck(b.closer, SOMEBODY));
        }
        close(before);
        cr_expect_eq(dup(STDERR_FILENO), before, "every number is free again");
        cr_expect_lt(waitpid(-1, NULL, 0), 0, "every process is reaped");
        close(before);
}

/* Whatever they wait for, their closing is counted until the event loop has heard of it. */
Test(closer, a_user_is_stuck_by_the_number_and_nobody_else_is)
{
        _cleanup_bed_ Bed b;

        bed_init(&b);
        for (int i = 0; i < CLOSER_STUCK; i++) {
                cr_expect_not(closer_is_stuck(b.closer, SOMEBODY));
                close_one(&b, SOMEBODY, memfd_create("file", MFD_CLOEXEC));
        }
        cr_expect(closer_is_stuck(b.closer, SOMEBODY));
        cr_expect_not(closer_is_stuck(b.closer, ANOTHER));
        settle(&b);
        cr_expect_not(closer_is_stuck(b.closer, SOMEBODY));
}

static void expect_no_lingering(int (*wrap)(int fd))
{
        _cleanup_bed_ Bed b;
        int other, fd = lingering_socket(&other);
        uint64_t start;

        bed_init(&b);
        fd = wrap ? wrap(fd) : fd;
        start = now_usec(CLOCK_MONOTONIC);
        close_one(&b, SOMEBODY, fd);
        cr_expect_lt(now_usec(CLOCK_MONOTONIC) - start, 50 * USEC_PER_MSEC, "nobody waited here");
        cr_expect_gt(sd_event_run(b.event, 3 * USEC_PER_SEC), 0, "and the process not for ever");
        cr_expect_not(is_open(fd));
        close(other);
}

Test(closer, a_socket_does_not_linger_for_long)
{
        expect_no_lingering(NULL);
}

Test(closer, nor_does_one_in_the_queue_of_another)
{
        expect_no_lingering(wrapped);
}

Test(closer, its_end_waits_for_nothing)
{
        Bed b;
        int other, fd = lingering_socket(&other);

        bed_init(&b);
        close_one(&b, SOMEBODY, fd);
        bed_done(&b);
        close(other);
}
