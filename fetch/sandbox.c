#include "sandbox.h"

#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS_SPACE_MAX GIB

/* Everything else is ENOSYS, so that libc falls back from what is newer than it needs (clone3) instead of
 * giving up. A name that this architecture does not have is left out. */
static const char *const allowed[] = {
        /* files, which the mount namespace already limits to read-only ones */
        "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fcntl",
        "fcntl64", "fstat", "fstat64", "fstatat64", "fstatfs", "ftruncate", "ftruncate64", "getcwd",
        "getdents64", "lseek", "_llseek", "lstat", "lstat64", "newfstatat", "open", "openat", "pread64",
        "pwrite64", "read", "readlink", "readlinkat", "readv", "stat", "stat64", "statfs", "statx", "write",
        "writev",
        /* waiting */
        "clock_nanosleep", "clock_nanosleep_time64", "epoll_create1", "epoll_ctl", "epoll_pwait",
        "epoll_wait", "eventfd2", "nanosleep", "_newselect", "pipe", "pipe2", "poll", "ppoll",
        "ppoll_time64", "pselect6", "pselect6_time64", "select",
        /* talking; not listening. Sockets are by family, below */
        "bind", "connect", "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmmsg",
        "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
        "socketpair",
        /* memory */
        "brk", "madvise", "mmap", "mmap2", "mprotect", "mremap", "munmap",
        /* threads and signals; new threads are below */
        "exit", "exit_group", "futex", "futex_time64", "getpid", "gettid", "restart_syscall", "rseq",
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield",
        "set_robust_list", "sigaltstack", "sigreturn", "tgkill",
        /* asking */
        "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "getegid", "geteuid",
        "getgid", "getrandom", "getrlimit", "gettimeofday", "getuid", "sysinfo", "time", "ugetrlimit",
        "uname"
};

/* Names may be asked of servers, of the local resolver's socket and of the kernel's routing tables. */
static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

static const unsigned long ioctls[] = { FIONBIO, FIONREAD };

static int allow(scmp_filter_ctx filter, const char *name, unsigned n, const struct scmp_arg_cmp *conditions)
{
        int number = seccomp_syscall_resolve_name(name);

        if (number < 0) /* none here, or one that libseccomp would only pretend to know */
                return 0;
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, n, conditions);
}

static int allow_conditionally(scmp_filter_ctx filter)
{
        struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
        int r;

        r = allow(filter, "clone", 1, &thread);
        for (size_t i = 0; i < ELEMENTSOF(families) && r >= 0; i++) {
                struct scmp_arg_cmp family = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]);

                r = allow(filter, "socket", 1, &family);
        }
        for (size_t i = 0; i < ELEMENTSOF(ioctls) && r >= 0; i++) {
                struct scmp_arg_cmp request = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, ioctls[i]);

                r = allow(filter, "ioctl", 1, &request);
        }
        return r;
}

static int forbid_calls(void)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        int r = 0;

        if (!filter)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(allowed) && r >= 0; i++)
                r = allow(filter, allowed[i], 0, NULL);
        if (r >= 0)
                r = allow_conditionally(filter);
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

static int limit_memory(void)
{
#ifdef __SANITIZE_ADDRESS__ /* which reserves terabytes */
        return 0;
#else
        struct rlimit limit = { ADDRESS_SPACE_MAX, ADDRESS_SPACE_MAX };

        return setrlimit(RLIMIT_AS, &limit) < 0 ? -errno : 0;
#endif
}

int sandbox_enter(void)
{
        int r;

        if (geteuid() == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
                return -EPERM;
        if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        r = limit_memory();
        return r < 0 ? r : forbid_calls();
}
