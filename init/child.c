/* See child.h. After the clone: no allocation, no lock, no log, no name that a client chose; paths are
 * relative to the stage or to the root in the making. Which symbols this file may use is checked by a test.
 * Every step returns 0 or a negative errno and leaves in c->index which item of its list it was at. */
#include "child.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "number.h"

typedef struct Child {
        const ChildPlan *plan;
        uint32_t index;
        int lower; /* the cached root, mounted for this session's ids; attached by do_lower */
        int group; /* cgroup.procs of the cgroup it is to be in, or negative: it is there already */
} Child;

#define COMMON_FLAGS   (MS_NOSUID | MS_NODEV)
#define STRICT_FLAGS   (MS_NOSUID | MS_NODEV | MS_NOEXEC)
/* From the root in the making (stage/base/root) back to what the daemon prepared, and to the session's
 * storage. */
#define STAGE          "../../"
#define STORAGE        "../"
#define MASK_FILE      STAGE "mask-file"
#define MASK_DIRECTORY STAGE "mask-directory"

static int attach(int tree, const char *to)
{
        int r = result_of(syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));

        close(tree);
        return r;
}

/* Binds `from` onto `to`, as it is mounted, where both are what we made ourselves or the kernel's own: by
 * mount(2), which needs no mount namespace for the copy. */
static int bind_plain(const char *from, const char *to)
{
        return result_of(mount(from, to, NULL, MS_BIND, NULL));
}

/* The same where `to` is the root's: no link of that is followed. */
static int bind_mount(const char *from, const char *to)
{
        int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from,
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

        return tree < 0 ? -errno : attach(tree, to);
}

static int write_file(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) < 0)
                r = -errno;
        close(fd);
        return r;
}

static int do_wait(Child *c)
{
        _Alignas(OrderHeader) char buffer[sizeof(OrderGo)];
        OrderMessage m;
        int r = order_receive(INIT_CONTROL_FD, 0, buffer, sizeof(buffer), &m);

        if (r < 0)
                return r;
        if (r == 0) /* the daemon is gone, and nobody is there to be told */
                _exit(EXIT_FAILURE);
        if (m.header->type != ORDER_GO || m.n_fds < 1 || m.n_fds > 2)
                return -EPROTO;
        c->lower = m.fds[0];
        if (m.n_fds == 2)
                c->group = m.fds[1];
        return 0;
}

/* Not by the clone: that would make the daemon's cgroup the namespace's root, and the session's path below
 * it visible. */
static int do_cgroup(Child *c)
{
        if (c->group >= 0) { /* the kernel asks for the rights of who opened it: the daemon's */
                if (write(c->group, "0", 1) < 0)
                        return -errno;
                close(c->group);
        }
        return result_of(unshare(CLONE_NEWCGROUP));
}

