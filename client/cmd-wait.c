/* nsrootctl wait: until sessions have ended; exits as the last one named did. */
#include <stdio.h>

#include "call.h"
#include "client.h"
#include "outcome.h"
#include "protocol.h"
#include "value.h"

/* The result of the session, added to *results. */
static int wait_one(const Client *client, const char *id, struct json_object *results, int *ret_status,
                    Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id), *reply = NULL;
        _cleanup_free_ char *note = NULL;
        struct json_object *result;
        int r;

        if (!parameters)
                return failure_system(f, -ENOMEM, "wait");
        r = call_once(client->socket, SESSION ".Wait", json_object_get(parameters), &reply, f);
        if (r < 0)
                return r;
        result = value_object(reply, "result");
        *ret_status = outcome_status(result, &note);
        if (note)
                failure_note(note);
        r = value_add(parameters, "result", json_object_get(result));
        if (r < 0 || json_object_array_add(results, json_object_get(parameters)) < 0)
                return failure_system(f, -ENOMEM, "wait");
        return 0;
}

static int run_wait(const Client *client, const void *options _unused_, char **operands)
{
        _cleanup_value_ struct json_object *results = json_object_new_array();
        int status = 0;

        for (; results && *operands; operands++) {
                _cleanup_failure_ Failure f = {};

                if (wait_one(client, *operands, results, &status, &f) < 0)
                        status = failure_say(&f);
        }
        if (!results || (client->json && value_print(results, stdout) < 0))
                return failure_exit("out of memory");
        return status;
}

static const OptionTable table = {
        .name = "nsrootctl wait",
        .arguments = "ID...",
        .summary = "Wait until sessions have ended, and exit as the last one named did",
        .shared = client_options,
};

const Verb verb_wait = {
        .table = &table,
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_wait,
};
