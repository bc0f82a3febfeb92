/* nsroot-init from its first order on, in a PID namespace of its own and with a small /dev: what the daemon
 * hears of commands, what is in the ring, and who is alive afterwards. Only the profile of a command is not
 * checked, and its user is root. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caps.h"
#include "init.h"

bool profile_check(const Init *init, const Job *job, Failure *f)
{
        return true;
}

int user_resolve(const char *spec, User *ret)
{
        *ret = (User){ .name = "root", .home = "/" };
        return 0;
}

static int control = -EBADF; /* the daemon's end */
static int memfd = -EBADF;
static pid_t session;
static bool is_bound; /* by the kernel's limit on descriptors on their way */

static bool make_dev(void)
{
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", "/dev", "tmpfs", 0, NULL) == 0 &&
               mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)) == 0 &&
               mknod("/dev/tty", S_IFCHR | 0666, makedev(5, 0)) == 0 && mkdir("/dev/pts", 0755) == 0 &&
               mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0 &&
               mount("proc", "/proc", "proc", 0, NULL) == 0;
}

/* As it is in a session: without the capabilities that know no such limit. */
static void bind_by_limits(void)
{
        struct rlimit l;

        getrlimit(RLIMIT_NOFILE, &l);
        l.rlim_cur = 64;
        if (setrlimit(RLIMIT_NOFILE, &l) < 0 || caps_set(PROFILE_INIT_CAPS) < 0)
                _exit(91);
}

static _noreturn_ void run_init(int fd)
{
        static const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        static Init init;
        sigset_t all, handled;

        if (getpid() != 1 || !make_dev()) /* kill(-1) must not meet anybody else */
                _exit(90);
        for (int i = 0; i < 3; i++)
                dup2(open("/dev/null", O_RDWR), i);
        dup2(fd, 3);
        close_range(4, ~0U, 0);
        fcntl(3, F_SETFD, FD_CLOEXEC);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        sigemptyset(&handled);
        sigaddset(&handled, SIGCHLD);
        sigaddset(&handled, SIGTERM);
        init.control = 3;
        init.signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        for (size_t i = 0; i < PROFILE_SECCOMP_FILTERS; i++)
                syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
                        &(struct sock_fprog){ 1, (struct sock_filter *)&allow });
        relay_init(&init.relay);
        viewers_init(&init.viewers);
        if (is_bound)
                bind_by_limits();
        for (;;)
                loop_once(&init);
}

static void start_session(void)
{
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        control = ends[0];
        session = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
        cr_assert_geq(session, 0);
        if (session == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                run_init(ends[1]);
        }
        close(ends[1]);
}

static int make_ring(uint64_t size)
{
        RingHeader h = { .magic = RING_MAGIC, .version = RING_VERSION, .size = size };

        memfd = memfd_create("ring", MFD_CLOEXEC);
        cr_assert_eq(ftruncate(memfd, (off_t)(RING_HEADER_SIZE + size)), 0);
        cr_assert_eq(pwrite(memfd, &h, offsetof(RingHeader, head), 0), offsetof(RingHeader, head));
        return memfd;
}

/* PROGRAM -c SCRIPT; descriptors in the order of their flags. */
static void order_program(uint64_t id, uint32_t flags, const char *program, const char *script,
                          const int *fds, size_t n_fds)
{
        char blob[1024], *at = blob;
        OrderSpawn o = { .header = ORDER_INIT(ORDER_SPAWN, id), .flags = flags, .argc = 3, .envc = 1 };

        at = stpcpy(at, program) + 1;
        at = stpcpy(at, "-c") + 1;
        at = stpcpy(at, script) + 1;
        at = stpcpy(at, "PATH=/bin:/usr/bin") + 1;
        at = stpcpy(at, "") + 1;
        at = stpcpy(at, "/") + 1;
        o.columns = 80;
        o.rows = 24;
        o.blob_size = (uint32_t)(at - blob);
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit l;
                getrlimit(i, &l);
                o.limits[i].soft = l.rlim_cur;
                o.limits[i].hard = l.rlim_max;
        }
        cr_assert_eq(order_send(control, &o, sizeof(o), blob, o.blob_size, fds, n_fds), 0);
}

