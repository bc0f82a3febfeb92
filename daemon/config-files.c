/* See config-files.h. */
#include "config-files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "words.h"

#define DROPIN_SUFFIX ".conf"
#define FILE_SIZE_MAX MIB

/* Fills *ret_why and returns error. */
_printf_(3, 4) static int say(char **ret_why, int error, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(ret_why, format, arguments) < 0)
                *ret_why = NULL;
        va_end(arguments);
        return error;
}

/* -- which */

static const char *name_of(const char *path)
{
        return strrchr(path, '/') + 1;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(name_of(*(char *const *)a), name_of(*(char *const *)b));
}

static int is_dropin(const struct dirent *entry)
{
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length >= strlen(DROPIN_SUFFIX) &&
               streq(entry->d_name + length - strlen(DROPIN_SUFFIX), DROPIN_SUFFIX);
}

/* Whether there is one of that name already, from the n-th path on. */
static bool has_name(char *const *paths, size_t n, const char *name)
{
        for (; paths && paths[n]; n++)
                if (streq(name_of(paths[n]), name))
                        return true;
        return false;
}

static int add(const char *directory, const char *name, char ***paths)
{
        char *path;

        if (asprintf(&path, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        return words_take(paths, path);
}

static int fail_directory(const char *path, int error, char **ret_why)
{
        return say(ret_why, error, "%s: cannot be read: %s; mend it or take it away", path,
                   errno_text(error));
}

/* Those of which there is none of a higher directory, after the first n_main paths. */
static int add_dropins(const char *directory, size_t n_main, char ***paths, char **ret_why)
{
        _cleanup_free_ char *dropins = NULL;
        struct dirent **entries;
        int n, r = 0;

        if (asprintf(&dropins, "%s/" CONFIG_FILE_NAME ".d", directory) < 0)
                return -ENOMEM;
        n = scandir(dropins, &entries, is_dropin, NULL);
        if (n < 0)
                return errno == ENOENT ? 0 : fail_directory(dropins, -errno, ret_why);
        for (int i = 0; i < n; i++) {
                if (r >= 0 && !has_name(*paths, n_main, entries[i]->d_name))
                        r = add(dropins, entries[i]->d_name, paths);
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* The first there is. A link is one wherever it leads. */
static int add_main(const char *const *directories, char ***paths, char **ret_why)
{
        for (; *directories; directories++) {
                _cleanup_free_ char *path = NULL;
                struct stat st;

                if (asprintf(&path, "%s/" CONFIG_FILE_NAME, *directories) < 0)
                        return -ENOMEM;
                if (lstat(path, &st) >= 0)
                        return words_take(paths, TAKE_PTR(path));
                if (errno != ENOENT)
                        return fail_directory(path, -errno, ret_why);
        }
        return 0;
}

int config_files_find(const char *const *directories, char ***ret_paths, char **ret_why)
{
        _cleanup_(words_freep) char **paths = NULL;
        size_t n_main;
        int r = add_main(directories, &paths, ret_why);

        n_main = words_count(paths);
        for (; *directories && r >= 0; directories++)
                r = add_dropins(*directories, n_main, &paths, ret_why);
        if (r < 0)
                return r;
        if (paths)
                qsort(paths + n_main, words_count(paths) - n_main, sizeof(*paths), compare_names);
        *ret_paths = TAKE_PTR(paths);
        return 0;
}

/* -- one */

/* What it is that cannot be read; NULL: it can be. */
static const char *find_fault(const struct stat *st)
{
        if (S_ISDIR(st->st_mode))
                return "is a directory; put a file in its place";
        if (!S_ISREG(st->st_mode))
                return "is no regular file; put one in its place";
        if ((uint64_t)st->st_size > FILE_SIZE_MAX)
                return "is longer than 1 MiB; make it shorter";
        return NULL;
}

static bool is_null_device(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static void check_owner(const char *path, const struct stat *st)
{
        if (st->st_uid != 0 || (st->st_mode & (S_IWGRP | S_IWOTH)))
                log_warning("%s: others than root can change it; 'chown root' and 'chmod go-w' it", path);
}

int config_file_open(const char *path, FILE **ret, char **ret_why)
{
        /* Opening a FIFO must not wait for somebody who writes to it. */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        const char *fault;
        struct stat st;
        FILE *file;

        if (fd < 0 || fstat(fd, &st) < 0)
                return say(ret_why, -errno, "%s: cannot be opened: %s", path, errno_text(errno));
        if (is_null_device(&st) || (S_ISREG(st.st_mode) && st.st_size == 0)) {
                *ret = NULL;
                return 0;
        }
        fault = find_fault(&st);
        if (fault)
                return say(ret_why, -EINVAL, "%s: %s", path, fault);
        check_owner(path, &st);
        file = fdopen(fd, "r");
        if (!file)
                return -errno;
        (void)TAKE_FD(fd);
        *ret = file;
        return 0;
}
