/* keeper.c and family.c: a keeper ends as its command does, and with its lifeline ends everything that the
 * command has started, however it has hidden, and nothing else. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "family.h"
#include "keeper.h"

/* Everything that a command starts holds the write end of `alive`, so that its end of file says when the
 * last of them is gone. */
static int alive[2], line[2];
static pid_t keeper;

/* The commands here are functions that go on, where keeper.c expects an exec: each has memory of its own. */
pid_t vfork(void)
{
        return fork();
}

static void make_pipes(void)
{
        cr_assert_eq(pipe2(alive, O_CLOEXEC), 0);
        cr_assert_eq(pipe2(line, O_CLOEXEC), 0);
        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* in PID 1's place */
}

static void start(void (*command)(void *data), void *data)
{
        sigset_t all;

        keeper = fork();
        if (keeper == 0) {
                close(line[1]); /* as only the client has it */
                sigfillset(&all);
                sigprocmask(SIG_SETMASK, &all, NULL);
                (void)keeper_run(line[0], command, data);
                _exit(99);
        }
        alive[1] = close_fd(alive[1]);
        line[0] = close_fd(line[0]);
}

static int status_of(pid_t pid)
{
        int status;

        cr_assert_eq(waitpid(pid, &status, 0), pid);
        return status;
}

static bool something_is_alive(int msec)
{
        struct pollfd p = { .fd = alive[0] };

        return poll(&p, 1, msec) == 0;
}

static void say(char c)
{
        (void)!write(alive[1], &c, 1);
}

static void expect_said(const char *what)
{
        for (; *what; what++) {
                char c = 0;
                cr_assert_eq(read(alive[0], &c, 1), 1);
        }
}

static void hang_up(void)
{
        line[1] = close_fd(line[1]);
}

static void expect_all_gone(void)
{
        hang_up();
        cr_expect_eq(status_of(keeper), SIGKILL);
        cr_expect_not(something_is_alive(0), "what the command started is alive");
        cr_expect_lt(waitpid(-1, NULL, 0), 0, "something was left for PID 1");
}

TestSuite(keeper, .init = make_pipes, .timeout = 120);

static void exit_with(void *data)
{
        _exit(*(int *)data);
}

Test(keeper, ends_with_the_same_status)
{
        static const int codes[] = { 0, 1, 128 + SIGKILL, 255 };

        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                make_pipes();
                start(exit_with, (void *)&codes[i]);
                cr_expect_eq(status_of(keeper), codes[i] << 8);
        }
}

static void die_by(void *data)
{
        int sig = *(int *)data;
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(sig, SIG_DFL);
        kill(getpid(), sig);
        pause();
}

Test(keeper, ends_by_the_same_signal)
{
        static const int deadly[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGABRT, SIGKILL, SIGSEGV, SIGPIPE,
                                      SIGTERM, SIGXCPU, SIGSYS,  32,      34,      64 };
        struct rlimit none = { 0, 0 };

        cr_assert_eq(setrlimit(RLIMIT_CORE, &none), 0);
        signal(SIGPIPE, SIG_IGN); /* whatever was inherited */
        for (size_t i = 0; i < ELEMENTSOF(deadly); i++) {
                make_pipes();
                start(die_by, (void *)&deadly[i]);
                cr_expect_eq(status_of(keeper), deadly[i], "signal %d", deadly[i]);
        }
}

/* A guard, should nothing else end them. */
#define LIFETIME 20

/* A process that the lifeline should reach: it ignores what can be ignored, and stays. */
static _noreturn_ void stay(void)
{
        sigset_t none;

        for (int s = 1; s < NSIG; s++)
                signal(s, s == SIGALRM ? SIG_DFL : SIG_IGN);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        alarm(LIFETIME);
        say('.');
        for (;;)
                pause();
}

static void only_stay(void *data)
{
        stay();
}

Test(keeper, the_command_itself)
{
        start(only_stay, NULL);
        expect_said(".");
        cr_expect(something_is_alive(20), "nothing happens before the lifeline ends");
        expect_all_gone();
}

/* Writing to the lifeline is nothing; its end is. */
Test(keeper, what_comes_down_the_lifeline)
{
        start(only_stay, NULL);
        expect_said(".");
        cr_assert_eq(write(line[1], "x", 1), 1);
        cr_expect(something_is_alive(20));
        expect_all_gone();
}

static void start_child(void)
{
        if (fork() == 0)
                stay();
}

static void start_daemon(void)
{
        if (fork() == 0) {
                setsid();
                if (fork() == 0)
                        stay();
                _exit(0);
        }
}

/* One that makes itself the reaper of its own orphans. */
static void start_reaper(void)
{
        if (fork() == 0) {
                prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
                start_daemon();
                stay();
        }
}

static void *in_thread(void *data)
{
        start_child();
        return NULL;
}

/* Its first thread is gone, and its child is another thread's. */
static void start_threads(void)
{
        pthread_t thread;

        if (fork() == 0) {
                pthread_create(&thread, NULL, in_thread, NULL);
                pthread_join(thread, NULL);
                pthread_create(&thread, NULL, (void *(*)(void *))stay, NULL);
                pthread_exit(NULL);
        }
}

static void family(void *data)
{
        start_child();
        start_daemon();
        start_reaper();
        start_threads();
        stay();
}

#define FAMILY "......." /* how many of them say that they are there */

