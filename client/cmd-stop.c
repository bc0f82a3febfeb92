/* nsrootctl stop: ends sessions, politely first. */
#include "call.h"
#include "client.h"
#include "protocol.h"
#include "value.h"

typedef struct Options {
        const char *timeout;
} Options;

#define NO_TIMEOUT UINT64_MAX /* nsrootd's own default */

static int stop_one(const Client *client, uint64_t timeout_usec, const char *id, Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id);
        int r = parameters ? 0 : -ENOMEM;

        if (r >= 0 && timeout_usec != NO_TIMEOUT)
                r = value_add_number(parameters, "timeoutUSec", (int64_t)timeout_usec);
        if (r < 0)
                return failure_system(f, r, "stop");
        return call_once(client->socket, SESSION ".Stop", TAKE_PTR(parameters), NULL, f);
}

static int run_stop(const Client *client, const void *options, char **operands)
{
        const Options *o = options;
        uint64_t timeout_usec = NO_TIMEOUT;
        int status = 0;

        if (o->timeout && (parse_time(o->timeout, &timeout_usec) < 0 || timeout_usec > INT64_MAX))
                return failure_exit("'%s' is no time: write it as 500ms, 10s or '1min 30s'", o->timeout);
        for (; *operands; operands++) {
                _cleanup_failure_ Failure f = {};

                if (stop_one(client, timeout_usec, *operands, &f) < 0)
                        status = failure_say(&f);
        }
        return status;
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT(0, "timeout", "TIME", Options, timeout, "how long a while: 500ms, 10s, '1min 30s'"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl stop",
        .arguments = "ID...",
        .summary = "End sessions: SIGTERM, and SIGKILL for what is left after a while",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_stop = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_stop,
};
