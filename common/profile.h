/* The profile of a session as data: what the child applies, what nsroot-init reads back from the kernel
 * before it lets a command run, and what SECURITY.md describes. One list each, so that applying and checking
 * cannot drift apart. Nothing here is code. */
#pragma once

#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdint.h>

#define CAP_BIT(c) (UINT64_C(1) << (c))

/* What uid 0 inside may do, in its own user namespace; any other uid has nothing. Where there are no user
 * namespaces a session has one uid, which is not 0: it, and nsroot-init, have nothing. */
#define PROFILE_CAPS                                                                                        \
        (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |       \
         CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_NET_BIND_SERVICE))

/* What nsroot-init keeps: enough to become any user of the session, and always more than a command has, so
 * that no command passes ptrace_may_access() on it. */
#define PROFILE_INIT_CAPS (PROFILE_CAPS | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_SYS_PTRACE))

/* Nothing about capabilities can be changed back. Root of the session keeps root's meaning of exec. */
#define PROFILE_SECUREBITS                                                                                  \
        (SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                   \
         SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)
#define PROFILE_SECUREBITS_ROOT PROFILE_SECUREBITS
#define PROFILE_SECUREBITS_USER (PROFILE_SECUREBITS | SECBIT_NOROOT)

#define PROFILE_SECCOMP_FILTERS 1

enum {
        PROFILE_RO = 1 << 0,
        PROFILE_NOSUID = 1 << 1,
        PROFILE_NODEV = 1 << 2,
        PROFILE_NOEXEC = 1 << 3,
};

/* X(path below the root, filesystem type, flags it must have at least). */
#define PROFILE_MOUNTS(X)                                                                                   \
        X("/", "overlay", PROFILE_NOSUID | PROFILE_NODEV)                                                   \
        X("/proc", "proc", PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)                                 \
        X("/sys", "sysfs", PROFILE_RO | PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)                    \
        X("/dev", "tmpfs", PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)                                 \
        X("/dev/pts", "devpts", PROFILE_NOSUID | PROFILE_NOEXEC)                                            \
        X("/dev/shm", "tmpfs", PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)                             \
        X("/dev/mqueue", "mqueue", PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)                         \
        X("/tmp", "tmpfs", PROFILE_NOSUID | PROFILE_NODEV)                                                  \
        X("/run", "tmpfs", PROFILE_NOSUID | PROFILE_NODEV)

/* Device nodes bound from the host, read-only: else a touch inside changes the host's. */
#define PROFILE_NODES(X) X("null") X("zero") X("full") X("random") X("urandom") X("tty")

/* X(link in /dev, target). */
#define PROFILE_LINKS(X)                                                                                    \
        X("fd", "/proc/self/fd")                                                                            \
        X("stdin", "/proc/self/fd/0")                                                                       \
        X("stdout", "/proc/self/fd/1")                                                                      \
        X("stderr", "/proc/self/fd/2")                                                                      \
        X("ptmx", "pts/ptmx")

/* Files and directories that show or change the host's state, covered by an empty inode of mode 000. Those
 * that this kernel does not have are passed over. */
#define PROFILE_MASKED_FILES(X)                                                                             \
        X("/proc/bootconfig")                                                                               \
        X("/proc/cmdline")                                                                                  \
        X("/proc/config.gz")                                                                                \
        X("/proc/interrupts")                                                                               \
        X("/proc/iomem")                                                                                    \
        X("/proc/ioports")                                                                                  \
        X("/proc/kallsyms")                                                                                 \
        X("/proc/kcore")                                                                                    \
        X("/proc/key-users")                                                                                \
        X("/proc/keys")                                                                                     \
        X("/proc/kmsg")                                                                                     \
        X("/proc/kpagecgroup")                                                                              \
        X("/proc/kpagecount")                                                                               \
        X("/proc/kpageflags")                                                                               \
        X("/proc/latency_stats")                                                                            \
        X("/proc/modules")                                                                                  \
        X("/proc/pagetypeinfo")                                                                             \
        X("/proc/sched_debug")                                                                              \
        X("/proc/slabinfo")                                                                                 \
        X("/proc/sysrq-trigger")                                                                            \
        X("/proc/timer_list")                                                                               \
        X("/proc/timer_stats")                                                                              \
        X("/proc/vmallocinfo")

#define PROFILE_MASKED_DIRECTORIES(X)                                                                       \
        X("/proc/acpi")                                                                                     \
        X("/proc/asound")                                                                                   \
        X("/proc/scsi")                                                                                     \
        X("/sys/firmware")                                                                                  \
        X("/sys/kernel/debug")                                                                              \
        X("/sys/kernel/security")                                                                           \
        X("/sys/kernel/tracing")                                                                            \
        X("/sys/class/powercap")                                                                            \
        X("/sys/devices/virtual/powercap")

#define PROFILE_MASKS(X)        PROFILE_MASKED_FILES(X) PROFILE_MASKED_DIRECTORIES(X)

/* One a processor, where there is one: masked too. The number stands between these. */
#define PROFILE_CPU_MASK_PREFIX "/sys/devices/system/cpu/cpu"
#define PROFILE_CPU_MASK_SUFFIX "/thermal_throttle"

#define PROFILE_READ_ONLY(X)    X("/proc/bus") X("/proc/fs") X("/proc/irq") X("/proc/sys")

/* Directories that are the session's one user's, where it has only one. */
#define PROFILE_GIVEN(X)        X("/dev") X("/dev/shm") X("/dev/mqueue") X("/tmp") X("/run")

/* X(file in /proc/sys/user, value): inside, no namespace can be made (the daemon's own user namespace is not
 * touched: these count by user namespace, namespaces(7)), and inotify is bounded. Not where the session has
 * none of its own: these would be the host's. */
#define PROFILE_USER_LIMITS(X)                                                                              \
        X("max_user_namespaces", "0")                                                                       \
        X("max_mnt_namespaces", "0")                                                                        \
        X("max_pid_namespaces", "0")                                                                        \
        X("max_ipc_namespaces", "0")                                                                        \
        X("max_uts_namespaces", "0")                                                                        \
        X("max_net_namespaces", "0")                                                                        \
        X("max_cgroup_namespaces", "0")                                                                     \
        X("max_time_namespaces", "0")                                                                       \
        X("max_inotify_instances", "128")

/* The kinds of namespace that must differ from the daemon's, by their file in /proc/self/ns; the first must
 * be the daemon's where a session has none of its own. */
#define PROFILE_NAMESPACES(X) X(user) X(mnt) X(pid) X(ipc) X(uts) X(cgroup) X(net)
