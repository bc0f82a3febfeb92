/* See closer.h. */
#include "closer.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY_MAJOR 1 /* Documentation/admin-guide/devices.txt */
#define LINGER_USEC  (100 * USEC_PER_MSEC)

/* One process that closes. */
typedef struct Closing {
        struct Closing *previous, *next;
        Closer *closer;
        uid_t uid;
        sd_event_source *source; /* owns the pidfd */
} Closing;

struct Closer {
        sd_event *event;
        Closing *closings;
};

int closer_new(sd_event *event, Closer **ret)
{
        Closer *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        *ret = c;
        return 0;
}

static void forget(Closing *closing)
{
        *(closing->previous ? &closing->previous->next : &closing->closer->closings) = closing->next;
        if (closing->next)
                closing->next->previous = closing->previous;
        sd_event_source_disable_unref(closing->source);
        free(closing);
}

Closer *closer_free(Closer *c)
{
        while (c->closings)
                forget(c->closings);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

bool closer_is_stuck(const Closer *c, uid_t uid)
{
        unsigned n = 0;

        for (const Closing *closing = c->closings; closing; closing = closing->next)
                n += closing->uid == uid;
        return n >= CLOSER_STUCK;
}

/* Whether nothing that closing it comes to can wait, whoever else has it. Not so for a socket of any family:
 * one that lingers may be in the queue of another, and goes with it. Not synced: looking must not wait
 * either. */
static bool closes_at_once(int fd)
{
        struct statx st;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return false;
        return S_ISFIFO(st.stx_mode) || (S_ISCHR(st.stx_mode) && st.stx_rdev_major == MEMORY_MAJOR);
}

/* At once, because who reads from the other end of a pipe waits for the last to close this one. */
static void close_harmless(Fds *fds)
{
        size_t kept = 0;

        for (size_t i = 0; i < fds->n; i++)
                if (fds->fd[i] >= 0 && !closes_at_once(fds->fd[i]))
                        fds->fd[kept++] = fds->fd[i];
                else
                        close_fd(fds->fd[i]);
        fds->n = kept;
}

static int on_closed(sd_event_source *source, int pidfd, uint32_t revents, void *userdata)
{
        siginfo_t ignored;

        (void)waitid(P_PIDFD, (id_t)pidfd, &ignored, WEXITED);
        forget(userdata);
        return 0;
}

static void on_alarm(int signal)
{
}

/* A socket that lingers does so until a signal comes: none of them keeps a process for long. */
static void limit_lingering(void)
{
        const struct timeval interval = { .tv_usec = LINGER_USEC };
        const struct itimerval timer = { interval, interval };
        sigset_t alarm;

        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
        sigprocmask(SIG_UNBLOCK, &alarm, NULL);
        setitimer(ITIMER_REAL, &timer, NULL);
}

/* The child's part is these system calls. Each close takes the number out of the table, which is also the
 * daemon's, before it does anything that may wait. */
static _noreturn_ void run_child(const Fds *fds)
{
        limit_lingering();
        for (size_t i = 0; i < fds->n; i++)
                close(fds->fd[i]);
        _exit(EXIT_SUCCESS);
}

/* The plain system call: no fork handlers, no locks. */
static int clone_child(const Fds *fds)
{
        int pidfd = -EBADF;
        struct clone_args args = { .flags = CLONE_FILES | CLONE_PIDFD,
                                   .pidfd = (uint64_t)(uintptr_t)&pidfd,
                                   .exit_signal = SIGCHLD };
        long pid = syscall(SYS_clone3, &args, sizeof(args));

        if (pid == 0)
                run_child(fds);
        return pid < 0 ? -errno : pidfd;
}

/* Takes pidfd. Before everything else, so that closes that have come back are not taken for ones that have
 * not. */
static int watch(Closing *closing, int pidfd)
{
        sd_event_source **source = &closing->source;
        int r = sd_event_add_io(closing->closer->event, source, pidfd, EPOLLIN, on_closed, closing);

        if (r < 0) {
                close_fd(pidfd);
                return r;
        }
        (void)sd_event_source_set_io_fd_own(*source, true);
        return sd_event_source_set_priority(*source, SD_EVENT_PRIORITY_IMPORTANT);
}

/* Negative: nothing is closed yet. A process that cannot be watched closes all the same, and is not counted.
 */
static int start(Closer *c, uid_t uid, const Fds *fds)
{
        Closing *closing = malloc(sizeof(*closing));
        int pidfd;

        if (!closing)
                return -ENOMEM;
        pidfd = clone_child(fds);
        if (pidfd < 0) {
                free(closing);
                return pidfd;
        }
        *closing = (Closing){ .closer = c, .uid = uid, .next = c->closings };
        if (c->closings)
                c->closings->previous = closing;
        c->closings = closing;
        if (watch(closing, pidfd) < 0)
                forget(closing);
        return 0;
}

void closer_close(Closer *c, uid_t uid, Fds *fds)
{
        close_harmless(fds);
        if (fds->n > 0 && start(c, uid, fds) < 0)
                fds_close(fds);
        fds->n = 0;
}
