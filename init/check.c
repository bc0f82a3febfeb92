/* Reads a session's namespaces and mounts back from the kernel, once, before the first command: each must be
 * there, as strict as the profile says, and nothing else may be mounted. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"

#define MOUNTINFO_MAX (2 * MIB) /* some 200 bytes a mask, and one mask a processor: 8,192 of them */

static const struct {
        const char *path, *type;
        unsigned flags;
} mounts[] = {
#define X(path, type, flags) { path, type, flags },
        PROFILE_MOUNTS(X)
#undef X
};

#define PATH_OF(path, ...) path,
static const char *const masks[] = { PROFILE_MASKS(PATH_OF) };
static const char *const read_only[] = { PROFILE_READ_ONLY(PATH_OF) };
#define NODE_OF(name) "/dev/" name,
static const char *const nodes[] = { PROFILE_NODES(NODE_OF) };

/* One line of /proc/self/mountinfo (proc(5)). */
typedef struct Mount {
        const char *path, *type;
        unsigned flags;
} Mount;

static unsigned parse_flags(char *options)
{
        static const struct {
                const char *name;
                unsigned flag;
        } names[] = {
                {"ro",      PROFILE_RO    },
                { "nosuid", PROFILE_NOSUID},
                { "nodev",  PROFILE_NODEV },
                { "noexec", PROFILE_NOEXEC},
        };
        unsigned flags = 0;

        for (char *o; (o = strsep(&options, ","));)
                for (size_t i = 0; i < ELEMENTSOF(names); i++)
                        if (streq(o, names[i].name))
                                flags |= names[i].flag;
        return flags;
}

/* Fields 5 (mount point), 6 (options), and the type behind the " - ". */
static bool parse_line(char *line, Mount *ret)
{
        char *dash = strstr(line, " - "), *fields[6];
        size_t n = 0;

        if (!dash)
                return false;
        *dash = '\0';
        dash += 3;
        while (n < ELEMENTSOF(fields) && line)
                fields[n++] = strsep(&line, " ");
        if (n < ELEMENTSOF(fields))
                return false;
        *ret = (Mount){ .path = fields[4], .type = strsep(&dash, " "), .flags = parse_flags(fields[5]) };
        return true;
}

static bool in(const char *path, const char *const *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (streq(path, list[i]))
                        return true;
        return false;
}

static bool is_cpu_mask(const char *path)
{
        size_t prefix = strlen(PROFILE_CPU_MASK_PREFIX);

        if (strncmp(path, PROFILE_CPU_MASK_PREFIX, prefix) != 0)
                return false;
        path += prefix;
        path += strspn(path, "0123456789");
        return streq(path, PROFILE_CPU_MASK_SUFFIX);
}

/* The one mount whose kind depends on the host. */
static bool root_is_expected(const Mount *m, const OrderHello *hello)
{
        return streq(m->type, hello->plain_root ? "tmpfs" : "overlay");
}

/* What a mount at that path must have at least; false for one that should not be there. */
static bool expected(const Mount *m, const OrderHello *hello, unsigned *ret_flags, size_t *ret_index)
{
        for (size_t i = 0; i < ELEMENTSOF(mounts); i++) {
                if (!streq(m->path, mounts[i].path))
                        continue;
                *ret_index = i;
                *ret_flags = mounts[i].flags | (i == 0 && hello->read_only ? PROFILE_RO : 0);
                return i == 0 ? root_is_expected(m, hello) : streq(m->type, mounts[i].type);
        }
        *ret_index = ELEMENTSOF(mounts);
        *ret_flags = PROFILE_RO | PROFILE_NOSUID | PROFILE_NOEXEC;
        if (in(m->path, nodes, ELEMENTSOF(nodes)))
                return true;
        *ret_flags |= PROFILE_NODEV;
        return in(m->path, masks, ELEMENTSOF(masks)) || in(m->path, read_only, ELEMENTSOF(read_only)) ||
               is_cpu_mask(m->path);
}

