/* lent.c: which descriptors a client may lend for what, and that looking changes none of them. */
#include "lent.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int from_path(const char *path, int flags)
{
        return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

static int new_pipe(int end)
{
        int ends[2];

        cr_assert_eq(pipe(ends), 0);
        close(ends[!end]);
        return ends[end];
}

static int new_socket(int type)
{
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, type, 0, ends), 0);
        return ends[0];
}

static int new_file(int flags)
{
        char path[] = "/tmp/test-lent-XXXXXX";
        int made = mkstemp(path), fd = open(path, flags);

        close(made);
        unlink(path);
        return fd;
}

static int new_terminal(int slave)
{
        int ends[2];

        return openpty(&ends[0], &ends[1], NULL, NULL, NULL) < 0 ? -1 : ends[slave];
}

static int new_signalfd(void)
{
        sigset_t none;

        sigemptyset(&none);
        return signalfd(-1, &none, 0);
}

static int new_ring(void)
{
        _Alignas(8) char params[120] = { 0 };

        return (int)syscall(SYS_io_uring_setup, 1, params);
}

static int new_fifo(int flags)
{
        char directory[] = "/tmp/test-lent-XXXXXX", path[64];
        int fd;

        cr_assert_not_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/fifo", directory);
        cr_assert_eq(mkfifo(path, 0600), 0);
        fd = open(path, flags | O_NONBLOCK);
        unlink(path);
        rmdir(directory);
        return fd;
}

#define INPUT    (1 << LENT_INPUT)
#define OUTPUT   (1 << LENT_OUTPUT)
#define LIFELINE (1 << LENT_LIFELINE)

static void expect(const char *what, int fd, int uses)
{
        static const char *const names[] = { "input", "output", "lifeline" };
        struct stat before, after;
        int flags;

        if (fd < 0) { /* this kernel, or this user, has none */
                cr_log_info("no %s to test with: %s", what, strerror(errno));
                return;
        }
        flags = fcntl(fd, F_GETFL);
        cr_assert_eq(fstat(fd, &before), 0);
        for (int use = LENT_INPUT; use <= LENT_LIFELINE; use++) {
                const char *fault = lent_check(fd, (LentUse)use);

                cr_expect_eq(!fault, !!(uses & (1 << use)), "%s as %s: %s", what, names[use],
                             fault ?: "taken");
        }
        cr_assert_eq(fstat(fd, &after), 0);
        cr_expect_arr_eq(&before, &after, sizeof(before), "%s", what);
        cr_expect_eq(fcntl(fd, F_GETFL), flags, "%s: O_NONBLOCK and its like are the client's", what);
        close(fd);
}

#define EXPECT(uses, call) expect(#call, call, uses)

Test(lent, what_is_taken, .timeout = 10)
{
        EXPECT(INPUT | LIFELINE, new_pipe(0));
        EXPECT(OUTPUT, new_pipe(1));
        EXPECT(INPUT | LIFELINE, new_fifo(O_RDONLY));
        EXPECT(INPUT | OUTPUT, new_fifo(O_RDWR));
        EXPECT(INPUT | OUTPUT, new_socket(SOCK_STREAM));
        EXPECT(INPUT | OUTPUT, new_socket(SOCK_DGRAM));
        EXPECT(INPUT, new_file(O_RDONLY));
        EXPECT(OUTPUT, new_file(O_WRONLY));
        EXPECT(OUTPUT, new_file(O_WRONLY | O_APPEND));
        EXPECT(INPUT | OUTPUT, new_file(O_RDWR));
        EXPECT(INPUT | OUTPUT, memfd_create("x", 0));
        EXPECT(INPUT, from_path("/dev/null", O_RDONLY));
        EXPECT(OUTPUT, from_path("/dev/null", O_WRONLY));
        EXPECT(INPUT | OUTPUT, from_path("/dev/null", O_RDWR));
        EXPECT(INPUT, from_path("/dev/zero", O_RDONLY));
        EXPECT(OUTPUT, from_path("/dev/full", O_WRONLY));
        EXPECT(INPUT, from_path("/dev/random", O_RDONLY));
        EXPECT(INPUT, from_path("/dev/urandom", O_RDONLY));
}

Test(lent, what_is_refused, .timeout = 10)
{
        EXPECT(0, from_path("/", O_RDONLY));
        EXPECT(0, from_path("/", O_PATH));
        EXPECT(0, from_path("/dev/null", O_PATH));
        EXPECT(0, new_file(O_PATH));
        EXPECT(0, new_terminal(0));
        EXPECT(0, new_terminal(1));
        EXPECT(0, from_path("/dev/tty", O_RDWR));
        EXPECT(0, from_path("/dev/mem", O_RDONLY));
        EXPECT(0, from_path("/dev/kmsg", O_RDONLY));
        EXPECT(0, from_path("/dev/loop-control", O_RDWR));
        EXPECT(0, from_path("/dev/fuse", O_RDWR));
        EXPECT(0, from_path("/proc/self/ns/net", O_RDONLY));
        EXPECT(0, from_path("/proc/self/ns/user", O_RDONLY));
        EXPECT(0, epoll_create1(0));
        EXPECT(0, eventfd(0, 0));
        EXPECT(0, inotify_init());
        EXPECT(0, timerfd_create(CLOCK_MONOTONIC, 0));
        EXPECT(0, new_signalfd());
        EXPECT(0, new_ring());
        EXPECT(0, (int)syscall(SYS_pidfd_open, getpid(), 0));
}

/* Devices that have only half of their number in common with the memory devices. */
Test(lent, other_devices)
{
        const struct {
                const char *what;
                mode_t kind;
                unsigned major, minor;
        } rows[] = {
                {"memory",         S_IFCHR, 1, 1 },
                { "kmsg",          S_IFCHR, 1, 11},
                { "a loop device", S_IFBLK, 7, 3 },
                { "a RAM disk",    S_IFBLK, 1, 3 },
        };
        char directory[] = "/tmp/test-lent-XXXXXX", path[64];

        if (geteuid() != 0)
                cr_skip_test("only root can make device nodes");
        cr_assert_not_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/node", directory);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                cr_assert_eq(mknod(path, rows[i].kind | 0600, makedev(rows[i].major, rows[i].minor)), 0);
                expect(rows[i].what, open(path, O_RDONLY | O_NONBLOCK), 0);
                unlink(path);
        }
        rmdir(directory);
}

Test(lent, none)
{
        for (int use = LENT_INPUT; use <= LENT_LIFELINE; use++)
                cr_expect_not_null(lent_check(-EBADF, (LentUse)use));
}

/* Each refusal says what is wrong with what was lent, not something else. */
Test(lent, words)
{
        int reader = new_pipe(0), writer = new_pipe(1), path = from_path("/", O_PATH);
        int directory = from_path("/", O_RDONLY), sock = new_socket(SOCK_STREAM);

        cr_expect_str_eq(lent_check(reader, LENT_OUTPUT), "it is not open for writing");
        cr_expect_str_eq(lent_check(writer, LENT_INPUT), "it is not open for reading");
        cr_expect_str_eq(lent_check(writer, LENT_LIFELINE), "it is not a pipe's read end");
        cr_expect_str_eq(lent_check(sock, LENT_LIFELINE), "it is not a pipe");
        cr_expect_not_null(strstr(lent_check(path, LENT_INPUT), "O_PATH"));
        cr_expect_not_null(strstr(lent_check(directory, LENT_INPUT), "regular file"));
}
