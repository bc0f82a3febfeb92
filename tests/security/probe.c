/* What a command in a session can do, tried from inside. The tests hand this program in through its stdin;
 * it is linked statically because a busybox root has no libraries. Prints what it found, one thing a line,
 * and judges nothing: that is for the tests. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

static const char *outcome(long r)
{
        return r >= 0 ? "ok" : strerrorname_np(errno);
}

/* Every system call named on the command line as a number, with arguments nobody can do anything with: "NR
 * ERRNO". */
static void try_calls(char **arguments)
{
        for (; *arguments; arguments++) {
                long r = syscall(atol(*arguments), -1L, -1L, -1L, -1L, -1L, -1L);

                printf("%s %s\n", *arguments, outcome(r));
        }
}

static void try_socket(long family, int type, long protocol)
{
        long fd = syscall(SYS_socket, family, type, protocol);

        printf("0x%lx:%ld %s\n", family, protocol, outcome(fd));
        if (fd >= 0)
                close((int)fd);
}

static void try_sockets(char **arguments)
{
        for (long family = 0; family < 64; family++) {
                try_socket(family, SOCK_DGRAM, 0);
                try_socket(family | 0x100000000, SOCK_DGRAM, 0);
        }
        for (long protocol = 1; protocol < 32; protocol++)
                try_socket(AF_NETLINK, SOCK_RAW, protocol);
        try_socket(0x100000026, SOCK_SEQPACKET, 0);
}

static void try_terminal(char **arguments)
{
        static const long requests[] = { TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS, TIOCGWINSZ };

        for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                for (long high = 0; high <= 0x100000000; high += 0x100000000)
                        printf("0x%lx %s\n", requests[i] | high,
                               outcome(syscall(SYS_ioctl, 0, requests[i] | high, "x")));
}

static void try_old_gate(char **arguments)
{
        long r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid */
        printf("came back with %ld\n", r);
}

static void try_x32(char **arguments)
{
        printf("came back with %ld\n", syscall(0x40000000 | SYS_getpid));
}

/* The calls that come to nothing only if the arguments are good: on real paths and processes. */
static void try_privileges(char **arguments)
{
        struct rlimit limit;

#define TRY(name, call) printf(name " %s\n", outcome(call))
        TRY("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
        TRY("umount", umount2("/proc", MNT_DETACH));
        TRY("remount", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
        TRY("chroot", chroot("/tmp"));
        TRY("unshare-user", unshare(CLONE_NEWUSER));
        TRY("unshare-mount", unshare(CLONE_NEWNS));
        TRY("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
        TRY("setns", setns(open("/proc/self/ns/net", O_RDONLY), 0));
        TRY("mknod-block", mknod("/tmp/b", S_IFBLK | 0600, 0x800));
        TRY("mknod-char", mknod("/tmp/c", S_IFCHR | 0600, 0x103));
        TRY("mknod-fifo", mknod("/tmp/p", S_IFIFO | 0600, 0));
        TRY("sethostname", sethostname("x", 1));
        TRY("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
        TRY("prlimit-init", syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &limit));
        TRY("prlimit-self", syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit));
        TRY("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0));
        TRY("swapon", syscall(SYS_swapon, "/tmp/x", 0));
        TRY("nice", setpriority(PRIO_PROCESS, 0, -5));
        TRY("raw-socket", socket(AF_INET, SOCK_RAW, 1));
#undef TRY
}

/* Raised limits and forbidden ids. */
static void try_raising(char **arguments)
{
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit l, raised;

                getrlimit(i, &l);
                raised = (struct rlimit){ l.rlim_cur, l.rlim_max + 1 };
                if (l.rlim_max != RLIM_INFINITY)
                        printf("%d %s\n", i, outcome(setrlimit(i, &raised)));
        }
}

/* Open descriptors, but for the one of the directory that is being read: "FD TARGET". */
static void list_descriptors(char **arguments)
{
        DIR *d = opendir("/proc/self/fd");

        for (struct dirent *e; (e = readdir(d));) {
                char target[PATH_MAX];
                ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);

                if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
                        printf("%s %.*s\n", e->d_name, (int)(n < 0 ? 0 : n), target);
        }
        closedir(d);
}

/* What of a process can be read, followed or opened: "NAME HOW OUTCOME". */
static void try_process(char **arguments)
{
        DIR *d;

        if (chdir(*arguments) < 0 || !(d = opendir(".")))
                exit(1);
        for (struct dirent *e; (e = readdir(d));) {
                char buffer[64];
                int fd;

                if (e->d_name[0] == '.')
                        continue;
                printf("%s link %s\n", e->d_name, outcome(readlink(e->d_name, buffer, sizeof buffer)));
                fd = open(e->d_name, O_RDONLY | O_NONBLOCK);
                printf("%s read %s\n", e->d_name, outcome(fd < 0 ? -1 : read(fd, buffer, sizeof buffer)));
                close(fd);
                fd = open(e->d_name, O_WRONLY | O_NONBLOCK);
                printf("%s write %s\n", e->d_name, outcome(fd));
                close(fd);
        }
        closedir(d);
}

/* Writes "1" to every file of a process that opens for that: "NAME OUTCOME". */
static void poke_process(char **arguments)
{
        DIR *d;

        if (chdir(*arguments) < 0 || !(d = opendir(".")))
                exit(1);
        for (struct dirent *e; (e = readdir(d));) {
                int fd = openat(dirfd(d), e->d_name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);

                if (fd >= 0)
                        printf("%s %s\n", e->d_name, outcome(write(fd, "1", 1)));
                close(fd);
        }
        closedir(d);
}

/* Opened only, never written to. */
static int try_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        int fd;

        if (type == FTW_SL || type == FTW_SLN || S_ISDIR(st->st_mode))
                return 0;
        fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
        if (fd < 0)
                return 0;
        puts(path);
        close(fd);
        return 0;
}

