/* A session in the foreground, by foreground.h: one poll(2) loop, and what it wakes up for. */
#include "foreground.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "call.h"
#include "protocol.h"
#include "tty.h"
#include "value.h"

#define SIGNAL_PATIENCE_MS 5000 /* how long nsrootd may take to pass a signal on */
#define EARLY_SIGNAL_MS    500  /* how long a signal waits for the command that it is for */

#define SIGNALS_FAILED     "cannot take charge of the terminal and of signals"

/* Without a terminal these go to the command; those that end a process end this one, if nsrootd cannot be
 * told. */
static const struct {
        int number;
        bool ends;
} forwarded[] = {
        {SIGINT,   true },
        { SIGQUIT, true },
        { SIGTERM, true },
        { SIGHUP,  true },
        { SIGTSTP, false},
        { SIGCONT, false},
        { SIGUSR1, true },
        { SIGUSR2, true },
};

void foreground_done(Foreground *f)
{
        for (size_t i = 0; i < ELEMENTSOF(f->relays); i++)
                relay_done(&f->relays[i]);
        f->pty = close_fd(f->pty);
        f->signals = close_fd(f->signals);
        free(f->id);
        f->id = NULL;
}

/* Blocked, an ignored signal would be seen all the same; who ignores it wants nobody to. */
static void add_unless_ignored(sigset_t *set, int sig)
{
        struct sigaction old;

        if (sigaction(sig, NULL, &old) >= 0 && old.sa_handler != SIG_IGN)
                sigaddset(set, sig);
}

static int open_signals(Foreground *f)
{
        sigset_t set;

        if (f->signals >= 0)
                return 0;
        sigemptyset(&set);
        if (f->terminal) {
                sigaddset(&set, SIGWINCH);
                sigaddset(&set, SIGCONT);
                add_unless_ignored(&set, SIGTSTP);
        } else
                for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                        add_unless_ignored(&set, forwarded[i].number);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return f->signals < 0 ? -errno : 0;
}

static void follow_window_size(Foreground *f)
{
        struct winsize size;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0)
                ioctl(f->pty, TIOCSWINSZ, &size); /* says SIGWINCH inside, if it is a new size */
}

static int begin_terminal(Foreground *f)
{
        int r;

        /* Nobody else reads or writes by it, so O_NONBLOCK may be set. */
        if (ioctl(f->pty, FIONBIO, &(int){ 1 }) < 0)
                return -errno;
        r = tty_guard(STDIN_FILENO);
        if (r < 0)
                return r;
        r = tty_raw();
        if (r < 0)
                return r;
        follow_window_size(f);
        relay_init(&f->relays[STDIN_FILENO], STDIN_FILENO, f->pty, -EBADF, f->pty);
        relay_init(&f->relays[STDOUT_FILENO], f->pty, STDOUT_FILENO, -EBADF, f->pty);
        return 0;
}

/* Ends this process as the signal would have if nobody had looked after it; the session follows by its
 * lifeline. */
static _noreturn_ void die_of(int sig)
{
        sigset_t set;

        tty_restore();
        signal(sig, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, sig);
        raise(sig);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        _exit(128 + sig);
}

/* Whether nsrootd was reached; a session that has just ended takes no signals and needs none. */
static bool forward(Foreground *f, int sig)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", f->id), *reply = NULL;
        _cleanup_(link_freep) Link *l = NULL;
        _cleanup_failure_ Failure failure = {};
        int r;

        if (!parameters || value_add_text(parameters, "signal", signal_name(sig)) < 0)
                return false;
        r = call_begin(f->socket, SESSION ".Signal", TAKE_PTR(parameters), false, NULL, &l, &failure);
        if (r >= 0)
                r = call_next(l, f->socket, SIGNAL_PATIENCE_MS, &reply, NULL, &failure);
        return r >= 0 || failure.answer;
}

static bool ends_process(int sig)
{
        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                if (forwarded[i].number == sig)
                        return forwarded[i].ends;
        return false;
}

static void on_signal(Foreground *f, int sig)
{
        if (!forward(f, sig) && ends_process(sig))
                die_of(sig);
        if (sig == SIGTSTP)
                raise(SIGSTOP);
}

static void on_terminal_signal(Foreground *f, int sig)
{
        if (sig == SIGTSTP) {
                tty_restore();
                raise(SIGSTOP); /* SIGCONT is next */
        }
        if (sig == SIGCONT)
                tty_raw();
        follow_window_size(f);
}

