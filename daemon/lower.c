/* See lower.h. */
#include "lower.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

int lower_idmapped(int tree_fd, int userns_fd, int *ret)
{
        struct mount_attr attr = { .attr_set = ATTRIBUTES | MOUNT_ATTR_IDMAP,
                                   .userns_fd = (uint64_t)userns_fd };
        _cleanup_close_ int tree =
                open_tree(tree_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

        if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return -errno;
        *ret = TAKE_FD(tree);
        return 0;
}

static int new_tmpfs(uint64_t bytes_max, uint64_t inodes_max, int *ret)
{
        _cleanup_close_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        _cleanup_close_ int tree = -EBADF;
        char size[24], inodes[24];

        snprintf(size, sizeof(size), "%lu", bytes_max);
        snprintf(inodes, sizeof(inodes), "%lu", inodes_max);
        if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", "nsroot", 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) < 0 ||
            fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        tree = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        if (tree < 0)
                return -errno;
        *ret = TAKE_FD(tree);
        return 0;
}

static uint32_t map(const LowerIds *ids, uint32_t id)
{
        return ids->only ? ids->first : ids->first + id;
}

static int copy_directory(int from, int to, const LowerIds *ids);

static int copy_subdirectory(int from, int to, const char *name, const LowerIds *ids)
{
        _cleanup_close_ int below = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_close_ int made = -EBADF;

        if (below < 0 || mkdirat(to, name, 0700) < 0)
                return -errno;
        made = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return made < 0 ? -errno : copy_directory(below, made, ids);
}

static int copy_link(int from, int to, const char *name)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_file(int from, int to, const char *name)
{
        _cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_close_ int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ssize_t n;

        if (in < 0 || out < 0)
                return -errno;
        while ((n = sendfile(out, in, NULL, MIB)) > 0)
                ;
        return n < 0 ? -errno : 0;
}

/* Owner first, for a chown takes away what a chmod gave. */
static int copy_entry(int from, int to, const char *name, const LowerIds *ids)
{
        struct stat st;
        int r;

        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                r = copy_subdirectory(from, to, name, ids);
        else if (S_ISLNK(st.st_mode))
                r = copy_link(from, to, name);
        else
                r = copy_file(from, to, name);
        if (r < 0)
                return r;
        if (fchownat(to, name, map(ids, st.st_uid), map(ids, st.st_gid), AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return !S_ISLNK(st.st_mode) && fchmodat(to, name, st.st_mode & 07777, 0) < 0 ? -errno : 0;
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

static int copy_directory(int from, int to, const LowerIds *ids)
{
        int fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
        _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                int r = -errno;
                close_fd(fd);
                return r;
        }
        for (;;) {
                struct dirent *entry;
                int r;

                errno = 0;
                entry = readdir(d);
                if (!entry)
                        return -errno;
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = copy_entry(from, to, entry->d_name, ids);
                if (r < 0)
                        return r;
        }
}

int lower_copied(int tree_fd, const LowerIds *ids, uint64_t bytes_max, uint64_t inodes_max, bool read_only,
                 int *ret)
{
        struct mount_attr attr = { .attr_set = read_only ? MOUNT_ATTR_RDONLY : 0 };
        _cleanup_close_ int from = openat(tree_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int tree = -EBADF;
        int r = from < 0 ? -errno : new_tmpfs(bytes_max, inodes_max, &tree);

        if (r >= 0)
                r = copy_directory(from, tree, ids);
        if (r < 0)
                return r;
        if (fchownat(tree, ".", ids->first, ids->first, 0) < 0 ||
            mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return -errno;
        *ret = TAKE_FD(tree);
        return 0;
}
