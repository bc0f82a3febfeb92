/* Sessions' cgroups as directories of the cgroup2 filesystem, reached only from the descriptor of the node
 * they are below. Knows where that node may be; of users it only remembers what it has written last: a
 * user's directory is made when it is missed, and goes with the last session in it because the kernel
 * refuses to remove it earlier. */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup-limits.h"

#define DAEMON_UNIT     "nsrootd.service"
#define SESSIONS_UNIT   "nsrootd-sessions.service"
#define HOLDER_LEAF     "holder"
#define USER_PREFIX     "user-"
#define NAME_LENGTH_MAX 64
#define FILE_SIZE_MAX   (64 * KIB) /* of any cgroup file read here */

/* What was last written of a user's directory; it is forgotten with that. */
typedef struct User User;
struct User {
        User *next;
        uid_t uid;
        GroupLimits limits;
};

struct Cgroups {
        int node_fd;
        int parent_fd; /* of the node's parent where the node is ours to remove, else -EBADF */
        char *path;    /* below the mount, no slash at the end: "" is the root */
        unsigned controllers;
        User *users;
        Cgroup *busy;
        Cgroup *found; /* until the first tidying */
};

struct Cgroup {
        Cgroups *tree;
        int fd;
        char *path;
        Cgroup *next_busy, *next_found;
};

static const struct {
        const char *name;
        CgroupController bit;
} controller_names[] = {
        {"memory", CGROUP_MEMORY},
        { "pids",  CGROUP_PIDS  },
        { "cpu",   CGROUP_CPU   },
        { "io",    CGROUP_IO    },
};

static void fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

/* A name of ours: without a dot, because the names of all the kernel's own files have one. */
static bool name_is_valid(const char *name)
{
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

        return n > 0 && n <= NAME_LENGTH_MAX && name[n] == '\0';
}

/* Undoes the octal escapes of proc(5), in place. */
static void unescape(char *text)
{
        char *to = text;

        for (const char *from = text; *from; to++) {
                if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
                        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else {
                        *to = *from++;
                }
        }
        *to = '\0';
}

int cgroup_parse_mount(const char *line, char **ret)
{
        _cleanup_free_ char *root = NULL, *point = NULL, *type = NULL;
        const char *separator = strstr(line, " - ");

        if (!separator || sscanf(line, "%*u %*u %*s %ms %ms", &root, &point) != 2 ||
            sscanf(separator, " - %ms", &type) != 1)
                return 0;
        if (!streq(type, "cgroup2") || !streq(root, "/"))
                return 0;
        unescape(point);
        *ret = TAKE_PTR(point);
        return 1;
}

int cgroup_parse_own(const char *text, char **ret)
{
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, "0::/", 4) != 0)
                        continue;
                line += strlen("0::");
                char *path = strndup(line, strcspn(line, "\n"));
                if (!path)
                        return -ENOMEM;
                if (streq(path, "/"))
                        *path = '\0';
                *ret = path;
                return 0;
        }
        return -EOPNOTSUPP;
}

unsigned cgroup_parse_controllers(const char *text)
{
        unsigned found = 0;

        for (size_t n; *(text += strspn(text, " \n")) != '\0'; text += n) {
                n = strcspn(text, " \n");
                for (size_t i = 0; i < ELEMENTSOF(controller_names); i++)
                        if (strlen(controller_names[i].name) == n &&
                            strncmp(text, controller_names[i].name, n) == 0)
                                found |= controller_names[i].bit;
        }
        return found;
}

/* Opens a directory below another one, by a path that may begin with a slash and stays below it. */
static int open_below(int dir_fd, const char *path, int *ret)
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

/* -EOPNOTSUPP: no cgroup2 filesystem is mounted, or what is visible at its place is another one. */
static int open_mount(int *ret)
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

/* Gives the children of a cgroup each controller that it has itself, one by one, so that one that cannot be
 * had costs only itself. Which the children have then. */
static unsigned enable_controllers(int fd)
{
        unsigned have = read_controllers(fd, "cgroup.subtree_control");
        unsigned missing = read_controllers(fd, "cgroup.controllers") & ~have;

        if (!missing || !may_have_controllers_below(fd))
                return have;
        for (size_t i = 0; i < ELEMENTSOF(controller_names); i++) {
                char text[16];

                if (!(missing & controller_names[i].bit))
                        continue;
                snprintf(text, sizeof text, "+%s", controller_names[i].name);
                (void)write_file_at(fd, "cgroup.subtree_control", text);
        }
        return read_controllers(fd, "cgroup.subtree_control");
}

