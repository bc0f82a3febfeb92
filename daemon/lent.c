/* See lent.h. */
#include "lent.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MEMORY_MAJOR 1 /* Documentation/admin-guide/devices.txt */

static bool is_memory_device(const struct statx *st)
{
        static const unsigned minors[] = { 3, 5, 7, 8, 9 }; /* null zero full random urandom */

        if (!S_ISCHR(st->stx_mode) || st->stx_rdev_major != MEMORY_MAJOR)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(minors); i++)
                if (st->stx_rdev_minor == minors[i])
                        return true;
        return false;
}

/* A namespace, an io_uring and their like may say they are regular files; those have no path (proc(5),
 * /proc/PID/fd). */
static bool is_file_with_path(int fd, const struct statx *st)
{
        char link[32], target[1];

        if (!S_ISREG(st->stx_mode))
                return false;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return readlink(link, target, sizeof(target)) == 1 && target[0] == '/';
}

static bool is_right_way_round(int flags, LentUse use)
{
        int mode = flags & O_ACCMODE;

        if (use == LENT_LIFELINE) /* who could write to it would keep it from ending */
                return mode == O_RDONLY;
        return mode == O_RDWR || mode == (use == LENT_INPUT ? O_RDONLY : O_WRONLY);
}

const char *lent_check(int fd, LentUse use)
{
        static const char *const wrong_way[] = {
                [LENT_INPUT] = "it is not open for reading",
                [LENT_OUTPUT] = "it is not open for writing",
                [LENT_LIFELINE] = "it is not a pipe's read end",
        };
        int flags = fcntl(fd, F_GETFL);
        struct statx st;

        if (flags < 0 || (flags & O_PATH))
                return "it is only a reference to a file (O_PATH)";
        /* DONT_SYNC: a filesystem in user space that does not answer must not keep the daemon */
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return "its kind cannot be found out";
        if (use == LENT_LIFELINE && !S_ISFIFO(st.stx_mode))
                return "it is not a pipe";
        if (!S_ISFIFO(st.stx_mode) && !S_ISSOCK(st.stx_mode) && !is_memory_device(&st) &&
            !is_file_with_path(fd, &st))
                return "it is not a regular file, a pipe, a socket or a memory device such as /dev/null";
        if (!is_right_way_round(flags, use))
                return wrong_way[use];
        return NULL;
}
