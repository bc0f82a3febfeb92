#include "busybox.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"

#define BINARY "bin/busybox"

/* In an order in which parents come first. The mode is exact, whatever the umask. */
static const struct {
        const char *path;
        mode_t mode;
} directories[] = {
        {".",          0755 },
        { "bin",       0755 },
        { "dev",       0755 },
        { "etc",       0755 },
        { "lib",       0755 },
        { "lib64",     0755 },
        { "proc",      0555 },
        { "root",      0700 },
        { "run",       0755 },
        { "sbin",      0755 },
        { "sys",       0555 },
        { "tmp",       01777},
        { "var",       0755 },
        { "var/cache", 0755 },
        { "var/lib",   0755 },
        { "var/log",   0755 },
        { "var/spool", 0755 },
        { "var/tmp",   01777},
};

static const struct {
        const char *path;
        const char *target;
} links[] = {
        {"var/run", "../run"},
};

static const struct {
        const char *path;
        const char *text;
} files[] = {
        {"etc/passwd",         "root:x:0:0:root:/root:/bin/sh\n"
                        "daemon:x:1:1:daemon:/:/bin/false\n"
                        "bin:x:2:2:bin:/:/bin/false\n"
                        "sys:x:3:3:sys:/:/bin/false\n"
                        "mail:x:8:8:mail:/var/spool:/bin/false\n"
                        "www-data:x:33:33:www-data:/:/bin/false\n"
                        "nobody:x:65534:65534:nobody:/:/bin/false\n"},
        { "etc/group",         "root:x:0:\n"
                       "daemon:x:1:\n"
                       "bin:x:2:\n"
                       "sys:x:3:\n"
                       "adm:x:4:\n"
                       "tty:x:5:\n"
                       "disk:x:6:\n"
                       "mail:x:8:\n"
                       "wheel:x:10:root\n"
                       "www-data:x:33:\n"
                       "utmp:x:43:\n"
                       "staff:x:50:\n"
                       "users:x:100:\n"
                       "nogroup:x:65534:\n"                         },
        { "etc/hosts",         "127.0.0.1\tlocalhost\n"
                       "::1\tlocalhost ip6-localhost ip6-loopback\n"},
        { "etc/nsswitch.conf", "passwd: files\n"
                               "group: files\n"
                               "shadow: files\n"
                               "hosts: files dns\n"
                               "networks: files\n"
                               "protocols: files\n"
                               "services: files\n"          },
        { "etc/profile",       "# Read by a login shell (sh -l).\n"
                         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                         "export PATH\n"
                         "umask 022\n"
                         "if [ \"$(id -u)\" = 0 ]; then\n"
                         "        PS1='\\h:\\w# '\n"
                         "else\n"
                         "        PS1='\\u@\\h:\\w\\$ '\n"
                         "fi\n"                                   },
};

void applets_done(Applets *a)
{
        free(a->items);
        *a = (Applets){};
}

static bool is_plain(const char *name, size_t length)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789[_.+-";

        if (length == 0 || length > APPLET_NAME_MAX || name[0] == '.' || name[0] == '-')
                return false;
        for (size_t i = 0; i < length; i++)
                if (!memchr(plain, name[i], sizeof(plain) - 1))
                        return false;
        return true;
}

/* One line: "usr/sbin/chroot" or "chroot". Only the last directory counts, and only whether it is an sbin.
 */
static int parse_line(const char *line, size_t length, Applet *ret)
{
        const char *slash = memrchr(line, '/', length);
        size_t directory = slash ? (size_t)(slash - line) : 0;
        const char *name = slash ? slash + 1 : line;
        size_t name_length = length - (size_t)(name - line);

        if (!is_plain(name, name_length))
                return -EBADMSG;
        *ret = (Applet){ .system = directory >= 4 && memcmp(slash - 4, "sbin", 4) == 0 &&
                                   (directory == 4 || slash[-5] == '/') };
        memcpy(ret->name, name, name_length);
        return 0;
}

