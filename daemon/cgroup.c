/* Sessions' cgroups as directories of the cgroup2 filesystem, reached only from the descriptor of the node
 * they are below (cgroup-node.c finds it). Of users it only remembers what it has written last: a user's
 * directory is made when it is missed, and goes with the last session in it because the kernel refuses to
 * remove it earlier. */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup-limits.h"
#include "cgroup-node.h"

#define ELSEWHERE_PREFIX "nsrootd-"
/* In somebody else's cgroup he can keep it busy for ever. */
#define SWEEPS_ELSEWHERE 100
#define USER_PREFIX      "user-"

/* What was last written of a user's directory; it is forgotten with that. */
typedef struct User User;
struct User {
        User *next;
        uid_t uid;
        GroupLimits limits;
};

struct Cgroups {
        int mount_fd;
        Node node;
        unsigned controllers;
        User *users;
        Cgroup *busy;
        Cgroup *found; /* until the first tidying */
};

struct Cgroup {
        Cgroups *tree;
        int fd;
        char *path;
        bool is_elsewhere; /* below a cgroup that is not ours, and reached from the mount */
        int memory_fd;     /* then: of the nearest above that counts kills for memory, or negative */
        unsigned sweeps;
        Cgroup *next_busy, *next_found;
};

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
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
                if (e->d_type == DT_DIR && node_name_is_valid(e->d_name) && !is_found(c, e->d_name))
                        prune(c, fd, e->d_name);
        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* What an earlier daemon left: what is empty goes, what still has sessions can take new ones. */
