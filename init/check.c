/* Reads a session's namespaces and mounts back from the kernel, once, before the first command: each must be
 * there, as strict as the profile says, and nothing else may be mounted. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define LINE_SIZE (4 * KIB) /* no line of /proc/self/mountinfo is longer in a session: some 200 bytes */

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

#define STRICT (PROFILE_RO | PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)

/* What is a mount of its own wherever it is there at all. */
static const struct {
        const char *const *paths;
        size_t n;
        const char *type; /* or NULL: it is whatever it covers */
        unsigned flags;
        Step step;
} covers[] = {
        {nodes,      ELEMENTSOF(nodes),     NULL,    STRICT & ~(unsigned)PROFILE_NODEV, STEP_NODES    },
        { masks,     ELEMENTSOF(masks),     "tmpfs", STRICT,                            STEP_MASKS    },
        { read_only, ELEMENTSOF(read_only), NULL,    STRICT,                            STEP_READ_ONLY},
};

#define COVERS_MAX 64 /* of one kind */
_Static_assert(ELEMENTSOF(nodes) <= COVERS_MAX && ELEMENTSOF(masks) <= COVERS_MAX &&
                       ELEMENTSOF(read_only) <= COVERS_MAX,
               "a list is longer than the notes on it");

/* Which of them there are. */
typedef struct Seen {
        bool mounts[ELEMENTSOF(mounts)], covers[ELEMENTSOF(covers)][COVERS_MAX];
} Seen;

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

static bool is_cpu_mask(const char *path)
{
        size_t prefix = strlen(PROFILE_CPU_MASK_PREFIX);

        if (strncmp(path, PROFILE_CPU_MASK_PREFIX, prefix) != 0)
                return false;
        path += prefix;
        path += strspn(path, "0123456789");
        return streq(path, PROFILE_CPU_MASK_SUFFIX);
}

static bool is_right(const Mount *m, const char *type, unsigned flags)
{
        return (!type || streq(m->type, type)) && (m->flags & flags) == flags;
}

/* Not on top of another, for then that would not be seen. */
static bool is_first(bool *seen)
{
        bool first = !*seen;

        *seen = true;
        return first;
}

static bool check_mount(const Mount *m, const OrderHello *hello, Seen *seen, Failure *f)
{
        for (uint32_t i = 0; i < ELEMENTSOF(mounts); i++)
                if (streq(m->path, mounts[i].path)) {
                        bool is_root = i == 0;
                        const char *type = is_root && hello->plain_root ? "tmpfs" : mounts[i].type;
                        unsigned flags = mounts[i].flags | (is_root && hello->read_only ? PROFILE_RO : 0);

                        return (is_first(&seen->mounts[i]) && is_right(m, type, flags)) ||
                               fail(f, STEP_CHECK_MOUNTS, i, EPERM);
                }
        for (size_t c = 0; c < ELEMENTSOF(covers); c++)
                for (uint32_t i = 0; i < covers[c].n; i++)
                        if (streq(m->path, covers[c].paths[i]))
                                return (is_first(&seen->covers[c][i]) &&
                                        is_right(m, covers[c].type, covers[c].flags)) ||
                                       fail(f, covers[c].step, i, EPERM);
        return (is_cpu_mask(m->path) && is_right(m, "tmpfs", STRICT)) ||
               fail(f, STEP_CHECK_MOUNTS, ELEMENTSOF(mounts), EPERM);
}

/* Under what is no mount of its own there must be nothing: it would be seen, or written to. */
static bool check_unseen(const Seen *seen, Failure *f)
{
        struct stat st;

        for (uint32_t i = 0; i < ELEMENTSOF(mounts); i++)
                if (!seen->mounts[i])
                        return fail(f, STEP_CHECK_MOUNTS, i, ENOENT);
        for (size_t c = 0; c < ELEMENTSOF(covers); c++)
                for (uint32_t i = 0; i < covers[c].n; i++)
                        if (!seen->covers[c][i] && (stat(covers[c].paths[i], &st) >= 0 || errno != ENOENT))
                                return fail(f, covers[c].step, i, EPERM);
        return true;
}

static bool check_line(char *line, const OrderHello *hello, Seen *seen, Failure *f)
{
        Mount m;

        return parse_line(line, &m) ? check_mount(&m, hello, seen, f)
                                    : fail(f, STEP_CHECK_MOUNTS, 0, EBADMSG);
}

/* What of a text is whole lines. *length: how much there is, and at the end, of the beginning of another. */
static bool check_lines(char *text, size_t *length, const OrderHello *hello, Seen *seen, Failure *f)
{
        char *line = text;

        for (char *end; (end = memchr(line, '\n', *length)); line = end + 1) {
                *end = '\0';
                *length -= (size_t)(end + 1 - line);
                if (!check_line(line, hello, seen, f))
                        return false;
        }
        memmove(text, line, *length);
        return true;
}

/* Line by line, for there is a mask a processor. */
bool check_mounts(int mountinfo, const OrderHello *hello, Failure *f)
{
        char text[LINE_SIZE];
        size_t length = 0;
        Seen seen = {};
        ssize_t n;

        while ((n = read(mountinfo, text + length, sizeof(text) - length)) > 0) {
                length += (size_t)n;
                if (!check_lines(text, &length, hello, &seen, f))
                        return false;
                if (length == sizeof(text))
                        return fail(f, STEP_CHECK_MOUNTS, 0, E2BIG);
        }
        if (n < 0 || length > 0)
                return fail(f, STEP_CHECK_MOUNTS, 0, n < 0 ? errno : EBADMSG);
        return check_unseen(&seen, f);
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
        _cleanup_close_ int mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

        if (mountinfo < 0)
                return fail(f, STEP_CHECK_MOUNTS, 0, errno);
        return check_namespaces(init, hello, f) && check_mounts(mountinfo, hello, f);
}
