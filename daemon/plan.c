/* See plan.h. */
#include "plan.h"

#include <stdio.h>

#include "config.h"
#include "spec.h"

#define OOM_SCORE_ADJ_MIN 500
#define OOM_SCORE_ADJ_MAX 1000
#define STACK_SIZE        (8 * MIB)
#define SIGNALS_MAX       4096
#define MESSAGE_QUEUES    819200 /* bytes: the kernel's own default */
#define FALLBACK_TERM     "TERM=dumb"

static char *const default_environment[] = {
        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        (char *)"container=nsrootd",
        NULL,
};
static char *const default_arguments[] = { (char *)"/bin/sh", NULL };

/* A list of borrowed strings, for the making of a blob. */
typedef struct List {
        char **entries;
        size_t n, allocated;
} List;

static int list_append(List *l, char *entry)
{
        if (l->n == l->allocated) {
                size_t n = MAX(l->allocated * 2, (size_t)16);
                char **grown = reallocarray(l->entries, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                l->entries = grown;
                l->allocated = n;
        }
        l->entries[l->n++] = entry;
        return 0;
}

static bool same_key(const char *a, const char *b)
{
        size_t n = strcspn(a, "=");

        return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* Each entry replaces the one of its key. */
static int list_merge(List *l, char *const *entries)
{
        for (; entries && *entries; entries++) {
                size_t i = 0;

                while (i < l->n && !same_key(l->entries[i], *entries))
                        i++;
                if (i < l->n)
                        l->entries[i] = *entries;
                else if (list_append(l, *entries) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int build_environment(const Spec *spec, const RootConfig *root, List *ret)
{
        static char *const term[] = { (char *)FALLBACK_TERM, NULL };
        char *const *const sources[] = { default_environment, spec->terminal == 1 ? term : NULL,
                                         root->default_environment, spec->environment };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                if (list_merge(ret, sources[i]) < 0)
                        return -ENOMEM;
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
        return root->default_arguments ? root->default_arguments : default_arguments;
}

/* The strings of an order one after the other: arguments, environment, user, working directory. */
static int build_blob(const Spec *spec, const RootConfig *root, SpawnPlan *ret)
{
        char *const *arguments = plan_arguments(spec, root);
        char *const rest[] = { spec->user ? spec->user : (char *)"",
                               spec->working_directory ? spec->working_directory : (char *)"/", NULL };
        _cleanup_free_ char **environment = NULL;
        List list = { 0 };
        int r = build_environment(spec, root, &list);

        environment = list.entries;
        if (r < 0 || list_append(&list, NULL) < 0)
                return -ENOMEM;
        environment = list.entries;
        size_t size = size_of(arguments) + size_of(environment) + size_of(rest);
        if (size > ORDER_SIZE_MAX - sizeof(OrderSpawn))
                return -E2BIG;
        ret->blob = malloc(size);
        if (!ret->blob)
                return -ENOMEM;
        put(put(put(ret->blob, arguments), environment), rest);
        ret->order.blob_size = (uint32_t)size;
        for (ret->order.argc = 0; arguments[ret->order.argc];)
                ret->order.argc++;
        ret->order.envc = (uint32_t)list.n - 1;
        return 0;
}

/* What a command gets of each resource; no more than the daemon could give (a hard limit is not raised). */
static void build_limits(const Config *config, OrderSpawn *ret)
{
        const struct {
                int resource;
                uint64_t soft, hard;
        } given[] = {
                {RLIMIT_CORE,        0,                      0                     },
                { RLIMIT_NOFILE,     config->open_files_max, config->open_files_max},
                { RLIMIT_NPROC,      config->processes_max,  config->processes_max },
                { RLIMIT_MEMLOCK,    config->memlock_max,    config->memlock_max   },
                { RLIMIT_FSIZE,      config->file_size_max,  config->file_size_max },
                { RLIMIT_STACK,      STACK_SIZE,             RLIM_INFINITY         },
                { RLIMIT_SIGPENDING, SIGNALS_MAX,            SIGNALS_MAX           },
                { RLIMIT_MSGQUEUE,   MESSAGE_QUEUES,         MESSAGE_QUEUES        },
                { RLIMIT_RTPRIO,     0,                      0                     },
                { RLIMIT_NICE,       0,                      0                     },
        };

        for (int i = 0; i < RLIM_NLIMITS; i++)
                ret->limits[i].soft = ret->limits[i].hard = RLIM_INFINITY;
        for (size_t i = 0; i < ELEMENTSOF(given); i++) {
                ret->limits[given[i].resource].soft = given[i].soft;
                ret->limits[given[i].resource].hard = given[i].hard;
        }
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit own;

                if (getrlimit(i, &own) < 0)
                        continue;
                ret->limits[i].hard = MIN(ret->limits[i].hard, own.rlim_max);
                ret->limits[i].soft = MIN(ret->limits[i].soft, ret->limits[i].hard);
        }
}

static uint32_t build_flags(const Spec *spec)
{
        static const uint32_t stdio[] = { SPAWN_STDIN, SPAWN_STDOUT, SPAWN_STDERR };
        uint32_t flags = SPAWN_MAIN | (spec->terminal == 1 ? SPAWN_TERMINAL : 0) |
                         (spec->lifeline != FIELD_ABSENT ? SPAWN_LIFELINE : 0);

        for (size_t i = 0; i < ELEMENTSOF(stdio); i++)
                if (spec->stdio[i] != FIELD_ABSENT)
                        flags |= stdio[i];
        return flags;
}

int plan_build(const Config *config, const Spec *spec, const RootConfig *root, int oom_score_adj,
               ChildPlan *child, SpawnPlan *spawn)
{
        SpawnPlan s = { .order = { .header = ORDER_INIT(ORDER_SPAWN, 1) } };
        int r = build_blob(spec, root, &s);

        if (r < 0)
                return r;
        s.order.flags = build_flags(spec);
        s.order.columns = (uint16_t)(spec->columns == FIELD_ABSENT ? 80 : spec->columns);
        s.order.rows = (uint16_t)(spec->rows == FIELD_ABSENT ? 24 : spec->rows);
        build_limits(config, &s.order);
        *spawn = s;
        *child = (ChildPlan){ .read_only = spec->read_only == 1,
                              .hostname = spec->hostname ? spec->hostname : root->name };
        oom_score_adj = MIN(MAX(oom_score_adj, OOM_SCORE_ADJ_MIN), OOM_SCORE_ADJ_MAX);
        snprintf(child->oom_score_adj, sizeof(child->oom_score_adj), "%d", oom_score_adj);
        snprintf(child->storage, sizeof(child->storage), "mode=0755,size=%lu,nr_inodes=%lu",
                 config->storage_max, config->storage_inodes);
        snprintf(child->shm, sizeof(child->shm), "mode=1777,size=%lu", config->shm_max);
        return 0;
}

void plan_done(SpawnPlan *spawn)
{
        free(TAKE_PTR(spawn->blob));
}
