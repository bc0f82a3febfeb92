/* order.c: what arrives is what was sent, and what is not a message of ours is refused with its descriptors
 * closed. Descriptors are counted, for a leak here would end the daemon one day. */
#include "order.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int ends[2];
static _Alignas(OrderHeader) char buffer[ORDER_SIZE_MAX];

static void connect_ends(void)
{
        int size = ORDER_SIZE_MAX;

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        cr_assert_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

TestSuite(order, .init = connect_ends, .timeout = 10);

static size_t open_descriptors(void)
{
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

/* Bytes as they are, with n copies of standard input. */
static void send_raw(const void *bytes, size_t size, size_t n_fds)
{
        union {
                char space[CMSG_SPACE(sizeof(int) * 16)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { (void *)bytes, size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                *CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                       .cmsg_type = SCM_RIGHTS,
                                                       .cmsg_len = CMSG_LEN(sizeof(int) * n_fds) };
                memset(CMSG_DATA(CMSG_FIRSTHDR(&m)), 0, sizeof(int) * n_fds);
        }
        cr_assert_eq(sendmsg(ends[0], &m, 0), (ssize_t)size);
}

static int receive(OrderMessage *ret)
{
        return order_receive(ends[1], MSG_DONTWAIT, buffer, sizeof(buffer), ret);
}

Test(order, a_structure_its_blob_and_descriptors_arrive)
{
        OrderSpawn sent = { .header = ORDER_INIT(ORDER_SPAWN, 7), .flags = SPAWN_MAIN, .argc = 2 }, got;
        int pipe_fds[2], fds[2] = { 0, 0 };
        OrderMessage m;
        char byte = 0;

        cr_assert_eq(pipe(pipe_fds), 0);
        fds[1] = pipe_fds[1];
        cr_assert_eq(order_send(ends[0], &sent, sizeof(sent), "a\0b", 4, fds, 2), 0);
        cr_assert_eq(receive(&m), 1);
        cr_expect_eq(m.header->type, ORDER_SPAWN);
        cr_expect_eq(m.header->command, 7);
        cr_expect_eq(m.header->size, sizeof(OrderSpawn));
        cr_expect_eq(m.blob_size, 4);
        cr_expect_arr_eq(m.blob, "a\0b", 4);
        order_copy(&m, &got, sizeof(got));
        cr_expect_arr_eq(&got, &sent, sizeof(sent));

        cr_assert_eq(m.n_fds, 2);
        cr_expect(fcntl(m.fds[1], F_GETFD) & FD_CLOEXEC);
        cr_expect_eq(write(m.fds[1], "x", 1), 1, "it is the pipe");
        cr_expect_eq(read(pipe_fds[0], &byte, 1), 1);
        order_message_done(&m);
        cr_expect_eq(m.n_fds, 0);
        cr_expect_geq(fcntl(fds[1], F_GETFD), 0, "the sender's stays the sender's");
}

Test(order, nothing_but_a_structure)
{
        OrderGo end = { .header = ORDER_INIT(ORDER_GO, 0) };
        OrderMessage m;

        cr_assert_eq(order_send(ends[0], &end, sizeof(end), NULL, 0, NULL, 0), 0);
        cr_assert_eq(receive(&m), 1);
        cr_expect_eq(m.blob_size, 0);
        cr_expect_eq(m.n_fds, 0);
}

Test(order, the_largest_there_may_be)
{
        static char blob[ORDER_SIZE_MAX];
        OrderSpawn o = { .header = ORDER_INIT(ORDER_SPAWN, 1) };
        int fds[ORDER_FDS_MAX + 1] = { 0 };
        size_t room = ORDER_SIZE_MAX - sizeof(o), before = open_descriptors();
        OrderMessage m;

        memset(blob, 'x', sizeof(blob));
        cr_assert_eq(order_send(ends[0], &o, sizeof(o), blob, room, fds, ORDER_FDS_MAX), 0);
        cr_assert_eq(receive(&m), 1);
        cr_expect_eq(m.blob_size, room);
        cr_expect_arr_eq(m.blob, blob, room);
        cr_expect_eq(m.n_fds, ORDER_FDS_MAX);
        cr_expect_eq(open_descriptors(), before + ORDER_FDS_MAX);
        order_message_done(&m);
        cr_expect_eq(open_descriptors(), before);

        cr_expect_eq(order_send(ends[0], &o, sizeof(o), blob, room + 1, NULL, 0), -E2BIG);
        cr_expect_eq(order_send(ends[0], &o, sizeof(o), NULL, 0, fds, ORDER_FDS_MAX + 1), -E2BIG);
        cr_expect_eq(receive(&m), -EAGAIN, "nothing of those went");
}

Test(order, a_reader_that_does_not_read)
{
        OrderSignal o = { .header = ORDER_INIT(ORDER_SIGNAL, 1) };
        int r = 0;

        for (int i = 0; i < 100000 && r == 0; i++)
                r = order_send(ends[0], &o, sizeof(o), NULL, 0, NULL, 0);
        cr_expect_eq(r, -EAGAIN);
}

Test(order, a_reader_that_is_gone)
{
        OrderSignal o = { .header = ORDER_INIT(ORDER_SIGNAL, 1) };
        OrderMessage m;

        cr_expect_eq(receive(&m), -EAGAIN, "not yet");
        close(ends[0]);
        cr_expect_eq(receive(&m), 0);
        cr_expect_eq(order_send(ends[1], &o, sizeof(o), NULL, 0, NULL, 0), -EPIPE);
        cr_expect_eq(order_receive(-1, 0, buffer, sizeof(buffer), &m), -EBADF);
}

Test(order, what_is_not_ours)
{
        const struct {
                const char *why;
                OrderHeader header;
                size_t sent, n_fds;
        } bad[] = {
                {"shorter than a header",         { .type = ORDER_GO, .size = sizeof(OrderHeader) }, 4,                   2},
                { "one byte short of a header",
                 { .type = ORDER_GO, .size = sizeof(OrderHeader) },
                 sizeof(OrderHeader) - 1,
                 0                                                                                                         },
                { "a structure without a header",
                 { .type = ORDER_GO, .size = sizeof(OrderHeader) - 1 },
                 sizeof(OrderHeader),
                 2                                                                                                         },
                { "of no size",                   { .type = ORDER_GO },                              sizeof(OrderHeader), 1},
                { "larger than what came",
                 { .type = ORDER_GO, .size = sizeof(OrderHeader) + 1 },
                 sizeof(OrderHeader),
                 1                                                                                                         },
                { "much larger",                  { .type = ORDER_GO, .size = UINT32_MAX },          sizeof(OrderHeader), 0},
                { "with too many descriptors",
                 { .type = ORDER_GO, .size = sizeof(OrderHeader) },
                 sizeof(OrderHeader),
                 ORDER_FDS_MAX + 1                                                                                         },
        };
        size_t before = open_descriptors();

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                OrderMessage m = { .n_fds = 99 };

                send_raw(&bad[i].header, bad[i].sent, bad[i].n_fds);
                cr_expect_eq(receive(&m), -EBADMSG, "%s", bad[i].why);
                cr_expect_eq(m.n_fds, 99, "%s: nothing was set", bad[i].why);
                cr_expect_eq(open_descriptors(), before, "%s: its descriptors are closed", bad[i].why);
        }
}

Test(order, more_than_there_is_room_for)
{
        OrderHello o = { .header = ORDER_INIT(ORDER_HELLO, 0) };
        size_t before = open_descriptors();
        int fd = 0;
        OrderMessage m;

        cr_assert_eq(order_send(ends[0], &o, sizeof(o), NULL, 0, &fd, 1), 0);
        cr_expect_eq(order_receive(ends[1], MSG_DONTWAIT, buffer, sizeof(o) - 1, &m), -EBADMSG);
        cr_expect_eq(open_descriptors(), before);
}

Test(order, an_older_and_a_newer_sender)
{
        struct {
                OrderSignal known;
                uint64_t later;
        } newer = {
                .known = {ORDER_INIT(ORDER_SIGNAL, 3), .signal = 15, .everyone = 1},
                  .later = 77
        };
        OrderHeader older = ORDER_INIT(ORDER_SIGNAL, 4);
        struct {
                OrderSignal o;
                uint32_t guard;
        } got = { .guard = 0xdeadbeef };
        OrderMessage m;

        cr_assert_eq(order_send(ends[0], &newer, sizeof(newer), "blob", 4, NULL, 0), 0);
        cr_assert_eq(receive(&m), 1);
        cr_expect_eq(m.blob_size, 4);
        cr_expect_arr_eq(m.blob, "blob", 4, "it is behind what we do not know");
        order_copy(&m, &got.o, sizeof(got.o));
        cr_expect_eq(got.o.signal, 15);
        cr_expect_eq(got.o.everyone, 1);
        cr_expect_eq(got.guard, 0xdeadbeef);

        cr_assert_eq(order_send(ends[0], &older, sizeof(older), "blob", 4, NULL, 0), 0);
        cr_assert_eq(receive(&m), 1);
        order_copy(&m, &got.o, sizeof(got.o));
        cr_expect_eq(got.o.header.command, 4);
        cr_expect_eq(got.o.signal, 0, "what it did not know is nothing, and not what was in the buffer");
        cr_expect_eq(got.o.everyone, 0);
        cr_expect_eq(got.guard, 0xdeadbeef);
}

static void on_alarm(int sig)
{
        static int n;

        if (++n == 3)
                cr_assert_eq(send(ends[0],
                                  &(OrderGo){
                                          .header = {.type = ORDER_GO, .size = sizeof(OrderGo)}
                },
                                  sizeof(OrderGo), 0),
                             sizeof(OrderGo));
}

Test(order, a_signal_does_not_end_the_wait)
{
        struct sigaction action = { .sa_handler = on_alarm }; /* without SA_RESTART */
        struct itimerval every = { .it_interval.tv_usec = 20000, .it_value.tv_usec = 20000 };
        OrderMessage m;

        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &every, NULL);
        cr_expect_eq(order_receive(ends[1], 0, buffer, sizeof(buffer), &m), 1);
        setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
        cr_expect_eq(m.header->type, ORDER_GO);
}
