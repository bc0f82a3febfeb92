/* Results as statuses and words, by outcome.h. */
#include "outcome.h"

#include <stdio.h>

#include "explain.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

/* The causes that are not the command's own doing. status 0: that of the signal or the code that came with
 * it. */
static const struct {
        const char *cause;
        int status;
        const char *note;
} causes[] = {
        {"stopped",       0,              "the session was stopped"                                      },
        { "timedOut",     EXIT_TIMED_OUT, "the session reached its time limit"                           },
        { "outOfMemory",  0,              "the session reached its memory limit"                         },
        { "outputLimit",  0,              "the session reached the limit of its output"                  },
        { "disconnected", 0,              "the session was ended because its client went away"           },
        { "initDied",     EXIT_OURS,      "the session's first process died: see 'journalctl -u nsrootd'"},
        { "setupFailed",  EXIT_OURS,      NULL                                                           },
};

static int own_status(struct json_object *result)
{
        const char *name = value_text(result, "signal");
        int64_t code = value_number(result, "code", -1);
        int sig = name ? parse_signal(name) : -EINVAL;

        if (sig > 0)
                return 128 + sig;
        return code >= 0 && code <= UINT8_MAX ? (int)code : EXIT_OURS;
}

static char *setup_note(struct json_object *result)
{
        const char *error = value_text(result, "errnoName");
        _cleanup_free_ char *step = text_escape(value_text(result, "failedStep") ?: "set-up of the session");
        _cleanup_free_ char *words = text_escape(error ? explain_errno(error) : "failed");
        char *note;

        return step && words && asprintf(&note, "%s: %s", step, words) >= 0 ? note : NULL;
}

int outcome_status(struct json_object *result, char **ret_note)
{
        const char *cause = value_text(result, "cause") ?: "";

        *ret_note = NULL;
        for (size_t i = 0; i < ELEMENTSOF(causes); i++) {
                if (!streq(causes[i].cause, cause))
                        continue;
                *ret_note = causes[i].note ? strdup(causes[i].note) : setup_note(result);
                return causes[i].status ?: own_status(result);
        }
        return own_status(result);
}

char *outcome_words(struct json_object *result)
{
        const char *cause = value_text(result, "cause") ?: "exited", *name = value_text(result, "signal");
        char *words;

        if (streq(cause, "signaled") && name)
                return strdup(name);
        if (!streq(cause, "exited"))
                return strdup(cause);
        return asprintf(&words, "exited %lld", (long long)value_number(result, "code", 0)) < 0 ? NULL
                                                                                               : words;
}