Test(keeper, all_that_it_started)
{
        start(family, NULL);
        expect_said(FAMILY);
        expect_all_gone();
}

static void chain(void *data)
{
        for (int i = 0; i < 100; i++)
                if (fork() != 0)
                        stay();
        stay();
}

Test(keeper, a_hundred_generations)
{
        start(chain, NULL);
        for (int i = 0; i <= 100; i++)
                expect_said(".");
        expect_all_gone();
}

static void brood(void *data)
{
        for (int i = 0; i < 300; i++)
                start_child();
        stay();
}

/* More than one read of their list. */
Test(keeper, three_hundred_children)
{
        start(brood, NULL);
        for (int i = 0; i <= 300; i++)
                expect_said(".");
        expect_all_gone();
}

/* Each makes another one and ends, as fast as it can, in a process session of its own. */
static _noreturn_ void run_away(uint64_t until)
{
        while (now_usec(CLOCK_MONOTONIC) < until) {
                pid_t pid = fork();
                if (pid > 0)
                        break;
                if (pid == 0)
                        setsid();
        }
        _exit(0);
}

static void start_runaways(void *data)
{
        uint64_t until = now_usec(CLOCK_MONOTONIC) + LIFETIME * USEC_PER_SEC;

        for (int i = 0; i < 8; i++)
                if (fork() == 0)
                        run_away(until);
        stay();
}

Test(keeper, what_runs_away)
{
        start(start_runaways, NULL);
        expect_said(".");
        usleep(20000);
        expect_all_gone();
}

static void leave_running(void *data)
{
        start_child();
        start_daemon();
        while (waitpid(-1, NULL, WNOHANG) == 0)
                ;
        say('c');
        usleep(20000); /* for both have to be there */
        _exit(7);
}

Test(keeper, what_it_leaves_running_stays)
{
        start(leave_running, NULL);
        cr_expect_eq(status_of(keeper), 7 << 8);
        expect_said("..c");
        cr_expect(something_is_alive(50));
        hang_up();
        cr_expect(something_is_alive(50), "it was let go");
        cr_expect_gt(family_kill(), 0, "it is PID 1's now");
        while (waitpid(-1, NULL, 0) > 0)
                ;
        cr_expect_not(something_is_alive(0));
}

/* Orphans that end are reaped while the command runs, and it is not taken for one of them. */
static void many_orphans(void *data)
{
        for (int i = 0; i < 100; i++) {
                pid_t pid = fork();
                if (pid == 0) {
                        if (fork() == 0)
                                _exit(3);
                        _exit(4);
                }
                waitpid(pid, NULL, 0);
        }
        usleep(50000); /* for the last of them to end */
        _exit(5);
}

Test(keeper, its_orphans)
{
        start(many_orphans, NULL);
        cr_expect_eq(status_of(keeper), 5 << 8);
        cr_expect_lt(waitpid(-1, NULL, WNOHANG), 0, "no zombies are left to PID 1");
}

Test(keeper, signals_are_nothing_to_it)
{
        start(only_stay, NULL);
        expect_said(".");
        for (int s = 1; s < NSIG; s++)
                if (s != SIGKILL && s != SIGSTOP)
                        (void)kill(keeper, s);
        cr_expect(something_is_alive(20));
        cr_expect_eq(waitpid(keeper, NULL, WNOHANG), 0);
        expect_all_gone();
}

/* What the keeper has that it should not have, or -1. */
static int find_foreign(void)
{
        char path[64], link[64];

        for (int fd = 4; fd < 64; fd++) {
                snprintf(path, sizeof(path), "/proc/%d/fd/%d", keeper, fd);
                ssize_t n = readlink(path, link, sizeof(link) - 1);
                link[MAX(n, 0)] = '\0';
                if (n >= 0 && !strstr(link, "signalfd"))
                        return fd;
        }
        return -1;
}

/* It closes them beside the command, which may be faster. */
Test(keeper, holds_nothing_of_others)
{
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        start(only_stay, NULL);
        expect_said(".");
        for (int i = 0; i < 2000 && find_foreign() >= 0; i++)
                usleep(1000);
        cr_expect_eq(find_foreign(), -1);
        expect_all_gone();
}

/* The usage that the keeper hands on is the command's. */
static void burn(void *data)
{
        struct rusage u;

        do
                getrusage(RUSAGE_SELF, &u);
        while (u.ru_utime.tv_usec + u.ru_stime.tv_usec < 50000);
        _exit(0);
}

Test(keeper, usage)
{
        struct rusage u;

        start(burn, NULL);
        cr_assert_eq(wait4(keeper, NULL, 0, &u), keeper);
        cr_expect_geq(u.ru_utime.tv_usec + u.ru_stime.tv_usec, 50000);
        cr_expect_lt(u.ru_utime.tv_usec + u.ru_stime.tv_usec, 100000);
}

Test(keeper, two_hundred_times)
{
        static const int code = 3;

        for (int i = 0; i < 200; i++) {
                make_pipes();
                start(i % 2 ? family : exit_with, (void *)&code);
                if (i % 2) {
                        expect_said(FAMILY);
                        hang_up();
                }
                cr_assert_eq(status_of(keeper), i % 2 ? SIGKILL : 3 << 8);
                cr_assert_not(something_is_alive(0));
                close_fd(alive[0]);
                line[1] = close_fd(line[1]);
                cr_assert_lt(waitpid(-1, NULL, WNOHANG), 0);
        }
}
