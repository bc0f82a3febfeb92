/* Results: what to exit with, and when there is more to say than the status does. */
#include <criterion/criterion.h>
#include <json-c/json.h>

#include "outcome.h"
#include "protocol.h"

static void check(const char *result, int status, const char *note, const char *words)
{
        struct json_object *o = json_tokener_parse(result);
        _cleanup_free_ char *said = NULL, *made = outcome_words(o);

        cr_expect_eq(outcome_status(o, &said), status, "%s", result);
        if (note)
                cr_expect_str_eq(said ?: "", note);
        else
                cr_expect_null(said, "%s: %s", result, said);
        cr_expect_str_eq(made, words);
        json_object_put(o);
}

Test(outcome, the_commands_own_doing)
{
        check("{\"cause\":\"exited\",\"code\":0}", 0, NULL, "exited 0");
        check("{\"cause\":\"exited\",\"code\":255}", 255, NULL, "exited 255");
        check("{\"cause\":\"signaled\",\"signal\":\"SIGKILL\"}", 137, NULL, "SIGKILL");
        check("{\"cause\":\"signaled\",\"signal\":\"SIGINT\"}", 130, NULL, "SIGINT");
}

Test(outcome, what_others_did)
{
        check("{\"cause\":\"stopped\",\"signal\":\"SIGTERM\"}", 143, "the session was stopped", "stopped");
        check("{\"cause\":\"stopped\",\"code\":3}", 3, "the session was stopped", "stopped");
        check("{\"cause\":\"timedOut\",\"signal\":\"SIGKILL\"}", EXIT_TIMED_OUT,
              "the session reached its time limit", "timedOut");
        check("{\"cause\":\"outOfMemory\",\"signal\":\"SIGKILL\"}", 137,
              "the session reached its memory limit", "outOfMemory");
}

Test(outcome, what_we_did)
{
        check("{\"cause\":\"setupFailed\",\"failedStep\":\"mount /proc\",\"errnoName\":\"EPERM\"}",
              EXIT_OURS, "mount /proc: Operation not permitted", "setupFailed");
        check("{\"cause\":\"setupFailed\"}", EXIT_OURS, "set-up of the session: failed", "setupFailed");
        check("{\"cause\":\"initDied\",\"signal\":\"SIGKILL\"}", EXIT_OURS,
              "the session's first process died: see 'journalctl -u nsrootd'", "initDied");
}

Test(outcome, nonsense_is_never_success)
{
        check("{}", EXIT_OURS, NULL, "exited 0");
        check("{\"cause\":\"exited\"}", EXIT_OURS, NULL, "exited 0");
        check("{\"cause\":\"exited\",\"code\":256}", EXIT_OURS, NULL, "exited 256");
        check("{\"cause\":\"exited\",\"code\":\"0\"}", EXIT_OURS, NULL, "exited 0");
        check("{\"cause\":\"signaled\",\"signal\":\"SIGNONE\"}", EXIT_OURS, NULL, "SIGNONE");
        check("{\"cause\":\"stopped\"}", EXIT_OURS, "the session was stopped", "stopped");
}

Test(outcome, no_result)
{
        char *note;

        cr_expect_eq(outcome_status(NULL, &note), EXIT_OURS);
        cr_expect_null(note);
}