static void order_shell(uint64_t id, uint32_t flags, const char *script, const int *fds, size_t n_fds)
{
        order_program(id, flags, "/bin/sh", script, fds, n_fds);
}

#define SHELL(id, flags, script, ...)                                                                       \
        order_shell(id, flags, script, (const int[]){ __VA_ARGS__ },                                        \
                    sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

static _Alignas(OrderHeader) char buffer[ORDER_SIZE_MAX];
static int last_fd = -EBADF;

/* The next event, which has to be that one. */
static const void *await(OrderType type, uint64_t command)
{
        OrderMessage m;

        cr_assert_eq(order_receive(control, 0, buffer, sizeof(buffer), &m), 1, "no event %d", type);
        cr_assert_eq(m.header->type, type, "%u instead of %u", m.header->type, type);
        cr_assert_eq(m.header->command, command);
        last_fd = m.n_fds ? m.fds[0] : -EBADF;
        return m.header;
}

static pid_t await_started(uint64_t command)
{
        return (pid_t)((const EventStarted *)await(EVENT_STARTED, command))->pid;
}

static int await_exited(uint64_t command)
{
        return ((const EventExited *)await(EVENT_EXITED, command))->status;
}

static bool has_event(int msec)
{
        struct pollfd p = { .fd = control, .events = POLLIN };

        return poll(&p, 1, msec) > 0;
}

/* Within a second: a session that has to end must not take its time. */
static void expect_session_ends(int code)
{
        int status;

        for (int i = 0; waitpid(session, &status, WNOHANG) == 0; i++) {
                cr_assert_lt(i, 1000, "it lives on");
                usleep(1000);
        }
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == code, "%x", status);
}

static void make_pipe(int ends[2])
{
        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
}

/* A main command that is there until its session is not needed any more. */
static void start_main(uint32_t flags, const char *script)
{
        start_session();
        if (flags & SPAWN_RING)
                SHELL(1, flags | SPAWN_MAIN, script, make_ring(64 * KIB));
        else
                order_shell(1, flags | SPAWN_MAIN, script, NULL, 0);
        await_started(1);
}

static int attach(bool replay)
{
        OrderAttach o = { .header = ORDER_INIT(ORDER_ATTACH, 0), .replay = replay };
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        cr_assert_eq(order_send(control, &o, sizeof(o), NULL, 0, &ends[1], 1), 0);
        close(ends[1]);
        return ends[0];
}

static void send_signal(uint64_t command, int sig, bool everyone)
{
        OrderSignal o = { .header = ORDER_INIT(ORDER_SIGNAL, command),
                          .signal = (uint32_t)sig,
                          .everyone = everyone };

        cr_assert_eq(order_send(control, &o, sizeof(o), NULL, 0, NULL, 0), 0);
}

static void send_watch(uint64_t head)
{
        OrderWatch o = { .header = ORDER_INIT(ORDER_WATCH, 0), .head = head };

        cr_assert_eq(order_send(control, &o, sizeof(o), NULL, 0, NULL, 0), 0);
}

static const RingHeader *header(void)
{
        return mmap(NULL, RING_HEADER_SIZE, PROT_READ, MAP_SHARED, memfd, 0);
}

/* What the ring has of one stream, in one line. */
static const char *kept(RingStream stream)
{
        static char text[64 * 1024];
        const RingHeader *h = header();
        size_t length = 0;
        RingRecord r;

        for (uint64_t at = h->tail; at < h->head; at += ring_record_size(r.length)) {
                off_t where = (off_t)(RING_HEADER_SIZE + at);
                cr_assert_eq(pread(memfd, &r, sizeof(r), where), sizeof(r));
                if (r.stream == stream)
                        length += (size_t)pread(memfd, text + length, r.length, where + (off_t)sizeof(r));
        }
        text[length] = '\0';
        return text;
}