static void read_signals(Foreground *f)
{
        struct signalfd_siginfo info;

        while (read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (f->terminal)
                        on_terminal_signal(f, (int)info.ssi_signo);
                else
                        on_signal(f, (int)info.ssi_signo);
        }
}

/* Signals that came before there was a command. */
static void take_early_signals(Foreground *f)
{
        struct signalfd_siginfo info;

        while (read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                int sig = (int)info.ssi_signo;

                if (ends_process(sig))
                        die_of(sig);
                if (sig == SIGTSTP)
                        raise(SIGSTOP);
        }
}

/* Waits for the reply or a signal: 1 if it is a signal. */
static int wait_first(Foreground *f)
{
        struct pollfd p[] = {
                {link_fd(f->link), POLLIN, 0},
                { f->signals,      POLLIN, 0}
        };
        int n = poll(p, ELEMENTSOF(p), -1);

        if (n < 0)
                return errno == EINTR ? 0 : failure_system(f->failure, -errno, "poll");
        return p[1].revents != 0;
}

/* The command may run, and be known to, before this process has read that it does: a signal may be meant for
 * it. */
int foreground_first(Foreground *f, struct json_object **ret_reply, Fds *ret_fds)
{
        int grace_ms = 0, r = f->terminal ? 0 : open_signals(f);

        if (r < 0)
                return failure_system(f->failure, r, SIGNALS_FAILED);
        for (;;) {
                r = call_next(f->link, f->socket, grace_ms, ret_reply, ret_fds, f->failure);
                if (r != -ETIMEDOUT)
                        return r;
                if (grace_ms > 0)
                        take_early_signals(f);
                r = wait_first(f);
                if (r < 0)
                        return r;
                grace_ms = r > 0 ? EARLY_SIGNAL_MS : 0;
        }
}

/* The terminal of the caller is gone when it cannot be read or written any more. */
static bool has_hung_up(const Foreground *f)
{
        return f->terminal && (f->relays[STDIN_FILENO].ended || f->relays[STDOUT_FILENO].ended);
}

enum { POLL_LINK, POLL_SIGNALS, POLL_RELAYS };

/* Waits for anything to happen, and sees to all of it but the replies. */
static int turn(Foreground *f)
{
        struct pollfd p[POLL_RELAYS + 2 * ELEMENTSOF(f->relays)] = {
                [POLL_LINK] = {.fd = link_fd(f->link), .events = POLLIN},
                [POLL_SIGNALS] = { .fd = f->signals,      .events = POLLIN},
        };
        int timeout_ms = -1;

        for (size_t i = 0; i < ELEMENTSOF(f->relays); i++)
                relay_prepare(&f->relays[i], p + POLL_RELAYS + 2 * i, &timeout_ms);
        if (poll(p, ELEMENTSOF(p), timeout_ms) < 0)
                return errno == EINTR ? 0 : failure_system(f->failure, -errno, "poll");

        if (p[POLL_SIGNALS].revents)
                read_signals(f);
        for (size_t i = 0; i < ELEMENTSOF(f->relays); i++)
                relay_run(&f->relays[i], p + POLL_RELAYS + 2 * i);
        if (has_hung_up(f))
                return failure_set(f->failure, 128 + SIGHUP,
                                   "the terminal is gone, and the session with it");
        return 0;
}

static int stay(Foreground *f, struct json_object **ret_reply)
{
        for (;;) {
                _cleanup_value_ struct json_object *reply = NULL;
                int r;

                r = call_next(f->link, f->socket, 0, &reply, NULL, f->failure);
                if (r == 0) {
                        *ret_reply = TAKE_PTR(reply);
                        return 0;
                }
                if (r == -EREMOTEIO)
                        return r;
                if (r == -ETIMEDOUT && (r = turn(f)) < 0)
                        return r;
        }
}

int foreground_stay(Foreground *f, struct json_object **ret_reply)
{
        int r;

        r = open_signals(f);
        if (r >= 0 && f->terminal)
                r = begin_terminal(f);
        r = r < 0 ? failure_system(f->failure, r, SIGNALS_FAILED) : stay(f, ret_reply);
        /* All that the command wrote is in the pipes and the pty by now. */
        relay_drain(&f->relays[STDOUT_FILENO]);
        relay_drain(&f->relays[STDERR_FILENO]);
        tty_restore();
        return r;
}
