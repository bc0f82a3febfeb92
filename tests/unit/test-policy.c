/* policy.c: who is let in, who may start one more session, and who may change roots. */
#include "policy.h"

#include <criterion/criterion.h>

#include "protocol.h"

static const Config config = {
        .everybody.sessions_max = 3, .sessions_max = 10, .id_range_first = 600000, .id_range_last = 731071
};

Test(policy, who_is_admitted)
{
        const struct {
                uid_t uid;
                const char *rule, *rule_with_system_users;
        } rows[] = {
                {0,               NULL,            NULL           },
                { 1,              "system-users",  NULL           },
                { 33,             "system-users",  NULL           },
                { 999,            "system-users",  NULL           },
                { 1000,           NULL,            NULL           },
                { 65533,          NULL,            NULL           },
                { 65534,          "unmapped-user", "unmapped-user"},
                { 65535,          NULL,            NULL           },
                { 599999,         NULL,            NULL           },
                { 600000,         "session-users", "session-users"},
                { 650000,         "session-users", "session-users"},
                { 731071,         "session-users", "session-users"},
                { 731072,         NULL,            NULL           },
                { UINT32_MAX - 1, NULL,            NULL           },
        };
        Config open = config;

        open.allow_system_users = true;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                cr_expect_str_eq(policy_admit(&config, &(Caller){ rows[i].uid, NULL, 0 }) ?: "",
                                 rows[i].rule ?: "", "uid %u", rows[i].uid);
                cr_expect_str_eq(policy_admit(&open, &(Caller){ rows[i].uid, NULL, 0 }) ?: "",
                                 rows[i].rule_with_system_users ?: "", "uid %u where system users may",
                                 rows[i].uid);
        }
}

Test(policy, how_many_sessions)
{
        const struct {
                uid_t uid;
                size_t of_user, all;
                const char *limit; /* NULL: one more */
        } rows[] = {
                {1000,  0, 0,  NULL             },
                { 1000, 2, 9,  NULL             },
                { 1000, 3, 3,  "SessionsPerUser"},
                { 1000, 4, 4,  "SessionsPerUser"},
                { 1000, 0, 10, "SessionsMax"    },
                { 1000, 3, 10, "SessionsPerUser"},
                { 0,    3, 3,  NULL             },
                { 0,    9, 9,  NULL             },
                { 0,    0, 10, "SessionsMax"    },
                { 0,    0, 11, "SessionsMax"    },
        };
        const Spec spec = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                PolicyUsage usage = { .sessions_of_user = rows[i].of_user, .sessions = rows[i].all };
                _cleanup_error_ Error e = { 0 };
                int r = policy_check_run(&config, &(Caller){ rows[i].uid, NULL, 0 }, &spec, &usage, &e);

                cr_expect_eq(r, rows[i].limit ? -EREMOTEIO : 0, "row %zu", i);
                cr_expect_str_eq(e.name ?: "", rows[i].limit ? ERROR_LIMIT_REACHED : "", "row %zu", i);
                cr_expect_str_eq(error_text(&e, "limit") ?: "", rows[i].limit ?: "", "row %zu", i);
        }
}

Test(policy, who_changes_roots)
{
        _cleanup_error_ Error e = { 0 };

        cr_expect_eq(policy_check_root_change(&config, &(Caller){ 0, NULL, 0 }, &e), 0);
        cr_expect_null(e.name);
        cr_expect_eq(policy_check_root_change(&config, &(Caller){ 1000, NULL, 0 }, &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_ROOT_REFUSED);
        cr_expect_str_eq(error_text(&e, "rule") ?: "", "change-roots");
}
