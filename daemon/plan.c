/* See plan.h. */
#include "plan.h"

#include <search.h>
#include <stdio.h>

#include "config.h"
#include "spec.h"

#define OOM_SCORE_ADJ_MIN 500
#define OOM_SCORE_ADJ_MAX 1000
#define STACK_SIZE        (8 * MIB)
#define SIGNALS_MAX       4096
#define MESSAGE_QUEUES    819200 /* bytes: the kernel's own default */
#define TMPFS_MAX         (UINT64_C(1) << 53)
#define FALLBACK_TERM     "TERM=dumb"

static char *const default_environment[] = {
        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        (char *)"container=nsrootd",
        NULL,
};
static char *const default_arguments[] = { (char *)"/bin/sh", NULL };

static size_t count(char *const *strings)
{
        size_t n = 0;

        while (strings && strings[n])
                n++;
        return n;
}

/* Of two places in the list, what is before the "=" of their strings. */
static int compare_keys(const void *a, const void *b)
{
        const char *x = *(char *const *)a, *y = *(char *const *)b;
        size_t nx = strcspn(x, "="), ny = strcspn(y, "=");
        int r = memcmp(x, y, MIN(nx, ny));

        return r ? r : (nx > ny) - (nx < ny);
}

static void keep(void *string)
{
}

/* Puts entry into slot: 1; or, where there is one of its key already, into the place of that: 0. */
static int put_entry(void **tree, char **slot, char *entry)
{
        char ***found;

        *slot = entry;
        found = tsearch(slot, tree, compare_keys);
        if (!found)
                return -ENOMEM;
        if (*found == slot)
                return 1;
        **found = entry;
        *slot = NULL;
        return 0;
}

/* By a tree: a client may send thousands, and others wait meanwhile. */
static int merge(char *const *const sources[], size_t n_sources, char **list)
{
        void *tree = NULL;
        int r = 0;

        for (size_t i = 0; i < n_sources && r >= 0; i++)
                for (char *const *entry = sources[i]; entry && *entry && r >= 0; entry++) {
                        r = put_entry(&tree, list, *entry);
                        list += r > 0;
                }
        tdestroy(tree, keep);
        return r;
}

