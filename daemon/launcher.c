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

#include "child.h"
#include "idrange.h"
#include "log.h"
#include "lower.h"
#include "seccomp-filter.h"
#include "userns.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

#define REAP_PATIENCE_MSEC 500
#define TTY_GROUP          5 /* in the session, as Debian has it */

#define SEALS              (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* Not the cgroup namespace: its root would be the daemon's cgroup; the child unshares it. */
#define CLONE_KINDS        (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)

/* Where a child's end of its order socket is put before its clone. It is in use until the child has a table
 * of descriptors of its own, which may take a while: it runs in its user's cgroup, whose sessions together
 * may have used up their processor time. Nobody waits for that; and as each user has only some of the
 * places, only that user's sessions wait for theirs (launcher_has_place). */
typedef struct Place {
        int fd;
        pid_t pid; /* of the child; 0: nobody's */
        uid_t owner;
} Place;
#define PLACES          16
#define PLACES_PER_USER 4

struct Launcher {
        int init_fd, filters_fd;
        OrderHello hello; /* the same for all but for what it says of the root */
        unsigned processors;
        Place places[PLACES];
        bool can_overlay;
        UsernsObstacle obstacle; /* to user namespaces, as it was the last time */
        uint32_t *has_own_table; /* of each place; shared with the children */
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

static int add_filter(Launcher *l, SeccompFilter which)
{
        _cleanup_free_ struct sock_filter *program = NULL;
        size_t count, size;
        int r = seccomp_compile(which, &program, &count);

        if (r < 0)
                return r;
        size = count * sizeof(*program);
        l->hello.filter_count[which] = (uint32_t)count;
        return write(l->filters_fd, program, size) == (ssize_t)size ? 0 : -EIO;
}

static int load_filters(Launcher *l)
{
        int r = 0;

        l->filters_fd = new_memfd("nsroot-filters", 0);
        if (l->filters_fd < 0)
                return l->filters_fd;
        for (SeccompFilter i = 0; i < SECCOMP_FILTERS && r >= 0; i++)
                r = add_filter(l, i);
        if (r < 0)
                return r;
        return fcntl(l->filters_fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
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

/* Low numbers, as long as there is no client: what else is below them is the daemon's for good (slots.h). */
static int make_places(Launcher *l)
{
        for (size_t i = 0; i < PLACES; i++) {
                l->places[i].fd = fcntl(l->init_fd, F_DUPFD_CLOEXEC, 0);
                if (l->places[i].fd < 0)
                        return -errno;
        }
        return 0;
}

static int share_flags(Launcher *l)
{
        l->has_own_table = mmap(NULL, PLACES * sizeof(*l->has_own_table), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (l->has_own_table != MAP_FAILED)
                return 0;
        l->has_own_table = NULL;
        return -errno;
}

/* A kernel may have no overlay at all. Where it has, the overlay keeps what it must remember of directories
 * in extended attributes, for which a tmpfs has room since 6.6: without, rmdir and rename of the cached
 * root's directories would be errors. */
static void try_overlay(Launcher *l)
{
        _cleanup_close_ int context = fsopen("overlay", FSOPEN_CLOEXEC); /* loads the module, too */

        l->can_overlay = context >= 0 && fsetxattr(l->filters_fd, "user.nsroot", "", 0, 0) >= 0;
}

/* Once for each change: it is the machine's, whoever's session meets it first. */
static void note_obstacle(Launcher *l, UsernsObstacle o)
{
        if (o != USERNS_NO_OBSTACLE && o != l->obstacle)
                log_notice("There are no user namespaces (%s): a session has one uid, no capabilities, and "
                           "a copy "
                           "of its root in memory.",
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
                         .filters_fd = -EBADF,
                         .processors = processors < 1 ? 1 : (unsigned)processors };
        l->hello = (OrderHello){ .header = ORDER_INIT(ORDER_HELLO, 0), .version = ORDER_VERSION };
        r = load_init(l, init_path);
        if (r >= 0)
                r = load_filters(l);
        if (r >= 0)
                r = make_places(l);
        if (r >= 0)
                r = share_flags(l);
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
        if (l->has_own_table)
                munmap(l->has_own_table, PLACES * sizeof(*l->has_own_table));
        for (size_t i = 0; i < PLACES; i++)
                close_fd(l->places[i].fd);
        close_fd(l->init_fd);
        close_fd(l->filters_fd);
        free(l);
        return NULL;
}

static int fail(LaunchFailure *f, Step step, int error)
{
        *f = (LaunchFailure){ .step = step, .error = error < 0 ? -error : error };
        return -EREMOTEIO;
}

/* The table of descriptors is shared until the child has taken its own, of which the first act of its is to
 * keep nothing that a client lent (child.c). The plain system call: no fork handlers, no locks. */
static int clone_child(const Launch *launch, uint64_t kinds, Launched *ret)
{
        int pidfd = -EBADF;
        struct clone_args args = { .flags = kinds | CLONE_PIDFD | CLONE_FILES,
                                   .pidfd = (uint64_t)(uintptr_t)&pidfd,
                                   .exit_signal = SIGCHLD };
        long pid;

        if (launch->cgroup_fd >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)launch->cgroup_fd;
        }
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_run(&launch->child);
        ret->pid = (pid_t)pid;
        ret->pidfd = pidfd;
        return 0;
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
static int clone_in_namespaces(Launcher *l, Launch *launch, Launched *ret)
{
        UsernsObstacle obstacle = USERNS_NO_OBSTACLE;
        int r;

        use_ids(&launch->child, 0);
        r = clone_child(launch, CLONE_KINDS | CLONE_NEWUSER, ret);
        if (r < 0)
                obstacle = userns_obstacle();
        if (r < 0 && obstacle == USERNS_NO_OBSTACLE)
                return r;
        note_obstacle(l, obstacle);
        if (r >= 0)
                return r;
        use_ids(&launch->child, launch->first_id);
        return clone_child(launch, CLONE_KINDS, ret);
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
static int write_oom_score_adj(pid_t pid, const char *text)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
        return write_file_at(AT_FDCWD, path, text);
}

static int make_lower(const Launch *launch, pid_t pid, int *ret)
{
        _cleanup_close_ int userns = -EBADF;
        char path[32];

        if (launch->child.plain_root)
                return lower_copied(launch->tree_fd,
                                    &(LowerIds){ launch->first_id, launch->child.only_id != 0 },
                                    launch->child.storage_max, launch->child.storage_inodes,
                                    launch->child.read_only, ret);
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
        return r < 0 ? r : order_send(control, &l->hello, sizeof(l->hello), NULL, 0, &l->filters_fd, 1);
}

/* What the parent does while the child waits for its go. */
static int guide_child(Launcher *l, Launch *launch, const Launched *child, LaunchFailure *f)
{
        _cleanup_close_ int lower = -EBADF;
        int r = launch->child.only_id ? 0 : write_maps(child->pid, launch->first_id);

        if (r < 0)
                return fail(f, STEP_MAPS, r);
        r = write_oom_score_adj(child->pid, launch->child.oom_score_adj);
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

static bool has_own_table(const Launcher *l, size_t i)
{
        return __atomic_load_n(&l->has_own_table[i], __ATOMIC_ACQUIRE);
}

/* It holds nothing between two starts: who else held a session's control socket would keep it alive. */
static void empty_place(Launcher *l, size_t i)
{
        (void)dup3(l->init_fd, l->places[i].fd, O_CLOEXEC);
        l->places[i].pid = 0;
}

void launcher_sweep(Launcher *l)
{
        for (size_t i = 0; i < PLACES; i++)
                if (l->places[i].pid && has_own_table(l, i))
                        empty_place(l, i);
}

void launcher_reap(Launcher *l, const Launched *child)
{
        siginfo_t info;

        (void)waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG);
        for (size_t i = 0; i < PLACES; i++)
                if (l->places[i].pid == child->pid) /* it was gone before its first act */
                        empty_place(l, i);
}

void launcher_kill(const Launched *child)
{
        (void)syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

/* What does not die at once (it hangs in a filesystem of its own, or has no processor time) must not keep
 * us. */
void launcher_end(Launcher *l, Launched *child)
{
        struct pollfd end = { .fd = child->pidfd, .events = POLLIN };

        if (child->pidfd < 0)
                return;
        launcher_kill(child);
        (void)poll(&end, 1, REAP_PATIENCE_MSEC);
        launcher_reap(l, child);
        child->pidfd = close_fd(child->pidfd);
        child->control = close_fd(child->control);
}

static int find_place(const Launcher *l, uid_t owner)
{
        int place = -EAGAIN;
        size_t n = 0;

        for (size_t i = 0; i < PLACES; i++)
                if (!l->places[i].pid)
                        place = (int)i;
                else
                        n += l->places[i].owner == owner;
        return n < PLACES_PER_USER ? place : -EAGAIN;
}

bool launcher_has_place(Launcher *l, uid_t owner)
{
        launcher_sweep(l);
        return find_place(l, owner) >= 0;
}

bool launcher_has_userns(const Launcher *l)
{
        return l->obstacle == USERNS_NO_OBSTACLE;
}

/* Which place it is. */
static int prepare_child(Launcher *l, Launch *launch, int control)
{
        int place;

        launcher_sweep(l);
        place = find_place(l, launch->owner);
        if (place < 0)
                return place;
        if (dup3(control, l->places[place].fd, O_CLOEXEC) < 0)
                return -errno;
        l->has_own_table[place] = 0;
        launch->child.control_fd = l->places[place].fd;
        launch->child.init_fd = l->init_fd;
        launch->child.last_fd = MAX(l->places[place].fd, l->init_fd);
        launch->child.has_own_table = &l->has_own_table[place];
        launch->child.processors = l->processors;
        launch->child.plain_root = !launch->can_idmap || !l->can_overlay;
        return place;
}

/* Into that place, its clone. */
static int clone_from(Launcher *l, size_t place, Launch *launch, Launched *ret)
{
        int r = clone_in_namespaces(l, launch, ret);

        if (r < 0)
                empty_place(l, place);
        else {
                l->places[place].pid = ret->pid;
                l->places[place].owner = launch->owner;
        }
        return r;
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
        r = prepare_child(l, launch, theirs);
        if (r >= 0)
                r = clone_from(l, (size_t)r, launch, &child);
        if (r < 0) {
                close_fd(child.control);
                return fail(f, STEP_CLONE, r);
        }
        r = guide_child(l, launch, &child, f);
        if (r < 0) {
                launcher_end(l, &child);
                return r;
        }
        *ret = child;
        return 0;
}

int launcher_write_oom_score_adj(const Launched *launched, int oom_score_adj)
{
        char text[OOM_SCORE_ADJ_SIZE];

        plan_oom_score_adj(oom_score_adj, text);
        return write_oom_score_adj(launched->pid, text);
}
