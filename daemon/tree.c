#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

typedef struct Names {
        struct dirent **entry;
        int n;
} Names;

static void names_done(Names *names)
{
        for (int i = 0; i < names->n; i++)
                free(names->entry[i]);
        free(names->entry);
}

static int not_dots(const struct dirent *d)
{
        return !streq(d->d_name, ".") && !streq(d->d_name, "..");
}

/* By bytes: alphasort(3) would ask the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int names_read(int dir_fd, Names *ret)
{
        int n = scandirat(dir_fd, ".", &ret->entry, not_dots, by_bytes);

        if (n < 0)
                return -errno;
        ret->n = n;
        return 0;
}

typedef struct Walk {
        Digest *digest;
        uint64_t bytes;
} Walk;

static int walk_directory(Walk *w, int fd, const char *path, unsigned depth);

/* One line a thing; a NUL ends each part, so that no name can be mistaken for something else. */
static int add_entry(Walk *w, char type, const struct stat *st, const char *path, const char *contents)
{
        char line[PATH_MAX];
        int n = snprintf(line, sizeof(line), "%c %04o %u:%u %s", type, st->st_mode & 07777U, st->st_uid,
                         st->st_gid, path);
        int r;

        if (n < 0 || (size_t)n >= sizeof(line))
                return -ENAMETOOLONG;
        r = digest_add(w->digest, line, (size_t)n + 1);
        if (r < 0)
                return r;
        return digest_add(w->digest, contents, strlen(contents) + 1);
}

static int walk_file(Walk *w, int dir_fd, const char *name, const char *path)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        char hex[DIGEST_HEX_SIZE];
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = digest_file(fd, hex);
        if (r < 0)
                return r;
        w->bytes += (uint64_t)st.st_size;
        return add_entry(w, 'f', &st, path, hex);
}

static int walk_link(Walk *w, int dir_fd, const char *name, const struct stat *st, const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        return add_entry(w, 'l', st, path, target);
}

static int walk_entry(Walk *w, int dir_fd, const char *name, const char *path, unsigned depth)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        switch (st.st_mode & S_IFMT) {
        case S_IFREG:
                return walk_file(w, dir_fd, name, path);
        case S_IFLNK:
                return walk_link(w, dir_fd, name, &st, path);
        case S_IFDIR:
                fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                return fd < 0 ? -errno : walk_directory(w, fd, path, depth + 1);
        default: /* nothing of ours, and so a difference */
                return add_entry(w, '?', &st, path, "");
        }
}

static int walk_directory(Walk *w, int fd, const char *path, unsigned depth)
{
        _cleanup_(names_done) Names names = {};
        struct stat st;
        int r;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = add_entry(w, 'd', &st, path, "");
        if (r >= 0)
                r = names_read(fd, &names);
        for (int i = 0; i < names.n && r >= 0; i++) {
                _cleanup_free_ char *below = NULL;

                if (asprintf(&below, "%s/%s", path, names.entry[i]->d_name) < 0)
                        return -ENOMEM;
                r = walk_entry(w, fd, names.entry[i]->d_name, below, depth);
        }
        return r;
}

int tree_digest(int dir_fd, char ret_hex[static DIGEST_HEX_SIZE], uint64_t *ret_bytes)
{
        _cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(digest_freep) Digest *digest = NULL;
        Walk w = {};
        int r;

        if (fd < 0)
                return -errno;
        r = digest_new(&digest);
        if (r < 0)
                return r;
        w.digest = digest;
        r = walk_directory(&w, fd, "", 0);
        if (r < 0)
                return r;
        *ret_bytes = w.bytes;
        return digest_finish(digest, ret_hex);
}

/* Goes on after a failure, to remove as much as can be, and returns the first. */
static int empty_directory(int fd)
{
        _cleanup_(names_done) Names names = {};
        int first = names_read(fd, &names);

        for (int i = 0; i < names.n; i++) {
                int r = tree_remove(fd, names.entry[i]->d_name);

                if (r < 0 && first >= 0)
                        first = r;
        }
        return first;
}

int tree_remove(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = empty_directory(fd);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && r >= 0)
                return -errno;
        return r;
}

int tree_name(const char *prefix, char ret[static TREE_NAME_SIZE])
{
        uint64_t random;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                return -EIO;
        snprintf(ret, TREE_NAME_SIZE, "%s%016llx", prefix, (unsigned long long)random);
        return 0;
}