int applets_parse(const char *text, size_t length, Applets *ret, const char **ret_reason)
{
        _cleanup_(applets_done) Applets a = { .items = calloc(APPLETS_MAX, sizeof(Applet)) };

        if (!a.items)
                return -ENOMEM;
        for (const char *line = text, *end = text + length; line < end;) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));
                size_t n = (size_t)((newline ? newline : end) - line);

                if (a.n == APPLETS_MAX) {
                        *ret_reason = "lists too many applets";
                        return -EBADMSG;
                }
                if (parse_line(line, n, &a.items[a.n]) < 0) {
                        *ret_reason = "lists an applet whose name is not a plain file name";
                        return -EBADMSG;
                }
                a.n++;
                line += n + 1;
        }
        if (a.n == 0) {
                *ret_reason = "lists no applets";
                return -EBADMSG;
        }
        *ret = a;
        a = (Applets){};
        return 0;
}

static int make_directories(int dir_fd)
{
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                const char *path = directories[i].path;

                if (mkdirat(dir_fd, path, 0700) < 0 && !(errno == EEXIST && streq(path, ".")))
                        return -errno;
                if (fchownat(dir_fd, path, 0, 0, 0) < 0 ||
                    fchmodat(dir_fd, path, directories[i].mode, 0) < 0)
                        return -errno;
        }
        return 0;
}

/* Creates a file with its final mode and owner, ready to be written. */
static int create_file(int dir_fd, const char *path, mode_t mode)
{
        _cleanup_close_ int fd =
                openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, mode) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int make_files(int dir_fd)
{
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_close_ int fd = create_file(dir_fd, files[i].path, 0644);
                size_t size = strlen(files[i].text);
                ssize_t n;

                if (fd < 0)
                        return fd;
                n = write(fd, files[i].text, size);
                if (n < 0)
                        return -errno;
                if ((size_t)n != size)
                        return -ENOSPC;
                if (fsync(fd) < 0)
                        return -errno;
        }
        return 0;
}

static int copy_binary(int dir_fd, int binary_fd)
{
        _cleanup_close_ int fd = create_file(dir_fd, BINARY, 0755);
        int r;

        if (fd < 0)
                return fd;
        r = copy_file(binary_fd, fd, UINT64_MAX);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? -errno : 0;
}

static int make_link(int dir_fd, const char *path, const char *target)
{
        if (symlinkat(target, dir_fd, path) < 0)
                return -errno;
        return fchownat(dir_fd, path, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Symbolic links, because `ls -l` then shows what they are; relative ones, because they then mean the same
 * to somebody who looks at the tree from outside. A name that is there already (the binary lists itself, and
 * an older one some applets twice) stays what it is. */
static int make_applet(int dir_fd, const Applet *a)
{
        char path[sizeof("sbin/") + APPLET_NAME_MAX];
        int r;

        snprintf(path, sizeof(path), "%s/%s", a->system ? "sbin" : "bin", a->name);
        r = make_link(dir_fd, path, a->system ? "../bin/busybox" : "busybox");
        return r == -EEXIST ? 0 : r;
}

static int sync_directories(int dir_fd)
{
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_close_ int fd =
                        openat(dir_fd, directories[i].path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                if (fd < 0 || fsync(fd) < 0)
                        return -errno;
        }
        return 0;
}

int busybox_build(int dir_fd, int binary_fd, const Applets *applets)
{
        int r;

        r = make_directories(dir_fd);
        if (r >= 0)
                r = make_files(dir_fd);
        if (r >= 0)
                r = copy_binary(dir_fd, binary_fd);
        for (size_t i = 0; i < ELEMENTSOF(links) && r >= 0; i++)
                r = make_link(dir_fd, links[i].path, links[i].target);
        for (size_t i = 0; i < applets->n && r >= 0; i++)
                r = make_applet(dir_fd, &applets->items[i]);
        return r < 0 ? r : sync_directories(dir_fd);
}

int busybox_digest(int dir_fd, char ret_hex[static DIGEST_HEX_SIZE])
{
        _cleanup_close_ int fd = openat(dir_fd, BINARY, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : digest_file(fd, ret_hex);
}
