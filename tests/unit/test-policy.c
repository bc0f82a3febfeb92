/* policy.c: who is let in, what each may have by which sections, and who may use and change which roots. */
#include "policy.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "config-table.h"
#include "protocol.h"

#define CALLER(uid, ...)                                                                                    \
        (&(const Caller){ uid, (const gid_t[]){ __VA_ARGS__ },                                              \
                          ELEMENTSOF(((const gid_t[]){ __VA_ARGS__ })) })

static const Config config = {
        .everybody = {.admit = true,
                      .connections_max = 5,
                      .sessions_max = 3,
                      .starts_max = UINT64_MAX,
                      .limits.of = { [0 ... LIMITS - 1] = 50 },
                      .allowed.of = { [0 ... LIMITS - 1] = VALUE_UNSET },
                      .together = { LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, 100, 100 }},
        .sessions_max = 10,
        .id_range_first = 600000,
        .id_range_last = 731071,
};

/* --- admission */

Test(policy, who_is_admitted)
{
        static const struct {
                uid_t uid;
                const char *rule, *rule_with_system_users, *rule_with_nobody;
        } rows[] = {
                {0,               NULL,            NULL,            NULL           },
                { 1,              "system-users",  NULL,            "system-users" },
                { 33,             "system-users",  NULL,            "system-users" },
                { 999,            "system-users",  NULL,            "system-users" },
                { 1000,           NULL,            NULL,            "not-admitted" },
                { 65533,          NULL,            NULL,            "not-admitted" },
                { 65534,          "unmapped-user", "unmapped-user", "unmapped-user"},
                { 65535,          NULL,            NULL,            "not-admitted" },
                { 599999,         NULL,            NULL,            "not-admitted" },
                { 600000,         "session-users", "session-users", "session-users"},
                { 650000,         "session-users", "session-users", "session-users"},
                { 731071,         "session-users", "session-users", "session-users"},
                { 731072,         NULL,            NULL,            "not-admitted" },
                { UINT32_MAX - 1, NULL,            NULL,            "not-admitted" },
        };
        Config open = config, closed = config;

        open.allow_system_users = true;
        closed.everybody.admit = false;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Caller *caller = CALLER(rows[i].uid, 100);

                cr_expect_str_eq(policy_admit(&config, caller) ?: "", rows[i].rule ?: "", "uid %u",
                                 rows[i].uid);
                cr_expect_str_eq(policy_admit(&open, caller) ?: "", rows[i].rule_with_system_users ?: "",
                                 "uid %u where system users may", rows[i].uid);
                cr_expect_str_eq(policy_admit(&closed, caller) ?: "", rows[i].rule_with_nobody ?: "",
                                 "uid %u where nobody may", rows[i].uid);
        }
}

/* --- sections for users and groups */

static const ConfigKey *find_key(const char *name)
{
        const ConfigKey *key = config_keys;

        while (key->name && !(key->of == KEY_OF_USER && streq(key->name, name)))
                key++;
        cr_assert_not_null(key->name, "%s", name);
        return key;
}

#define RULES_MAX 4

/* What is read of sections such as "[Group 10] TasksMax=60 [User 1000] Admit=yes"; one of [User ?1000] names
 * nobody here, and 1000 is only what happens to be there. */
static Config with_sections(const Config *from, const char *text, Rule rules[static RULES_MAX])
{
        Config c = *from;
        char name[32], value[32];
        int length = 0;

        c.rules = rules;
        for (; *text; text += length) {
                if (sscanf(text, " [%31s %31[^]]]%n", name, value, &length) == 2)
                        rules[c.n_rules++] = (Rule){ .of_group = streq(name, "Group"),
                                                     .known = value[0] != '?',
                                                     .id = (uint32_t)atol(value + (value[0] == '?')) };
                else {
                        cr_assert_eq(sscanf(text, " %31[^=]=%31s%n", name, value, &length), 2, "%s", text);
                        cr_assert_geq(rule_set(&rules[c.n_rules - 1], find_key(name), value), 0, "%s", text);
                }
        }
        return c;
}

/* Everybody here is of the groups 10 and 20, and of one that is not mapped. */
static const char *allowance_of(uid_t uid, const char *sections)
{
        static char text[32];
        Rule rules[RULES_MAX];
        Config c = with_sections(&config, sections, rules);
        Allowance a;

        policy_allowance(&c, CALLER(uid, 10, 20, 65534), &a);
        snprintf(text, sizeof(text), "%lu %lu %lu", a.connections_max, a.sessions_max,
                 a.limits.of[LIMIT_TASKS]);
        return text;
}

