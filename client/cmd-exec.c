/* nsrootctl exec: one more command in a session that runs. Turns the command line into one call of Exec and
 * exits as the command did. */
#include <stdio.h>

#include "call.h"
#include "client.h"
#include "command.h"
#include "protocol.h"
#include "value.h"

typedef struct Options {
        CommandOptions command;
        bool interactive;
} Options;

static int build_call(Command *c, const Options *o, const char *id, char **words)
{
        int r = value_add_text(c->parameters, "id", id);

        if (r >= 0)
                r = value_add_texts(c->parameters, "arguments", (const char *const *)words);
        if (r >= 0)
                r = command_add_options(c, &o->command);
        if (r >= 0)
                r = command_add_lifeline(c);
        if (r >= 0)
                r = command_add_standard(c);
        if (r >= 0 && c->terminal)
                r = command_add_terminal(c);
        return r < 0 && r != -EREMOTEIO ? failure_system(&c->failure, r, "cannot prepare the command") : r;
}

/* From the call to the result. */
static int stay(Command *c, const char *id, struct json_object **ret_result)
{
        _cleanup_value_ struct json_object *first = NULL;
        _cleanup_(fds_close) Fds fds = {};
        const char *command;
        int r;

        r = command_call(c, SESSION ".Exec", true);
        if (r >= 0)
                r = foreground_first(&c->foreground, &first, &fds);
        if (r < 0)
                return r;
        if (r == 0) { /* over at once */
                *ret_result = json_object_get(foreground_result(first));
                return 0;
        }
        command = value_text(first, "command");
        return command ? command_stay(c, id, command, first, &fds, ret_result)
                       : failure_lost(&c->failure, -EPROTO, c->client->socket);
}

static int run_exec(const Client *client, const void *options, char **operands)
{
        _cleanup_(command_done) Command c = COMMAND_NEW;
        _cleanup_value_ struct json_object *result = NULL;
        const Options *o = options;
        char **words = operands + 1;
        int r;

        if (streq(words[0], "--"))
                words++;
        if (!words[0])
                return failure_exit("'nsrootctl exec' needs a command: see 'nsrootctl exec --help'");
        r = command_init(&c, client);
        if (r >= 0)
                r = command_choose_terminal(&c, (TerminalChoice)o->command.terminal);
        if (r >= 0)
                r = build_call(&c, o, operands[0], words);
        if (r >= 0)
                r = stay(&c, operands[0], &result);
        if (r < 0)
                return failure_say(&c.failure);
        client_leave(command_conclude(result));
}

static const Option verb_options[] = {
        OPTION_ROW_FLAG('i', "interactive", Options, interactive,
                        "changes nothing: standard input is always connected"),
        COMMAND_OPTIONS(Options, command),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl exec",
        .arguments = "ID [--] COMMAND [ARG...]",
        .summary = "Run one more command in a session that runs",
        .details = "The exit status is the command's, as that of 'nsrootctl run' is.\n",
        .options = verb_options,
        .shared = client_options,
        .ends_at_operand = true,
};

const Verb verb_exec = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 2,
        .operands_max = OPERANDS_ANY,
        .run = run_exec,
};
