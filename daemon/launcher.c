/* See launcher.h. */
#include "launcher.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "idrange.h"
#include "log.h"
#include "lower.h"
#include "seccomp-filter.h"
#include "slots.h"
#include "userns.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

#define REAP_PATIENCE_MSEC   500
#define FORKER_PATIENCE_MSEC 5000
#define TTY_GROUP            5 /* in the session, as Debian has it */

#define SEALS                (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* Not the cgroup namespace: its root would be the daemon's cgroup; the child unshares it. */
#define CLONE_KINDS          (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)

struct Launcher {
        int init_fd, filter_fd;
        int forker; /* a socket; negative: there is none (any more) */
        pid_t forker_pid;
        OrderHello hello; /* the same for all but for what it says of the root */
        unsigned processors;
        bool can_overlay;
        UsernsObstacle obstacle; /* to user namespaces, as it was the last time */
};

static int new_memfd(const char *name, unsigned flags)
{
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

        if (fd < 0 && errno == EINVAL && flags) /* before 6.3 all are executable */
                fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? -errno : fd;
}

static int load_init(Launcher *l, const char *path)
{
        _cleanup_close_ int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (file < 0)
                return -errno;
        l->init_fd = new_memfd("nsroot-init", MFD_EXEC);
        if (l->init_fd < 0)
                return l->init_fd;
        while ((n = sendfile(l->init_fd, file, NULL, MIB)) > 0)
                ;
        return n < 0 || fcntl(l->init_fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

static int load_filter(Launcher *l)
{
        _cleanup_free_ struct sock_filter *program = NULL;
        size_t count, size;
        int r;

        l->filter_fd = new_memfd("nsroot-filter", 0);
        if (l->filter_fd < 0)
                return l->filter_fd;
        r = seccomp_compile(&program, &count);
        if (r < 0)
                return r;
        size = count * sizeof(*program);
        l->hello.filter_count = (uint32_t)count;
        if (write(l->filter_fd, program, size) != (ssize_t)size)
                return -EIO;
        return fcntl(l->filter_fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

static int note_namespaces(Launcher *l)
{
#define X(kind) "/proc/self/ns/" #kind,
        static const char *const kinds[] = { PROFILE_NAMESPACES(X) };
#undef X
        _Static_assert(ELEMENTSOF(kinds) <= ORDER_NAMESPACES, "the hello has room for all kinds");

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                struct stat st = {};

                if (stat(kinds[i], &st) < 0 && errno != ENOENT) /* a kernel need not have them all */
                        return -errno;
                l->hello.daemon_namespaces[i] = st.st_ino;
        }
        return 0;
}

/* The child's part: these system calls. The table is the daemon's until here (slots.h). It is left with the
 * two descriptors of child.h. */
static _noreturn_ void become_forker(void)
{
        static char name[] = FORKER_NAME;
        char *argv[] = { name, NULL }, *envp[] = { NULL };
        int control, program;

        if (close_range((unsigned)slots_end(), ~0U, CLOSE_RANGE_UNSHARE) < 0)
                _exit(EXIT_FAILURE);
        control = fcntl(slot_fd(SLOT_FORKER_CONTROL), F_DUPFD, slots_end());
        program = fcntl(slot_fd(SLOT_FORKER_PROGRAM), F_DUPFD, slots_end());
        if (dup2(control, INIT_CONTROL_FD) >= 0 && dup2(program, INIT_PROGRAM_FD) >= 0 &&
            close_range(0, INIT_CONTROL_FD - 1, 0) >= 0 && close_range(INIT_PROGRAM_FD + 1, ~0U, 0) >= 0)
                (void)syscall(SYS_execveat, INIT_PROGRAM_FD, "", argv, envp, AT_EMPTY_PATH);
        _exit(EXIT_FAILURE);
}

/* We wait for its exec: then it has a table of its own. The plain system call: no fork handlers, no locks.
 */
static int clone_forker(const Launcher *l, int control)
{
        struct clone_args args = { .flags = CLONE_FILES | CLONE_VFORK, .exit_signal = SIGCHLD };
        int r = slot_put(SLOT_FORKER_CONTROL, control);

        if (r >= 0)
                r = slot_put(SLOT_FORKER_PROGRAM, l->init_fd);
        if (r >= 0) {
                long pid = syscall(SYS_clone3, &args, sizeof(args));
                if (pid == 0)
                        become_forker();
                r = pid < 0 ? -errno : (int)pid;
        }
        slot_clear(SLOT_FORKER_CONTROL);
        slot_clear(SLOT_FORKER_PROGRAM);
        return r;
}

/* One that is still there ends when its socket is closed. */
static void end_forker(Launcher *l)
{
        l->forker = close_fd(l->forker);
        if (l->forker_pid > 0)
                (void)waitpid(l->forker_pid, NULL, WNOHANG);
}

static int start_forker(Launcher *l)
{
        int ends[2], pid;

        end_forker(l);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        pid = clone_forker(l, ends[1]);
        close_fd(ends[1]);
        if (pid < 0) {
                close_fd(ends[0]);
                return pid;
        }
        l->forker = ends[0];
        l->forker_pid = pid;
        return 0;
}

/* A kernel may have no overlay at all. Where it has, the overlay keeps what it must remember of directories
 * in extended attributes, for which a tmpfs has room since 6.6: without, rmdir and rename of the cached
 * root's directories would be errors. */
static void try_overlay(Launcher *l)
{
        _cleanup_close_ int context = fsopen("overlay", FSOPEN_CLOEXEC); /* loads the module, too */

        l->can_overlay = context >= 0 && fsetxattr(l->filter_fd, "user.nsroot", "", 0, 0) >= 0;
}

/* Once for each change: it is the machine's, whoever's session meets it first. */
static void note_obstacle(Launcher *l, UsernsObstacle o)
{
        if (o != USERNS_NO_OBSTACLE && o != l->obstacle)
                log_notice("There are no user namespaces (%s): a session has one uid, no capabilities, and "
                           "a copy of its root in memory.",
                           userns_obstacle_words(o));
        else if (o != l->obstacle)
                log_notice("There are user namespaces again: sessions have root and 65,535 other users.");
        l->obstacle = o;
}

int launcher_new(const char *init_path, Launcher **ret)
{
        _cleanup_(launcher_freep) Launcher *l = calloc(1, sizeof(*l));
        long processors = sysconf(_SC_NPROCESSORS_CONF);
        int r;

        if (!l)
                return -ENOMEM;
        *l = (Launcher){ .init_fd = -EBADF,
                         .filter_fd = -EBADF,
                         .forker = -EBADF,
                         .processors = processors < 1 ? 1 : (unsigned)processors };
        l->hello = (OrderHello){ .header = ORDER_INIT(ORDER_HELLO, 0), .version = ORDER_VERSION };
        r = load_init(l, init_path);
        if (r >= 0)
                r = load_filter(l);
        if (r >= 0)
                r = start_forker(l);
        if (r >= 0)
                r = note_namespaces(l);
        if (r < 0)
                return r;
        try_overlay(l);
        note_obstacle(l, userns_obstacle());
        *ret = TAKE_PTR(l);
        return 0;
}

Launcher *launcher_free(Launcher *l)
{
        end_forker(l);
        close_fd(l->init_fd);
        close_fd(l->filter_fd);
        free(l);
        return NULL;
}

static int fail(LaunchFailure *f, Step step, int error)
{
        *f = (LaunchFailure){ .step = step, .error = error < 0 ? -error : error };
        return -EREMOTEIO;
}

/* One that somebody has killed is followed by another one, if it has not begun. */
static int send_to_forker(Launcher *l, OrderFork *order, const int *fds)
{
        size_t n = order->into_cgroup ? 2 : 1;
        int r = l->forker < 0 ? -EPIPE : order_send(l->forker, order, sizeof(*order), NULL, 0, fds, n);

        if (r != -EPIPE && r != -ECONNRESET)
                return r;
        r = start_forker(l);
        return r < 0 ? r : order_send(l->forker, order, sizeof(*order), NULL, 0, fds, n);
}

static int hear_from_forker(const Launcher *l, Launched *ret)
{
        struct pollfd p = { .fd = l->forker, .events = POLLIN };
        _Alignas(OrderHeader) char buffer[sizeof(EventForked)];
        EventForked event;
        OrderMessage m;
        int r;

        do
                r = poll(&p, 1, FORKER_PATIENCE_MSEC);
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        r = order_receive(l->forker, MSG_DONTWAIT, buffer, sizeof(buffer), &m);
        if (r <= 0)
                return r < 0 ? r : -EPIPE;
        order_copy(&m, &event, sizeof(event));
        r = event.pid > 0 && m.n_fds != 1 ? -EPROTO : MIN(event.pid, 0);
        if (r >= 0) {
                ret->pid = event.pid;
                ret->pidfd = TAKE_FD(m.fds[0]);
        }
        order_message_done(&m);
        return r;
}

/* What is not answered may have begun: it ends by itself, for nobody has the other end of its socket. */
static int clone_child(Launcher *l, const Launch *launch, int control, uint64_t namespaces, Launched *ret)
{
        OrderFork order = { .header = ORDER_INIT(ORDER_FORK, 0),
                            .version = ORDER_VERSION,
                            .into_cgroup = launch->cgroup_fd >= 0,
                            .namespaces = namespaces,
                            .plan = launch->child };
        const int fds[] = { control, launch->cgroup_fd };
        int r = send_to_forker(l, &order, fds);

        if (r < 0)
                return r;
        r = hear_from_forker(l, ret);
        if (r == -ETIMEDOUT || r == -EPIPE || r == -ECONNRESET)
                l->forker = close_fd(l->forker);
        return r;
}

/* only_id: 0, or without a user namespace its uid and gid. Terminals have the session's group tty: 5 is the
 * host's. */
static void use_ids(ChildPlan *child, uint32_t only_id)
{
        child->only_id = only_id;
        child->plain_root = child->plain_root || only_id;
        snprintf(child->pts, sizeof(child->pts), "newinstance,mode=0620,ptmxmode=0666,gid=%u,max=64",
                 only_id + TTY_GROUP);
}

/* Always with a user namespace first, for that may be forbidden or allowed at any time; where the kernel
 * makes none, that costs next to nothing. Any other failure is one: nothing but an obstacle makes a session
 * without. */
static int clone_in_namespaces(Launcher *l, Launch *launch, int control, Launched *ret)
{
        UsernsObstacle obstacle = USERNS_NO_OBSTACLE;
        int r;

        use_ids(&launch->child, 0);
        r = clone_child(l, launch, control, CLONE_KINDS | CLONE_NEWUSER, ret);
        if (r < 0)
                obstacle = userns_obstacle();
        if (r < 0 && obstacle == USERNS_NO_OBSTACLE)
                return r;
        note_obstacle(l, obstacle);
        if (r >= 0)
                return r;
        use_ids(&launch->child, launch->first_id);
        return clone_child(l, launch, control, CLONE_KINDS, ret);
}

/* user_namespaces(7): before this, the child has no ids at all. */
static int write_maps(pid_t pid, uint32_t first_id)
{
        static const char *const files[] = { "uid_map", "gid_map" };
        char path[32], map[48];

        snprintf(map, sizeof(map), "0 %u %u", first_id, ID_RANGE_SIZE);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
                int r = write_file_at(AT_FDCWD, path, map);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Here and not by the child, which is a capable process in its own user namespace only: the kernel remembers
 * what CAP_SYS_RESOURCE of the host wrote as the least that the process, and what it starts, may ever set
 * itself. */
static int write_oom_score_adj(pid_t pid, int callers)
{
        char path[32], text[16];

        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
        snprintf(text, sizeof(text), "%d", plan_oom_score_adj(callers));
        return write_file_at(AT_FDCWD, path, text);
}

static int make_lower(const Launch *launch, pid_t pid, int *ret)
{
        _cleanup_close_ int userns = -EBADF;
        char path[32];

        if (launch->child.plain_root)
                return lower_copied(
                        launch->tree_fd, &(LowerIds){ launch->first_id, launch->child.only_id != 0 },
                        launch->storage_max, launch->storage_inodes, launch->child.read_only, ret);
        snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
        userns = open(path, O_RDONLY | O_CLOEXEC);
        return userns < 0 ? -errno : lower_idmapped(launch->tree_fd, userns, ret);
}

/* Both at once: the child reads the first, and nsroot-init what follows it. */
static int send_orders(Launcher *l, Launch *launch, int control, int lower)
{
        OrderGo go = { .header = ORDER_INIT(ORDER_GO, 0) };
        const int go_fds[] = { lower, launch->enter_fd };
        int r = order_send(control, &go, sizeof(go), NULL, 0, go_fds, launch->enter_fd < 0 ? 1 : 2);

        l->hello.read_only = launch->child.read_only;
        l->hello.plain_root = launch->child.plain_root;
        l->hello.only_id = launch->child.only_id;
        return r < 0 ? r : order_send(control, &l->hello, sizeof(l->hello), NULL, 0, &l->filter_fd, 1);
}

/* What the parent does while the child waits for its go. */
static int guide_child(Launcher *l, Launch *launch, const Launched *child, LaunchFailure *f)
{
        _cleanup_close_ int lower = -EBADF;
        int r = launch->child.only_id ? 0 : write_maps(child->pid, launch->first_id);

        if (r < 0)
                return fail(f, STEP_MAPS, r);
        r = write_oom_score_adj(child->pid, launch->oom_score_adj);
        if (r < 0)
                return fail(f, STEP_OOM, r);
        r = make_lower(launch, child->pid, &lower);
        if (r < 0)
                return fail(f, STEP_TREE, r);
        r = send_orders(l, launch, child->control, lower);
        if (r == -EPIPE || r == -ECONNRESET) /* it ended meanwhile, and has said why */
                r = 0;
        return r < 0 ? fail(f, STEP_ORDERS, r) : 0;
}

void launcher_kill(const Launched *child)
{
        (void)syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

/* What does not die at once (it hangs in a filesystem of its own, or has no processor time) must not keep
 * us. */
void launcher_end(Launched *child)
{
        struct pollfd end = { .fd = child->pidfd, .events = POLLIN };
        siginfo_t info;

        if (child->pidfd < 0)
                return;
        launcher_kill(child);
        (void)poll(&end, 1, REAP_PATIENCE_MSEC);
        (void)waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG);
        child->pidfd = close_fd(child->pidfd);
        child->control = close_fd(child->control);
}

bool launcher_has_userns(const Launcher *l)
{
        return l->obstacle == USERNS_NO_OBSTACLE;
}

int launcher_start(Launcher *l, Launch *launch, Launched *ret, LaunchFailure *f)
{
        Launched child = LAUNCHED_NONE;
        int ends[2], size = ORDER_SIZE_MAX, r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return fail(f, STEP_CLONE, errno);
        _cleanup_close_ int theirs = ends[1];
        child.control = ends[0];
        /* The kernel doubles it, and never gives more than its own wmem_max: an order that is too large is
         * an error. */
        (void)setsockopt(child.control, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        launch->child.processors = l->processors;
        launch->child.plain_root = !launch->can_idmap || !l->can_overlay;
        r = clone_in_namespaces(l, launch, theirs, &child);
        if (r < 0) {
                close_fd(child.control);
                return fail(f, STEP_CLONE, r);
        }
        r = guide_child(l, launch, &child, f);
        if (r < 0) {
                launcher_end(&child);
                return r;
        }
        *ret = child;
        return 0;
}

int launcher_write_oom_score_adj(const Launched *launched, int oom_score_adj)
{
        return write_oom_score_adj(launched->pid, oom_score_adj);
}
