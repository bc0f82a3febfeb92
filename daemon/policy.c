/* See policy.h. */
#include "policy.h"

#include "config-value.h"
#include "protocol.h"

#define SYSTEM_UID_MAX 999   /* login.defs(5), SYS_UID_MAX */
#define NOBODY         65534 /* who comes out of a user namespace that does not map him */

static bool is_system_user(uid_t uid)
{
        return uid > 0 && uid <= SYSTEM_UID_MAX;
}

/* A group that a user namespace does not map has this number too, so it means no group at all. */
static bool is_in_group(const Caller *caller, gid_t group)
{
        if (group == NOBODY)
                return false;
        for (size_t i = 0; i < caller->n_groups; i++)
                if (caller->groups[i] == group)
                        return true;
        return false;
}

static bool is_about(const Rule *rule, const Caller *caller)
{
        if (!rule->known)
                return false;
        return rule->of_group ? is_in_group(caller, rule->id) : rule->id == caller->uid;
}

/* Of one kind, so that a [User] that comes first still has the last word. */
static void apply_rules(const Config *c, bool of_group, const Caller *caller, Allowance *a)
{
        for (size_t i = 0; i < c->n_rules; i++)
                if (c->rules[i].of_group == of_group && is_about(&c->rules[i], caller))
                        rule_apply(&c->rules[i], a);
}

/* What bounds a limit of one session as it bounds all of one user's. */
static uint64_t ceiling_of(const GroupLimits *c, Limit limit, const char **ret_name)
{
        const struct {
                Limit limit;
                const char *name;
                uint64_t value;
        } rows[] = {
                {LIMIT_MEMORY,     "MemoryPerUser",   c->memory_max },
                { LIMIT_TASKS,     "TasksPerUser",    c->tasks_max  },
                { LIMIT_CPU_QUOTA, "CpuQuotaPerUser", c->cpu_percent},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].limit == limit) {
                        *ret_name = rows[i].name;
                        return rows[i].value;
                }
        return LIMIT_NONE;
}

/* A weight is no more than a choice among one's own. */
static void complete_limits(Allowance *a)
{
        const char *name;

        a->allowed.of[LIMIT_CPU_WEIGHT] = a->allowed.of[LIMIT_IO_WEIGHT] = LIMIT_NONE;
        a->allowed.of[LIMIT_OUTPUT_KEPT] = VALUE_UNSET;
        for (Limit i = 0; i < LIMITS; i++) {
                if (a->allowed.of[i] == VALUE_UNSET)
                        a->allowed.of[i] = a->limits.of[i];
                a->limits.of[i] =
                        MIN(MIN(a->limits.of[i], a->allowed.of[i]), ceiling_of(&a->together, i, &name));
        }
}

static void allow_everything(Allowance *a)
{
        a->admit = a->change_roots = true;
        a->starts_max = LIMIT_NONE;
        for (Limit i = 0; i < LIMITS; i++)
                a->allowed.of[i] = LIMIT_NONE;
        a->together = (GroupLimits){ LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, a->together.cpu_weight,
                                     a->together.io_weight };
}

void policy_allowance(const Config *c, const Caller *caller, Allowance *ret)
{
        Allowance a = c->everybody;

        if (is_system_user(caller->uid) && !c->allow_system_users)
                a.admit = false;
        apply_rules(c, true, caller, &a);
        apply_rules(c, false, caller, &a);
        if (caller->uid == 0) {
                allow_everything(&a);
                a.sessions_max = c->sessions_max;
        }
        a.together.memory_max = value_memory(a.together.memory_max);
        complete_limits(&a);
        *ret = a;
}

const char *policy_admit(const Config *c, const Caller *caller)
{
        Allowance a;

        if (caller->uid == NOBODY)
                return "unmapped-user";
        if (caller->uid >= c->id_range_first && caller->uid <= c->id_range_last)
                return "session-users";
        policy_allowance(c, caller, &a);
        if (a.admit)
                return NULL;
        return is_system_user(caller->uid) && !c->allow_system_users ? "system-users" : "not-admitted";
}

