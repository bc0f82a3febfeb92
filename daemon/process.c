/* See process.h. */
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "cgroup-parse.h"

#define TEXT_MAX (16 * KIB)

int process_parse_fdinfo(const char *text, pid_t *ret)
{
        const char *line = strstr(text, "\nPid:");
        int pid;

        if (!line || sscanf(line, " Pid: %d", &pid) != 1)
                return -EBADMSG;
        if (pid <= 0)
                return pid < 0 ? -ESRCH : -EXDEV;
        *ret = pid;
        return 0;
}

int process_check_cgroup(const char *path)
{
        if (strlen(path) > PROCESS_CGROUP_MAX)
                return -ENAMETOOLONG;
        for (const char *c = path; *c; c++)
                if (*c < ' ' || *c > '~')
                        return -EILSEQ;
        return 0;
}

/* As cgroup_namespaces(7) has it. */
static bool is_outside(const char *path)
{
        return strncmp(path, "/../", 4) == 0 || streq(path, "/..");
}

static int pid_of(int pidfd, pid_t *ret)
{
        _cleanup_free_ char *text = NULL;
        char path[40];
        int r;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        r = read_file_at(AT_FDCWD, path, TEXT_MAX, &text, NULL);
        return r < 0 ? r : process_parse_fdinfo(text, ret);
}

/* Asked after the pid was used: as long as it lives, its pid is nobody else's. */
static bool has_ended(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) != 0;
}

int process_cgroup(int pidfd, char **ret)
{
        _cleanup_free_ char *text = NULL, *path = NULL;
        char file[32];
        pid_t pid;
        int r = pid_of(pidfd, &pid);

        if (r < 0)
                return r;
        snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
        r = read_file_at(AT_FDCWD, file, TEXT_MAX, &text, NULL);
        if (has_ended(pidfd))
                return -ESRCH;
        if (r >= 0)
                r = cgroup_parse_own(text, &path);
        if (r >= 0)
                r = is_outside(path) ? -EXDEV : process_check_cgroup(path);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(path);
        return 0;
}

int process_oom_score_adj(pid_t pid)
{
        _cleanup_free_ char *text = NULL;
        char path[40];

        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
        return read_file_at(AT_FDCWD, path, 16, &text, NULL) < 0 ? 0 : atoi(text);
}
