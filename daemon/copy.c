#include "copy.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"

int copy_file(int from, int to, uint64_t max)
{
        off_t offset = 0;

        for (;;) {
                ssize_t n;

                if ((uint64_t)offset > max)
                        return -EFBIG;
                n = sendfile(to, from, &offset, MIB);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
        }
}

/* Where there is no O_TMPFILE (some network filesystems, overlays before 6.1). */
static int unlinked_file(int dir_fd)
{
        _cleanup_close_ int fd = -EBADF;
        char name[TREE_NAME_SIZE];
        int r;

        r = tree_name(".file-", name);
        if (r < 0)
                return r;
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || unlinkat(dir_fd, name, 0) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int unnamed_file(int dir_fd)
{
        int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
                return unlinked_file(dir_fd);
        return fd < 0 ? -errno : fd;
}

int reopen_read_only(int fd)
{
        char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        int copy;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        copy = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return copy < 0 ? -errno : copy;
}
