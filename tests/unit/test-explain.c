/* Every error of the protocol in words, with the status that nsrootctl exits with. */
#include <criterion/criterion.h>
#include <json-c/json.h>

#include "explain.h"
#include "protocol.h"

static void check(const char *error, const char *parameters, int status, const char *expected)
{
        struct json_object *o = parameters ? json_tokener_parse(parameters) : NULL;
        _cleanup_free_ char *text = NULL;

        cr_expect_eq(explain(error, o, &text), status, "%s", error);
        cr_expect_str_eq(text, expected);
        json_object_put(o);
}

Test(explain, fills_in)
{
        check(ERROR_NO_SUCH_SESSION, "{\"id\":\"abc\"}", EXIT_OURS,
              "you have no session abc: 'nsrootctl list' shows those you have");
        check(ERROR_ROOT_IN_USE, "{\"name\":\"busybox\",\"sessions\":3}", EXIT_OURS,
              "root busybox is in use by 3 sessions: end them first");
}

Test(explain, statuses_as_a_shell_has_them)
{
        check(ERROR_COMMAND_NOT_FOUND, "{\"path\":\"nosuch\"}", EXIT_NOT_FOUND,
              "nosuch: not found in the root");
        check(ERROR_EXEC_FAILED, "{\"path\":\"/etc/passwd\",\"errnoName\":\"EACCES\"}", EXIT_NOT_EXECUTABLE,
              "/etc/passwd: cannot be executed: Permission denied");
}

Test(explain, steps_with_errno_and_hint)
{
        check(ERROR_SETUP_FAILED, "{\"step\":\"mount /proc\",\"errnoName\":\"EPERM\",\"detail\":\"a hint\"}",
              EXIT_OURS, "mount /proc: Operation not permitted: a hint");
        check(ERROR_SETUP_FAILED, "{\"step\":\"mount /proc\",\"errnoName\":\"EPERM\"}", EXIT_OURS,
              "mount /proc: Operation not permitted");
        check(ERROR_SETUP_FAILED, "{\"step\":\"s\",\"errnoName\":\"EPERM\",\"detail\":null}", EXIT_OURS,
              "s: Operation not permitted");
}

Test(explain, optional_part_in_the_middle)
{
        check(ERROR_ROOT_NO_SPACE, "{}", EXIT_OURS, "no space for the root in nsrootd's state directory");
        check(ERROR_ROOT_NO_SPACE, "{\"neededBytes\":5}", EXIT_OURS,
              "no space for the root: 5 bytes are needed in nsrootd's state directory");
}

Test(explain, rules_limits_and_parameters)
{
        check(ERROR_REFUSED, "{\"rule\":\"session-users\"}", EXIT_OURS,
              "refused: your uid is one of those that sessions run as");
        check(ERROR_REFUSED, "{\"rule\":\"not-admitted\"}", EXIT_OURS,
              "refused: you may not use nsrootd: ask the administrator for Admit=yes");
        check(ERROR_REFUSED, "{\"rule\":\"too-many-groups\"}", EXIT_OURS,
              "refused: you are in more than 2048 groups: connect with fewer of them");
        check(ERROR_REFUSED, "{\"rule\":\"root-users\"}", EXIT_OURS,
              "refused: this root is not for you: ask the administrator to name you in its Users= or "
              "Groups=");
        check(ERROR_ROOT_REFUSED, "{\"rule\":\"change-roots\"}", EXIT_OURS,
              "refused: you may not change roots: ask the administrator for ChangeRoots=yes");
        check(ERROR_REFUSED, "{\"rule\":\"some-new-rule\"}", EXIT_OURS, "refused: some-new-rule");
        check(ERROR_LIMIT_REACHED, "{\"limit\":\"SessionsMax\"}", EXIT_OURS,
              "limit reached: this machine has as many sessions as it may have: try again later");
        check(ERROR_INVALID_PARAMETER, "{\"parameter\":\"workingDirectory\"}", EXIT_OURS,
              "nsrootd does not take this working directory: it must be an absolute path");
        check(ERROR_INVALID_PARAMETER, "{\"parameter\":\"columns\"}", EXIT_OURS,
              "nsrootd does not take columns");
}

Test(explain, what_the_other_side_says_is_escaped)
{
        check(ERROR_COMMAND_NOT_FOUND, "{\"path\":\"\\u001b[2J\"}", EXIT_NOT_FOUND,
              "\\x1b[2J: not found in the root");
        check("x.\033", NULL, EXIT_OURS, "nsrootd answered with the error x.\\x1b");
}

Test(explain, words_that_are_missing_or_of_another_type)
{
        check(ERROR_NO_SUCH_USER, NULL, EXIT_OURS, "there is no user  in the root");
        check(ERROR_NO_SUCH_USER, "{\"user\":[1]}", EXIT_OURS, "there is no user  in the root");
        check(ERROR_SYSTEM, "{\"errno\":5,\"errnoName\":\"EIO\"}", EXIT_OURS,
              "nsrootd failed: Input/output error: see 'journalctl -u nsrootd'");
}

Test(explain, errno_names)
{
        cr_expect_str_eq(explain_errno("EPERM"), "Operation not permitted");
        cr_expect_str_eq(explain_errno("EHWPOISON"), "Memory page has hardware error");
        cr_expect_str_eq(explain_errno("ENONSENSE"), "ENONSENSE");
}

Test(explain, sessions_that_go_on)
{
        check(ERROR_NOT_DETACHED, "{\"id\":\"abc\"}", EXIT_OURS,
              "session abc is not detached: its output is where its 'nsrootctl run' is, and kept nowhere "
              "else");
        check(ERROR_NO_SUCH_COMMAND, "{\"command\":\"c1\"}", EXIT_OURS, "no command c1 runs in the session");
        check(ERROR_LIMIT_UNAVAILABLE, "{\"limit\":\"pause\",\"reason\":\"no freezer\"}", EXIT_OURS,
              "this host cannot enforce a pause: no freezer");
}
