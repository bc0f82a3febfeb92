/* Names of users and groups to numbers. */
#include <criterion/criterion.h>

#include "accounts.h"

static void check(int (*find)(const char *word, uint32_t *ret), const char *word, uint32_t expected)
{
        uint32_t id = 12345;

        cr_expect_eq(find(word, &id), 0, "%s", word);
        cr_expect_eq(id, expected, "%s: %u", word, id);
}

static void check_nobody(const char *word)
{
        uint32_t id = 12345;

        cr_expect_eq(account_user(word, &id), -ESRCH, "%s", word);
        cr_expect_eq(account_group(word, &id), -ESRCH, "%s", word);
        cr_expect_eq(id, 12345, "untouched");
}

Test(accounts, names)
{
        check(account_user, "root", 0);
        check(account_group, "root", 0);
        check(account_user, "daemon", 1);
}

Test(accounts, users_and_groups_are_different_names)
{
        uint32_t id;

        cr_expect_eq(account_user("tty", &id), -ESRCH);
        check(account_group, "tty", 5);
        cr_expect_eq(account_group("sync", &id), -ESRCH);
        check(account_user, "sync", 4);
}

Test(accounts, a_number_is_itself)
{
        check(account_user, "0", 0);
        check(account_user, "54321", 54321);
        check(account_group, "0054321", 54321);
        check(account_user, "4294967294", UINT32_MAX - 1);
}

Test(accounts, nobody)
{
        check_nobody("no-such-name");
        check_nobody("");
        check_nobody("-1");
        check_nobody("1x");
        check_nobody("4294967295");
        check_nobody("4294967296");
        check_nobody("99999999999999999999");
}
