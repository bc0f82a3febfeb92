/* Sessions' cgroups as directories of the cgroup2 filesystem, reached only from the descriptor of the node
 * they are below (cgroup-node.c finds it). Keeps no list of users: a user's directory is made when it
 * is missed, and goes with the last session in it because the kernel refuses to remove it earlier. */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup-node.h"

#define USER_PREFIX     "user-"
#define FILE_SIZE_MAX   (64 * KIB) /* of any cgroup file read here */
#define CPU_PERIOD_USEC 100000

struct Cgroups {
        int mount_fd;
        Node node;
        unsigned controllers;
        Cgroup *busy;
        Cgroup *found; /* until the first tidying */
};

struct Cgroup {
        Cgroups *tree;
        int fd;
        char *path;
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

const char *cgroups_path(const Cgroups *c)
{
        return *c->node.path ? c->node.path : "/";
}

/* Opens a user's directory, making it with the controllers of the node if it is not there. */
static int open_user(Cgroups *c, uid_t uid, int *ret)
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
        if (r < 0)
                return r;
        if (made && (node_enable_controllers(fd) & c->controllers) != c->controllers) {
                (void)unlinkat(c->node.fd, name, AT_REMOVEDIR);
                return -EIO;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

static int write_number(int fd, const char *file, uint64_t value, const char *suffix)
{
        char text[48];

        snprintf(text, sizeof text, "%" PRIu64 "%s", value, suffix);
        return write_file_at(fd, file, text);
}

static int write_memory(int fd, uint64_t bytes)
{
        int r = write_number(fd, "memory.max", bytes, "");

        if (r >= 0)
                r = write_file_at(fd, "memory.oom.group", "1");
        if (r < 0)
                return r;
        r = write_file_at(fd, "memory.swap.max", "0");
        return r == -ENOENT ? 0 : r; /* a kernel without swap has no such file */
}

static int write_tasks(int fd, uint64_t n)
{
        return write_number(fd, "pids.max", n, "");
}

static int write_cpu(int fd, uint64_t percent)
{
        char period[16];

        if (percent > UINT64_MAX / (CPU_PERIOD_USEC / 100))
                return -ERANGE;
        snprintf(period, sizeof period, " %d", CPU_PERIOD_USEC);
        return write_number(fd, "cpu.max", percent * (CPU_PERIOD_USEC / 100), period);
}

static int write_limits(int fd, unsigned controllers, const CgroupLimits *limits)
{
        const struct {
                CgroupController needs;
                uint64_t value;
                int (*write)(int fd, uint64_t value);
        } table[] = {
                {CGROUP_MEMORY, limits->memory_max,  write_memory},
                { CGROUP_PIDS,  limits->tasks_max,   write_tasks },
                { CGROUP_CPU,   limits->cpu_percent, write_cpu   },
        };
        int r = write_file_at(fd, "cgroup.max.descendants", "0");

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(table); i++)
                if ((controllers & table[i].needs) && table[i].value != UINT64_MAX)
                        r = table[i].write(fd, table[i].value);
        return r;
}

/* Its name as the kernel calls below the node want it: "user-UID/ID". */
static const char *name_below_node(const Cgroup *g)
{
        return g->path + strlen(g->tree->node.path) + 1;
}

static void remove_user(const Cgroup *g)
{
        char user[sizeof USER_PREFIX + 10];
        const char *name = name_below_node(g);

        snprintf(user, sizeof user, "%.*s", (int)strcspn(name, "/"), name);
        (void)unlinkat(g->tree->node.fd, user, AT_REMOVEDIR);
}

/* -EBUSY: a process of it is not quite gone yet. */
static int remove_session(const Cgroup *g)
{
        if (unlinkat(g->tree->node.fd, name_below_node(g), AT_REMOVEDIR) < 0 && errno == EBUSY)
                return -EBUSY;
        remove_user(g);
        return 0;
}

static int make_directory(int user_fd, const char *id, int *ret)
{
        if (mkdirat(user_fd, id, 0755) < 0)
                return -errno;
        return node_open_below(user_fd, id, ret);
}

static int make_session(Cgroup *g, uid_t uid, const char *id, const CgroupLimits *limits)
{
        _cleanup_close_ int user_fd = -EBADF;
        int r = open_user(g->tree, uid, &user_fd);

        if (r < 0)
                return r;
        r = make_directory(user_fd, id, &g->fd);
        if (r < 0) {
                remove_user(g);
                return r;
        }
        r = write_limits(g->fd, g->tree->controllers, limits);
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

        if (!node_name_is_valid(id))
                return -EINVAL;
        g = calloc(1, sizeof *g);
        if (!g)
                return -ENOMEM;
        *g = (Cgroup){ .tree = c, .fd = -EBADF };
        if (asprintf(&g->path, "%s/" USER_PREFIX "%" PRIu32 "/%s", c->node.path, (uint32_t)uid, id) < 0) {
                free(g);
                return -ENOMEM;
        }
        *ret = g;
        return 0;
}

int cgroup_new(Cgroups *c, uid_t uid, const char *id, const CgroupLimits *limits, Cgroup **ret)
{
        _cleanup_(cgroup_destroyp) Cgroup *g = NULL;
        int r = name_session(c, uid, id, &g);

        if (r >= 0)
                r = make_session(g, uid, id, limits);
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
                r = node_open_below(c->node.fd, name_below_node(g), &g->fd);
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

/* The number after a key at the beginning of a line; with an empty key, the first number. */
static int read_number(int fd, const char *file, const char *key, uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        int r = read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL);

        if (r < 0)
                return r == -ENOENT ? -ENODATA : r;
        for (char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, strlen(key)) == 0) {
                        line += strlen(key);
                        line[strcspn(line, "\n")] = '\0';
                        return parse_u64(line, UINT64_MAX, ret);
                }
        }
        return -ENODATA;
}

