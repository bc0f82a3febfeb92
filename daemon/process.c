/* See process.h. */
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cgroup-parse.h"

#define TEXT_MAX (16 * KIB)

int process_open_proc(int *ret)
{
        _cleanup_close_ int context = fsopen("proc", FSOPEN_CLOEXEC);
        int fd = -EBADF;

        if (context >= 0 && fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0) >= 0 &&
            fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) >= 0)
                fd = fsmount(context, FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (fd < 0)
                fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret = fd;
        return 0;
}

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

static int pid_of(int proc_fd, int pidfd, pid_t *ret)
{
        _cleanup_free_ char *text = NULL;
        char path[40];
        int r;

        snprintf(path, sizeof(path), "self/fdinfo/%d", pidfd);
        r = read_file_at(proc_fd, path, TEXT_MAX, &text, NULL);
        return r < 0 ? r : process_parse_fdinfo(text, ret);
}

/* Asked after the pid was used: as long as it lives, its pid is nobody else's. */
static bool has_ended(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) != 0;
}

int process_cgroup(int proc_fd, int pidfd, char **ret)
{
        _cleanup_free_ char *text = NULL, *path = NULL;
        char file[32];
        pid_t pid;
        int r = pid_of(proc_fd, pidfd, &pid);

        if (r < 0)
                return r;
        snprintf(file, sizeof(file), "%d/cgroup", pid);
        r = read_file_at(proc_fd, file, TEXT_MAX, &text, NULL);
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

int process_oom_score_adj(int proc_fd, pid_t pid)
{
        _cleanup_free_ char *text = NULL;
        char path[40];

        snprintf(path, sizeof(path), "%d/oom_score_adj", pid);
        return read_file_at(proc_fd, path, 16, &text, NULL) < 0 ? 0 : atoi(text);
}
