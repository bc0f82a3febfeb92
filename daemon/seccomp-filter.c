/* The profile as tables of names, and libseccomp to make programs of them. Knows which calls a session may
 * make and why the others not; whether the compiled program does what the tables say is for the tests to
 * find out, because a table can be right and its program wrong: a conditional refusal beside an
 * unconditional permission of the same call is lost without a word. So a call is in one table only, and by
 * argument only what is permitted is listed. */
#include "seccomp-filter.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMESPACE_FLAGS                                                                                     \
        (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |       \
         CLONE_NEWNET)

/* What ordinary programs need, whatever its arguments. Left out without a word (ENOSYS) are above all
 * clone3, whose flags a filter cannot see, and what is newer than the profile: libraries fall back to what
 * was there before. */
static const char *const permitted[] = {
        /* files and directories */
        "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup",
        "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat",
        "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr",
        "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents",
        "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
        "ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
        "lsetxattr", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pipe", "pipe2",
        "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
        "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile",
        "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range",
        "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "write",
        "writev",
        /* waiting for several things */
        "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
        "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select",
        "signalfd", "signalfd4",
        /* processes, threads and who they are */
        "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
        "futex_waitv", "get_robust_list", "get_thread_area", "getegid", "geteuid", "getgid", "getgroups",
        "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit",
        "getrusage", "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set", "kill", "membarrier", "pause",
        "pidfd_open", "pidfd_send_signal", "prctl", "restart_syscall", "rseq", "rt_sigaction",
        "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
        "rt_sigtimedwait", "rt_tgsigqueueinfo", "set_robust_list", "set_thread_area", "set_tid_address",
        "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid", "setpriority", "setregid", "setresgid",
        "setresuid", "setreuid", "setrlimit", "setsid", "setuid", "sigaltstack", "tgkill", "tkill", "vfork",
        "wait4", "waitid",
        /* scheduling */
        "getcpu", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
        "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity",
        "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
        /* memory */
        "brk", "madvise", "memfd_create", "mincore", "mlock", "mlock2", "mmap", "mprotect", "mremap",
        "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
        /* talking to one another; socket and socketpair are below */
        "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl",
        "msgget", "msgrcv", "msgsnd", "recvfrom", "recvmmsg", "recvmsg", "semctl", "semget", "semop",
        "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl", "shmdt", "shmget",
        "shutdown",
        /* time; setting it needs a capability that no session has */
        "adjtimex", "alarm", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep",
        "getitimer", "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
        "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime",
        "timerfd_settime", "times",
        /* the machine, and giving up more rights */
        "getrandom", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
        "sysinfo", "uname"
};

/* EPERM, which says more than ENOSYS to the programs that know these calls. */
static const char *const refused[] = {
        /* the kernel's keyrings, tracing, and other processes' insides */
        "add_key", "keyctl", "request_key", "bpf", "perf_event_open", "ptrace", "process_vm_readv",
        "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "userfaultfd", "lookup_dcookie",
        /* large and young interfaces, and old ones that nobody uses */
        "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "io_submit", "io_destroy",
        "io_getevents", "io_cancel", "io_pgetevents", "memfd_secret", "vmsplice", "remap_file_pages",
        "nfsservctl", "uselib", "ustat", "sysfs", "modify_ldt",
        /* mounts, roots and namespaces */
        "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount",
        "open_tree", "mount_setattr", "setns", "unshare", "open_by_handle_at", "name_to_handle_at",
        "fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd",
        /* the machine as a whole */
        "syslog", "acct", "reboot", "swapon", "swapoff", "kexec_load", "kexec_file_load", "init_module",
        "finit_module", "delete_module", "iopl", "ioperm", "settimeofday", "clock_settime", "vhangup",
        "sethostname", "setdomainname",
        /* memory placement and pinning beyond one's own limits */
        "mbind", "set_mempolicy", "set_mempolicy_home_node", "get_mempolicy", "migrate_pages", "move_pages",
        "mlockall"
};

typedef struct ArgumentRule {
        const char *name;
        uint32_t action;
        struct scmp_arg_cmp compare[2]; /* both must hold; the second may be absent */
} ArgumentRule;

#define PERMIT                      SCMP_ACT_ALLOW
#define REFUSE                      SCMP_ACT_ERRNO(EPERM)
#define IS(argument, value)         SCMP_CMP64(argument, SCMP_CMP_EQ, value, 0)
#define BITS(argument, mask, value) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value)

/* What is permitted or refused by its arguments; of these calls, everything else is ENOSYS. Values are
 * compared in all their 64 bits, also where the kernel looks at 32: what it would truncate to a permitted
 * value is not one. */
