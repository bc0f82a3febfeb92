/* See keeper.h. A command's orphans come here and not to PID 1, also those that made themselves process
 * sessions of their own: so none gets away from its lifeline by that. Who kills this process, as any other
 * in its session can be killed, lets them go (init ends the command then). Inherited from nsroot-init: its
 * capabilities, and that nobody traces it. */
#include "keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"

#define LIFELINE_FD 3

/* How long what was killed may take to end before it is looked for again. */
#define PASS_MSEC   5

typedef struct Keeper {
        pid_t command;
        int signals;
} Keeper;

/* The kernel's own call: the C library's never blocks the two signals that it uses itself (nptl(7)). */
static void set_mask(uint64_t blocked)
{
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof(blocked));
}

static _noreturn_ void end_by(int signal)
{
        struct sigaction reset = { .sa_handler = SIG_DFL };

        (void)sigaction(signal, &reset, NULL);
        set_mask(~(UINT64_C(1) << (signal - 1)));
        (void)kill(getpid(), signal);
        _exit(128 + signal);
}

static _noreturn_ void end_like(int status)
{
        if (WIFSIGNALED(status))
                end_by(WTERMSIG(status));
        _exit(WEXITSTATUS(status));
}

static void drain_signals(const Keeper *k)
{
        struct signalfd_siginfo info;

        while (read(k->signals, &info, sizeof(info)) == sizeof(info))
                ;
}

/* True when there are no children left. */
static bool reap_all(void)
{
        int status;
        pid_t pid;

        while ((pid = wait4(-1, &status, WNOHANG, NULL)) > 0)
                ;
        return pid < 0;
}

/* The dead are not reaped while there are living ones: each holds its place within the session's limit of
 * tasks, so that what forks faster than we kill comes to an end. */
static _noreturn_ void kill_all(const Keeper *k)
{
        struct pollfd p = { .fd = k->signals, .events = POLLIN };

        for (;;) {
                int alive = family_kill();

                if (alive == -ENOENT || (alive == 0 && reap_all()))
                        break;
                (void)poll(&p, 1, PASS_MSEC);
                drain_signals(k);
        }
        end_by(SIGKILL);
}

static void reap(const Keeper *k)
{
        int status;
        pid_t pid;

        while ((pid = wait4(-1, &status, WNOHANG, NULL)) > 0)
                if (pid == k->command)
                        end_like(status);
}

static _noreturn_ void keep(const Keeper *k)
{
        struct pollfd p[] = {
                {.fd = LIFELINE_FD},
                { .fd = k->signals, .events = POLLIN },
        };

        for (;;) {
                if (poll(p, ELEMENTSOF(p), -1) < 0)
                        continue;
                if (p[0].revents)
                        kill_all(k);
                drain_signals(k);
                reap(k);
        }
}

/* Somebody else waits for the end of each of the others. */
static void close_others(int lifeline)
{
        if (lifeline != LIFELINE_FD)
                (void)dup3(lifeline, LIFELINE_FD, O_CLOEXEC);
        (void)syscall(SYS_close_range, LIFELINE_FD + 1, ~0U, 0);
}

int keeper_run(int lifeline, void (*command)(void *data), void *data)
{
        Keeper k;
        sigset_t child;

        set_mask(~UINT64_C(0));
        if (prctl(PR_SET_NAME, "nsroot-keeper", 0, 0, 0) < 0 ||
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return -errno;
        k.command = vfork(); /* who is stopped on the way to the exec, nsroot-init kills, and us */
        if (k.command < 0)
                return -errno;
        if (k.command == 0)
                command(data);
        close_others(lifeline);
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        k.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
        if (k.signals < 0) /* nothing more can be told, but that it is over */
                end_by(SIGKILL);
        keep(&k);
}
