/* See relay.h. Always reads, so that no command waits for who looks at what it prints; what cannot be kept
 * is gone. Knows no viewer. */
#include "relay.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The largest pipe that a user may make (pipe(7)): what a command has printed before its end is no more. */
#define DRAIN_MAX MIB

static int *source(Relay *r, RingStream stream)
{
        return &r->sources[stream - 1];
}

void relay_init(Relay *r)
{
        for (size_t i = 0; i < RELAY_SOURCES; i++)
                r->sources[i] = -EBADF;
        r->slave = -EBADF;
        r->full = false;
}

/* Its inode is the owner's, who may then open it again by /dev/stdout. */
static int open_pipe(uid_t owner, int *ret_reader, int *ret_writer)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        *ret_reader = ends[0];
        *ret_writer = ends[1];
        if (fchown(ends[1], owner, (gid_t)-1) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int relay_open_pipes(Relay *r, int stdio[3], uid_t owner)
{
        static const RingStream streams[] = { [STDOUT_FILENO] = RING_STDOUT, [STDERR_FILENO] = RING_STDERR };
        int e = 0;

        for (size_t i = STDOUT_FILENO; e >= 0 && i < ELEMENTSOF(streams); i++)
                if (stdio[i] < 0)
                        e = open_pipe(owner, source(r, streams[i]), &stdio[i]);
        return e;
}

void relay_take_terminal(Relay *r, int master, int slave)
{
        *source(r, RING_TERMINAL) = master;
        r->slave = slave;
        (void)fcntl(master, F_SETFL, O_NONBLOCK); /* which a terminal takes */
}

void relay_poll(Relay *r, Polls *polls)
{
        for (size_t i = 0; i < RELAY_SOURCES; i++) {
                bool wants_room = i + 1 == RING_TERMINAL && r->full;
                r->polls[i] = polls_add(polls, r->sources[i], (short)(POLLIN | (wants_room ? POLLOUT : 0)));
        }
}

/* One record at most. False: there is no more now, or ever. */
static bool read_once(Relay *r, RingStream stream, Ring *ring, size_t *ret_n)
{
        static char buffer[RING_RECORD_MAX];
        size_t max = ring_record_max(ring);
        int *fd = source(r, stream);
        ssize_t n = read(*fd, buffer, max ? max : sizeof(buffer));

        if (n <= 0) {
                if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        *fd = close_fd(*fd);
                return false;
        }
        ring_append(ring, stream, buffer, (size_t)n);
        *ret_n = (size_t)n;
        return true;
}

void relay_dispatch(Relay *r, const Polls *polls, Ring *ring)
{
        size_t n;

        for (size_t i = 0; i < RELAY_SOURCES; i++) {
                short events = r->sources[i] < 0 ? 0 : polls->fds[r->polls[i]].revents;

                if (events & POLLOUT)
                        r->full = false;
                if (events & ~POLLOUT)
                        (void)read_once(r, (RingStream)(i + 1), ring, &n);
        }
}

void relay_drain(Relay *r, Ring *ring)
{
        for (size_t i = 0; i < RELAY_SOURCES; i++) {
                size_t total = 0, n;

                while (r->sources[i] >= 0 && total < DRAIN_MAX &&
                       read_once(r, (RingStream)(i + 1), ring, &n))
                        total += n;
        }
}

size_t relay_type(Relay *r, const char *bytes, size_t n)
{
        int master = *source(r, RING_TERMINAL);
        ssize_t done = master < 0 ? (ssize_t)n : write(master, bytes, n);

        if (done > 0)
                return (size_t)done;
        if (done < 0 && errno != EAGAIN && errno != EINTR)
                return n;
        r->full = true;
        return 0;
}

/* A terminal tells of a new size itself. */
static void tell_again(int master)
{
        pid_t group;

        if (ioctl(master, TIOCGPGRP, &group) == 0 && group > 1)
                (void)kill(-group, SIGWINCH);
}

void relay_resize(Relay *r, uint16_t columns, uint16_t rows)
{
        int master = *source(r, RING_TERMINAL);
        struct winsize size;

        if (master < 0 || ioctl(master, TIOCGWINSZ, &size) < 0)
                return;
        if (size.ws_col == columns && size.ws_row == rows) {
                tell_again(master);
                return;
        }
        size.ws_col = columns;
        size.ws_row = rows;
        (void)ioctl(master, TIOCSWINSZ, &size);
}