/* The plain system calls: the C library's would tell threads that are not here. */
static int do_ids(Child *c)
{
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
            syscall(SYS_setresuid, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

static int do_process(Child *c)
{
        sigset_t none;

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
                return -errno;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        umask(022);
        return 0;
}

static int do_private(Child *c)
{
        return result_of(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static int do_storage(Child *c)
{
        static const char *const directories[] = { "lower", "upper", "work", "root", "tmp", "run" };

        if (mount("nsroot", "base", "tmpfs", COMMON_FLAGS, c->plan->storage) < 0 || chdir("base") < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                if (mkdir(directories[i], 0755) < 0)
                        return -errno;
        return result_of(chmod("tmp", 01777));
}

static int do_lower(Child *c)
{
        return attach(c->lower, "lower");
}

/* Layers by relative names: their paths are in /proc/self/mounts. A read-only overlay wants two lower
 * layers. userxattr: trusted.* is not for user namespaces. */
static int do_overlay(Child *c)
{
        bool ro = c->plan->read_only;
        const char *options = ro ? "lowerdir=upper:lower,userxattr"
                                 : "lowerdir=lower,upperdir=upper,workdir=work,userxattr";

        if (c->plan->plain_root) /* a copy of the session's own already */
                return result_of(chdir("lower"));
        if (mount("nsroot", "root", "overlay", COMMON_FLAGS | (ro ? MS_RDONLY : 0), options) < 0)
                return -errno;
        return result_of(chdir("root"));
}

static int do_proc(Child *c)
{
        return result_of(mount("proc", "proc", "proc", STRICT_FLAGS, NULL));
}

static int do_sys(Child *c)
{
        return result_of(mount("sysfs", "sys", "sysfs", STRICT_FLAGS | MS_RDONLY, NULL));
}

static int do_dev(Child *c)
{
        static const char *const directories[] = { "dev/pts", "dev/shm", "dev/mqueue" };

        if (mount("dev", "dev", "tmpfs", STRICT_FLAGS, "mode=0755,size=64k,nr_inodes=64") < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                if (mkdir(directories[i], 0755) < 0)
                        return -errno;
        return 0;
}

/* The daemon prepared the nodes on its stage, read-only, nosuid and noexec; a copy keeps that. */
static int do_nodes(Child *c)
{
#define X(name) { STAGE "dev/" name, "dev/" name },
        static const char *const nodes[][2] = { PROFILE_NODES(X) };
#undef X
        for (c->index = 0; c->index < ELEMENTSOF(nodes); c->index++) {
                const char *to = nodes[c->index][1];
                int r = result_of(mknod(to, S_IFREG | 0666, 0));

                r = r < 0 ? r : bind_plain(nodes[c->index][0], to);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int do_links(Child *c)
{
#define X(name, target) { target, "dev/" name },
        static const char *const links[][2] = { PROFILE_LINKS(X) };
#undef X
        for (c->index = 0; c->index < ELEMENTSOF(links); c->index++)
                if (symlink(links[c->index][0], links[c->index][1]) < 0)
                        return -errno;
        return 0;
}

static int do_pts(Child *c)
{
        return result_of(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, c->plan->pts));
}

static int do_shm(Child *c)
{
        return result_of(mount("shm", "dev/shm", "tmpfs", STRICT_FLAGS, c->plan->shm));
}

static int do_mqueue(Child *c)
{
        return result_of(mount("mqueue", "dev/mqueue", "mqueue", STRICT_FLAGS, NULL));
}

/* From the session's one storage, so that one limit holds for all it writes. */
static int do_scratch(Child *c)
{
        static const char *const directories[][2] = {
                {STORAGE "tmp",  "tmp"},
                { STORAGE "run", "run"},
        };

        for (c->index = 0; c->index < ELEMENTSOF(directories); c->index++) {
                int r = bind_mount(directories[c->index][0], directories[c->index][1]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Covers a file or directory, if there is one, by the daemon's empty inode of its kind. That what there is
 * was covered is read back (check.c). */
static int mask(const char *with, const char *path)
{
        int r = bind_plain(with, path);

        return r == -ENOENT ? 0 : r;
}

static int do_masks(Child *c)
{
#define F(path) { MASK_FILE, path },
#define D(path) { MASK_DIRECTORY, path },
        static const char *const masks[][2] = { PROFILE_MASKED_FILES(F) PROFILE_MASKED_DIRECTORIES(D) };
#undef F
#undef D
        for (c->index = 0; c->index < ELEMENTSOF(masks); c->index++) {
                int r = mask(masks[c->index][0], masks[c->index][1] + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "sys/…/cpu12/thermal_throttle" for 12. */
static void cpu_mask_path(char *ret, unsigned cpu)
{
        stpcpy(put_number(stpcpy(ret, PROFILE_CPU_MASK_PREFIX + 1), cpu), PROFILE_CPU_MASK_SUFFIX);
}

static int do_cpu_masks(Child *c)
{
        char path[sizeof(PROFILE_CPU_MASK_PREFIX PROFILE_CPU_MASK_SUFFIX) + NUMBER_MAX];

        for (c->index = 0; c->index < c->plan->processors; c->index++) {
                cpu_mask_path(path, c->index);
                int r = mask(MASK_DIRECTORY, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* After the scratch directories: an open_tree(2) makes a mount namespace for what it clones, of which there
 * may be none after this. Without a user namespace these would be the host's: there, that there are none,
 * the filter and the want of any capability do as much. */
static int do_user_limits(Child *c)
{
#define X(name, value) { "proc/sys/user/" name, value },
        static const char *const limits[][2] = { PROFILE_USER_LIMITS(X) };
#undef X
        if (c->plan->only_id)
                return 0;
        for (c->index = 0; c->index < ELEMENTSOF(limits); c->index++) {
                int r = write_file(limits[c->index][0], limits[c->index][1]);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

/* And so by mount(2). */
static int make_read_only(const char *path)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

        if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
            syscall(SYS_mount_setattr, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &attr, sizeof(attr)) < 0)
                return -errno;
        return 0;
}

static int do_read_only(Child *c)
{
#define X(path) path,
        static const char *const paths[] = { PROFILE_READ_ONLY(X) };
#undef X
        for (c->index = 0; c->index < ELEMENTSOF(paths); c->index++) {
                int r = make_read_only(paths[c->index] + 1);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

/* pivot_root(2), NOTES: the old root ends up on top of the new one, so that no directory for it is ever
 * needed. */
static int do_pivot(Child *c)
{
        return result_of(syscall(SYS_pivot_root, ".", "."));
}

static int do_detach(Child *c)
{
        if (umount2(".", MNT_DETACH) < 0)
                return -errno;
        return result_of(chdir("/"));
}

/* What a session without a user namespace writes has to be its user's: root there is the host's, as we are
 * still, and so by names below the new root only. That one is the user's already (lower_copied). */
static int do_give(Child *c)
{
#define X(path) path,
        static const char *const directories[] = { PROFILE_GIVEN(X) };
#undef X
        uint32_t id = c->plan->only_id;

        if (!id)
                return 0;
        for (c->index = 0; c->index < ELEMENTSOF(directories); c->index++)
                if (lchown(directories[c->index], id, id) < 0)
                        return -errno;
        return 0;
}

static int do_loopback(Child *c)
{
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        r = result_of(ioctl(fd, SIOCSIFFLAGS, &request));
        close(fd);
        return r;
}

static int do_hostname(Child *c)
{
        return result_of(sethostname(c->plan->hostname, strlen(c->plan->hostname)));
}

/* Without a user namespace we are the host's root up to here, and nobody in particular from here on. The
 * bounding set comes first, for that takes a capability. */
static int do_forgo(Child *c)
{
        uint32_t id = c->plan->only_id;
        int r = id ? caps_drop_bounding(~UINT64_C(0)) : 0;

        if (r < 0 || !id)
                return r;
        if (prctl(PR_SET_SECUREBITS, PROFILE_SECUREBITS_USER, 0, 0, 0) < 0 ||
            syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, id, id, id) < 0 ||
            syscall(SYS_setresuid, id, id, id) < 0)
                return -errno;
        return caps_set(0);
}

static int do_init(Child *c)
{
        static char name[] = "nsroot-init";
        char *argv[] = { name, NULL }, *envp[] = { NULL };

        return result_of(syscall(SYS_execveat, INIT_PROGRAM_FD, "", argv, envp, AT_EMPTY_PATH));
}

/* Only the two descriptors that are needed, at their places; with 0 to 2 closed: those are the daemon's log.
 */
static int keep_descriptors(int control)
{
        if (dup2(control, INIT_CONTROL_FD) < 0 || fcntl(INIT_PROGRAM_FD, F_SETFD, FD_CLOEXEC) < 0 ||
            syscall(SYS_close_range, 0, INIT_CONTROL_FD - 1, 0) < 0 ||
            syscall(SYS_close_range, INIT_PROGRAM_FD + 1, ~0U, 0) < 0)
                return -errno;
        return 0;
}

static void report(Step step, uint32_t index, int r)
{
        EventFailed event = {
                .header = ORDER_INIT(EVENT_FAILED, 0), .step = step, .index = index, .error = (uint32_t)-r
        };

        (void)order_send(INIT_CONTROL_FD, &event, sizeof(event), NULL, 0, NULL, 0);
}

void child_run(const ChildPlan *plan, int control)
{
        static const struct {
                Step step;
                int (*run)(Child *c);
        } steps[] = {
#define X(id, function, words) { STEP_##id, do_##function },
                CHILD_STEPS(X)
#undef X
        };
        Child c = { .plan = plan, .lower = -EBADF, .group = -EBADF };

        if (keep_descriptors(control) < 0) /* no socket to say it on: the daemon sees the exit */
                _exit(EXIT_FAILURE);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                c.index = 0;
                int r = steps[i].run(&c);
                if (r < 0) {
                        report(steps[i].step, c.index, r);
                        break;
                }
        }
        _exit(EXIT_FAILURE);
}
