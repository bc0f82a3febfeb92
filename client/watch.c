/* A viewer of a session, by watch.h: one poll(2) loop. */
#include "watch.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "detach.h"
#include "errand.h"
#include "protocol.h"
#include "relay.h"
#include "tty.h"
#include "value.h"

typedef struct Watch {
        const WatchSession *session;
        bool raw; /* the caller's terminal is the session's meanwhile */
        int signals;
        Relay in, out;
        Detach detach;
        Errand resize; /* the latest size is what counts */
        Failure *failure;
} Watch;

_Static_assert((int)DETACH_HELD <= (int)RELAY_MARGIN, "what is held must fit into what a filter may add");

static void watch_done(Watch *w)
{
        tty_restore();
        relay_done(&w->in);
        relay_done(&w->out);
        errand_done(&w->resize);
        close_fd(w->signals);
}

/* nsrootd says no where there is no terminal any more; then nobody needs to know its size. */
static int send_size(Watch *w)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", w->session->id);
        struct winsize size;
        int r = parameters ? 0 : -ENOMEM;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
                return 0;
        if (r >= 0)
                r = value_add_number(parameters, "columns", size.ws_col);
        if (r >= 0)
                r = value_add_number(parameters, "rows", size.ws_row);
        if (r < 0)
                return failure_system(w->failure, r, "attach");
        errand_done(&w->resize);
        errand_init(&w->resize, w->session->socket, SESSION ".Resize", TAKE_PTR(parameters));
        return 0;
}

static void step_size(Watch *w)
{
        _cleanup_value_ struct json_object *reply = NULL;
        _cleanup_failure_ Failure f = {};

        if (errand_step(&w->resize, &reply, &f) == -EREMOTEIO)
                errand_done(&w->resize);
}

static int on_signal(Watch *w, int sig)
{
        if (sig == SIGTSTP) {
                tty_restore();
                raise(SIGSTOP); /* SIGCONT is next */
        }
        if (sig == SIGCONT)
                tty_raw();
        return send_size(w);
}

static int read_signals(Watch *w)
{
        struct signalfd_siginfo info;
        int r = 0;

        while (r >= 0 && read(w->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                r = on_signal(w, (int)info.ssi_signo);
        return r;
}

static int open_signals(Watch *w)
{
        struct sigaction old;
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        sigaddset(&set, SIGCONT);
        if (sigaction(SIGTSTP, NULL, &old) >= 0 && old.sa_handler != SIG_IGN)
                sigaddset(&set, SIGTSTP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return w->signals < 0 ? -errno : 0;
}

static size_t filter_keys(void *userdata, const char *in, size_t n, char *out)
{
        Watch *w = userdata;

        return detach_type(&w->detach, now_usec(CLOCK_MONOTONIC), in, n, out);
}

static int begin_terminal(Watch *w)
{
        int r;

        r = open_signals(w);
        if (r >= 0)
                r = tty_guard(STDIN_FILENO);
        if (r >= 0)
                r = tty_raw();
        if (r < 0)
                return failure_system(w->failure, r, "cannot take charge of the terminal and of signals");
        w->in.filter = filter_keys;
        w->in.filter_data = w;
        return send_size(w);
}

/* Keys that were held back, but were not what they could have been. */
static void release_keys(Watch *w, int *timeout_ms)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        char keys[DETACH_HELD];
        int rest_ms;

        if (relay_is_empty(&w->in))
                relay_insert(&w->in, keys, detach_expire(&w->detach, now, keys));
        rest_ms = detach_timeout(&w->detach, now);
        if (rest_ms >= 0 && relay_is_empty(&w->in))
                *timeout_ms = *timeout_ms < 0 ? rest_ms : MIN(*timeout_ms, rest_ms);
}

enum { AT_SIGNALS, AT_SIZE, AT_IN, AT_OUT = AT_IN + 2, AT_ALL = AT_OUT + 2 };

static int turn(Watch *w)
{
        struct pollfd p[AT_ALL] = {
                [AT_SIGNALS] = {.fd = w->signals, .events = POLLIN}
        };
        int timeout_ms = -1, r = 0;

        release_keys(w, &timeout_ms);
        errand_prepare(&w->resize, &p[AT_SIZE], &timeout_ms);
        relay_prepare(&w->in, p + AT_IN, &timeout_ms);
        relay_prepare(&w->out, p + AT_OUT, &timeout_ms);
        if (poll(p, ELEMENTSOF(p), timeout_ms) < 0)
                return errno == EINTR ? 0 : failure_system(w->failure, -errno, "poll");
        if (p[AT_SIGNALS].revents)
                r = read_signals(w);
        step_size(w);
        relay_run(&w->in, p + AT_IN);
        relay_run(&w->out, p + AT_OUT);
        return r;
}

static bool is_at_its_end(int stream)
{
        struct pollfd p = { .fd = stream, .events = POLLIN };
        char byte;

        return poll(&p, 1, 0) > 0 && recv(stream, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Whose end it is that there is nothing more to copy. */
static int judge_end(Watch *w)
{
        relay_drain(&w->out); /* the last words may still be on their way when what is typed has no reader */
        if (is_at_its_end(w->session->stream))
                return WATCH_ENDED;
        return failure_set(w->failure, w->raw ? 128 + SIGHUP : EXIT_OURS,
                           w->raw ? "the terminal is gone; the session goes on"
                                  : "standard output is gone; the session goes on");
}

static int stay(Watch *w)
{
        int r = w->raw ? begin_terminal(w) : 0;

        while (r >= 0) {
                if (w->detach.done)
                        return WATCH_DETACHED;
                /* Without a terminal an end of the input is nothing special. */
                if (w->out.ended || (w->raw && w->in.ended))
                        return judge_end(w);
                r = turn(w);
        }
        return r;
}

int watch(const WatchSession *s, Failure *f)
{
        _cleanup_(watch_done) Watch w = {
                .session = s, .signals = -EBADF, .failure = f, .in = RELAY_NONE, .out = RELAY_NONE
        };
        int r = relay_init(&w.out, s->stream, STDOUT_FILENO, -EBADF, -EBADF);

        w.raw = s->terminal && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        if (r >= 0 && s->terminal)
                r = relay_init(&w.in, STDIN_FILENO, s->stream, -EBADF, -EBADF);
        return r < 0 ? failure_system(f, r, "cannot look at the session") : stay(&w);
}