static int read_mountinfo(char *buffer)
{
        _cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        size_t length = 0;
        ssize_t n;

        if (fd < 0)
                return -errno;
        while ((n = read(fd, buffer + length, MOUNTINFO_MAX - length)) > 0)
                length += (size_t)n;
        if (n < 0)
                return -errno;
        if (length == MOUNTINFO_MAX)
                return -E2BIG;
        buffer[length] = '\0';
        return 0;
}

/* That what exists is read-only: the mount in its place, whichever that is. */
static bool all_read_only(Failure *f)
{
        struct statfs fs;

        for (size_t i = 0; i < ELEMENTSOF(read_only); i++) {
                if (statfs(read_only[i], &fs) < 0) {
                        if (errno == ENOENT)
                                continue;
                        return fail(f, STEP_READ_ONLY, (uint32_t)i, errno);
                }
                if (!(fs.f_flags & ST_RDONLY))
                        return fail(f, STEP_READ_ONLY, (uint32_t)i, EPERM);
        }
        return true;
}

/* That what exists is covered: a mask is a mount of its own exactly if its inode is not procfs' or sysfs'
 * any more. */
static bool all_covered(Failure *f)
{
        struct statfs fs;

        for (size_t i = 0; i < ELEMENTSOF(masks); i++) {
                if (statfs(masks[i], &fs) < 0) {
                        if (errno == ENOENT)
                                continue;
                        return fail(f, STEP_MASKS, (uint32_t)i, errno);
                }
                if (fs.f_type != TMPFS_MAGIC)
                        return fail(f, STEP_MASKS, (uint32_t)i, EPERM);
        }
        return true;
}

static bool check_mounts(const OrderHello *hello, Failure *f)
{
        static char buffer[MOUNTINFO_MAX + 1];
        bool seen[ELEMENTSOF(mounts)] = { false };
        char *cursor = buffer;
        int r = read_mountinfo(buffer);

        if (r < 0)
                return fail(f, STEP_CHECK_MOUNTS, 0, r);
        for (char *line; (line = strsep(&cursor, "\n")) && *line;) {
                unsigned flags;
                size_t index;
                Mount m;

                if (!parse_line(line, &m))
                        return fail(f, STEP_CHECK_MOUNTS, 0, EBADMSG);
                if (!expected(&m, hello, &flags, &index) || (m.flags & flags) != flags)
                        return fail(f, STEP_CHECK_MOUNTS, (uint32_t)index, EPERM);
                if (index < ELEMENTSOF(mounts))
                        seen[index] = true;
        }
        for (size_t i = 0; i < ELEMENTSOF(mounts); i++)
                if (!seen[i])
                        return fail(f, STEP_CHECK_MOUNTS, (uint32_t)i, ENOENT);
        return all_covered(f) && all_read_only(f);
}

/* Each is the session's own, but for the user namespace, the first, where it has none: a kernel that knows
 * none has no such file, for the daemon neither. */
static bool check_namespaces(const Init *init, const OrderHello *hello, Failure *f)
{
#define X(kind) "/proc/self/ns/" #kind,
        static const char *const kinds[] = { PROFILE_NAMESPACES(X) };
#undef X
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                bool shared = i == 0 && init->only_id;
                struct stat st = {};

                if (stat(kinds[i], &st) < 0 && !(shared && errno == ENOENT))
                        return fail(f, STEP_CHECK_NAMESPACES, (uint32_t)i, errno);
                if ((st.st_ino == hello->daemon_namespaces[i]) != shared)
                        return fail(f, STEP_CHECK_NAMESPACES, (uint32_t)i, EPERM);
        }
        return true;
}

bool check_session(const Init *init, const OrderHello *hello, Failure *f)
{
        return check_namespaces(init, hello, f) && check_mounts(hello, f);
}
