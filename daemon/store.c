#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEAD_PREFIX ".dead-"
#define DOWNLOADS   "downloads"
#define PARTIAL_AGE ((time_t)7 * 24 * 3600) /* s, after which nobody comes back for the rest */

/* What lies in it is run as root in sessions: it has to be ours, and nobody else's to write to. */
static int check_ours(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        return st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) ? -EPERM : 0;
}

static int open_directory(int state_fd, const char *name)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (mkdirat(state_fd, name, 0700) == 0)
                (void)fsync(state_fd); /* or what is written into it is lost with it, and made again */
        else if (errno != EEXIST)
                return -errno;
        fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = check_ours(fd);
        return r < 0 ? r : TAKE_FD(fd);
}

int store_open(int state_fd, Store *ret)
{
        _cleanup_close_ int roots_fd = -EBADF, names_fd = -EBADF;
        int r;

        r = check_ours(state_fd);
        if (r < 0)
                return r;
        roots_fd = open_directory(state_fd, "roots");
        if (roots_fd < 0)
                return roots_fd;
        names_fd = open_directory(state_fd, "names");
        if (names_fd < 0)
                return names_fd;
        if (flock(roots_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        *ret = (Store){ TAKE_FD(roots_fd), TAKE_FD(names_fd), state_fd };
        return 0;
}

void store_done(Store *s)
{
        s->roots_fd = close_fd(s->roots_fd);
        s->names_fd = close_fd(s->names_fd);
}

/* Calls act with each name in a directory until one fails. */
static int for_each_name(int dir_fd, int (*act)(const char *name, void *data), void *data)
{
        struct dirent **entries;
        int n = scandirat(dir_fd, ".", &entries, NULL, NULL), r = 0;

        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                const char *name = entries[i]->d_name;

                if (r >= 0 && !streq(name, ".") && !streq(name, ".."))
                        r = act(name, data);
                free(entries[i]);
        }
        free(entries);
        return r;
}

typedef struct Search {
        const Store *store;
        const char *digest;
} Search;

static int has_digest(const char *file, void *data)
{
        const Search *search = data;
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_free_ char *name = strdup(file);
        char *dot = name ? strrchr(name, '.') : NULL;

        if (!name)
                return -ENOMEM;
        if (!dot || !streq(dot, ".json"))
                return 0;
        *dot = '\0';
        if (metadata_read(search->store->names_fd, name, &m) < 0)
                return 0;
        return streq(m.digest, search->digest) ? STORE_FOUND : 0;
}

typedef struct Cleaning {
        const Store *store;
        const uint64_t *kept;
        size_t n_kept;
} Cleaning;

static bool is_kept(const Cleaning *c, const char *name)
{
        struct stat st;

        if (c->n_kept == 0 || fstatat(c->store->roots_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        for (size_t i = 0; i < c->n_kept; i++)
                if (c->kept[i] == st.st_ino)
                        return true;
        return false;
}

static int clean_root(const char *name, void *data)
{
        const Cleaning *cleaning = data;
        Search search = { .store = cleaning->store, .digest = name };
        int r = 0;

        if (is_kept(cleaning, name))
                return 0;
        if (name[0] != '.')
                r = for_each_name(search.store->names_fd, has_digest, &search);
        if (r == STORE_FOUND)
                return 0;
        return r < 0 ? r : tree_remove(search.store->roots_fd, name);
}

typedef struct TreeWalk {
        int (*act)(const char *name, void *data);
        void *data;
} TreeWalk;

static int pass_tree(const char *name, void *data)
{
        const TreeWalk *walk = data;

        return name[0] == '.' ? 0 : walk->act(name, walk->data);
}

int store_each_tree(const Store *s, int (*act)(const char *name, void *data), void *data)
{
        return for_each_name(s->roots_fd, pass_tree, &(TreeWalk){ act, data });
}

static int clean_name(const char *name, void *data)
{
        const Store *s = data;

        return name[0] == '.' && unlinkat(s->names_fd, name, 0) < 0 ? -errno : 0;
}

int store_clean(const Store *s, const uint64_t *kept, size_t n_kept)
{
        Cleaning cleaning = { .store = s, .kept = kept, .n_kept = n_kept };
        int r;

        r = for_each_name(s->names_fd, clean_name, (void *)s);
        return r < 0 ? r : for_each_name(s->roots_fd, clean_root, &cleaning);
}

static bool is_intact(const Store *s, const char *digest)
{
        _cleanup_close_ int fd =
                openat(s->roots_fd, digest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        char found[DIGEST_HEX_SIZE];
        uint64_t bytes;

        return fd >= 0 && tree_digest(fd, found, &bytes) >= 0 && streq(found, digest);
}

int store_place(const Store *s, const char *build, const char *digest)
{
        if (renameat2(s->roots_fd, build, s->roots_fd, digest, RENAME_NOREPLACE) < 0) {
                if (errno != EEXIST)
                        return -errno;
                if (is_intact(s, digest))
                        return 0;
                if (renameat2(s->roots_fd, build, s->roots_fd, digest, RENAME_EXCHANGE) < 0)
                        return -errno;
        }
        return fsync(s->roots_fd) < 0 ? -errno : 1;
}

int store_bury(const Store *s, const char *digest, char ret_name[static TREE_NAME_SIZE])
{
        int r;

        r = tree_name(DEAD_PREFIX, ret_name);
        if (r < 0)
                return r;
        if (renameat(s->roots_fd, digest, s->roots_fd, ret_name) < 0)
                return -errno;
        return fsync(s->roots_fd) < 0 ? -errno : 0;
}

/* ---- Downloads that are not finished ---- */

/* Ours alone, and still to be found under its name. */
static int lock_partial(int fd)
{
        struct stat st;

        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EISDIR;
        return st.st_nlink == 0 ? -EBUSY : 0;
}

static int open_partial(int dir_fd, const char *digest)
{
        _cleanup_close_ int fd = openat(
                dir_fd, digest, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return -errno;
        r = lock_partial(fd);
        return r < 0 ? r : TAKE_FD(fd);
}

/* What is no file is none of ours: away with it. */
int store_partial_open(const Store *s, const char *digest)
{
        _cleanup_close_ int dir_fd = open_directory(s->state_fd, DOWNLOADS);
        int fd;

        if (dir_fd < 0)
                return dir_fd;
        fd = open_partial(dir_fd, digest);
        if (fd != -EISDIR && fd != -ELOOP && fd != -ENXIO)
                return fd;
        fd = tree_remove(dir_fd, digest);
        return fd < 0 ? fd : open_partial(dir_fd, digest);
}

int store_partial_remove(const Store *s, const char *digest)
{
        _cleanup_close_ int dir_fd =
                openat(s->state_fd, DOWNLOADS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (dir_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        return tree_remove(dir_fd, digest);
}

typedef struct Collection {
        int dir_fd;
        bool (*is_wanted)(const char *digest, void *userdata);
        void *userdata;
} Collection;

static bool is_recent(int dir_fd, const char *name)
{
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode) &&
               st.st_mtime > time(NULL) - PARTIAL_AGE;
}

static int clean_partial(const char *name, void *data)
{
        const Collection *c = data;
        _cleanup_close_ int fd = -EBADF;

        if (is_recent(c->dir_fd, name) && c->is_wanted(name, c->userdata))
                return 0;
        fd = openat(c->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 && lock_partial(fd) == -EBUSY)
                return 0;
        return tree_remove(c->dir_fd, name);
}

int store_partials_clean(const Store *s, bool (*is_wanted)(const char *digest, void *userdata),
                         void *userdata)
{
        _cleanup_close_ int dir_fd =
                openat(s->state_fd, DOWNLOADS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (dir_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        return for_each_name(
                dir_fd, clean_partial,
                &(Collection){ .dir_fd = dir_fd, .is_wanted = is_wanted, .userdata = userdata });
}
