/* See family.h. By /proc/PID/task/TID/children (proc(5)), which may miss what begins or ends meanwhile. */
#include "family.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "number.h"

/* Of generations below each other, for each holds two descriptors while it is looked at. Those below become
 * the caller's children when those above are dead, and are seen the next time. */
#define DEPTH_MAX 16

#define PATH_SIZE 80

/* States of a process (proc(5)). */
#define GONE      'X'
#define STOPPED   'T'
#define ZOMBIE    'Z'

static int kill_threads_children(const char *task, const char *thread, unsigned depth);

static char *put_process(char *to, pid_t pid, const char *file)
{
        return stpcpy(put_number(stpcpy(to, "/proc/"), (uint64_t)pid), file);
}

/* "PID (NAME) STATE …", where the name may be anything. */
static char state_of(pid_t pid)
{
        char path[PATH_SIZE], stat[512];
        _cleanup_close_ int fd = -EBADF;
        const char *end;
        ssize_t n;

        put_process(path, pid, "/stat");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
        if (n < 0)
                return GONE;
        stat[n] = '\0';
        end = strrchr(stat, ')');
        return end && end[1] && end[2] ? end[2] : GONE;
}

static bool is_alive(pid_t pid)
{
        char state = state_of(pid);

        return state != GONE && state != ZOMBIE;
}

/* All threads of a process, for each has children of its own. What cannot be looked at now has none: it is
 * seen the next time. Only our own have to be seen. */
static int kill_children(pid_t pid, unsigned depth)
{
        char path[PATH_SIZE];
        _Alignas(struct dirent64) char buffer[1024];
        _cleanup_close_ int dir = -EBADF;
        int alive = 0;
        long n;

        put_process(path, pid, "/task/");
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return depth == 0 ? -errno : 0;
        while ((n = syscall(SYS_getdents64, dir, buffer, sizeof(buffer))) > 0)
                for (long at = 0; at < n;) {
                        struct dirent64 *d = (struct dirent64 *)(buffer + at);
                        int r = d->d_name[0] == '.' ? 0 : kill_threads_children(path, d->d_name, depth);

                        if (r < 0)
                                return r;
                        alive += r;
                        at += d->d_reclen;
                }
        return alive;
}

/* First the signal, so that no child comes after those that are seen. */
static int kill_process(pid_t pid, unsigned depth)
{
        int alive;

        if (pid <= 1)
                return 0;
        alive = is_alive(pid);
        (void)kill(pid, SIGKILL);
        return alive + (depth < DEPTH_MAX ? kill_children(pid, depth + 1) : 0);
}

/* "PID PID …": a number that ends with what was read goes on with what is read next. */
static int kill_listed(int fd, unsigned depth)
{
        char buffer[512];
        int alive = 0;
        pid_t pid = 0;
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        if (buffer[i] >= '0' && buffer[i] <= '9')
                                pid = pid * 10 + (buffer[i] - '0');
                        else
                                alive += kill_process(TAKE_GENERIC(pid, 0), depth);
        return alive;
}

static int kill_threads_children(const char *task, const char *thread, unsigned depth)
{
        char path[PATH_SIZE + 32];
        _cleanup_close_ int fd = -EBADF;

        if (strlen(thread) >= NUMBER_MAX)
                return 0;
        stpcpy(stpcpy(stpcpy(path, task), thread), "/children");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return depth == 0 ? -errno : 0;
        return kill_listed(fd, depth);
}

int family_kill(void)
{
        return kill_children(getpid(), 0);
}

/* 0 where there is none, which is also no process. */
static pid_t first_child(pid_t pid)
{
        char path[PATH_SIZE], number[NUMBER_MAX];
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        stpcpy(put_number(put_process(path, pid, "/task/"), (uint64_t)pid), "/children");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, number, sizeof(number) - 1);
        if (n <= 0)
                return 0;
        number[n] = '\0';
        return (pid_t)strtoull(number, NULL, 10);
}

bool family_kill_stopped(pid_t pid)
{
        pid_t child = first_child(pid);

        if (state_of(pid) != STOPPED && state_of(child) != STOPPED)
                return false;
        if (child > 1)
                (void)kill(child, SIGKILL);
        (void)kill(pid, SIGKILL);
        return true;
}
