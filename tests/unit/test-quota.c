/* Who may have one more connection: each row is one step of a story. */
#include <criterion/criterion.h>

#include "quota.h"

static const QuotaLimits limits = { .of_user = 3, .in_all = 6, .kept_for_root = 2 };

static const char *take(Quota *q, uid_t uid)
{
        const char *rule = "not set";
        cr_assert_eq(quota_take(q, &limits, uid, &rule), 0);
        return rule ?: "";
}

Test(quota, a_user_has_no_more_than_a_users_share)
{
        _cleanup_(quota_freep) Quota *q = NULL;
        cr_assert_eq(quota_new(&q), 0);

        for (int i = 0; i < 3; i++)
                cr_assert_str_eq(take(q, 1000), "");
        cr_assert_str_eq(take(q, 1000), "connections-per-user");
        cr_assert_str_eq(take(q, 1001), "", "another user is not affected");
        quota_give_back(q, 1000);
        cr_assert_str_eq(take(q, 1000), "");
        cr_assert_str_eq(take(q, 1000), "connections-per-user");
}

Test(quota, the_last_ones_are_for_root)
{
        _cleanup_(quota_freep) Quota *q = NULL;
        cr_assert_eq(quota_new(&q), 0);

        for (uid_t uid = 1000; uid < 1004; uid++)
                cr_assert_str_eq(take(q, uid), "");
        cr_assert_str_eq(take(q, 1004), "connections");
        cr_assert_str_eq(take(q, 0), "");
        cr_assert_str_eq(take(q, 0), "");
        cr_assert_str_eq(take(q, 0), "connections");
        quota_give_back(q, 0);
        cr_assert_str_eq(take(q, 1004), "connections", "what root gives back stays root's");
        cr_assert_str_eq(take(q, 0), "");
        quota_give_back(q, 1000);
        cr_assert_str_eq(take(q, 1004), "", "and what users give back stays users'");
}

Test(quota, parked_ones_do_not_count)
{
        _cleanup_(quota_freep) Quota *q = NULL;
        cr_assert_eq(quota_new(&q), 0);

        for (int i = 0; i < 10; i++) {
                cr_assert_str_eq(take(q, 1000), "");
                quota_park(q, 1000);
        }
        cr_assert_str_eq(take(q, 1000), "");
        for (int i = 0; i < 2; i++)
                quota_unpark(q, 1000);
        cr_assert_str_eq(take(q, 1000), "connections-per-user");
        for (int i = 0; i < 3; i++)
                quota_give_back(q, 1000);
        cr_assert_str_eq(take(q, 1000), "", "a record outlives the connections that count");
}

Test(quota, nothing_is_left_of_a_user_who_left)
{
        _cleanup_(quota_freep) Quota *q = NULL;
        cr_assert_eq(quota_new(&q), 0);

        for (uid_t uid = 1000; uid < 2000; uid++) {
                cr_assert_str_eq(take(q, uid), "");
                quota_give_back(q, uid);
        }
        cr_assert_str_eq(take(q, 1000), "");
}

Test(quota, more_kept_for_root_than_there_is)
{
        _cleanup_(quota_freep) Quota *q = NULL;
        const QuotaLimits all_kept = { .of_user = 3, .in_all = 2, .kept_for_root = 5 };
        const char *rule;
        cr_assert_eq(quota_new(&q), 0);

        cr_assert_eq(quota_take(q, &all_kept, 1000, &rule), 0);
        cr_assert_str_eq(rule, "connections");
        cr_assert_eq(quota_take(q, &all_kept, 0, &rule), 0);
        cr_assert_null(rule);
}