/* The last of each key, as a list of borrowed strings; the list is the caller's. */
static int build_environment(const Spec *spec, const RootConfig *root, char ***ret)
{
        static char *const term[] = { (char *)FALLBACK_TERM, NULL };
        char *const *const sources[] = { default_environment, spec->terminal == 1 ? term : NULL,
                                         root ? root->default_environment : NULL, spec->environment };
        _cleanup_free_ char **list = NULL;
        size_t room = 1;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                room += count(sources[i]);
        list = calloc(room, sizeof(*list));
        if (!list)
                return -ENOMEM;
        r = merge(sources, ELEMENTSOF(sources), list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static size_t size_of(char *const *strings)
{
        size_t size = 0;

        for (; *strings; strings++)
                size += strlen(*strings) + 1;
        return size;
}

static char *put(char *at, char *const *strings)
{
        for (; *strings; strings++)
                at = stpcpy(at, *strings) + 1;
        return at;
}

char *const *plan_arguments(const Spec *spec, const RootConfig *root)
{
        if (spec->arguments)
                return spec->arguments;
        return root && root->default_arguments ? root->default_arguments : default_arguments;
}

/* The strings of an order one after the other: arguments, environment, user, working directory. */
static int build_blob(const Spec *spec, const RootConfig *root, SpawnPlan *ret)
{
        char *const *arguments = plan_arguments(spec, root);
        char *const rest[] = { spec->user ? spec->user : (char *)"",
                               spec->working_directory ? spec->working_directory : (char *)"/", NULL };
        _cleanup_free_ char **environment = NULL;
        int r = build_environment(spec, root, &environment);

        if (r < 0)
                return r;
        size_t size = size_of(arguments) + size_of(environment) + size_of(rest);
        if (size > ORDER_SIZE_MAX - sizeof(OrderSpawn))
                return -E2BIG;
        ret->blob = malloc(size);
        if (!ret->blob)
                return -ENOMEM;
        put(put(put(ret->blob, arguments), environment), rest);
        ret->order.blob_size = (uint32_t)size;
        ret->order.argc = (uint32_t)count(arguments);
        ret->order.envc = (uint32_t)count(environment);
        return 0;
}

/* Of the daemon: what the service manager gave it. Asked for once. */
static const struct rlimit *own_limits(void)
{
        static struct rlimit own[RLIM_NLIMITS];
        static bool known;

        if (known)
                return own;
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (getrlimit(i, &own[i]) < 0)
                        own[i].rlim_max = RLIM_INFINITY;
        known = true;
        return own;
}

/* What a command gets of each resource; no more than the daemon could give (a hard limit is not raised). */
static void build_limits(const Limits *limits, OrderSpawn *ret)
{
        const struct {
                int resource;
                uint64_t soft, hard;
        } given[] = {
                {RLIMIT_CORE,        0,                               0                              },
                { RLIMIT_NOFILE,     limits->of[LIMIT_OPEN_FILES],    limits->of[LIMIT_OPEN_FILES]   },
                { RLIMIT_NPROC,      limits->of[LIMIT_PROCESSES],     limits->of[LIMIT_PROCESSES]    },
                { RLIMIT_MEMLOCK,    limits->of[LIMIT_LOCKED_MEMORY], limits->of[LIMIT_LOCKED_MEMORY]},
                { RLIMIT_FSIZE,      limits->of[LIMIT_FILE_SIZE],     limits->of[LIMIT_FILE_SIZE]    },
                { RLIMIT_STACK,      STACK_SIZE,                      RLIM_INFINITY                  },
                { RLIMIT_SIGPENDING, SIGNALS_MAX,                     SIGNALS_MAX                    },
                { RLIMIT_MSGQUEUE,   MESSAGE_QUEUES,                  MESSAGE_QUEUES                 },
                { RLIMIT_RTPRIO,     0,                               0                              },
                { RLIMIT_NICE,       0,                               0                              },
        };

        for (int i = 0; i < RLIM_NLIMITS; i++)
                ret->limits[i].soft = ret->limits[i].hard = RLIM_INFINITY;
        for (size_t i = 0; i < ELEMENTSOF(given); i++) {
                ret->limits[given[i].resource].soft = given[i].soft;
                ret->limits[given[i].resource].hard = given[i].hard;
        }
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                ret->limits[i].hard = MIN(ret->limits[i].hard, own_limits()[i].rlim_max);
                ret->limits[i].soft = MIN(ret->limits[i].soft, ret->limits[i].hard);
        }
}

static uint32_t build_flags(const Spec *spec, uint64_t command)
{
        static const uint32_t stdio[] = { SPAWN_STDIN, SPAWN_STDOUT, SPAWN_STDERR };
        uint32_t flags = (spec->terminal == 1 ? SPAWN_TERMINAL : 0) |
                         (spec->lifeline != FIELD_ABSENT ? SPAWN_LIFELINE : 0);

        if (command == ORDER_MAIN_COMMAND)
                flags |= SPAWN_MAIN | SPAWN_RING | (spec->detached == 1 ? SPAWN_CAPTURE : 0);

        for (size_t i = 0; i < ELEMENTSOF(stdio); i++)
                if (spec->stdio[i] != FIELD_ABSENT)
                        flags |= stdio[i];
        return flags;
}

int plan_command(const Limits *limits, const Spec *spec, const RootConfig *root, uint64_t command,
                 SpawnPlan *ret)
{
        SpawnPlan s = { .order = { .header = ORDER_INIT(ORDER_SPAWN, command) } };
        int r = build_blob(spec, root, &s);

        if (r < 0)
                return r;
        s.order.flags = build_flags(spec, command);
        s.order.columns = (uint16_t)(spec->columns == FIELD_ABSENT ? 80 : spec->columns);
        s.order.rows = (uint16_t)(spec->rows == FIELD_ABSENT ? 24 : spec->rows);
        build_limits(limits, &s.order);
        *ret = s;
        return 0;
}

/* What it would not take is none, too. */
uint64_t plan_tmpfs_limit(uint64_t limit)
{
        return limit > TMPFS_MAX ? 0 : limit;
}

int plan_oom_score_adj(int callers)
{
        return MIN(MAX(callers, OOM_SCORE_ADJ_MIN), OOM_SCORE_ADJ_MAX);
}

void plan_child(const Limits *limits, bool read_only, const char *hostname, ChildPlan *ret)
{
        uint64_t inodes = plan_tmpfs_limit(limits->of[LIMIT_STORAGE_INODES]);

        *ret = (ChildPlan){ .read_only = read_only };
        snprintf(ret->hostname, sizeof(ret->hostname), "%s", hostname);
        snprintf(ret->storage, sizeof(ret->storage), "mode=0755,size=%lu,nr_inodes=%lu",
                 plan_tmpfs_limit(limits->of[LIMIT_STORAGE]), inodes);
        snprintf(ret->shm, sizeof(ret->shm), "mode=1777,size=%lu,nr_inodes=%lu",
                 plan_tmpfs_limit(limits->of[LIMIT_SHARED_MEMORY]), inodes);
}

void plan_done(SpawnPlan *spawn)
{
        free(TAKE_PTR(spawn->blob));
}