/* Reads until that has come. */
static void expect_read(int fd, const char *text)
{
        static char seen[4096];
        size_t length = 0;

        do {
                ssize_t n = read(fd, seen + length, sizeof(seen) - 1 - length);
                cr_assert_gt(n, 0, "\"%s\" instead of \"%s\"", seen, text);
                seen[length += (size_t)n] = '\0';
        } while (!strstr(seen, text));
}

static bool is_at_end(int fd, int msec)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char c;

        return poll(&p, 1, msec) > 0 && read(fd, &c, 1) == 0;
}

TestSuite(loop, .timeout = 20);

Test(loop, what_a_command_prints_is_kept)
{
        start_main(SPAWN_RING | SPAWN_CAPTURE, "echo out; echo err >&2; exit 3");
        cr_expect_lt(last_fd, 0);
        cr_expect_eq(await_exited(1), 3 << 8);
        expect_session_ends(0);
        cr_expect_str_eq(kept(RING_STDOUT), "out\n");
        cr_expect_str_eq(kept(RING_STDERR), "err\n");
        const RingResult *r = header()->results;
        cr_expect_eq(r->command, 1);
        cr_expect_eq(r->flags, RING_STARTED | RING_ENDED);
        cr_expect_eq(r->status, 3 << 8);
        cr_expect_geq(r->ended_usec, r->started_usec);
}

Test(loop, what_was_given_is_not_kept)
{
        int out[2];

        start_session();
        make_pipe(out);
        SHELL(1, SPAWN_MAIN | SPAWN_RING | SPAWN_CAPTURE | SPAWN_STDOUT, "echo out; echo err >&2", out[1],
              make_ring(4096));
        close(out[1]);
        await_started(1);
        expect_read(out[0], "out\n");
        cr_expect_eq(await_exited(1), 0);
        cr_expect_str_eq(kept(RING_STDOUT), "");
        cr_expect_str_eq(kept(RING_STDERR), "err\n");
}

Test(loop, a_terminal_that_is_kept)
{
        OrderResize size = { .header = ORDER_INIT(ORDER_RESIZE, 1), .columns = 81, .rows = 24 };
        int fd;

        start_main(SPAWN_RING | SPAWN_CAPTURE | SPAWN_TERMINAL,
                   "trap 'echo WINCH; stty size' WINCH; stty size;"
                   "while [ \"$x\" != end ]; do read x && echo \"<$x>\"; done");
        cr_expect_lt(last_fd, 0, "its master stays");
        fd = attach(true);
        expect_read(fd, "24 80\r\n");
        cr_assert_eq(write(fd, "abc\n", 4), 4);
        expect_read(fd, "abc\r\n<abc>\r\n");
        for (int i = 0; i < 2; i++) { /* the same size the second time */
                cr_assert_eq(order_send(control, &size, sizeof(size), NULL, 0, NULL, 0), 0);
                usleep(50000);
                cr_assert_eq(write(fd, "next\n", 5), 5);
                expect_read(fd, "WINCH\r\n24 81\r\n");
        }
        cr_assert_eq(write(fd, "end\n", 4), 4);
        await_exited(1);
        expect_session_ends(0);
        cr_expect(strstr(kept(RING_TERMINAL), "<abc>\r\n"));
}

Test(loop, a_terminal_that_is_not_kept)
{
        start_main(SPAWN_RING | SPAWN_TERMINAL, "echo x");
        cr_expect_geq(last_fd, 0, "its master goes to the daemon");
        expect_read(last_fd, "x\r\n");
        await_exited(1);
}

