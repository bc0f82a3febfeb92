/* See stage.h. */
#include "stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile.h"

int stage_isolate(void)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -errno;
        return 0;
}

/* Not on top of "/", where it would be in nobody's way: the kernel takes who lives below a mounted root for
 * one in a chroot, and gives him no user namespace. */
static int enter_tmpfs(const char *mount_point)
{
        _cleanup_close_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        _cleanup_close_ int tree = -EBADF;

        if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", "nsroot", 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
            fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        tree = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (tree < 0 || move_mount(tree, "", AT_FDCWD, mount_point, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
            fchdir(tree) < 0)
                return -errno;
        return 0;
}

/* The masks: mode 000 and the daemon's, so that nobody in a session may read, write or change them. And what
 * is mounted on: by children, and by the process that they are cloned from (init/forker.c). */
static int make_files(void)
{
        static const char *const directories[] = { "base", "dev", "proc", "sys" };

        if (mknod("mask-file", S_IFREG, 0) < 0 || mkdir("mask-directory", 0) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                if (mkdir(directories[i], 0755) < 0)
                        return -errno;
        return 0;
}

static int bind_node(const char *from, const char *to)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
        _cleanup_close_ int tree = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        struct stat st;

        if (tree < 0 || fstat(tree, &st) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode))
                return -ENODEV;
        if (mknod(to, S_IFREG | 0666, 0) < 0 ||
            mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
            move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

static int bind_nodes(const char **ret_what)
{
#define X(name) { "/dev/" name, "dev/" name },
        static const char *const nodes[][2] = { PROFILE_NODES(X) };
#undef X
        for (size_t i = 0; i < ELEMENTSOF(nodes); i++) {
                int r = bind_node(nodes[i][0], nodes[i][1]);
                if (r < 0) {
                        *ret_what = nodes[i][0];
                        return r;
                }
        }
        return 0;
}

/* The stage's own mount becomes read-only at last, and so does every copy of a mask. */
static int seal(void)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

        return mount_setattr(AT_FDCWD, ".", 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int stage_enter(const char *mount_point, const char **ret_what)
{
        const char *what = mount_point;
        int r = enter_tmpfs(mount_point);

        if (r >= 0)
                r = make_files();
        if (r >= 0)
                r = bind_nodes(&what);
        if (r >= 0)
                r = seal();
        if (r < 0)
                *ret_what = what;
        return r;
}
