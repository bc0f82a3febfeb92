/* nsrootctl kill: a signal to the command of a session, or to everything in it. */
#include <signal.h>

#include "call.h"
#include "client.h"
#include "protocol.h"
#include "value.h"

typedef struct Options {
        const char *signal, *command;
        bool all;
} Options;

static int signal_one(const Client *client, const Options *o, const char *name, const char *id, Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id);
        int r;

        r = parameters ? value_add_text(parameters, "signal", name) : -ENOMEM;
        if (r >= 0 && o->all)
                r = value_add_flag(parameters, "everyone");
        if (r >= 0 && o->command)
                r = value_add_text(parameters, "command", o->command);
        if (r < 0)
                return failure_system(f, r, "kill");
        return call_once(client->socket, SESSION ".Signal", TAKE_PTR(parameters), NULL, f);
}

static int run_kill(const Client *client, const void *options, char **operands)
{
        const Options *o = options;
        int sig = o->signal ? parse_signal(o->signal) : SIGTERM;
        int status = 0;

        if (o->all && o->command)
                return failure_exit("--all is every command, and --command is one: leave one of them out");
        if (sig <= 0)
                return failure_exit("'%s' is no signal: 'kill -l' of your shell lists them", o->signal);
        for (; *operands; operands++) {
                _cleanup_failure_ Failure f = {};

                if (signal_one(client, o, signal_name(sig), *operands, &f) < 0)
                        status = failure_say(&f);
        }
        return status;
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT('s', "signal", "SIGNAL", Options, signal,
                        "which: TERM (the default), SIGTERM or 15"),
        OPTION_ROW_TEXT(0, "command", "COMMAND", Options, command,
                        "to that one, which 'nsrootctl exec' has started"),
        OPTION_ROW_FLAG(0, "all", Options, all, "to everything in the session, not only to the command"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl kill",
        .arguments = "ID...",
        .summary = "Send a signal to the commands of sessions",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_kill = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_kill,
};
