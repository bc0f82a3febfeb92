/* Lending descriptors, by lend.h. */
#include "lend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "value.h"

#define MEMORY_MAJOR 1 /* Documentation/admin-guide/devices.txt of the kernel */

int lend_fill_standard(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                /* The lowest that is free, which is this one. */
                if (open("/dev/null", O_RDWR) < 0)
                        return -errno;
        }
        return 0;
}

int lend_release(int fd)
{
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        return null < 0 || dup2(null, fd) < 0 ? -errno : 0;
}

/* null, zero, full, random, urandom */
static bool is_memory_device(dev_t device)
{
        static const unsigned minors[] = { 3, 5, 7, 8, 9 };

        for (size_t i = 0; i < ELEMENTSOF(minors); i++)
                if (device == makedev(MEMORY_MAJOR, minors[i]))
                        return true;
        return false;
}

bool lend_is_lendable(int fd, bool for_reading)
{
        int flags = fcntl(fd, F_GETFL);
        struct stat st;

        if (flags < 0 || flags & O_PATH || fstat(fd, &st) < 0)
                return false;
        if ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != (for_reading ? O_RDONLY : O_WRONLY))
                return false;
        switch (st.st_mode & S_IFMT) {
        case S_IFREG:
        case S_IFIFO:
        case S_IFSOCK:
                return true;
        case S_IFCHR:
                return is_memory_device(st.st_rdev);
        default:
                return false;
        }
}

int lend(int fd, const char *key, struct json_object *parameters, Fds *fds)
{
        if (fds->n >= FDS_MAX) {
                close_fd(fd);
                return -E2BIG;
        }
        fds->fd[fds->n] = fd;
        return value_add_number(parameters, key, (int64_t)fds->n++);
}

/* *ret is the command's end of a pipe whose other end the relay has. */
static int relay_standard(int fd, Relay *relay, int *ret)
{
        bool input = fd == STDIN_FILENO;
        int ends[2], own, theirs, r;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        theirs = ends[input ? 0 : 1];
        own = ends[input ? 1 : 0];
        /* Each end is an open file description of its own: theirs stays blocking. */
        if (fcntl(own, F_SETFL, O_NONBLOCK) < 0) {
                r = -errno;
                close_fd(own);
                close_fd(theirs);
                return r;
        }
        r = input ? relay_init(relay, fd, own, own, -EBADF) : relay_init(relay, own, fd, own, -EBADF);
        if (r < 0)
                close_fd(theirs);
        else
                *ret = theirs;
        return r;
}

int lend_standard(int fd, struct json_object *parameters, Fds *fds, Relay *relay)
{
        static const char *const keys[] = {
                [STDIN_FILENO] = "standardInputFileDescriptor",
                [STDOUT_FILENO] = "standardOutputFileDescriptor",
                [STDERR_FILENO] = "standardErrorFileDescriptor",
        };
        int theirs = -EBADF, r;

        if (lend_is_lendable(fd, fd == STDIN_FILENO)) {
                *relay = (Relay)RELAY_NONE;
                theirs = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
                if (theirs < 0)
                        return -errno;
        } else {
                r = relay_standard(fd, relay, &theirs);
                if (r < 0)
                        return r;
        }
        return lend(theirs, keys[fd], parameters, fds);
}
