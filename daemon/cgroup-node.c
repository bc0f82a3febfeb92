/* See cgroup-node.h. */
#include "cgroup-node.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup.h"

#define DAEMON_UNIT     "nsrootd.service"
#define SESSIONS_UNIT   "nsrootd-sessions.service"
#define HOLDER_LEAF     "holder"
#define NAME_LENGTH_MAX 64
#define FILE_SIZE_MAX   (64 * KIB) /* of any file read here */

static void fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

bool node_name_is_valid(const char *name)
{
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

        return n > 0 && n <= NAME_LENGTH_MAX && name[n] == '\0';
}

int node_open_below(int dir_fd, const char *path, int *ret)
{
        struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        };
        long fd;

        path += strspn(path, "/");
        fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof how);
        if (fd < 0)
                return -errno;
        *ret = (int)fd;
        return 0;
}

int node_open_mount(int *ret)
{
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_free_ char *line = NULL;
        size_t size = 0;

        if (!f)
                return -errno;
        while (getline(&line, &size, f) > 0) {
                _cleanup_free_ char *point = NULL;
                struct statfs s;

                if (cgroup_parse_mount(line, &point) <= 0)
                        continue;
                _cleanup_close_ int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0 || fstatfs(fd, &s) < 0 || s.f_type != CGROUP2_SUPER_MAGIC)
                        continue;
                *ret = TAKE_FD(fd);
                return 0;
        }
        return -EOPNOTSUPP;
}

static int own_path(char **ret)
{
        _cleanup_free_ char *text = NULL;
        int r = read_file_at(AT_FDCWD, "/proc/self/cgroup", FILE_SIZE_MAX, &text, NULL);

        return r < 0 ? r : cgroup_parse_own(text, ret);
}

static unsigned read_controllers(int fd, const char *file)
{
        _cleanup_free_ char *text = NULL;

        if (read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL) < 0)
                return 0;
        return cgroup_parse_controllers(text);
}

/* Processes and children with controllers exclude each other, but for the root (which has no type). The
 * kernel refuses only some of the controllers then; of the others it makes a threaded cgroup, whose children
 * no process can join. */
static bool may_have_controllers_below(int fd)
{
        _cleanup_free_ char *processes = NULL;

        if (faccessat(fd, "cgroup.type", F_OK, 0) < 0)
                return errno == ENOENT;
        return read_file_at(fd, "cgroup.procs", FILE_SIZE_MAX, &processes, NULL) >= 0 && *processes == '\0';
}

unsigned node_enable_controllers(int fd)
{
        unsigned have = read_controllers(fd, "cgroup.subtree_control");
        unsigned missing = read_controllers(fd, "cgroup.controllers") & ~have, bit;
        const char *name;

        if (!missing || !may_have_controllers_below(fd))
                return have;
        for (size_t i = 0; (name = cgroup_controller_name(i, &bit)); i++) {
                char text[16];

                if (!(missing & bit))
                        continue;
                snprintf(text, sizeof text, "+%s", name);
                (void)write_file_at(fd, "cgroup.subtree_control", text);
        }
        return read_controllers(fd, "cgroup.subtree_control");
}

static int use_node(Node *n, int mount_fd, const char *path)
{
        _cleanup_free_ char *copy = strdup(path);
        int r;

        if (!copy)
                return -ENOMEM;
        r = node_open_below(mount_fd, path, &n->fd);
        if (r < 0)
                return r;
        n->path = TAKE_PTR(copy);
        return 0;
}

/* A node that is ours to remove, also when an earlier daemon left it. */
static int make_node(Node *n, int mount_fd, const char *parent, const char *name)
{
        _cleanup_close_ int parent_fd = -EBADF;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!node_name_is_valid(name))
                return -EINVAL;
        if (asprintf(&path, "%s/%s", parent, name) < 0)
                return -ENOMEM;
        r = node_open_below(mount_fd, parent, &parent_fd);
        if (r < 0)
                return r;
        (void)node_enable_controllers(parent_fd);
        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = use_node(n, mount_fd, path);
        if (r >= 0)
                n->parent_fd = TAKE_FD(parent_fd);
        return r;
}

/* The path may have slashes at its end, and its last part may have to be made. */
static int configured_node(Node *n, int mount_fd, const char *configured)
{
        _cleanup_free_ char *path = NULL;
        char *slash;
        int r;

        if (asprintf(&path, "/%s", configured + strspn(configured, "/")) < 0)
                return -ENOMEM;
        for (size_t length = strlen(path); length > 0 && path[length - 1] == '/'; length--)
                path[length - 1] = '\0';
        r = use_node(n, mount_fd, path);
        if (r != -ENOENT)
                return r;
        slash = strrchr(path, '/');
        *slash = '\0';
        return make_node(n, mount_fd, path, slash + 1);
}

static int own_node(Node *n, int mount_fd, const char *fallback_name)
{
        _cleanup_free_ char *own = NULL, *beside = NULL;
        const char *unit;
        int r = own_path(&own);

        if (r < 0)
                return r;
        unit = strrchr(own, '/');
        if (unit && streq(unit + 1, DAEMON_UNIT)) {
                if (asprintf(&beside, "%.*s/" SESSIONS_UNIT, (int)(unit - own), own) < 0)
                        return -ENOMEM;
                r = use_node(n, mount_fd, beside);
                if (r != -ENOENT)
                        return r;
        }
        r = make_node(n, mount_fd, own, fallback_name);
        /* Mounted read-only, or not ours to write: as good as none. */
        return r == -EROFS || r == -EACCES || r == -EPERM ? -EOPNOTSUPP : r;
}

void node_done(Node *n)
{
        close_fd(n->parent_fd);
        close_fd(n->fd);
        free(n->path);
        *n = NODE_NONE;
}

int node_find(int mount_fd, const char *configured, const char *fallback_name, Node *ret)
{
        Node n = NODE_NONE;
        int r = configured ? configured_node(&n, mount_fd, configured)
                           : own_node(&n, mount_fd, fallback_name);

        if (r < 0)
                node_done(&n);
        else
                *ret = n;
        return r;
}

int cgroup_hold(void)
{
        _cleanup_close_ int mount_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *own = NULL;
        int r = node_open_mount(&mount_fd);

        if (r >= 0)
                r = own_path(&own);
        if (r >= 0)
                r = node_open_below(mount_fd, own, &fd);
        if (r < 0)
                return r;
        if (mkdirat(fd, HOLDER_LEAF, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = write_file_at(fd, HOLDER_LEAF "/cgroup.procs", "0");
        if (r < 0)
                return r;
        (void)node_enable_controllers(fd);
        return 0;
}
