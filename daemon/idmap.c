#include "idmap.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper.h"

/* The user namespace of a process that does nothing else than to be in it. Root inside is nobody in
 * particular outside: it is never used. */
#define ID_MAP "0 65534 1\n"

/* Until it is killed, also if nobody is left to do that: it would hold all that the daemon did, and the next
 * one would find the state directory in use. */
static _noreturn_ void sleep_in(pid_t parent)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
        for (;;)
                pause();
}

/* It shares the descriptors, so that its end closes no copy of what a client lent, which might wait. */
static int clone_sleeper(pid_t *ret_pid)
{
        int pidfd = -EBADF;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_FILES,
                .pidfd = (uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        pid_t parent = getpid(), pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

        if (pid < 0)
                return -errno;
        if (pid == 0)
                sleep_in(parent);
        *ret_pid = pid;
        return pidfd;
}

static int map_and_open(pid_t pid)
{
        char path[64];
        int fd, r;

        snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
        r = write_file_at(AT_FDCWD, path, ID_MAP);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
        r = write_file_at(AT_FDCWD, path, ID_MAP);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int user_namespace(void)
{
        pid_t pid = 0;
        int pidfd, fd;

        pidfd = clone_sleeper(&pid);
        if (pidfd < 0)
                return pidfd;
        fd = map_and_open(pid);
        helper_kill(pidfd);
        return fd;
}

int idmap_try(int dir_fd)
{
        _cleanup_close_ int namespace = user_namespace(), tree = -EBADF;
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t) namespace };

        if (namespace < 0)
                return namespace == -ENOSPC || namespace == -EPERM || namespace == -EACCES ||
                                       namespace == -EINVAL
                               ? 0
                               : namespace;
        tree = open_tree(dir_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0)
                return -errno;
        if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return errno == EINVAL ? 0 : -errno;
        return 1;
}