static void adopt_users(const Cgroups *c)
{
        int fd = openat(c->node.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                close_fd(fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_close_ int user_fd = -EBADF;

                if (e->d_type != DT_DIR || strncmp(e->d_name, USER_PREFIX, strlen(USER_PREFIX)) != 0)
                        continue;
                prune(c, c->node.fd, e->d_name);
                if (node_open_below(c->node.fd, e->d_name, &user_fd) >= 0)
                        (void)node_enable_controllers(user_fd);
        }
}

int cgroups_new(const char *configured, const char *fallback_name, Cgroups **ret)
{
        _cleanup_(cgroups_freep) Cgroups *c = calloc(1, sizeof *c);
        int r;

        if (!c)
                return -ENOMEM;
        c->mount_fd = -EBADF;
        c->node = NODE_NONE;
        r = node_open_mount(&c->mount_fd);
        if (r >= 0)
                r = node_find(c->mount_fd, configured, fallback_name, &c->node);
        if (r < 0)
                return r;
        c->controllers = node_enable_controllers(c->node.fd);
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
        close_fd(g->memory_fd);
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
        if (c->node.parent_fd >= 0)
                (void)unlinkat(c->node.parent_fd, strrchr(c->node.path, '/') + 1, AT_REMOVEDIR);
        node_done(&c->node);
        close_fd(c->mount_fd);
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
        return (c->controllers & CGROUP_IO) && faccessat(c->node.fd, "io.weight", W_OK, 0) == 0;
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
        return *c->node.path ? c->node.path : "/";
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
        made = mkdirat(c->node.fd, name, 0755) >= 0;
        if (!made && errno != EEXIST)
                return -errno;
        r = node_open_below(c->node.fd, name, &fd);
        if (r >= 0 && made && (node_enable_controllers(fd) & c->controllers) != c->controllers)
                r = -EIO;
        if (r >= 0)
                r = limit_user(c, uid, fd, made, limits);
        if (r < 0) {
                (void)unlinkat(c->node.fd, name, AT_REMOVEDIR);
                return r;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

/* Its name as the kernel calls below the node want it: "user-UID/ID". */
static const char *name_below_node(const Cgroup *g)
{
        return g->path + strlen(g->tree->node.path) + 1;
}

/* The kernel refuses, as long as there is another session in it. */
static void remove_user(const Cgroup *g)
{
        char user[sizeof USER_PREFIX + 10];
        const char *name = name_below_node(g);

        snprintf(user, sizeof user, "%.*s", (int)strcspn(name, "/"), name);
        if (unlinkat(g->tree->node.fd, user, AT_REMOVEDIR) >= 0)
                forget_user(g->tree, (uid_t)strtoul(user + strlen(USER_PREFIX), NULL, 10));
}

/* By one that may not lead out of the mount, whoever may have made it: and so the parent first. */
static int open_parent(const Cgroup *g, int *ret)
{
        _cleanup_free_ char *parent = strndup(g->path, (size_t)(strrchr(g->path, '/') - g->path));

        return parent ? node_open_below(g->tree->mount_fd, parent, ret) : -ENOMEM;
}

static int unlink_elsewhere(const Cgroup *g)
{
        _cleanup_close_ int parent_fd = -EBADF;
        int r = open_parent(g, &parent_fd);

        if (r >= 0 && unlinkat(parent_fd, strrchr(g->path, '/') + 1, AT_REMOVEDIR) < 0)
                r = -errno;
        return r;
}

static int unlink_below_node(const Cgroup *g)
{
        int r = unlinkat(g->tree->node.fd, name_below_node(g), AT_REMOVEDIR) < 0 ? -errno : 0;

        if (r != -EBUSY)
                remove_user(g);
        return r;
}

/* -EBUSY: a process of it is not quite gone yet. */
static int remove_session(const Cgroup *g)
{
        int r = g->is_elsewhere ? unlink_elsewhere(g) : unlink_below_node(g);

        return r == -EBUSY ? r : 0;
}

static int make_directory(int user_fd, const char *id, int *ret)
{
        if (mkdirat(user_fd, id, 0755) < 0)
                return -errno;
        return node_open_below(user_fd, id, ret);
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

/* Takes the path, also on failure. */
static int alloc_session(Cgroups *c, char *path, bool is_elsewhere, Cgroup **ret)
{
        Cgroup *g = calloc(1, sizeof *g);

        if (!g) {
                free(path);
                return -ENOMEM;
        }
        *g = (Cgroup){
                .tree = c, .fd = -EBADF, .memory_fd = -EBADF, .path = path, .is_elsewhere = is_elsewhere
        };
        *ret = g;
        return 0;
}

/* Its name, and nothing on the machine yet. */
static int name_session(Cgroups *c, uid_t uid, const char *id, Cgroup **ret)
{
        char *path;

        if (!node_name_is_valid(id))
                return -EINVAL;
        if (asprintf(&path, "%s/" USER_PREFIX "%" PRIu32 "/%s", c->node.path, (uint32_t)uid, id) < 0)
                return -ENOMEM;
        return alloc_session(c, path, false, ret);
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

static bool user_has(const Cgroups *c, uid_t uid, const GroupLimits *limits)
{
        const User *user = *find_user((Cgroups *)(uintptr_t)c, uid);

        return user && memcmp(&user->limits, limits, sizeof *limits) == 0;
}

int cgroup_limit(Cgroup *g, uid_t uid, const GroupLimits *together, const GroupLimits *was,
                 const GroupLimits *limits)
{
        _cleanup_close_ int user_fd = -EBADF;
        int r = user_has(g->tree, uid, together) ? 0 : open_user(g->tree, uid, together, &user_fd);

        return r < 0 ? r : group_limits_write(g->fd, g->tree->controllers, was, limits);
}

static void add_found(Cgroup *g)
{
        g->next_found = g->tree->found;
        g->tree->found = g;
}

int cgroup_find(Cgroups *c, uid_t uid, const char *id, Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        int r = name_session(c, uid, id, &g);

        if (r >= 0)
                r = node_open_below(c->node.fd, name_below_node(g), &g->fd);
        if (r < 0)
                return r;
        add_found(g);
        *ret = TAKE_PTR(g);
        return 0;
}

/* The root counts none. */
static int open_counting(int mount_fd, const char *path)
{
        _cleanup_free_ char *above = strdup(path);

        for (char *slash; above && (slash = strrchr(above, '/')); *slash = '\0') {
                _cleanup_close_ int fd = -EBADF;

                if (node_open_below(mount_fd, above, &fd) >= 0 &&
                    faccessat(fd, "memory.events", R_OK, 0) == 0)
                        return TAKE_FD(fd);
        }
        return -ENODATA;
}

/* Below one that is threaded, or where threads are apart, it would have no type. */
static bool takes_processes(int fd)
{
        _cleanup_free_ char *type = NULL;

        return read_file_at(fd, "cgroup.type", 32, &type, NULL) >= 0 && streq(type, "domain\n");
}

static int open_elsewhere(Cgroup *g)
{
        int r = node_open_below(g->tree->mount_fd, g->path, &g->fd);

        if (r >= 0)
                g->memory_fd = open_counting(g->tree->mount_fd, g->path);
        return r;
}

static int make_elsewhere(Cgroup *g)
{
        _cleanup_close_ int parent_fd = -EBADF;
        int r = open_parent(g, &parent_fd);

        if (r < 0)
                return r;
        if (mkdirat(parent_fd, strrchr(g->path, '/') + 1, 0755) < 0)
                return -errno;
        r = open_elsewhere(g);
        if (r >= 0 && !takes_processes(g->fd))
                r = -EOPNOTSUPP;
        if (r >= 0)
                r = write_file_at(g->fd, "cgroup.max.descendants", "0");
        if (r < 0)
                (void)remove_session(g);
        return r;
}

int cgroup_new_at(Cgroups *c, const char *parent, const char *id, Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        char *path;
        int r;

        if (!node_name_is_valid(id))
                return -EINVAL;
        if (asprintf(&path, "%s/" ELSEWHERE_PREFIX "%s", parent, id) < 0)
                return -ENOMEM;
        r = alloc_session(c, path, true, &g);
        if (r >= 0)
                r = make_elsewhere(g);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

int cgroup_find_at(Cgroups *c, const char *path, Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        char *copy = path[0] == '/' ? strdup(path) : NULL;
        int r = copy ? alloc_session(c, copy, true, &g) : path[0] == '/' ? -ENOMEM : -EINVAL;

        if (r >= 0)
                r = open_elsewhere(g);
        if (r < 0)
                return r;
        add_found(g);
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

/* Whether there is nothing more to be done about it. */
static bool is_done_with(Cgroup *g)
{
        return remove_session(g) != -EBUSY || (g->is_elsewhere && ++g->sweeps > SWEEPS_ELSEWHERE);
}

size_t cgroups_sweep(Cgroups *c)
{
        size_t left = 0;

        for (Cgroup **g = &c->busy; *g;) {
                Cgroup *this = *g;

                if (is_done_with(this)) {
                        *g = this->next_busy;
                        cgroup_destroy(this);
                } else {
                        left++;
                        g = &this->next_busy;
                }
        }
        return left;
}

bool cgroup_is_elsewhere(const Cgroup *g)
{
        return g->is_elsewhere;
}

int cgroup_memory_fd(const Cgroup *g)
{
        return g->is_elsewhere ? g->memory_fd : g->fd;
}

int cgroup_open_entry(const Cgroup *g)
{
        int fd = openat(g->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
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