static void put_on_the_way(size_t n, int ends[2])
{
        OrderHeader o = ORDER_INIT(63, 1);
        int fds[ORDER_FDS_MAX];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = STDERR_FILENO;
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        for (size_t i = 0; i < n; i += ELEMENTSOF(fds))
                cr_assert_eq(order_send(ends[0], &o, sizeof(o), NULL, 0, fds, ELEMENTSOF(fds)), 0);
}

Test(loop, a_terminal_that_cannot_be_handed_over)
{
        const EventFailed *f;
        int ends[2];

        is_bound = true;
        start_main(SPAWN_RING, "sleep 1000");
        put_on_the_way(80, ends);
        SHELL(7, SPAWN_TERMINAL, "trap '' HUP; sleep 1000");
        f = await(EVENT_FAILED, 7);
        cr_expect_eq(f->step, STEP_TERMINAL);
        cr_expect_eq(f->error, ETOOMANYREFS);
        cr_expect_not(has_event(30), "it has failed, and so does not exit");
        cr_expect_eq(header()->results[1].flags, RING_STARTED | RING_ENDED);
        close(ends[0]);
        close(ends[1]);
        SHELL(8, SPAWN_TERMINAL, "exit 3");
        await_started(8);
        cr_expect_geq(last_fd, 0);
        cr_expect_eq(await_exited(8), 3 << 8);
}

/* All of it, though it is much and the viewer began to read late; and nothing goes on meanwhile. */
Test(loop, the_last_output)
{
        static char seen[MIB];
        size_t length = 0;
        int fd, beat[2];
        ssize_t n;

        start_session();
        make_pipe(beat);
        SHELL(1, SPAWN_MAIN | SPAWN_STDIN | SPAWN_RING | SPAWN_CAPTURE,
              "sleep 1000 & read x; i=0;"
              "while [ $i -lt 80 ]; do printf '%10000d' $i; i=$((i+1)); done",
              beat[0], make_ring(MIB));
        await_started(1);
        fd = attach(false);
        send_watch(~UINT64_C(0)); /* is answered, so the one before has been seen */
        await(EVENT_OUTPUT, 0);
        cr_assert_eq(write(beat[1], "\n", 1), 1);
        await_exited(1);
        usleep(100000);
        cr_expect_eq(waitpid(session, NULL, WNOHANG), 0, "it waits for who looks");
        while ((n = read(fd, seen + length, sizeof(seen) - length)) > 0)
                length += (size_t)n;
        cr_expect_eq(n, 0);
        cr_expect_geq(length, 800000);
        cr_expect_eq(memcmp(seen + length - 2, "79", 2), 0);
        expect_session_ends(0);
}

Test(loop, who_does_not_read_the_last_output)
{
        uint64_t before;
        int fd;

        start_main(SPAWN_RING | SPAWN_CAPTURE, "sleep 0.1; i=0; while [ $i -lt 60 ]; do printf '%10000d' $i;"
                                               "i=$((i+1)); done");
        fd = attach(false);
        await_exited(1);
        before = now_usec(CLOCK_MONOTONIC);
        expect_session_ends(0);
        cr_expect_leq(now_usec(CLOCK_MONOTONIC) - before, 700 * USEC_PER_MSEC);
        close(fd);
}

Test(loop, a_daemon_that_leaves_ends_it_also_then)
{
        uint64_t before;
        int fd;

        start_main(SPAWN_RING | SPAWN_CAPTURE, "sleep 0.1; i=0; while [ $i -lt 60 ]; do printf '%10000d' $i;"
                                               "i=$((i+1)); done");
        fd = attach(false);
        await_exited(1);
        before = now_usec(CLOCK_MONOTONIC);
        control = close_fd(control);
        expect_session_ends(0);
        cr_expect_leq(now_usec(CLOCK_MONOTONIC) - before, 300 * USEC_PER_MSEC);
        close(fd);
}

