#include "helper.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slots.h"

/* Where the view is attached until it becomes the root: a directory that is always there and that nothing in
 * a view is taken from. */
#define ATTACH_AT "/proc"

#define USER_NAME "nsrootd"
#define NOBODY    65534

typedef struct Child {
        const HelperSpec *spec;
} Child;

/* What the child tells its parent when a step fails. When none does, exec closes the pipe. */
typedef struct Report {
        unsigned step;
        int error;
} Report;

static int reset_signals(Child *c)
{
        sigset_t none;

        for (int s = 1; s < _NSIG; s++)
                signal(s, SIG_DFL); /* some have no disposition to set: so be it */
        sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The table is the daemon's until here, and what is above the slots may be a client's (slots.h). */
static int take_own_table(Child *c)
{
        return close_range((unsigned)slots_end(), ~0U, CLOSE_RANGE_UNSHARE);
}

static int arrange_fds(Child *c)
{
        for (size_t i = 0; i < ELEMENTSOF(c->spec->fds); i++)
                if (dup2(slot_fd(SLOT_HELPER_INPUT + i), (int)i) < 0)
                        return -1;
        return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

static int set_limits(Child *c)
{
        for (size_t i = 0; i < c->spec->n_limits; i++) {
                const HelperLimit *l = &c->spec->limits[i];

                if (setrlimit(l->resource, &(struct rlimit){ l->value, l->value }) < 0)
                        return -1;
        }
        return 0;
}

static int make_private(Child *c)
{
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* An empty tmpfs, and in it from now on. */
static int make_view(Child *c)
{
        int context = fsopen("tmpfs", FSOPEN_CLOEXEC), fd;

        if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -1;
        fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        if (fd < 0 || move_mount(fd, "", AT_FDCWD, ATTACH_AT, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -1;
        return fchdir(fd);
}

/* The directories above path, which is relative. */
static int make_parents(const char *path)
{
        char part[PATH_MAX];

        for (size_t i = 0; path[i] != '\0' && i < sizeof(part) - 1; i++) {
                part[i] = '\0';
                if (path[i] == '/' && mkdir(part, 0755) < 0 && errno != EEXIST)
                        return -1;
                part[i] = path[i];
        }
        return 0;
}

/* One directory of the host at the same place in the view; what is a link there (/lib) is one here. */
static int show(const char *path)
{
        struct mount_attr read_only = { .attr_set =
                                                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
        const char *here = path + 1;
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        int fd;

        if (n < 0 && errno == ENOENT)
                return 0;
        if (make_parents(here) < 0)
                return -1;
        if (n >= 0) {
                target[n] = '\0';
                return symlink(target, here);
        }
        fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (fd < 0 || mkdir(here, 0755) < 0 ||
            mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &read_only, sizeof(read_only)) < 0)
                return -1;
        return move_mount(fd, "", AT_FDCWD, here, MOVE_MOUNT_F_EMPTY_PATH);
}

static int fill_view(Child *c)
{
        for (const char *const *path = c->spec->view; path && *path; path++)
                if (show(*path) < 0)
                        return -1;
        return 0;
}

/* A /proc in which there is nothing but the process itself: sanitizers, and libraries here and there, read
 * it. */
static int show_process(Child *c)
{
        if (mkdir("proc", 0755) < 0)
                return -1;
        return mount("proc", "proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid");
}

static int enter_view(Child *c)
{
        struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };

        if (mount_setattr(AT_FDCWD, ".", 0, &read_only, sizeof(read_only)) < 0)
                return -1;
        if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
                return -1;
        return chdir("/");
}

static int drop_capabilities(Child *c)
{
        for (int cap = 0; cap < 64; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return errno == EINVAL && cap > 0 ? 0 : -1; /* past the last there is */
        return 0;
}

/* Leaving uid 0 empties the permitted and effective sets, and the ambient one with them. */
static int change_user(Child *c)
{
        if (setgroups(0, NULL) < 0 || setresgid(c->spec->gid, c->spec->gid, c->spec->gid) < 0)
                return -1;
        return setresuid(c->spec->uid, c->spec->uid, c->spec->uid);
}

static int forgo_privileges(Child *c)
{
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* After the change of user, which would undo it. */
static int die_with_parent(Child *c)
{
        return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static int run_program(Child *c)
{
        char *const nothing[] = { NULL };

        umask(077);
        return (int)syscall(SYS_execveat, slot_fd(SLOT_HELPER_PROGRAM), "", c->spec->argv, nothing,
                            AT_EMPTY_PATH);
}

static const struct {
        const char *name;
        int (*run)(Child *c); /* negative: see errno */
} steps[] = {
        {"take own descriptors",   take_own_table   },
        { "reset signals",         reset_signals    },
        { "arrange descriptors",   arrange_fds      },
        { "make mounts private",   make_private     },
        { "make a root directory", make_view        },
        { "bind host directories", fill_view        },
        { "mount /proc",           show_process     },
        { "change root directory", enter_view       },
        { "drop capabilities",     drop_capabilities},
        { "change user",           change_user      },
        { "forgo new privileges",  forgo_privileges },
        { "set the death signal",  die_with_parent  },
        { "set resource limits",   set_limits       },
        { "run the program",       run_program      },
};

static _noreturn_ void run_child(const HelperSpec *spec)
{
        Child c = { .spec = spec };

        for (unsigned i = 0; i < ELEMENTSOF(steps); i++)
                if (steps[i].run(&c) < 0) {
                        Report report = { i, errno };

                        /* If even this fails, the parent finds the pipe closed and a process that ended. */
                        (void)!write(slot_fd(SLOT_HELPER_REPORT), &report, sizeof(report));
                        break;
                }
        _exit(EXIT_FAILURE);
}

/* No fork(3): its handlers are not for this. The parent stands still until the program runs, so that it does
 * nothing to the table while it is shared. */
static pid_t clone_child(bool network, int *ret_pidfd)
{
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_FILES | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID |
                         CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | (network ? 0 : CLONE_NEWNET),
                .pidfd = (uintptr_t)ret_pidfd,
                .exit_signal = SIGCHLD,
        };

        return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Until the child's end of the pipe is closed: by exec, or by its end. */
static int read_report(int fd, const char **ret_step)
{
        Report report;
        ssize_t n;

        do
                n = read(fd, &report, sizeof(report));
        while (n < 0 && errno == EINTR);
        if (n == 0)
                return 0;
        if (n != sizeof(report) || report.step >= ELEMENTSOF(steps) || report.error <= 0)
                return -EPROTO;
        *ret_step = steps[report.step].name;
        return -report.error;
}

void helper_user(uid_t *ret_uid, gid_t *ret_gid)
{
        FILE *passwd = fopen("/etc/passwd", "re");
        struct passwd *entry;

        *ret_uid = *ret_gid = NOBODY;
        if (!passwd)
                return;
        while ((entry = fgetpwent(passwd)))
                if (streq(entry->pw_name, USER_NAME) && entry->pw_uid != 0) {
                        *ret_uid = entry->pw_uid;
                        *ret_gid = entry->pw_gid;
                        break;
                }
        fclose(passwd);
}

static int fill_slots(const HelperSpec *spec, int report_fd)
{
        int r = slot_put(SLOT_HELPER_PROGRAM, spec->program_fd);

        for (size_t i = 0; i < ELEMENTSOF(spec->fds) && r >= 0; i++)
                r = slot_put(SLOT_HELPER_INPUT + i, spec->fds[i]);
        return r < 0 ? r : slot_put(SLOT_HELPER_REPORT, report_fd);
}

static int start(const HelperSpec *spec, int report_fd, int *ret_pidfd)
{
        int r = fill_slots(spec, report_fd);

        if (r >= 0) {
                pid_t pid = clone_child(spec->network, ret_pidfd);
                if (pid == 0)
                        run_child(spec);
                r = pid < 0 ? -errno : 0;
        }
        for (Slot slot = SLOT_HELPER_INPUT; slot <= SLOT_HELPER_REPORT; slot++)
                slot_clear(slot);
        return r;
}

int helper_start(const HelperSpec *spec, int *ret_pidfd, const char **ret_step)
{
        _cleanup_close_ int read_end = -EBADF, write_end = -EBADF;
        int pipe_fds[2], pidfd = -EBADF, r;

        *ret_step = "start a process";
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        read_end = pipe_fds[0];
        write_end = pipe_fds[1];
        r = start(spec, write_end, &pidfd);
        if (r < 0)
                return r;
        write_end = close_fd(write_end);
        r = read_report(read_end, ret_step);
        if (r < 0) {
                helper_kill(pidfd);
                return r;
        }
        *ret_pidfd = pidfd;
        return 0;
}

int helper_wait(int pidfd, int *ret_exit)
{
        siginfo_t info = {};

        while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_exit = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        return 0;
}

void helper_signal_end(int pidfd)
{
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0); /* cannot fail but for one that has ended */
}

int helper_kill(int pidfd)
{
        int ignored;

        if (pidfd < 0)
                return -EBADF;
        helper_signal_end(pidfd);
        helper_wait(pidfd, &ignored);
        return close_fd(pidfd);
}
