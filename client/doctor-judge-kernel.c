/* What the kernel and the filesystems have of what a session is made of. */
#include "doctor-judge.h"
#include "protocol.h"
#include "value.h"

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1 /* of the oldest that is supported */

#define COPIED       "the root is copied to memory for each session: some milliseconds and 2 MiB more"
#define ONE_USER                                                                                            \
        "a session has one uid and no capabilities (no root, no other users, no ports below 1024), and "    \
        "its root "                                                                                         \
        "is copied to memory"

static bool kernel_is_at_least(const Machine *m, unsigned major, unsigned minor)
{
        return m->major > major || (m->major == major && m->minor >= minor);
}

void judge_kernel(const Evidence *e, Finding *f)
{
        const Machine *m = &e->machine;

        if (!m->release || m->major == 0)
                return;
        if (kernel_is_at_least(m, KERNEL_MAJOR, KERNEL_MINOR))
                found_ok(f, "Linux %s (%d.%d is needed)", m->release, KERNEL_MAJOR, KERNEL_MINOR);
        else
                found_missing(f, "boot a newer kernel", "Linux %s: nsrootd needs %d.%d", m->release,
                              KERNEL_MAJOR, KERNEL_MINOR);
}

void judge_tmpfs_attributes(const Evidence *e, Finding *f)
{
        if (e->machine.tmpfs_attributes > 0)
                found_ok(f, "a tmpfs keeps what an overlay has to remember (since Linux 6.6)");
        else if (e->machine.tmpfs_attributes == 0)
                found_degraded(
                        f, "boot Linux 6.6 or newer",
                        "a tmpfs does not keep what an overlay has to remember (Linux 6.6 does): " COPIED);
}

void judge_memfd_exec(const Evidence *e, Finding *f)
{
        if (e->machine.memfd_noexec >= 2)
                found_missing(
                        f, "set it to 1 ('sysctl vm.memfd_noexec=1', and in /etc/sysctl.d)",
                        "vm.memfd_noexec is %ld: nsrootd cannot execute its sealed copy of nsroot-init",
                        (long)e->machine.memfd_noexec);
        else if (e->machine.memfd_noexec >= 0)
                found_ok(f, "programs can be executed from sealed memory (vm.memfd_noexec is %ld)",
                         (long)e->machine.memfd_noexec);
        else
                found_ok(f, "nothing forbids to execute programs from sealed memory (vm.memfd_noexec came "
                            "with 6.3)");
}

void judge_seccomp(const Evidence *e, Finding *f)
{
        if (e->machine.seccomp)
                found_ok(f, "the kernel takes seccomp filters");
        else
                found_missing(
                        f, "boot a kernel with CONFIG_SECCOMP_FILTER",
                        "the kernel does not take seccomp filters, without which no command is started");
}

void judge_namespaces(const Evidence *e, Finding *f)
{
        const char *kind = e->machine.missing_namespace;
        char advice[128];

        if (!kind) {
                found_ok(f, "the kernel has all other kinds that a session is made of");
                return;
        }
        snprintf(advice, sizeof(advice),
                 "boot a kernel that has them, or raise user.max_%s_namespaces with sysctl", kind);
        found_missing(f, advice, "no %s namespace can be made: there can be no sessions", kind);
}

/* By their names in Describe; the last also stands for those that a later nsrootd knows. */
static const struct {
        const char *name, *words, *advice;
} obstacles[] = {
        {"sysctl",     "switched off by user.max_user_namespaces=0",
         "'sysctl user.max_user_namespaces=15000', and the same in a file of /etc/sysctl.d"             },
        { "kernel",    "the kernel has none",                        "boot a kernel with CONFIG_USER_NS"},
        { "forbidden", "nsrootd may not make them",
         "find what forbids it: a security module, a container, or a drop-in of nsrootd.service"        },
};

/* What nsrootd met, or where it was not asked, would meet; NULL: nothing. What only concerns ordinary users
 * (kernel.unprivileged_userns_clone, AppArmor's restriction) does not concern nsrootd, which is root. */
static const char *find_obstacle(const Evidence *e)
{
        int has = evidence_flag(e, "userNamespaces");

        if (has >= 0)
                return has ? NULL : value_text(evidence_host(e), "userNamespacesObstacle") ?: "";
        if (!e->machine.user_namespaces)
                return "kernel";
        return e->machine.max_user_namespaces == 0 ? "sysctl" : NULL;
}

void judge_user_namespaces(const Evidence *e, Finding *f)
{
        const char *obstacle = find_obstacle(e);
        size_t i = 0;

        if (!obstacle && evidence_flag(e, "userNamespaces") > 0)
                found_ok(f, "nsrootd may make them");
        else if (!obstacle && e->machine.max_user_namespaces > 0)
                found_ok(f, "user.max_user_namespaces allows %ld", (long)e->machine.max_user_namespaces);
        if (!obstacle)
                return;
        while (i < ELEMENTSOF(obstacles) - 1 && !streq(obstacles[i].name, obstacle))
                i++;
        found_degraded(f, obstacles[i].advice, "%s: " ONE_USER, obstacles[i].words);
}

void judge_overlay(const Evidence *e, Finding *f)
{
        static const char advice[] = "'modprobe overlay', or boot a kernel that has it";
        int has = evidence_flag(e, "overlay");

        if (has > 0 || (has < 0 && e->machine.overlay == OVERLAY_THERE))
                found_ok(f, "the kernel has it");
        else if (has < 0 && e->machine.overlay == OVERLAY_MODULE)
                found_ok(f, "there is a module, which is loaded when it is first used");
        else
                found_degraded(f, advice, "the kernel does not have it: " COPIED);
}

void judge_idmapped_mounts(const Evidence *e, Finding *f)
{
        static const char advice[] = "put the state directory (" STATE_DIR_DEFAULT
                                     ", or --state-dir) on ext4, xfs, btrfs, or a tmpfs since Linux 6.3";
        const char *filesystem = value_text(evidence_host(e), "stateFilesystem") ?: "filesystem";
        int can = evidence_flag(e, "idmappedMounts");

        if (can > 0)
                found_ok(f, "the state directory's %s can be mounted with other owners", filesystem);
        else if (can == 0)
                found_degraded(f, advice,
                               "the state directory's %s cannot be mounted with other owners: " COPIED,
                               filesystem);
}
