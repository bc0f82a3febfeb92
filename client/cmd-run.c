/* nsrootctl run: a command in a fresh root. Turns the command line into one call of Run and exits as the
 * command did, or leaves it to itself and says what it is called. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "ask-limits.h"
#include "call.h"
#include "client.h"
#include "command.h"
#include "lend.h"
#include "progress.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

#define COLUMNS_DEFAULT 80 /* of a terminal that nobody looks at yet */
#define ROWS_DEFAULT    24

typedef struct Options {
        const char *root, *name, *hostname, *result;
        CommandOptions command;
        AskedLimits limits;
        bool detach, interactive, read_only, quiet;
} Options;

/* One run: what the stages below hand to one another. */
typedef struct Run {
        const Options *options;
        char **words;      /* of the command */
        FILE *result;      /* of --result; or NULL */
        Progress progress; /* of the root, while it is made */
        Command command;
} Run;

static void run_done(Run *run)
{
        if (run->result)
                fclose(run->result);
        command_done(&run->command);
}

/* A session that nobody stays with has a terminal where one is asked for, whatever the caller has. */
static int choose_terminal(Run *run)
{
        if (!run->options->detach)
                return command_choose_terminal(&run->command,
                                               (TerminalChoice)run->options->command.terminal);
        run->command.terminal = run->options->command.terminal == TERMINAL_ALWAYS;
        return 0;
}

/* A relay would end with this process. */
static int check_detached(Run *run)
{
        const Options *o = run->options;

        if (!o->detach)
                return 0;
        if (o->result)
                return failure_set(&run->command.failure, EXIT_OURS,
                                   "--result needs to stay to the end, and -d does not: leave one of them "
                                   "out, or use 'nsrootctl wait --json'");
        if (o->interactive && !run->command.terminal && !lend_is_lendable(STDIN_FILENO, true))
                return failure_set(
                        &run->command.failure, EXIT_OURS,
                        "-i with -d needs a file, pipe or socket on standard input: leave -i out");
        return 0;
}

/* Opened before anything is run, so that a result is never lost to a wrong path. */
static int open_result(Run *run)
{
        if (!run->options->result)
                return 0;
        run->result = fopen(run->options->result, "we");
        if (!run->result)
                return failure_system(&run->command.failure, -errno, run->options->result);
        return 0;
}

static int add_texts(Run *run)
{
        const Options *o = run->options;
        const struct {
                const char *key, *text;
        } texts[] = {
                {"root",      o->root    },
                { "name",     o->name    },
                { "hostname", o->hostname},
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                if (texts[i].text)
                        r = value_add_text(run->command.parameters, texts[i].key, texts[i].text);
        if (r >= 0 && run->words[0])
                r = value_add_texts(run->command.parameters, "arguments", (const char *const *)run->words);
        if (r >= 0 && o->read_only)
                r = value_add_flag(run->command.parameters, "readOnly");
        if (r >= 0 && o->detach)
                r = value_add_flag(run->command.parameters, "detached");
        if (r >= 0 && run->progress.enabled)
                r = value_add_flag(run->command.parameters, "progress");
        return r;
}

static int add_command(Run *run)
{
        return command_add_options(&run->command, &run->options->command);
}

static int add_limits(Run *run)
{
        return ask_limits(&run->options->limits, run->command.parameters, &run->command.failure);
}

/* Standard input only where it is asked for: what a script has there is not for what it leaves behind. */
static int add_lent(Run *run)
{
        Command *c = &run->command;
        int r;

        if (run->options->detach)
                return run->options->interactive && !c->terminal
                               ? lend_standard(STDIN_FILENO, c->parameters, &c->lent,
                                               &c->foreground.relays[STDIN_FILENO])
                               : 0;
        r = command_add_lifeline(c);
        return r < 0 ? r : command_add_standard(c);
}

static int add_terminal(Run *run)
{
        struct json_object *parameters = run->command.parameters;
        int r = run->command.terminal ? command_add_terminal(&run->command) : 0;

        if (r < 0 || !run->command.terminal || !run->options->detach ||
            value_number(parameters, "columns", 0) > 0)
                return r;
        r = value_add_number(parameters, "columns", COLUMNS_DEFAULT);
        return r < 0 ? r : value_add_number(parameters, "rows", ROWS_DEFAULT);
}

/* In this order: the descriptors' numbers on the wire follow from it. */
static int build_call(Run *run)
{
        static int (*const parts[])(Run *) = { add_texts, add_command, add_limits, add_lent, add_terminal };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++)
                r = parts[i](run);
        return r < 0 && r != -EREMOTEIO
                       ? failure_system(&run->command.failure, r, "cannot prepare the session")
                       : r;
}

/* As call_next. Of a session that is left to itself no signal is passed on. */
static int receive_one(Run *run, struct json_object **ret, Fds *ret_fds)
{
        Command *c = &run->command;

        if (run->options->detach)
                return call_next(c->foreground.link, c->client->socket, CONNECTION_FOREVER, ret, ret_fds,
                                 &c->failure);
        return foreground_first(&c->foreground, ret, ret_fds);
}

