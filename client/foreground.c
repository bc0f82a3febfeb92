/* A session in the foreground, by foreground.h: one poll(2) loop, and what it wakes up for. */
#include "foreground.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "protocol.h"
#include "tty.h"
#include "value.h"

#define SIGNAL_PATIENCE_MS 5000 /* how long nsrootd may take to pass a signal on, or be away */
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
        f->link = link_free(f->link);
        errand_done(&f->result);
        errand_done(&f->signal);
        free(f->id);
        free(f->command);
        f->id = f->command = NULL;
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
        r = relay_init(&f->relays[STDIN_FILENO], STDIN_FILENO, f->pty, -EBADF, f->pty);
        return r < 0 ? r : relay_init(&f->relays[STDOUT_FILENO], f->pty, STDOUT_FILENO, -EBADF, f->pty);
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

static bool ends_process(int sig)
{
        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                if (forwarded[i].number == sig)
                        return forwarded[i].ends;
        return false;
}

/* What the two methods that are used here have in common; NULL: out of memory. */
static struct json_object *name_command(const Foreground *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", f->id);

        if (!parameters || (f->command && value_add_text(parameters, "command", f->command) < 0))
                return NULL;
        return TAKE_PTR(parameters);
}

/* The first of those that wait. */
static int send_signal(Foreground *f)
{
        _cleanup_value_ struct json_object *parameters = name_command(f);
        int r;

        if (!parameters)
                return failure_system(f->failure, -ENOMEM, "signal");
        r = value_add_text(parameters, "signal", signal_name(f->pending[0]));
        if (r < 0)
                return failure_system(f->failure, r, "signal");
        f->signal_began = now_usec(CLOCK_MONOTONIC);
        errand_init(&f->signal, f->socket, SESSION ".Signal", TAKE_PTR(parameters));
        return 0;
}

/* The command was told of the first of those that wait, or could not be. */
static int end_signal(Foreground *f, bool told)
{
        int sig = f->pending[0];

        errand_done(&f->signal);
        memmove(f->pending, f->pending + 1, --f->n_pending * sizeof(*f->pending));
        if (!told && ends_process(sig))
                die_of(sig);
        if (sig == SIGTSTP)
                raise(SIGSTOP);
        return f->n_pending > 0 ? send_signal(f) : 0;
}

/* Goes on with passing signals on. A session that has just ended takes none and needs none: what nsrootd
 * answers does not matter. */
static int step_signal(Foreground *f)
{
        _cleanup_value_ struct json_object *reply = NULL;
        _cleanup_failure_ Failure failure = {};
        int r;

        if (f->n_pending == 0)
                return 0;
        r = errand_step(&f->signal, &reply, &failure);
        if (r > 0 || r == -EREMOTEIO)
                return end_signal(f, true);
        if (now_usec(CLOCK_MONOTONIC) - f->signal_began > SIGNAL_PATIENCE_MS * USEC_PER_MSEC)
                return end_signal(f, false);
        return 0;
}