/* The files below the directories named that can be opened for writing. */
static void list_writable(char **arguments)
{
        for (; *arguments; arguments++)
                nftw(*arguments, try_file, 64, FTW_PHYS);
}

/* As list_writable, but gives files new modes, times and owners: which let us. */
static int change_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        if (type == FTW_SL || type == FTW_SLN)
                return 0;
        if (chmod(path, st->st_mode & 07777) == 0)
                printf("%s mode\n", path);
        if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0)
                printf("%s times\n", path);
        if (chown(path, 0, 0) == 0)
                printf("%s owner\n", path);
        return 0;
}

static void list_changeable(char **arguments)
{
        for (; *arguments; arguments++)
                nftw(*arguments, change_file, 64, FTW_PHYS);
}

/* Stops everything else in the session again and again, for so many milliseconds; says so, and stays. */
static void stop_others(char **arguments)
{
        struct timespec begin, now;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        do {
                kill(-1, SIGSTOP);
                clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
                 atol(*arguments));
        puts("over");
        fflush(stdout);
        pause();
}

/* SIGTERM for PID 1 whose sender says himself who he is: "CODE OUTCOME". */
static void queue_signals(char **arguments)
{
        siginfo_t info = { .si_signo = SIGTERM };

        for (info.si_code = SI_QUEUE; info.si_code <= SI_USER; info.si_code++)
                printf("%d %s\n", info.si_code, outcome(syscall(SYS_rt_sigqueueinfo, 1, SIGTERM, &info)));
        usleep(200000);
        puts("here");
}

/* SIGTERM for PID 1 from a pipe, which is nobody. */
static void own_signals(char **arguments)
{
        int ends[2];

        if (pipe(ends) < 0 || fcntl(ends[0], F_SETOWN, 1) < 0 || fcntl(ends[0], F_SETSIG, SIGTERM) < 0 ||
            fcntl(ends[0], F_SETFL, O_ASYNC) < 0 || write(ends[1], "x", 1) != 1)
                exit(1);
        usleep(200000);
        puts("here");
}

static const struct {
        const char *name;
        void (*run)(char **arguments);
} probes[] = {
        {"calls",        try_calls       },
        { "sockets",     try_sockets     },
        { "terminal",    try_terminal    },
        { "old-gate",    try_old_gate    },
        { "x32",         try_x32         },
        { "privileges",  try_privileges  },
        { "raising",     try_raising     },
        { "descriptors", list_descriptors},
        { "process",     try_process     },
        { "poke",        poke_process    },
        { "writable",    list_writable   },
        { "changeable",  list_changeable },
        { "stop-others", stop_others     },
        { "queue",       queue_signals   },
        { "own",         own_signals     },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < ELEMENTSOF(probes); i++)
                if (strcmp(argv[1], probes[i].name) == 0) {
                        probes[i].run(argv + 2);
                        return EXIT_SUCCESS;
                }
        return EXIT_FAILURE;
}