Test(loop, watches)
{
        int in[2];

        start_session();
        make_pipe(in);
        SHELL(1, SPAWN_MAIN | SPAWN_STDIN | SPAWN_RING | SPAWN_CAPTURE, "while read x; do echo \"$x\"; done",
              in[0], make_ring(4096));
        await_started(1);
        send_watch(0);
        cr_expect_not(has_event(30));
        cr_assert_eq(write(in[1], "a\n", 2), 2);
        await(EVENT_OUTPUT, 0);
        cr_assert_eq(write(in[1], "b\n", 2), 2);
        cr_expect_not(has_event(30), "once");
        send_watch(0);
        await(EVENT_OUTPUT, 0);
        send_watch(0xdead);
        await(EVENT_OUTPUT, 0);
        send_watch(header()->head);
        send_watch(header()->head);
        cr_expect_not(has_event(30));
        cr_assert_eq(write(in[1], "c\n", 2), 2);
        await(EVENT_OUTPUT, 0);
        cr_expect_not(has_event(30), "a later one replaces an earlier one");
}

static void start_exec(uint64_t id, const char *script, int out[2], int line[2])
{
        make_pipe(out);
        make_pipe(line);
        SHELL(id, SPAWN_STDOUT | SPAWN_LIFELINE, script, out[1], line[0]);
        close(out[1]);
        close(line[0]);
}

Test(loop, one_more_command)
{
        int out[2], line[2];
        char pid[16];

        start_main(SPAWN_RING, "sleep 1000");
        start_exec(7, "echo $$; exit 5", out, line);
        snprintf(pid, sizeof(pid), "%d\n", await_started(7));
        expect_read(out[0], pid);
        cr_expect_eq(await_exited(7), 5 << 8);
        cr_expect(is_at_end(out[0], 1000));
        cr_expect_eq(header()->results[1].command, 7);
        cr_expect_eq(header()->results[1].flags, RING_STARTED | RING_ENDED);
        cr_expect_eq(header()->results[1].status, 5 << 8);
        cr_expect_eq(header()->results[0].flags, RING_STARTED);
}

Test(loop, one_more_command_that_cannot_start)
{
        const EventFailed *f;
        int line[2];

        start_main(SPAWN_RING, "sleep 1000");
        make_pipe(line);
        order_program(7, SPAWN_LIFELINE, "/no/such", "", line, 1);
        f = await(EVENT_FAILED, 7);
        cr_expect_eq(f->step, STEP_EXEC, "%u", f->step);
        cr_expect_eq(f->error, ENOENT);
        cr_expect_eq(header()->results[1].command, 0, "it has no result");
        cr_expect_not(has_event(30));
}

Test(loop, its_client_leaves)
{
        int out[2], line[2];

        start_main(0, "sleep 1000");
        start_exec(7, "setsid sh -c 'echo d; sleep 1000' & sleep 1000", out, line);
        await_started(7);
        expect_read(out[0], "d\n");
        cr_expect_not(is_at_end(out[0], 30));
        close(line[1]);
        cr_expect_eq(await_exited(7), SIGKILL);
        cr_expect(is_at_end(out[0], 0), "all of it is gone");
}

Test(loop, what_it_leaves_running_stays)
{
        int out[2], line[2];

        start_main(0, "sleep 1000");
        start_exec(7, "sleep 1000 & kill -9 $$", out, line);
        await_started(7);
        cr_expect_eq(await_exited(7), SIGKILL);
        close(line[1]);
        cr_expect_not(is_at_end(out[0], 50));
}

Test(loop, its_keeper_is_killed)
{
        int out[2], line[2];

        start_main(0, "sleep 1000");
        start_exec(7, "kill -9 $PPID; sleep 1000", out, line);
        await_started(7);
        cr_expect_eq(await_exited(7), SIGKILL);
        cr_expect(is_at_end(out[0], 1000));
}