static const ArgumentRule call_rules[] = {
        {"socket",       PERMIT, { IS(0, AF_UNIX) }              },
        { "socket",      PERMIT, { IS(0, AF_INET) }              },
        { "socket",      PERMIT, { IS(0, AF_INET6) }             },
        { "socket",      PERMIT, { IS(0, AF_NETLINK), IS(2, 0) } },
        { "socketpair",  PERMIT, { IS(0, AF_UNIX) }              },
        { "clone",       PERMIT, { BITS(0, NAMESPACE_FLAGS, 0) } },
        { "prlimit64",   PERMIT, { IS(0, 0) }                    }, /* of others, also init's, never */
        { "personality", PERMIT, { IS(0, PER_LINUX) }            },
        { "personality", PERMIT, { IS(0, PER_LINUX32) }          },
        { "personality", PERMIT, { IS(0, UNAME26) }              },
        { "personality", PERMIT, { IS(0, UNAME26 | PER_LINUX32) }},
        { "personality", PERMIT, { IS(0, UINT32_MAX) }           }, /* asks which it is */
        { "mknod",       PERMIT, { BITS(1, S_IFMT, 0) }          },
        { "mknod",       PERMIT, { BITS(1, S_IFMT, S_IFREG) }    },
        { "mknod",       PERMIT, { BITS(1, S_IFMT, S_IFIFO) }    },
        { "mknod",       PERMIT, { BITS(1, S_IFMT, S_IFSOCK) }   },
        { "mknod",       REFUSE, { BITS(1, S_IFMT, S_IFBLK) }    },
        { "mknod",       REFUSE, { BITS(1, S_IFMT, S_IFCHR) }    },
        { "mknodat",     PERMIT, { BITS(2, S_IFMT, 0) }          },
        { "mknodat",     PERMIT, { BITS(2, S_IFMT, S_IFREG) }    },
        { "mknodat",     PERMIT, { BITS(2, S_IFMT, S_IFIFO) }    },
        { "mknodat",     PERMIT, { BITS(2, S_IFMT, S_IFSOCK) }   },
        { "mknodat",     REFUSE, { BITS(2, S_IFMT, S_IFBLK) }    },
        { "mknodat",     REFUSE, { BITS(2, S_IFMT, S_IFCHR) }    },
};

/* Typing for another, on the console or anywhere; the kernel looks at 32 bits here (CVE-2019-10063). */
static const ArgumentRule terminal_rules[] = {
        {"ioctl",  REFUSE, { BITS(1, UINT32_MAX, TIOCSTI) }  },
        { "ioctl", REFUSE, { BITS(1, UINT32_MAX, TIOCLINUX) }},
        { "ioctl", REFUSE, { BITS(1, UINT32_MAX, TIOCSETD) } },
        { "ioctl", REFUSE, { BITS(1, UINT32_MAX, TIOCCONS) } },
};

static void filter_releasep(scmp_filter_ctx *f)
{
        seccomp_release(*f); /* takes NULL */
}

/* The number of a call, or negative: this architecture, or this libseccomp, has none of that name. */
static int call_number(const char *name)
{
        return seccomp_syscall_resolve_name(name);
}

static int add_names(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t n)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                int number = call_number(names[i]);

                if (number >= 0)
                        r = seccomp_rule_add_array(f, action, number, 0, NULL);
        }
        return r;
}

static int add_rules(scmp_filter_ctx f, const ArgumentRule *rules, size_t n)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                int number = call_number(rules[i].name);
                unsigned n_compare = rules[i].compare[1].op ? 2 : 1;

                if (number >= 0)
                        r = seccomp_rule_add_array(f, rules[i].action, number, n_compare, rules[i].compare);
        }
        return r;
}

static int add_profile(scmp_filter_ctx f)
{
        int r = add_names(f, PERMIT, permitted, ELEMENTSOF(permitted));

        if (r >= 0)
                r = add_names(f, REFUSE, refused, ELEMENTSOF(refused));
        if (r >= 0)
                r = add_rules(f, call_rules, ELEMENTSOF(call_rules));
        return r;
}

static int add_terminal(scmp_filter_ctx f)
{
        return add_rules(f, terminal_rules, ELEMENTSOF(terminal_rules));
}

/* libseccomp 2.5 exports into a file only. */
static int export_program(scmp_filter_ctx f, struct sock_filter **ret, size_t *ret_count)
{
        _cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
        _cleanup_free_ struct sock_filter *program = NULL;
        struct stat st;
        int r;

        if (fd < 0)
                return -errno;
        r = seccomp_export_bpf(f, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        program = malloc((size_t)st.st_size);
        if (!program)
                return -ENOMEM;
        if (pread(fd, program, (size_t)st.st_size, 0) != st.st_size)
                return -EIO;
        *ret = TAKE_PTR(program);
        *ret_count = (size_t)st.st_size / sizeof **ret;
        return 0;
}

static int compile(uint32_t by_default, int (*add)(scmp_filter_ctx f), struct sock_filter **ret,
                   size_t *ret_count)
{
        _cleanup_(filter_releasep) scmp_filter_ctx f = seccomp_init(by_default);
        int r;

        if (!f)
                return -ENOMEM;
        r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r >= 0) /* a binary tree: as many calls, but 10 comparisons for one of them instead of 300 */
                r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r >= 0)
                r = add(f);
        return r < 0 ? r : export_program(f, ret, ret_count);
}

/* What the first permits, the second decides: as if one was installed on top of the other, but the kernel
 * has only one to check, to compile and to run. Takes neither. */
static int chain(const struct sock_filter *first, size_t n_first, const struct sock_filter *second,
                 size_t n_second, struct sock_filter **ret)
{
        struct sock_filter *program = calloc(n_first + n_second, sizeof(*program));

        if (!program)
                return -ENOMEM;
        for (size_t i = 0; i < n_first; i++)
                if (first[i].code == (BPF_RET | BPF_K) && first[i].k == SECCOMP_RET_ALLOW)
                        program[i] =
                                (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(n_first - i - 1));
                else
                        program[i] = first[i];
        memcpy(program + n_first, second, n_second * sizeof(*program));
        *ret = program;
        return 0;
}

int seccomp_compile(struct sock_filter **ret, size_t *ret_count)
{
        _cleanup_free_ struct sock_filter *terminal = NULL, *calls = NULL;
        size_t n_terminal = 0, n_calls = 0;
        int r = compile(SCMP_ACT_ALLOW, add_terminal, &terminal, &n_terminal);

        if (r >= 0)
                r = compile(SCMP_ACT_ERRNO(ENOSYS), add_profile, &calls, &n_calls);
        if (r >= 0)
                r = chain(terminal, n_terminal, calls, n_calls, ret);
        if (r >= 0)
                *ret_count = n_terminal + n_calls;
        return r;
}
