/* The caller's terminal, by tty.h. */
#include "tty.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static struct {
        int fd;
        struct termios saved; /* what it is given back as */
        volatile sig_atomic_t raw;
} guarded = { .fd = -EBADF };

static void restore_and_die(int sig)
{
        tty_restore();
        raise(sig); /* with its default action now (SA_RESETHAND), when this handler returns */
}

/* Signals that do not end a process, or that nothing can be done about. */
static bool is_survivable(int sig)
{
        static const int survivable[] = { SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
                                          SIGCONT, SIGCHLD, SIGURG,  SIGWINCH };

        for (size_t i = 0; i < ELEMENTSOF(survivable); i++)
                if (survivable[i] == sig)
                        return true;
        return false;
}

int tty_guard(int fd)
{
        struct sigaction die = { .sa_handler = restore_and_die, .sa_flags = SA_RESETHAND }, old;

        if (tcgetattr(fd, &guarded.saved) < 0)
                return -errno;
        guarded.fd = fd;
        sigfillset(&die.sa_mask);
        for (int sig = 1; sig <= SIGRTMAX; sig++) {
                /* Those in between that libc keeps for itself have no sigaction. */
                if (is_survivable(sig) || sigaction(sig, NULL, &old) < 0 || old.sa_handler == SIG_IGN)
                        continue;
                if (sigaction(sig, &die, NULL) < 0)
                        return -errno;
        }
        return 0;
}

int tty_raw(void)
{
        struct termios raw;

        /* Who has been stopped may find that the terminal was set anew in the meantime. */
        if (!guarded.raw && tcgetattr(guarded.fd, &guarded.saved) < 0)
                return -errno;
        raw = guarded.saved;
        cfmakeraw(&raw);
        guarded.raw = true; /* first: a signal may come in between */
        if (tcsetattr(guarded.fd, TCSANOW, &raw) < 0)
                return -errno;
        return 0;
}

void tty_restore(void)
{
        sigset_t block, old;

        if (!guarded.raw || tty_in_background(guarded.fd))
                return;
        sigemptyset(&block);
        sigaddset(&block, SIGTTOU);
        sigprocmask(SIG_BLOCK, &block, &old);
        tcsetattr(guarded.fd, TCSANOW,
                  &guarded.saved); /* not TCSADRAIN: a stalled terminal must not hold this up */
        sigprocmask(SIG_SETMASK, &old, NULL);
        guarded.raw = false;
}

int tty_reopen(int fd)
{
        char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        int r;

        if (!isatty(fd))
                return -ENOTTY;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        return r < 0 ? -errno : r;
}

bool tty_in_background(int fd)
{
        pid_t foreground = tcgetpgrp(fd); /* 0: in a pid namespace that is not ours */

        return foreground > 0 && foreground != getpgrp();
}