int cgroup_memory_peak(Cgroup *g, uint64_t *ret)
{
        return read_number(g->fd, "memory.peak", "", ret);
}

int cgroup_tasks_peak(Cgroup *g, uint64_t *ret)
{
        return read_number(g->fd, "pids.peak", "", ret);
}

int cgroup_oom_kills(Cgroup *g, uint64_t *ret)
{
        return read_number(g->fd, "memory.events", "oom_kill ", ret);
}

/* The sum of all numbers after a key such as "rbytes=", wherever it stands. */
static uint64_t read_sum(int fd, const char *file, const char *key)
{
        _cleanup_free_ char *text = NULL;
        uint64_t sum = 0;

        if (read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL) < 0)
                return UINT64_MAX;
        for (const char *at = text; (at = strstr(at, key));) {
                at += strlen(key);
                sum += strtoull(at, NULL, 10);
        }
        return sum;
}

static uint64_t count_lines(int fd, const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint64_t n = 0;

        if (read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL) < 0)
                return UINT64_MAX;
        for (const char *at = text; (at = strchr(at, '\n')); at++)
                n++;
        return n;
}

void cgroup_usage(const Cgroup *g, CgroupUsage *ret)
{
        const struct {
                const char *file, *key;
                uint64_t *at;
        } numbers[] = {
                {"cpu.stat",        "usage_usec ", &ret->cpu_usec   },
                { "memory.current", "",            &ret->memory     },
                { "memory.peak",    "",            &ret->memory_peak},
                { "pids.current",   "",            &ret->tasks      },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (read_number(g->fd, numbers[i].file, numbers[i].key, numbers[i].at) < 0)
                        *numbers[i].at = UINT64_MAX;
        if (ret->tasks == UINT64_MAX) /* without the controller, those there are */
                ret->tasks = count_lines(g->fd, "cgroup.threads");
        ret->io_read = read_sum(g->fd, "io.stat", "rbytes=");
        ret->io_write = read_sum(g->fd, "io.stat", "wbytes=");
}