static int on_signal(Foreground *f, int sig)
{
        if (f->n_pending == SIGNALS_PENDING)
                return 0;
        f->pending[f->n_pending++] = sig;
        return f->n_pending == 1 ? send_signal(f) : 0;
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

static int read_signals(Foreground *f)
{
        struct signalfd_siginfo info;
        int r = 0;

        while (r >= 0 && read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (f->terminal)
                        on_terminal_signal(f, (int)info.ssi_signo);
                else
                        r = on_signal(f, (int)info.ssi_signo);
        }
        return r;
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

/* What the call was for. */
static const char *subject(const Foreground *f)
{
        return f->command ? "command" : "session";
}

/* The terminal of the caller is gone when it cannot be read or written any more. */
static bool has_hung_up(const Foreground *f)
{
        return f->terminal && (f->relays[STDIN_FILENO].ended || f->relays[STDOUT_FILENO].ended);
}

enum { POLL_LINK, POLL_SIGNALS, POLL_RESULT, POLL_SIGNAL, POLL_LIFELINE, POLL_RELAYS };

#define POLL_ALL (POLL_RELAYS + 2 * ELEMENTSOF(((Foreground *)NULL)->relays))

static void prepare(const Foreground *f, struct pollfd *p, int *timeout_ms)
{
        p[POLL_LINK] = (struct pollfd){ .fd = f->link ? link_fd(f->link) : -1, .events = POLLIN };
        p[POLL_SIGNALS] = (struct pollfd){ .fd = f->signals, .events = POLLIN };
        /* It has an error before the last reply comes, and that is the way of things. */
        p[POLL_LIFELINE] = (struct pollfd){ .fd = f->link || f->gone ? -1 : f->lifeline };
        errand_prepare(&f->result, &p[POLL_RESULT], timeout_ms);
        errand_prepare(&f->signal, &p[POLL_SIGNAL], timeout_ms);
}

/* Waits for anything to happen, and sees to all of it but the result. */
static int turn(Foreground *f)
{
        struct pollfd p[POLL_ALL];
        int timeout_ms = -1, r;

        prepare(f, p, &timeout_ms);
        for (size_t i = 0; i < ELEMENTSOF(f->relays); i++)
                relay_prepare(&f->relays[i], p + POLL_RELAYS + 2 * i, &timeout_ms);
        if (poll(p, ELEMENTSOF(p), timeout_ms) < 0)
                return errno == EINTR ? 0 : failure_system(f->failure, -errno, "poll");

        if (p[POLL_LIFELINE].revents & (POLLERR | POLLNVAL))
                f->gone = now_usec(CLOCK_MONOTONIC);
        r = p[POLL_SIGNALS].revents ? read_signals(f) : 0;
        if (r >= 0)
                r = step_signal(f);
        for (size_t i = 0; i < ELEMENTSOF(f->relays); i++)
                relay_run(&f->relays[i], p + POLL_RELAYS + 2 * i);
        if (r >= 0 && has_hung_up(f))
                return failure_set(f->failure, 128 + SIGHUP, "the terminal is gone, and the %s with it",
                                   subject(f));
        return r;
}

/* nsrootd has gone away; the command need not have noticed. */
static int begin_again(Foreground *f)
{
        struct json_object *parameters = name_command(f);

        if (!parameters)
                return failure_system(f->failure, -ENOMEM, "wait");
        f->link = link_free(f->link);
        errand_init(&f->result, f->socket, SESSION ".Wait", parameters);
        return 0;
}

/* Whether it is of no use to ask once more after a try that failed with r: nobody is left inside, and
 * nsrootd has had the time to come back, or to find out what it has. */
static bool is_hopeless(const Foreground *f, int r)
{
        return f->gone && now_usec(CLOCK_MONOTONIC) - f->gone > errand_patience(r) * USEC_PER_MSEC;
}

static bool does_not_know(const Failure *failure)
{
        const char *error = value_text(failure->answer, "error");

        return error && (streq(error, ERROR_NO_SUCH_SESSION) || streq(error, ERROR_NO_SUCH_COMMAND));
}

/* As call_next for the result that is asked for anew. */
static int ask_again(Foreground *f, struct json_object **ret_reply)
{
        _cleanup_failure_ Failure failure = {};
        int r;

        r = errand_step(&f->result, ret_reply, &failure);
        if (r > 0)
                return 0;
        if (r == 0 || !is_hopeless(f, r))
                return -ETIMEDOUT;
        if (r != -EREMOTEIO)
                return failure_set(f->failure, EXIT_OURS,
                                   "nsrootd went away, and the %s with it: see 'journalctl -u nsrootd'",
                                   subject(f));
        if (does_not_know(&failure))
                return failure_set(f->failure, EXIT_OURS,
                                   "the %s has ended, and nsrootd, which was away, does not know how: "
                                   "see 'journalctl -u nsrootd'",
                                   subject(f));
        *f->failure = TAKE_GENERIC(failure, (Failure){});
        return -EREMOTEIO;
}

/* What the call has to say, or who is asked in its place: 0, -ETIMEDOUT: nothing yet; -EREMOTEIO. */
static int receive_last(Foreground *f, struct json_object **ret_reply)
{
        int r;

        if (!f->link)
                return ask_again(f, ret_reply);
        r = call_next(f->link, f->socket, 0, ret_reply, NULL, f->failure);
        if (r == -EREMOTEIO && f->failure->lost) {
                r = begin_again(f);
                return r < 0 ? r : -ETIMEDOUT;
        }
        return r;
}

struct json_object *foreground_result(struct json_object *reply)
{
        return value_object(reply, "result") ?: value_object(value_object(reply, "session"), "result");
}

static int stay(Foreground *f, struct json_object **ret_result)
{
        for (;;) {
                _cleanup_value_ struct json_object *reply = NULL;
                int r = receive_last(f, &reply);

                if (r == 0) {
                        *ret_result = json_object_get(foreground_result(reply));
                        return 0;
                }
                if (r == -EREMOTEIO)
                        return r;
                if (r == -ETIMEDOUT && (r = turn(f)) < 0)
                        return r;
        }
}

int foreground_stay(Foreground *f, struct json_object **ret_result)
{
        int r;

        r = open_signals(f);
        if (r >= 0 && f->terminal)
                r = begin_terminal(f);
        r = r < 0 ? failure_system(f->failure, r, SIGNALS_FAILED) : stay(f, ret_result);
        /* All that the command wrote is in the pipes and the pty by now. */
        relay_drain(&f->relays[STDOUT_FILENO]);
        relay_drain(&f->relays[STDERR_FILENO]);
        tty_restore();
        return r;
}
