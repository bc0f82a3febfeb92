/* Reads back, from the kernel, what the calling process may do: the last thing before the exec. Any
 * difference from the profile of SECURITY.md is named and ends the command before it begins. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"
#include "spawn.h"

#define STATUS_MAX 8192
#define FILTERS    "Seccomp_filters"

/* The value of a line of /proc/self/status (proc(5)), without its leading blanks; NULL where there is none.
 */
static const char *status_get(const char *status, const char *key)
{
        size_t n = strlen(key);

        for (const char *line = status; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, n) == 0 && line[n] == ':')
                        return line + n + 1 + strspn(line + n + 1, "\t ");
        }
        return NULL;
}

static bool status_is(const char *status, const char *key, uint64_t expected, int base)
{
        const char *value = status_get(status, key);
        char *end;

        return value && strtoull(value, &end, base) == expected && end != value && *end == '\n';
}

/* "Uid: real effective saved filesystem". */
static bool all_four(const char *status, const char *key, uint64_t id)
{
        char *value = (char *)status_get(status, key);

        for (int i = 0; i < 4; i++) {
                if (!value || strtoull(value, &value, 10) != id)
                        return false;
        }
        return *value == '\n';
}

static bool no_groups(const char *status)
{
        const char *value = status_get(status, "Groups");

        return value && *value == '\n';
}

static int read_status(char *buffer)
{
        _cleanup_close_ int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, buffer, STATUS_MAX);

        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        return 0;
}

/* 0, 1, 2, the pipe to init (closed by the exec), and the directory that is being read. */
static bool only_stdio_is_open(void)
{
        _cleanup_close_ int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _Alignas(struct dirent64) char buffer[1024];
        long n;

        if (dir < 0)
                return false;
        while ((n = syscall(SYS_getdents64, dir, buffer, sizeof(buffer))) > 0) {
                for (long at = 0; at < n;) {
                        struct dirent64 *d = (struct dirent64 *)(buffer + at);
                        uint64_t fd;

                        at += d->d_reclen;
                        if (d->d_name[0] == '.')
                                continue;
                        if (parse_u64(d->d_name, INT32_MAX, &fd) < 0 ||
                            (fd > SPAWN_STATUS_FD && (int)fd != dir))
                                return false;
                }
        }
        return n == 0 && (fcntl(SPAWN_STATUS_FD, F_GETFD) & FD_CLOEXEC);
}

static bool limits_hold(const Job *job)
{
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit l;

                if (getrlimit(i, &l) < 0 || l.rlim_cur != job->order.limits[i].soft ||
                    l.rlim_max != job->order.limits[i].hard)
                        return false;
        }
        return true;
}

/* Who a process is, and what it may do as that. */
typedef struct Identity {
        uint32_t uid, gid;
        uint64_t caps, bounding;
} Identity;

/* From one check up to another. */
static bool all_hold(const bool *holds, Check first, Check end, Failure *f)
{
        for (Check i = first; i < end; i++)
                if (!holds[i])
                        return fail(f, STEP_CHECK, i, EPERM);
        return true;
}

static bool is_identity(const char *status, const Identity *who, Failure *f)
{
        const bool holds[] = {
                [CHECK_UIDS] = all_four(status, "Uid", who->uid),
                [CHECK_GIDS] = all_four(status, "Gid", who->gid),
                [CHECK_GROUPS] = no_groups(status),
                [CHECK_CAP_INHERITABLE] = status_is(status, "CapInh", 0, 16),
                [CHECK_CAP_PERMITTED] = status_is(status, "CapPrm", who->caps, 16),
                [CHECK_CAP_EFFECTIVE] = status_is(status, "CapEff", who->caps, 16),
                [CHECK_CAP_BOUNDING] = status_is(status, "CapBnd", who->bounding, 16),
                [CHECK_CAP_AMBIENT] = status_is(status, "CapAmb", 0, 16),
                [CHECK_NO_NEW_PRIVS] = status_is(status, "NoNewPrivs", 1, 10),
        };

        return all_hold(holds, CHECK_UIDS, ELEMENTSOF(holds), f);
}

bool profile_check_init(Init *init, Failure *f)
{
        const Identity root = { .caps = PROFILE_INIT_CAPS, .bounding = PROFILE_CAPS };
        const Identity only = { .uid = init->only_id, .gid = init->only_id };
        char s[STATUS_MAX + 1];
        int r = read_status(s);
        const char *filters = r < 0 ? NULL : status_get(s, FILTERS);

        if (!filters)
                return fail(f, STEP_CHECK, CHECK_SECCOMP_FILTERS, r < 0 ? r : EOPNOTSUPP);
        init->inherited_filters = strtoull(filters, NULL, 10);
        return is_identity(s, init->only_id ? &only : &root, f);
}

bool profile_check(const Init *init, const Job *job, Failure *f)
{
        bool root = job->user.uid == 0;
        uint64_t caps = root ? PROFILE_CAPS : 0;
        const Identity user = { job->user.uid, job->user.gid, caps, caps };
        char s[STATUS_MAX + 1];
        int r = read_status(s);

        if (r < 0)
                return fail(f, STEP_CHECK, CHECK_UIDS, r);
        const bool holds[CHECKS_COUNT] = {
                [CHECK_SECCOMP_MODE] = status_is(s, "Seccomp", 2, 10),
                [CHECK_SECCOMP_FILTERS] =
                        status_is(s, FILTERS, init->inherited_filters + PROFILE_SECCOMP_FILTERS, 10),
                [CHECK_SECUREBITS] = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) ==
                                     (root ? PROFILE_SECUREBITS_ROOT : PROFILE_SECUREBITS_USER),
                [CHECK_DESCRIPTORS] = only_stdio_is_open(),
                [CHECK_LIMITS] = limits_hold(job),
                [CHECK_UMASK] = status_is(s, "Umask", 022, 8),
        };
        return is_identity(s, &user, f) && all_hold(holds, CHECK_SECCOMP_MODE, CHECKS_COUNT, f);
}