/* The same, after the replies that say how far the root is. */
static int receive_first(Run *run, struct json_object **ret, Fds *ret_fds)
{
        for (;;) {
                _cleanup_value_ struct json_object *reply = NULL;
                int r = receive_one(run, &reply, ret_fds);
                struct json_object *preparation = r < 0 ? NULL : value_object(reply, "preparation");

                if (r <= 0 || !preparation) {
                        progress_done(&run->progress);
                        *ret = TAKE_PTR(reply);
                        return r;
                }
                progress_show(&run->progress, value_text(preparation, "root") ?: "root", preparation);
        }
}

/* From the call to the result. */
static int stay(Run *run, struct json_object **ret_result)
{
        _cleanup_value_ struct json_object *first = NULL;
        _cleanup_(fds_close) Fds fds = {};
        int r;

        r = command_call(&run->command, SESSION ".Run", true);
        if (r < 0)
                return r;
        r = receive_first(run, &first, &fds);
        if (r < 0)
                return r;
        if (r == 0) { /* over at once */
                *ret_result = json_object_get(foreground_result(first));
                return 0;
        }
        return command_stay(&run->command, value_text(value_object(first, "session"), "id"), NULL, first,
                            &fds, ret_result);
}

/* The result, or nsrootd's error in its place. */
static int write_result(Run *run, struct json_object *result)
{
        struct json_object *written = result ?: run->command.failure.answer;
        FILE *stream = TAKE_PTR(run->result);
        bool failed;

        if (!stream)
                return 0;
        if (written)
                fprintf(stream, "%s\n", json_object_to_json_string_ext(written, 0));
        failed = ferror(stream);
        if (fclose(stream) == EOF || failed)
                return failure_exit("cannot write %s: %s", run->options->result, errno_text(errno));
        return 0;
}

static int run_attached(Run *run)
{
        _cleanup_value_ struct json_object *result = NULL;
        int r = stay(run, &result);

        if (r < 0) {
                write_result(run, NULL);
                return failure_say(&run->command.failure);
        }
        r = command_conclude(result);
        client_leave(write_result(run, result) ?: r);
}

static int print_session(Run *run, struct json_object *session)
{
        const char *id = value_text(session, "id");
        _cleanup_free_ char *safe = id ? text_escape(id) : NULL;

        if (!id) {
                failure_lost(&run->command.failure, -EPROTO, run->command.client->socket);
                return failure_say(&run->command.failure);
        }
        if (run->command.client->json)
                return value_print(session, stdout) < 0 ? failure_exit("out of memory") : 0;
        return puts(safe ?: id) < 0 ? EXIT_OURS : 0; /* said by who flushes it */
}

/* Only who waits for a root has more than one reply to read. */
static int run_detached(Run *run)
{
        _cleanup_value_ struct json_object *reply = NULL;
        int r;

        r = command_call(&run->command, SESSION ".Run", run->progress.enabled);
        if (r >= 0)
                r = receive_first(run, &reply, NULL);
        return r < 0 ? failure_say(&run->command.failure)
                     : print_session(run, value_object(reply, "session"));
}

static int run_run(const Client *client, const void *options, char **operands)
{
        _cleanup_(run_done) Run run = { .options = options, .words = operands, .command = COMMAND_NEW };
        int r;

        run.progress = progress_new(run.options->quiet);
        r = command_init(&run.command, client);
        if (r >= 0)
                r = choose_terminal(&run);
        if (r >= 0)
                r = check_detached(&run);
        if (r >= 0)
                r = open_result(&run);
        if (r >= 0)
                r = build_call(&run);
        if (r >= 0)
                return run.options->detach ? run_detached(&run) : run_attached(&run);
        write_result(&run, NULL);
        return failure_say(&run.command.failure);
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT('r', "root", "ROOT", Options, root,
                        "the root to start from ('nsrootctl root list')"),
        OPTION_ROW_TEXT('n', "name", "NAME", Options, name,
                        "a name for the session, to use in place of its id"),
        OPTION_ROW_FLAG('d', "detach", Options, detach, "print the session's id and leave it to itself"),
        OPTION_ROW_FLAG('i', "interactive", Options, interactive,
                        "with -d, connect standard input; else it always is"),
        COMMAND_OPTIONS(Options, command),
        OPTION_ROW_TEXT(0, "hostname", "NAME", Options, hostname, "the host name inside"),
        OPTION_ROW_FLAG(0, "read-only", Options, read_only, "the root cannot be written to"),
        ASK_LIMITS_OPTIONS(Options, limits),
        OPTION_ROW_TEXT(0, "result", "FILE", Options, result, "write the exact result there, as JSON"),
        OPTION_ROW_FLAG('q', "quiet", Options, quiet, "no progress, errors only"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl run",
        .arguments = "[--] [COMMAND [ARG...]]",
        .summary = "Run a command in a fresh root that is gone when it ends",
        .details = "Without COMMAND: the root's own default, else /bin/sh. The exit status is the "
                   "command's; 128+n\n"
                   "after signal n, 127 not found, 126 not executable, 124 time limit, 125 anything else.\n",
        .options = verb_options,
        .shared = client_options,
        .ends_at_operand = true,
};

const Verb verb_run = {
        .table = &table,
        .size = sizeof(Options),
        .operands_max = OPERANDS_ANY,
        .run = run_run,
};