Test(loop, signals)
{
        int out[2], line[2];

        start_main(0, "trap '' TERM; while :; do sleep 1000; done");
        start_exec(7,
                   "trap 'echo TERM' TERM; until grep -q '^SigIgn:.*4...$' /proc/2/status; do sleep 0.02; "
                   "done; "
                   "echo ready; while :; do sleep 0.02; done",
                   out, line);
        await_started(7);
        expect_read(out[0], "ready\n"); /* and the main command does not mind any more */
        send_signal(7, SIGTERM, false);
        expect_read(out[0], "TERM\n");
        send_signal(0, SIGTERM, true);
        expect_read(out[0], "TERM\n");
        cr_expect_not(has_event(30), "its keeper is alive");
        send_signal(7, SIGKILL, false);
        cr_expect_eq(await_exited(7), SIGKILL);
}

Test(loop, its_client_leaves_when_all_is_stopped)
{
        int out[2], line[2];

        start_main(0, "sleep 1000");
        start_exec(7, "echo ready; sleep 1000", out, line);
        await_started(7);
        expect_read(out[0], "ready\n");
        send_signal(0, SIGSTOP, true);
        cr_expect_not(has_event(30));
        close(line[1]);
        cr_expect_eq(await_exited(7), SIGKILL);
}

/* More events than the socket takes, before the daemon reads the first one. */
Test(loop, no_event_is_lost)
{
        size_t started = 0, exited = 0;
        OrderMessage m;

        start_main(SPAWN_RING, "sleep 1000");
        for (uint64_t i = 2; i < 152; i++)
                order_shell(i, 0, "exit 0", NULL, 0);
        sleep(1);
        while (started + exited < 300) {
                cr_assert_eq(order_receive(control, 0, buffer, sizeof(buffer), &m), 1);
                started += m.header->type == EVENT_STARTED;
                exited += m.header->type == EVENT_EXITED;
        }
        cr_expect_eq(started, 150);
        cr_expect_eq(exited, 150);
}

Test(loop, orders_of_later_releases)
{
        OrderHeader o = ORDER_INIT(63, 1);
        int ends[2], out[2], line[2];

        start_main(0, "sleep 1000");
        make_pipe(ends);
        cr_assert_eq(order_send(control, &o, sizeof(o), "more", 4, &ends[1], 1), 0);
        close(ends[1]);
        cr_expect(is_at_end(ends[0], 1000), "what came along is closed");
        start_exec(7, "exit 1", out, line);
        await_started(7);
        cr_expect_eq(await_exited(7), 1 << 8);
}

Test(loop, what_is_no_order)
{
        OrderHeader o = { .type = ORDER_SPAWN, .size = UINT32_MAX, .command = 7 };
        int out[2], line[2];

        start_main(0, "sleep 1000");
        cr_assert_eq(send(control, &o, sizeof(o), 0), sizeof(o));
        cr_assert_eq(send(control, &o, 1, 0), 1);
        start_exec(7, "exit 1", out, line);
        await_started(7);
        cr_expect_eq(await_exited(7), 1 << 8);
}

Test(loop, a_ring_that_is_none)
{
        const EventFailed *f;

        start_session();
        SHELL(1, SPAWN_MAIN | SPAWN_RING, "sleep 1000", memfd_create("empty", MFD_CLOEXEC));
        f = await(EVENT_FAILED, 1);
        cr_expect_eq(f->step, STEP_ORDER);
        cr_expect_eq(f->error, EBADMSG);
        expect_session_ends(1);
}

Test(loop, nobody_looks_where_nothing_is_kept)
{
        start_main(0, "sleep 1000");
        cr_expect(is_at_end(attach(true), 1000));
}

Test(loop, ends_with_who_holds_it)
{
        start_main(SPAWN_RING | SPAWN_CAPTURE, "sleep 1000");
        control = close_fd(control);
        expect_session_ends(0);
}
