/* What bounds sessions: control groups, and the numbers that policy sets. */
#include "doctor-judge.h"
#include "text.h"
#include "value.h"

/* What is not limited without each. */
static const struct {
        const char *controller, *resource;
} controllers[] = {
        {"memory", "memory"        },
        { "pids",  "tasks"         },
        { "cpu",   "processor time"},
};

/* The machine's, at the root of cgroup v2. */
static bool machine_has(const Machine *m, const char *controller)
{
        size_t n = strlen(controller);

        for (const char *at = m->controllers; at && (at = strstr(at, controller)); at += n)
                if ((at == m->controllers || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' '))
                        return true;
        return false;
}

static bool machine_has_all(const Machine *m)
{
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++)
                if (!machine_has(m, controllers[i].controller))
                        return false;
        return true;
}

static const char *cgroups_words(const Machine *m)
{
        static const char *const words[] = {
                [CGROUPS_NONE] = "this machine has no cgroups",
                [CGROUPS_V1] = "this machine has cgroup v1 only",
                [CGROUPS_HYBRID] = "this machine mixes cgroup v1 and v2",
                [CGROUPS_V2] = "this machine has cgroup v2 without all controllers",
        };

        return machine_has_all(m) ? "nsrootd may not use all of cgroup v2" : words[m->cgroups];
}

/* What the machine has, nsrootd was not given; what it has not, v1 may have, or nobody. */
static const char *how_to_get_controllers(const Machine *m)
{
        return machine_has_all(m) ? "run nsrootd as nsrootd.service, or give it a group with ControlGroup= "
                                    "of nsrootd.conf"
                                  : "boot with 'systemd.unified_cgroup_hierarchy=1', or without systemd "
                                    "'cgroup_no_v1=all'";
}

/* nsrootd's, or where it does not say, what it could have. */
static bool has_controller(const Evidence *e, const char *controller)
{
        struct json_object *host = evidence_host(e);

        return host ? list_has(value_array(host, "controllers"), controller)
                    : machine_has(&e->machine, controller);
}

/* Which of those that matter are there, or what is not limited for want of the others. */
static char *list_controllers(const Evidence *e, bool there)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++)
                if (has_controller(e, controllers[i].controller) == there)
                        words_add(&w, "%s", there ? controllers[i].controller : controllers[i].resource);
        return words_end(&w);
}

void judge_control_groups(const Evidence *e, Finding *f)
{
        _cleanup_free_ char *there = list_controllers(e, true), *lacking = list_controllers(e, false);
        bool asked = evidence_host(e) != NULL;

        if (!there || !lacking)
                return;
        if (!*lacking)
                found_ok(f, "%s %s",
                         asked ? "nsrootd limits sessions by" : "this machine has cgroup v2 with", there);
        else
                found_degraded(f, how_to_get_controllers(&e->machine),
                               "%s: no limits of %s by control group", cgroups_words(&e->machine), lacking);
}

void judge_sessions(const Evidence *e, Finding *f)
{
        long own = (long)value_number(evidence_allowance(e), "sessions", 0);
        long own_max = (long)value_number(evidence_allowance(e), "sessionsMax", -1);
        long all = (long)value_number(evidence_host(e), "sessions", 0);
        long all_max = (long)value_number(evidence_host(e), "sessionsMax", -1);

        if (own_max < 0 || all_max < 0)
                return;
        if (own_max == 0)
                found_missing(f, ADVICE_ASK, "you may have no session");
        else if (own >= own_max)
                found_degraded(f, "end one: 'nsrootctl list', 'nsrootctl stop ID'",
                               "you have %ld of %ld sessions: there can be no more of yours", own, own_max);
        else if (all >= all_max)
                found_degraded(f, "try again later, or raise SessionsMax= of nsrootd.conf",
                               "this machine has %ld of %ld sessions: there can be no more", all, all_max);
        else
                found_ok(f, "you have %ld of %ld, this machine %ld of %ld", own, own_max, all, all_max);
}

void judge_connections(const Evidence *e, Finding *f)
{
        long max = (long)value_number(evidence_allowance(e), "connectionsMax", -1);

        if (max >= 0)
                found_ok(f, "you may have %ld at a time, and one more for each session", max);
}

typedef enum Unit { UNIT_NUMBER, UNIT_SIZE, UNIT_TIME } Unit;

/* Those that need a controller hold where nsrootd has it. */
static const struct {
        const char *key, *before, *after, *controller;
        Unit unit;
} limits[] = {
        {"memoryMaxBytes",        "",          " of memory",                  "memory", UNIT_SIZE  },
        { "tasksMax",             "",          " tasks",                      "pids",   UNIT_NUMBER},
        { "cpuQuotaPercent",      "",          "% of a processor",            "cpu",    UNIT_NUMBER},
        { "cpuTimeMaxUSec",       "",          " of processor time",          NULL,     UNIT_TIME  },
        { "runtimeMaxUSec",       "",          " to run",                     NULL,     UNIT_TIME  },
        { "storageMaxBytes",      "",          " of storage",                 NULL,     UNIT_SIZE  },
        { "storageMaxInodes",     "",          " files in it",                NULL,     UNIT_NUMBER},
        { "sharedMemoryMaxBytes", "",          " in /dev/shm",                NULL,     UNIT_SIZE  },
        { "fileSizeMaxBytes",     "files of ", "",                            NULL,     UNIT_SIZE  },
        { "openFilesMax",         "",          " descriptors in one process", NULL,     UNIT_NUMBER},
};

static void add_limit(Words *w, size_t i, int64_t value)
{
        _cleanup_free_ char *size = limits[i].unit == UNIT_SIZE ? text_size((uint64_t)value) : NULL;

        if (limits[i].unit == UNIT_SIZE)
                words_add(w, "%s%s%s", limits[i].before, size ?: "?", limits[i].after);
        else if (limits[i].unit == UNIT_TIME)
                words_add(w, "%s%gs%s", limits[i].before, (double)value / USEC_PER_SEC, limits[i].after);
        else
                words_add(w, "%s%ld%s", limits[i].before, (long)value, limits[i].after);
}

/* Of those called so in the allowance; what the others say too is left out (NULL: nothing is). */
static char *list_limits(const Evidence *e, const char *which, const char *others)
{
        struct json_object *listed = value_object(evidence_allowance(e), which);
        struct json_object *said = others ? value_object(evidence_allowance(e), others) : NULL;
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                int64_t value = value_number(listed, limits[i].key, -1);

                if (value >= 0 && value != value_number(said, limits[i].key, -1) &&
                    (!limits[i].controller || has_controller(e, limits[i].controller)))
                        add_limit(&w, i, value);
        }
        return words_end(&w);
}

void judge_limits(const Evidence *e, Finding *f)
{
        _cleanup_free_ char *own = list_limits(e, "limits", NULL);
        _cleanup_free_ char *allowed = list_limits(e, "allowed", "limits");
        _cleanup_free_ char *together = list_limits(e, "together", NULL);

        if (!value_object(evidence_allowance(e), "limits") || !own || !allowed || !together)
                return;
        found_ok(f, "a session of yours has at most %s%s%s%s%s", *own ? own : "what this machine has",
                 *allowed ? "; it may ask for up to " : "", allowed,
                 *together ? "; all of yours together have at most " : "", together);
}
