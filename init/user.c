/* See init.h. Reads two files of the session's root, which its users may have written: a bounded, regular
 * file, parsed by hand (the C library's look-ups would load code from the root). */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define FILE_SIZE_MAX MIB
#define ID_MAX        65535 /* a session's range is 65,536 ids */
#define FIELDS        7

static char file[FILE_SIZE_MAX];

static int read_root_file(const char *path)
{
        /* O_NONBLOCK: a fifo must not hold PID 1 */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        size_t length = 0;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        while (length < FILE_SIZE_MAX && (n = read(fd, file + length, FILE_SIZE_MAX - length)) != 0) {
                if (n < 0)
                        return -errno;
                length += (size_t)n;
        }
        if (length == FILE_SIZE_MAX) /* where it is cut, an id may lose its last digits */
                return -EFBIG;
        file[length] = '\0';
        return 0;
}

/* An id in the one way to write it: no sign, no blank, no leading zero. */
static int parse_id(const char *text, uint32_t *ret)
{
        uint64_t id;

        if (text[0] == '0' && text[1])
                return -EINVAL;
        if (parse_u64(text, ID_MAX, &id) < 0)
                return -EINVAL;
        *ret = (uint32_t)id;
        return 0;
}

static bool is_number(const char *text)
{
        return text[0] && text[strspn(text, "0123456789")] == '\0';
}

/* Cuts the next line of the file into its fields, in place. */
static size_t next_line(char **cursor, char *fields[FIELDS])
{
        char *line = strsep(cursor, "\n");
        size_t n = 0;

        while (line && n < FIELDS)
                fields[n++] = strsep(&line, ":");
        return n;
}

/* The entry with that name, or where the name is NULL with that id. Lines that are not well-formed are
 * passed over. */
static int find(const char *path, size_t n_fields, const char *name, uint32_t id, char *ret[FIELDS])
{
        char *cursor = file;
        int r = read_root_file(path);

        if (r < 0)
                return r;
        while (cursor) {
                size_t n = next_line(&cursor, ret);
                uint32_t found;

                if (n < n_fields || !ret[0][0] || parse_id(ret[2], &found) < 0)
                        continue;
                if (name ? streq(ret[0], name) : found == id)
                        return 0;
        }
        return -ENOENT;
}

static void copy(char *to, size_t size, const char *from)
{
        size_t n = strnlen(from, size - 1);

        memcpy(to, from, n);
        to[n] = '\0';
}

static int find_user(const char *name, User *u)
{
        bool number = is_number(name);
        uint32_t id = 0;
        char *fields[FIELDS];
        int r;

        if (number && parse_id(name, &id) < 0)
                return -ERANGE;
        copy(u->name, sizeof(u->name), name);
        copy(u->home, sizeof(u->home), "/");
        r = find("/etc/passwd", 6, number ? NULL : name, id, fields);
        if (r < 0 && !number)
                return r;
        if (r < 0) { /* an id needs no entry, nor a file; it is its own group then */
                u->uid = u->gid = id;
                return 0;
        }
        if (parse_id(fields[3], &u->gid) < 0)
                return -EINVAL;
        (void)parse_id(fields[2], &u->uid);
        copy(u->name, sizeof(u->name), fields[0]);
        if (fields[5][0] == '/' && strlen(fields[5]) < sizeof(u->home))
                copy(u->home, sizeof(u->home), fields[5]);
        return 0;
}

static int find_group(const char *name, gid_t *ret)
{
        char *fields[FIELDS];
        int r;

        if (is_number(name))
                return parse_id(name, ret) < 0 ? -ERANGE : 0;
        r = find("/etc/group", 3, name, 0, fields);
        return r < 0 ? r : parse_id(fields[2], ret);
}

int user_resolve(const char *spec, User *ret)
{
        char name[256], *group = name;
        User u = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
        int r;

        if (strlen(spec) >= sizeof(name))
                return -ENAMETOOLONG;
        if (!spec[0])
                spec = "0";
        copy(name, sizeof(name), spec);
        (void)strsep(&group, ":");
        if (!name[0] || (group && !group[0]))
                return -EINVAL;
        r = find_user(name, &u);
        if (r >= 0 && group)
                r = find_group(group, &u.gid);
        if (r < 0)
                return r;
        *ret = u;
        return 0;
}