int policy_check_run(const Config *c, const Caller *caller, const Spec *s, const PolicyUsage *usage,
                     Error *e)
{
        const char *rule = policy_admit(c, caller);
        Allowance a;

        if (rule)
                return error_setf(e, ERROR_REFUSED, "rule", "%s", rule);
        policy_allowance(c, caller, &a);
        if (caller->uid != 0 && usage->sessions_of_user >= a.sessions_max)
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "SessionsPerUser");
        if (usage->sessions >= c->sessions_max)
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "SessionsMax");
        return 0;
}

static int unavailable(Error *e, const char *limit, const char *why)
{
        error_setf(e, ERROR_LIMIT_UNAVAILABLE, "limit", "%s", limit);
        return error_addf(e, "reason", "%s", why);
}

/* What a session that is charged to its caller cannot have of its own. */
#define CONTROLLERS (ENFORCER_MEMORY | ENFORCER_PIDS | ENFORCER_CPU | ENFORCER_IO)

static bool is_the_callers(const Allowance *a, Limit limit)
{
        return a->charge == CHARGE_CALLER && (limit_kinds[limit].needs & CONTROLLERS);
}

/* The first thing that is against a limit as it was asked for. */
static int check_limit(const Allowance *a, Limit limit, uint64_t asked, const PolicyHost *host, Error *e)
{
        const char *name = limit_kinds[limit].name, *ceiling, *why = limit_why_not(limit, host->enforcers);

        if (is_the_callers(a, limit))
                return unavailable(e, name,
                                   "the session is charged to its caller's control group (Charge=), and has "
                                   "the limits of that");
        if (asked > a->allowed.of[limit])
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "%s", name);
        if (asked > ceiling_of(&a->together, limit, &ceiling))
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "%s", ceiling);
        if (why)
                return unavailable(e, name, why);
        if (asked > host->most.of[limit])
                return unavailable(e, name,
                                   "nsrootd itself does not have as much (LimitNOFILE= and the like of "
                                   "nsrootd.service)");
        return 0;
}

/* What nobody has asked for, in particular: a session has no limit that is none. */
static uint64_t as_far_as_can_be(const Allowance *a, Limit limit, const PolicyHost *host)
{
        if (is_the_callers(a, limit) || limit_why_not(limit, host->enforcers))
                return LIMIT_NONE;
        return MIN(a->limits.of[limit], host->most.of[limit]);
}

int policy_limits(const Allowance *a, const Spec *s, const PolicyHost *host, Limits *ret, Error *e)
{
        int r = 0;

        if (a->charge == CHARGE_CALLER && host->never_to_callers)
                return unavailable(e, "Charge", host->never_to_callers);
        for (Limit i = 0; i < LIMITS && r >= 0; i++) {
                int64_t asked = s->limits[i];

                if (asked == FIELD_ABSENT) {
                        ret->of[i] = as_far_as_can_be(a, i, host);
                        continue;
                }
                ret->of[i] = asked == INT64_MAX ? LIMIT_NONE : (uint64_t)asked;
                r = check_limit(a, i, ret->of[i], host, e);
        }
        return r;
}

static bool has_words(const IdList *list)
{
        return list->words && list->words[0];
}

static bool lists_user(const IdList *list, uid_t uid)
{
        for (size_t i = 0; i < list->n; i++)
                if (list->ids[i] == uid)
                        return true;
        return false;
}

static bool lists_group_of(const IdList *list, const Caller *caller)
{
        for (size_t i = 0; i < list->n; i++)
                if (is_in_group(caller, list->ids[i]))
                        return true;
        return false;
}

/* By the words, not by the ids: a name that nobody here has, a mistake perhaps, must not open the root to
 * everybody. */
static bool is_for_everybody(const RootConfig *root)
{
        return !has_words(&root->users) && !has_words(&root->groups);
}

int policy_check_root_use(const Config *c, const Caller *caller, const RootConfig *root, Error *e)
{
        if (caller->uid == 0 || is_for_everybody(root) || lists_user(&root->users, caller->uid) ||
            lists_group_of(&root->groups, caller))
                return 0;
        return error_setf(e, ERROR_REFUSED, "rule", "root-users");
}

int policy_check_root_change(const Config *c, const Caller *caller, Error *e)
{
        const char *rule = policy_admit(c, caller);
        Allowance a;

        policy_allowance(c, caller, &a);
        if (!rule && !a.change_roots)
                rule = "change-roots";
        return rule ? error_setf(e, ERROR_ROOT_REFUSED, "rule", "%s", rule) : 0;
}
