/* nsrootctl pause, nsrootctl resume: everything in a session stands still, and goes on. */
#include "call.h"
#include "client.h"
#include "protocol.h"
#include "value.h"

static int call_each(const Client *client, const char *method, char **ids)
{
        int status = 0;

        for (; *ids; ids++) {
                _cleanup_failure_ Failure f = {};
                struct json_object *parameters = value_new_text("id", *ids);
                int r = parameters ? call_once(client->socket, method, parameters, NULL, &f)
                                   : failure_system(&f, -ENOMEM, method);

                if (r < 0)
                        status = failure_say(&f);
        }
        return status;
}

static int run_pause(const Client *client, const void *options _unused_, char **operands)
{
        return call_each(client, SESSION ".Pause", operands);
}

static int run_resume(const Client *client, const void *options _unused_, char **operands)
{
        return call_each(client, SESSION ".Resume", operands);
}

static const OptionTable pause_table = {
        .name = "nsrootctl pause",
        .arguments = "ID...",
        .summary = "Let everything in sessions stand still",
        .shared = client_options,
};

static const OptionTable resume_table = {
        .name = "nsrootctl resume",
        .arguments = "ID...",
        .summary = "Let paused sessions go on",
        .shared = client_options,
};

const Verb verb_pause = {
        .table = &pause_table,
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_pause,
};

const Verb verb_resume = {
        .table = &resume_table,
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_resume,
};