static bool is_found(const Cgroups *c, const char *id)
{
        for (const Cgroup *g = c->found; g; g = g->next_found)
                if (streq(strrchr(g->path, '/') + 1, id))
                        return true;
        return false;
}

/* Removes a cgroup and what is below it, as far as it is empty; but not one that was found: if its session
 * has ended meanwhile, it says what it used and whether it ran out of memory. */
static void prune(const Cgroups *c, int parent_fd, const char *name)
{
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                close_fd(fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (e->d_type == DT_DIR && name_is_valid(e->d_name) && !is_found(c, e->d_name))
                        prune(c, fd, e->d_name);
        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* What an earlier daemon left: what is empty goes, what still has sessions can take new ones. */
static void adopt_users(const Cgroups *c)
{
        int fd = openat(c->node_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                close_fd(fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_close_ int user_fd = -EBADF;

                if (e->d_type != DT_DIR || strncmp(e->d_name, USER_PREFIX, strlen(USER_PREFIX)) != 0)
                        continue;
                prune(c, c->node_fd, e->d_name);
                if (open_below(c->node_fd, e->d_name, &user_fd) >= 0)
                        (void)enable_controllers(user_fd);
        }
}

static int use_node(Cgroups *c, int mount_fd, const char *path)
{
        _cleanup_free_ char *copy = strdup(path);
        int r;

        if (!copy)
                return -ENOMEM;
        r = open_below(mount_fd, path, &c->node_fd);
        if (r < 0)
                return r;
        c->path = TAKE_PTR(copy);
        return 0;
}

/* A node that is ours to remove, also when an earlier daemon left it. */
static int make_node(Cgroups *c, int mount_fd, const char *parent, const char *name)
{
        _cleanup_close_ int parent_fd = -EBADF;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!name_is_valid(name))
                return -EINVAL;
        if (asprintf(&path, "%s/%s", parent, name) < 0)
                return -ENOMEM;
        r = open_below(mount_fd, parent, &parent_fd);
        if (r < 0)
                return r;
        (void)enable_controllers(parent_fd);
        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = use_node(c, mount_fd, path);
        if (r >= 0)
                c->parent_fd = TAKE_FD(parent_fd);
        return r;
}

/* The path may have slashes at its end, and its last part may have to be made. */
static int configured_node(Cgroups *c, int mount_fd, const char *configured)
{
        _cleanup_free_ char *path = NULL;
        char *slash;
        int r;

        if (asprintf(&path, "/%s", configured + strspn(configured, "/")) < 0)
                return -ENOMEM;
        for (size_t n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
                path[n - 1] = '\0';
        r = use_node(c, mount_fd, path);
        if (r != -ENOENT)
                return r;
        slash = strrchr(path, '/');
        *slash = '\0';
        return make_node(c, mount_fd, path, slash + 1);
}

static int own_node(Cgroups *c, int mount_fd, const char *fallback_name)
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
                r = use_node(c, mount_fd, beside);
                if (r != -ENOENT)
                        return r;
        }
        r = make_node(c, mount_fd, own, fallback_name);
        /* Mounted read-only, or not ours to write: as good as none. */
        return r == -EROFS || r == -EACCES || r == -EPERM ? -EOPNOTSUPP : r;
}

int cgroups_new(const char *configured, const char *fallback_name, Cgroups **ret)
{
        _cleanup_(cgroups_freep) Cgroups *c = calloc(1, sizeof *c);
        _cleanup_close_ int mount_fd = -EBADF;
        int r;

        if (!c)
                return -ENOMEM;
        c->node_fd = c->parent_fd = -EBADF;
        r = open_mount(&mount_fd);
        if (r < 0)
                return r;
        r = configured ? configured_node(c, mount_fd, configured) : own_node(c, mount_fd, fallback_name);
        if (r < 0)
                return r;
        c->controllers = enable_controllers(c->node_fd);
        *ret = TAKE_PTR(c);
        return 0;
}

void cgroups_tidy(Cgroups *c)
{
        adopt_users(c);
        c->found = NULL;
}

static void forget_found(const Cgroup *g)
{
        for (Cgroup **at = &g->tree->found; *at; at = &(*at)->next_found)
                if (*at == g) {
                        *at = g->next_found;
                        return;
                }
}

static void cgroup_destroy(Cgroup *g)
{
        forget_found(g);
        close_fd(g->fd);
        free(g->path);
        free(g);
}

Cgroups *cgroups_free(Cgroups *c)
{
        cgroups_sweep(c);
        for (Cgroup *g; (g = c->busy);) {
                c->busy = g->next_busy;
                cgroup_destroy(g);
        }
        for (User *user; (user = c->users);) {
                c->users = user->next;
                free(user);
        }
        if (c->parent_fd >= 0)
                (void)unlinkat(c->parent_fd, strrchr(c->path, '/') + 1, AT_REMOVEDIR);
        close_fd(c->parent_fd);
        close_fd(c->node_fd);
        free(c->path);
        free(c);
        return NULL;
}

unsigned cgroups_controllers(const Cgroups *c)
{
        return c->controllers;
}

/* Weights of disks are there only with a policy that goes by them. */
static bool shares_io(const Cgroups *c)
{
        return (c->controllers & CGROUP_IO) && faccessat(c->node_fd, "io.weight", W_OK, 0) == 0;
}

unsigned cgroups_enforcers(const Cgroups *c)
{
        unsigned controllers = c ? c->controllers : 0;

        return (c ? ENFORCER_CGROUP : 0) | (controllers & CGROUP_MEMORY ? ENFORCER_MEMORY : 0) |
               (controllers & CGROUP_PIDS ? ENFORCER_PIDS : 0) |
               (controllers & CGROUP_CPU ? ENFORCER_CPU : 0) | (c && shares_io(c) ? ENFORCER_IO : 0);
}

const char *cgroups_path(const Cgroups *c)
{
        return *c->path ? c->path : "/";
}

static int limit_session(const Cgroups *c, int fd, const GroupLimits *limits)
{
        int r = write_file_at(fd, "cgroup.max.descendants", "0");

        if (r >= 0 && (c->controllers & CGROUP_MEMORY))
                r = group_limits_write_rules(fd);
        return r < 0 ? r : group_limits_write(fd, c->controllers, &group_limits_fresh, limits);
}

static User **find_user(Cgroups *c, uid_t uid)
{
        User **at = &c->users;

        while (*at && (*at)->uid != uid)
                at = &(*at)->next;
        return at;
}

static void forget_user(Cgroups *c, uid_t uid)
{
        User **at = find_user(c, uid), *user = *at;

        if (!user)
                return;
        *at = user->next;
        free(user);
}

/* A configuration may have changed since it was last done, and before us an earlier daemon did it. */
static int limit_user(Cgroups *c, uid_t uid, int fd, bool made, const GroupLimits *limits)
{
        User **at = find_user(c, uid);
        int r;

        if (!*at) {
                *at = calloc(1, sizeof **at);
                if (!*at)
                        return -ENOMEM;
                (*at)->uid = uid;
        }
        if (made || (*at)->limits.memory_max == 0)
                (*at)->limits = made ? group_limits_fresh : group_limits_unknown;
        r = group_limits_write(fd, c->controllers, &(*at)->limits, limits);
        (*at)->limits = r < 0 ? group_limits_unknown : *limits;
        return r;
}

/* Opens a user's directory, making it with the controllers of the node if it is not there. */
static int open_user(Cgroups *c, uid_t uid, const GroupLimits *limits, int *ret)
{
        char name[sizeof USER_PREFIX + 10];
        _cleanup_close_ int fd = -EBADF;
        bool made;
        int r;

        snprintf(name, sizeof name, USER_PREFIX "%" PRIu32, (uint32_t)uid);
        made = mkdirat(c->node_fd, name, 0755) >= 0;
        if (!made && errno != EEXIST)
                return -errno;
        r = open_below(c->node_fd, name, &fd);
        if (r >= 0 && made && (enable_controllers(fd) & c->controllers) != c->controllers)
                r = -EIO;
        if (r >= 0)
                r = limit_user(c, uid, fd, made, limits);
        if (r < 0) {
                (void)unlinkat(c->node_fd, name, AT_REMOVEDIR);
                return r;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

/* Its name as the kernel calls below the node want it: "user-UID/ID". */
static const char *name_below_node(const Cgroup *g)
{
        return g->path + strlen(g->tree->path) + 1;
}

/* The kernel refuses, as long as there is another session in it. */
static void remove_user(const Cgroup *g)
{
        char user[sizeof USER_PREFIX + 10];
        const char *name = name_below_node(g);

        snprintf(user, sizeof user, "%.*s", (int)strcspn(name, "/"), name);
        if (unlinkat(g->tree->node_fd, user, AT_REMOVEDIR) >= 0)
                forget_user(g->tree, (uid_t)strtoul(user + strlen(USER_PREFIX), NULL, 10));
}

/* -EBUSY: a process of it is not quite gone yet. */
static int remove_session(const Cgroup *g)
{
        if (unlinkat(g->tree->node_fd, name_below_node(g), AT_REMOVEDIR) < 0 && errno == EBUSY)
                return -EBUSY;
        remove_user(g);
        return 0;
}

static int make_directory(int user_fd, const char *id, int *ret)
{
        if (mkdirat(user_fd, id, 0755) < 0)
                return -errno;
        return open_below(user_fd, id, ret);
}

static int make_session(Cgroup *g, uid_t uid, const GroupLimits *together, const char *id,
                        const GroupLimits *limits)
{
        _cleanup_close_ int user_fd = -EBADF;
        int r = open_user(g->tree, uid, together, &user_fd);

        if (r < 0)
                return r;
        r = make_directory(user_fd, id, &g->fd);
        if (r < 0) {
                remove_user(g);
                return r;
        }
        r = limit_session(g->tree, g->fd, limits);
        if (r < 0)
                (void)remove_session(g);
        return r;
}

static void cgroup_destroyp(Cgroup **g)
{
        if (*g)
                cgroup_destroy(*g);
}

/* Its name, and nothing on the machine yet. */
static int name_session(Cgroups *c, uid_t uid, const char *id, Cgroup **ret)
{
        Cgroup *g;

        if (!name_is_valid(id))
                return -EINVAL;
        g = calloc(1, sizeof *g);
        if (!g)
                return -ENOMEM;
        *g = (Cgroup){ .tree = c, .fd = -EBADF };
        if (asprintf(&g->path, "%s/" USER_PREFIX "%" PRIu32 "/%s", c->path, (uint32_t)uid, id) < 0) {
                free(g);
                return -ENOMEM;
        }
        *ret = g;
        return 0;
}

int cgroup_new(Cgroups *c, uid_t uid, const GroupLimits *together, const char *id, const GroupLimits *limits,
               Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        int r = name_session(c, uid, id, &g);

        if (r >= 0)
                r = make_session(g, uid, together, id, limits);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

int cgroup_find(Cgroups *c, uid_t uid, const char *id, Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        int r = name_session(c, uid, id, &g);

        if (r >= 0)
                r = open_below(c->node_fd, name_below_node(g), &g->fd);
        if (r < 0)
                return r;
        g->next_found = c->found;
        c->found = g;
        *ret = TAKE_PTR(g);
        return 0;
}

Cgroup *cgroup_leave(Cgroup *g)
{
        cgroup_destroy(g);
        return NULL;
}

Cgroup *cgroup_free(Cgroup *g)
{
        if (remove_session(g) == -EBUSY) {
                g->fd = close_fd(g->fd);
                g->next_busy = g->tree->busy;
                g->tree->busy = g;
        } else {
                cgroup_destroy(g);
        }
        return NULL;
}

size_t cgroups_sweep(Cgroups *c)
{
        size_t left = 0;

        for (Cgroup **g = &c->busy; *g;) {
                Cgroup *this = *g;

                if (remove_session(this) == -EBUSY) {
                        left++;
                        g = &this->next_busy;
                } else {
                        *g = this->next_busy;
                        cgroup_destroy(this);
                }
        }
        return left;
}

int cgroup_fd(const Cgroup *g)
{
        return g->fd;
}

const char *cgroup_path(const Cgroup *g)
{
        return g->path;
}

int cgroup_kill(Cgroup *g)
{
        int r = write_file_at(g->fd, "cgroup.kill", "1");

        return r == -ENOENT ? -EOPNOTSUPP : r;
}

int cgroup_freeze(Cgroup *g, bool frozen)
{
        int r = write_file_at(g->fd, "cgroup.freeze", frozen ? "1" : "0");

        return r == -ENOENT ? -EOPNOTSUPP : r;
}

int cgroup_hold(void)
{
        _cleanup_close_ int mount_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *own = NULL;
        int r = open_mount(&mount_fd);

        if (r >= 0)
                r = own_path(&own);
        if (r >= 0)
                r = open_below(mount_fd, own, &fd);
        if (r < 0)
                return r;
        if (mkdirat(fd, HOLDER_LEAF, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = write_file_at(fd, HOLDER_LEAF "/cgroup.procs", "0");
        if (r < 0)
                return r;
        (void)enable_controllers(fd);
        return 0;
}