Test(policy, what_each_may_have)
{
        static const struct {
                uid_t uid;
                const char *sections, *allowance; /* connections, sessions, tasks */
        } rows[] = {
  /* who is meant */
                {1000,  "",                                                                "5 3 50" },
                { 1000, "[User 1000] TasksMax=60",                                         "5 3 60" },
                { 1000, "[User 1000] TasksMax=40",                                         "5 3 40" },
                { 1000, "[User 1001] TasksMax=60",                                         "5 3 50" },
                { 1000, "[Group 10] TasksMax=60",                                          "5 3 60" },
                { 1000, "[Group 20] TasksMax=60",                                          "5 3 60" },
                { 1000, "[Group 15] TasksMax=60",                                          "5 3 50" },
                { 1000, "[Group 0] TasksMax=60",                                           "5 3 50" },
                { 1000, "[Group 1000] TasksMax=60",                                        "5 3 50" },
                { 1000, "[User 10] TasksMax=60",                                           "5 3 50" },
                { 1000, "[User 0] TasksMax=60",                                            "5 3 50" },
                { 1000, "[User ?1000] TasksMax=60",                                        "5 3 50" },
                { 1000, "[Group ?10] TasksMax=60",                                         "5 3 50" },
                { 1000, "[Group 65534] TasksMax=60",                                       "5 3 50" },
 /* what is said */
                { 1000, "[User 1000] TasksMax=60 SessionsPerUser=9 ConnectionsPerUser=1",  "1 9 60" },
                { 1000, "[User 1000] SessionsPerUser=9",                                   "5 9 50" },
                { 1000, "[Group 10] SessionsPerUser=9 [User 1000] TasksMax=60",            "5 9 60" },
 /* who has the last word */
                { 1000, "[Group 20] TasksMax=60 [Group 10] TasksMax=70",                   "5 3 70" },
                { 1000, "[Group 10] TasksMax=70 [Group 20] TasksMax=60",                   "5 3 60" },
                { 1000, "[Group 10] TasksMax=70 [Group 15] TasksMax=60",                   "5 3 70" },
                { 1000, "[Group 10] TasksMax=70 SessionsPerUser=9 [Group 20] TasksMax=60", "5 9 60" },
                { 1000, "[User 1000] TasksMax=60 [Group 10] TasksMax=70",                  "5 3 60" },
                { 1000, "[Group 10] TasksMax=70 [User 1000] TasksMax=60",                  "5 3 60" },
                { 1000, "[Group 10] TasksMax=70 [User 1000] TasksMax=50",                  "5 3 50" },
                { 1000, "[User 1000] TasksMax=60 [User 1000] TasksMax=70",                 "5 3 70" },
 /* root */
                { 0,    "",                                                                "5 10 50"},
                { 0,    "[User 0] SessionsPerUser=1 ConnectionsPerUser=7",                 "7 10 50"},
                { 0,    "[Group 10] TasksMax=60 SessionsPerUser=1",                        "5 10 60"},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_str_eq(allowance_of(rows[i].uid, rows[i].sections), rows[i].allowance,
                                 "uid %u: %s", rows[i].uid, rows[i].sections);
}

Test(policy, whom_a_section_admits)
{
        static const char users[] = "", nobody[] = "nobody", all[] = "system users, too";
        static const struct {
                const char *admitted; /* otherwise */
                uid_t uid;
                const char *sections, *rule;
        } rows[] = {
                {nobody,  1000,   "[Group 15] Admit=yes",                         "not-admitted" },
                { nobody, 1000,   "[Group 20] Admit=yes",                         NULL           },
                { nobody, 1000,   "[Group 65534] Admit=yes",                      "not-admitted" },
                { nobody, 1000,   "[User 1000] Admit=yes",                        NULL           },
                { nobody, 1000,   "[User 1000] TasksMax=60",                      "not-admitted" },
                { nobody, 1000,   "[Group 20] Admit=yes [User 1000] Admit=no",    "not-admitted" },
                { users,  1000,   "[User 1000] Admit=no",                         "not-admitted" },
                { users,  1000,   "[Group 20] Admit=no",                          "not-admitted" },
                { users,  1000,   "[User 1000] Admit=yes [Group 20] Admit=no",    NULL           },
                { users,  33,     "[User 33] Admit=yes",                          NULL           },
                { users,  33,     "[Group 20] Admit=yes",                         NULL           },
                { users,  33,     "[Group 15] Admit=yes",                         "system-users" },
                { users,  33,     "[User 33] TasksMax=60",                        "system-users" },
                { users,  33,     "[Group 20] Admit=yes [User 33] Admit=no",      "system-users" },
                { nobody, 33,     "[User 33] Admit=yes",                          NULL           },
                { all,    33,     "[User 33] Admit=no",                           "not-admitted" },
                { all,    65534,  "[User 65534] Admit=yes [Group 20] Admit=yes",  "unmapped-user"},
                { all,    600001, "[User 600001] Admit=yes [Group 20] Admit=yes", "session-users"},
                { nobody, 0,      "[User 0] Admit=no [Group 20] Admit=no",        NULL           },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Rule rules[RULES_MAX];
                Config c = with_sections(&config, rows[i].sections, rules);

                c.everybody.admit = rows[i].admitted != nobody;
                c.allow_system_users = rows[i].admitted == all;
                cr_expect_str_eq(policy_admit(&c, CALLER(rows[i].uid, 10, 20, 65534)) ?: "",
                                 rows[i].rule ?: "", "%s: uid %u: %s", rows[i].admitted, rows[i].uid,
                                 rows[i].sections);
        }
}

/* --- limits */

static Allowance allowed_to(uid_t uid, const char *sections)
{
        Rule rules[RULES_MAX];
        Config c = with_sections(&config, sections, rules);
        Allowance a;

        policy_allowance(&c, CALLER(uid, 10), &a);
        return a;
}

Test(policy, a_default_keeps_within_what_is_allowed_and_what_all_may_have)
{
        cr_expect_eq(allowed_to(1000, "").limits.of[LIMIT_TASKS], 50);
        cr_expect_eq(allowed_to(1000, "").allowed.of[LIMIT_TASKS], 50,
                     "nothing said: as much as the default");
        cr_expect_eq(allowed_to(1000, "[User 1000] TasksAllowed=70").allowed.of[LIMIT_TASKS], 70);
        cr_expect_eq(allowed_to(1000, "[User 1000] TasksAllowed=70").limits.of[LIMIT_TASKS], 50);
        cr_expect_eq(allowed_to(1000, "[User 1000] TasksAllowed=40").limits.of[LIMIT_TASKS], 40);
        cr_expect_eq(allowed_to(1000, "[User 1000] TasksPerUser=30").limits.of[LIMIT_TASKS], 30);
        cr_expect_eq(allowed_to(1000, "[User 1000] TasksPerUser=30").together.tasks_max, 30);
        cr_expect_eq(allowed_to(1000, "[Group 10] TasksMax=60").allowed.of[LIMIT_TASKS], 60);
        cr_expect_eq(allowed_to(0, "[User 0] TasksPerUser=30").together.tasks_max, LIMIT_NONE,
                     "root has none");
        cr_expect_eq(allowed_to(0, "").allowed.of[LIMIT_TASKS], LIMIT_NONE);
}

/* What is said to a user who asks for so many tasks on a host with those enforcers: the error's first letter
 * and its parameters, or what he gets. */
static const char *answer(uid_t uid, const char *sections, Limit limit, int64_t asked, unsigned enforcers)
{
        static char text[160];
        _cleanup_error_ Error e = { 0 };
        const Allowance a = allowed_to(uid, sections);
        PolicyHost host = { .enforcers = enforcers, .most.of = { [0 ... LIMITS - 1] = LIMIT_NONE } };
        Spec spec;
        Limits got;

        for (Limit i = 0; i < LIMITS; i++)
                spec.limits[i] = FIELD_ABSENT;
        spec.limits[limit] = asked;
        host.most.of[LIMIT_OPEN_FILES] = 60;
        if (policy_limits(&a, &spec, &host, &got, &e) < 0)
                snprintf(text, sizeof(text), "%s %s", strrchr(e.name, '.') + 1, error_text(&e, "limit"));
        else if (got.of[limit] == LIMIT_NONE)
                snprintf(text, sizeof(text), "none");
        else
                snprintf(text, sizeof(text), "%lu", got.of[limit]);
        return text;
}

Test(policy, what_is_asked_for_is_given_or_refused_and_nothing_between)
{
        const unsigned all = ~0U, none = 0;
        const struct {
                uid_t uid;
                const char *sections;
                Limit limit;
                int64_t asked;
                unsigned enforcers;
                const char *answer;
        } rows[] = {
                {1000,  "",                                                    LIMIT_TASKS,      FIELD_ABSENT, all,                    "50"                         },
                { 1000, "",                                                    LIMIT_TASKS,      2,            all,                    "2"                          },
                { 1000, "",                                                    LIMIT_TASKS,      50,           all,                    "50"                         },
                { 1000, "",                                                    LIMIT_TASKS,      51,           all,                    "LimitReached TasksMax"      },
                { 1000, "",                                                    LIMIT_TASKS,      INT64_MAX,    all,                    "LimitReached TasksMax"      },
                { 1000, "[User 1000] TasksAllowed=70",                         LIMIT_TASKS,      70,           all,                    "70"                         },
                { 1000, "[User 1000] TasksAllowed=70",                         LIMIT_TASKS,      71,           all,                    "LimitReached TasksMax"      },
                { 1000, "[User 1000] TasksAllowed=infinity",                   LIMIT_TASKS,      INT64_MAX,    all,                    "none"                       },
                { 1000, "[User 1000] TasksAllowed=70 TasksPerUser=60",         LIMIT_TASKS,      61,           all,
                 "LimitReached TasksPerUser"                                                                                                                        },
                { 1000, "[User 1000] MemoryAllowed=70M MemoryPerUser=60M",     LIMIT_MEMORY,     60 * MIB + 1, all,
                 "LimitReached MemoryPerUser"                                                                                                                       },
                { 1000, "[User 1000] CpuQuotaAllowed=70% CpuQuotaPerUser=60%", LIMIT_CPU_QUOTA,  61,           all,
                 "LimitReached CpuQuotaPerUser"                                                                                                                     },
                { 0,    "",                                                    LIMIT_TASKS,      4000,         all,                    "4000"                       },
                { 0,    "",                                                    LIMIT_TASKS,      INT64_MAX,    all,                    "none"                       },
                { 1000, "",                                                    LIMIT_CPU_WEIGHT, 10000,        all,                    "10000"                      },
                { 1000, "",                                                    LIMIT_OPEN_FILES, 50,           none,                   "50"                         },
                { 1000, "[User 1000] OpenFilesAllowed=100",                    LIMIT_OPEN_FILES, 60,           none,                   "60"                         },
                { 1000, "[User 1000] OpenFilesAllowed=100",                    LIMIT_OPEN_FILES, 61,           none,
                 "LimitUnavailable OpenFilesMax"                                                                                                                    },
                { 1000, "",                                                    LIMIT_TASKS,      FIELD_ABSENT, none,                   "none"                         },
                { 1000, "",                                                    LIMIT_TASKS,      40,           none,                   "LimitUnavailable TasksMax"  },
                { 1000, "",                                                    LIMIT_TASKS,      40,           all & ~ENFORCER_PIDS,   "LimitUnavailable TasksMax"  },
                { 1000, "",                                                    LIMIT_MEMORY,     40,           all & ~ENFORCER_MEMORY, "LimitUnavailable MemoryMax" },
                { 1000, "",                                                    LIMIT_CPU_QUOTA,  40,           all & ~ENFORCER_CPU,    "LimitUnavailable CpuQuota"  },
                { 1000, "",                                                    LIMIT_CPU_WEIGHT, 40,           all & ~ENFORCER_CPU,    "LimitUnavailable CpuWeight" },
                { 1000, "",                                                    LIMIT_IO_WEIGHT,  40,           all & ~ENFORCER_IO,     "LimitUnavailable IoWeight"  },
                { 1000, "",                                                    LIMIT_CPU_TIME,   40,           all & ~ENFORCER_CGROUP, "LimitUnavailable CpuTimeMax"},
                { 1000, "",                                                    LIMIT_CPU_TIME,   40,           ENFORCER_CGROUP,        "40"                         },
                { 1000, "",                                                    LIMIT_RUNTIME,    40,           none,                   "40"                         },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_str_eq(answer(rows[i].uid, rows[i].sections, rows[i].limit, rows[i].asked,
                                        rows[i].enforcers),
                                 rows[i].answer, "row %zu", i);
}

/* --- whose cgroup they are charged to */

Test(policy, with_the_callers_cgroup_go_the_callers_limits)
{
        static const char caller[] = "[User 1000] Charge=caller", own[] = "[User 1000] Charge=user";
        const unsigned all = ~0U;

        cr_expect_eq(allowed_to(1000, caller).charge, CHARGE_CALLER);
        cr_expect_eq(allowed_to(1000, own).charge, CHARGE_USER);
        cr_expect_eq(allowed_to(1001, caller).charge, CHARGE_USER);
        cr_expect_str_eq(answer(1000, own, LIMIT_TASKS, FIELD_ABSENT, all), "50");
        cr_expect_str_eq(answer(1000, caller, LIMIT_TASKS, FIELD_ABSENT, all), "none");
        cr_expect_str_eq(answer(1000, caller, LIMIT_TASKS, 40, all), "LimitUnavailable TasksMax");
        cr_expect_str_eq(answer(1000, caller, LIMIT_MEMORY, 40, all), "LimitUnavailable MemoryMax");
        cr_expect_str_eq(answer(1000, caller, LIMIT_CPU_QUOTA, 40, all), "LimitUnavailable CpuQuota");
        cr_expect_str_eq(answer(1000, caller, LIMIT_CPU_WEIGHT, 40, all), "LimitUnavailable CpuWeight");
        cr_expect_str_eq(answer(1000, caller, LIMIT_IO_WEIGHT, 40, all), "LimitUnavailable IoWeight");
        cr_expect_str_eq(answer(1000, caller, LIMIT_CPU_TIME, 40, all), "40", "every cgroup counts that");
        cr_expect_str_eq(answer(1000, caller, LIMIT_RUNTIME, 40, all), "40");
        cr_expect_str_eq(answer(1000, caller, LIMIT_OPEN_FILES, 40, all), "40");
}

Test(policy, where_no_caller_can_be_charged_nobody_is)
{
        const PolicyHost host = { .enforcers = ~0U, .never_to_callers = "because" };
        const Allowance own = allowed_to(1000, ""), callers = allowed_to(1000, "[User 1000] Charge=caller");
        _cleanup_error_ Error e = { 0 };
        Spec spec;
        Limits got;

        for (Limit i = 0; i < LIMITS; i++)
                spec.limits[i] = FIELD_ABSENT;
        cr_expect_eq(policy_limits(&own, &spec, &host, &got, &e), 0);
        cr_assert_eq(policy_limits(&callers, &spec, &host, &got, &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_LIMIT_UNAVAILABLE);
        cr_expect_str_eq(error_text(&e, "limit"), "Charge");
        cr_expect_str_eq(error_text(&e, "reason"), "because");
}

/* --- how many sessions */

Test(policy, how_many_sessions)
{
        static const struct {
                uid_t uid;
                size_t of_user, all;
                const char *limit; /* NULL: one more */
        } rows[] = {
                {1000,  0,  0,  NULL             },
                { 1000, 2,  9,  NULL             },
                { 1000, 3,  3,  "SessionsPerUser"},
                { 1000, 4,  4,  "SessionsPerUser"},
                { 1000, 0,  10, "SessionsMax"    },
                { 1000, 3,  10, "SessionsPerUser"},
                { 1001, 3,  3,  NULL             },
                { 1001, 4,  4,  NULL             },
                { 1001, 5,  5,  "SessionsPerUser"},
                { 0,    3,  3,  NULL             },
                { 0,    9,  9,  NULL             },
                { 0,    0,  10, "SessionsMax"    },
                { 0,    10, 10, "SessionsMax"    },
                { 0,    0,  11, "SessionsMax"    },
        };
        const Spec spec = { 0 };
        Rule rules[RULES_MAX];
        Config c = with_sections(&config, "[User 1001] SessionsPerUser=5", rules);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                PolicyUsage usage = { .sessions_of_user = rows[i].of_user, .sessions = rows[i].all };
                _cleanup_error_ Error e = { 0 };
                int r = policy_check_run(&c, CALLER(rows[i].uid, 10), &spec, &usage, &e);

                cr_expect_eq(r, rows[i].limit ? -EREMOTEIO : 0, "row %zu", i);
                cr_expect_str_eq(e.name ?: "", rows[i].limit ? ERROR_LIMIT_REACHED : "", "row %zu", i);
                cr_expect_str_eq(error_text(&e, "limit") ?: "", rows[i].limit ?: "", "row %zu", i);
        }
}

/* --- roots */

#define LIST(words, ...)                                                                                    \
        {                                                                                                   \
                (char *[]){ (char *)words, NULL }, (uint32_t[]){ __VA_ARGS__ },                             \
                        ELEMENTSOF(((const uint32_t[]){ __VA_ARGS__ }))                                     \
        }
#define NOBODY_HERE(word)                                                                                   \
        {                                                                                                   \
                (char *[]){ (char *)word, NULL }, NULL, 0                                                   \
        }

Test(policy, who_may_use_a_root)
{
        const struct {
                const char *what;
                IdList users, groups;
                bool first, second; /* uid 1000 of the groups 10 and 20, uid 1001 of 20 and 65534 */
        } rows[] = {
                {"everybody",                         {},                     {},                    true,                              true },
                {        "a list without a word",             { (char *[]){ NULL } }, { (char *[]){ NULL } },                  true,                              true    },
                { "a user",                              LIST("a",                                                  1000),                  {},                             true,     false },
                { "users",                                  LIST("a",                                                   7,                    1001),                             {},  false, true },
                {       "a group",                                 {},               LIST("g",                   10),                              true, false },
                {       "groups",                                 {},               LIST("g",                     5,                               20),  true, true },
                {    "a user, and a group",              LIST("a",               1001),                 LIST("g",                          10),   true, true },
                { "a user who is not here",                                  NOBODY_HERE("gone"),                                {}, false, false},
                {   "a group that is not here",         {},                     NOBODY_HERE("gone"),   false,                             false},
                {      "one who is and one who is not",                NOBODY_HERE("gone"),               LIST("g",                   10),                              true, false },
                {       "a user with the number of a group",                           LIST("a",                    20),                    {},                             false, false },
                {       "a group with the number of a user",                                 {},               LIST("g",                  1000,                             1001), false, false },
                {   "a group that no one is mapped to", {},                     LIST("g",              65534),                            false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const RootConfig root = { .name = (char *)"some",
                                          .users = rows[i].users,
                                          .groups = rows[i].groups };
                _cleanup_error_ Error e = { 0 }, unused = { 0 }, none = { 0 };
                int r = policy_check_root_use(&config, CALLER(1000, 10, 20), &root, &e);

                cr_expect_eq(r, rows[i].first ? 0 : -EREMOTEIO, "%s", rows[i].what);
                cr_expect_str_eq(e.name ?: "", rows[i].first ? "" : ERROR_REFUSED);
                cr_expect_str_eq(error_text(&e, "rule") ?: "", rows[i].first ? "" : "root-users");
                r = policy_check_root_use(&config, CALLER(1001, 20, 65534), &root, &unused);
                cr_expect_eq(r, rows[i].second ? 0 : -EREMOTEIO, "%s", rows[i].what);
                cr_expect_eq(policy_check_root_use(&config, CALLER(0, 0), &root, &none), 0, "root: %s",
                             rows[i].what);
        }
}

Test(policy, who_is_not_admitted_any_more)
{
        Rule rules[RULES_MAX];
        Config c = with_sections(&config, "[User 1000] Admit=no ChangeRoots=yes", rules);
        _cleanup_error_ Error e = { 0 };

        cr_expect_eq(policy_check_run(&c, CALLER(1000, 10), &(Spec){ 0 }, &(PolicyUsage){ 0 }, &e),
                     -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_REFUSED);
        cr_expect_str_eq(error_text(&e, "rule") ?: "", "not-admitted");
        error_done(&e);
        cr_expect_eq(policy_check_root_change(&c, CALLER(1000, 10), &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_ROOT_REFUSED);
        cr_expect_str_eq(error_text(&e, "rule") ?: "", "not-admitted");
}

Test(policy, who_changes_roots)
{
        static const struct {
                uid_t uid;
                gid_t group;
                bool may;
        } rows[] = {
                {0,     0,  true },
                { 0,    20, true },
                { 1000, 10, false},
                { 1000, 20, true },
                { 1001, 20, false},
        };
        Rule rules[RULES_MAX];
        Config c = with_sections(&config,
                                 "[Group 20] ChangeRoots=yes [User 1001] ChangeRoots=no"
                                 " [User 0] ChangeRoots=no",
                                 rules);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ Error e = { 0 };
                int r = policy_check_root_change(&c, CALLER(rows[i].uid, rows[i].group), &e);

                cr_expect_eq(r, rows[i].may ? 0 : -EREMOTEIO, "row %zu", i);
                cr_expect_str_eq(e.name ?: "", rows[i].may ? "" : ERROR_ROOT_REFUSED);
                cr_expect_str_eq(error_text(&e, "rule") ?: "", rows[i].may ? "" : "change-roots");
        }
}
