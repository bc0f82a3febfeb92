/* nsrootctl run: a command in a fresh root. Turns the command line into one call of Run, lends it what it
 * needs, and exits as the command did. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "call.h"
#include "client.h"
#include "foreground.h"
#include "lend.h"
#include "outcome.h"
#include "progress.h"
#include "protocol.h"
#include "tty.h"
#include "value.h"

typedef enum TerminalChoice {
        TERMINAL_AUTO, /* if stdin and stdout are terminals */
        TERMINAL_ALWAYS,
        TERMINAL_NEVER,
} TerminalChoice;

typedef struct Options {
        const char *root, *name, *directory, *user, *hostname, *result;
        OptionList environment;
        int terminal; /* TerminalChoice */
        bool interactive, read_only, quiet;
} Options;

/* One run: what the stages below hand to one another. */
typedef struct Run {
        const Client *client;
        const Options *options;
        char **command;
        bool terminal;
        FILE *result;                   /* of --result; or NULL */
        int lifeline;                   /* its write end: nsrootd ends the session when it is closed */
        struct json_object *parameters; /* of the call */
        Fds lent;
        Link *link;
        Progress progress; /* of the root, while it is made */
        Foreground foreground;
        Failure failure;
} Run;

#define RUN_NEW                                                                                             \
        {                                                                                                   \
                .lifeline = -EBADF, .foreground = FOREGROUND_NEW                                            \
        }

static void run_done(Run *run)
{
        if (run->result)
                fclose(run->result);
        json_object_put(run->parameters);
        fds_close(&run->lent);
        foreground_done(&run->foreground);
        link_free(run->link);
        failure_done(&run->failure);
        close_fd(run->lifeline);
}

static int choose_terminal(Run *run)
{
        bool possible = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

        if (run->options->terminal == TERMINAL_ALWAYS && !possible)
                return failure_set(
                        &run->failure, EXIT_OURS,
                        "-t needs a terminal on standard input and standard output: leave it out");
        run->terminal = possible && run->options->terminal != TERMINAL_NEVER;
        return 0;
}

/* Opened before anything is run, so that a result is never lost to a wrong path. */
static int open_result(Run *run)
{
        if (!run->options->result)
                return 0;
        run->result = fopen(run->options->result, "we");
        if (!run->result)
                return failure_system(&run->failure, -errno, run->options->result);
        return 0;
}

static int add_texts(Run *run)
{
        const Options *o = run->options;
        const struct {
                const char *key, *text;
        } texts[] = {
                {"root",              o->root     },
                { "name",             o->name     },
                { "workingDirectory", o->directory},
                { "user",             o->user     },
                { "hostname",         o->hostname },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                if (texts[i].text)
                        r = value_add_text(run->parameters, texts[i].key, texts[i].text);
        if (r >= 0 && run->command[0])
                r = value_add_texts(run->parameters, "arguments", (const char *const *)run->command);
        if (r >= 0 && o->read_only)
                r = value_add_flag(run->parameters, "readOnly");
        if (r >= 0 && run->progress.enabled)
                r = value_add_flag(run->parameters, "progress");
        return r;
}

/* Adds NAME=VALUE, given as such or as the name of one of the caller's variables; one that is not set is
 * left out. */
static int add_variable(struct json_object *list, const char *given)
{
        _cleanup_free_ char *made = NULL;
        const char *value = strchr(given, '=') ? NULL : getenv(given);
        struct json_object *item;

        if (!strchr(given, '=')) {
                if (!value)
                        return 0;
                if (asprintf(&made, "%s=%s", given, value) < 0)
                        return -ENOMEM;
        }
        item = json_object_new_string(made ?: given);
        if (!item)
                return -ENOMEM;
        if (json_object_array_add(list, item) < 0) {
                json_object_put(item);
                return -ENOMEM;
        }
        return 0;
}

static bool is_variable(const char *given, const char *name)
{
        size_t n = strlen(name);

        return strncmp(given, name, n) == 0 && (given[n] == '=' || given[n] == '\0');
}

static int add_environment(Run *run)
{
        _cleanup_value_ struct json_object *list = json_object_new_array();
        const OptionList *given = &run->options->environment;
        bool has_term = false;
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < given->n; i++) {
                if (given->items[i][0] == '\0' || given->items[i][0] == '=')
                        return failure_set(&run->failure, EXIT_OURS, "-e '%s': a variable needs a name",
                                           given->items[i]);
                has_term |= is_variable(given->items[i], "TERM");
                r = add_variable(list, given->items[i]);
        }
        if (r >= 0 && !has_term)
                r = add_variable(list, "TERM");
        return r < 0 ? r : value_add(run->parameters, "environment", TAKE_PTR(list));
}

static int add_terminal(Run *run)
{
        struct winsize size;
        int r;

        r = value_add_flag(run->parameters, "terminal");
        if (r < 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
                return r;
        r = value_add_number(run->parameters, "columns", size.ws_col);
        return r < 0 ? r : value_add_number(run->parameters, "rows", size.ws_row);
}

static int add_lifeline(Run *run)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        run->lifeline = ends[1];
        return lend(ends[0], "lifelineFileDescriptor", run->parameters, &run->lent);
}

/* With a terminal only stderr is lent, and that only if it is not the terminal as well. */
static int add_standard(Run *run)
{
        int r = 0;

        for (int fd = STDIN_FILENO; r >= 0 && fd <= STDERR_FILENO; fd++)
                if (!run->terminal || (fd == STDERR_FILENO && !isatty(fd)))
                        r = lend_standard(fd, run->parameters, &run->lent, &run->foreground.relays[fd]);
        return r;
}

/* In this order: the descriptors' numbers on the wire follow from it. */
static int build_call(Run *run)
{
        static int (*const parts[])(Run *) = { add_texts, add_environment, add_lifeline, add_standard };
        int r;

        run->parameters = json_object_new_object();
        r = run->parameters ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++)
                r = parts[i](run);
        if (r >= 0 && run->terminal)
                r = add_terminal(run);
        return r < 0 && r != -EREMOTEIO ? failure_system(&run->failure, r, "cannot prepare the session") : r;
}

/* As foreground_first, after the replies that say how far the root is. */
static int receive_first(Run *run, struct json_object **ret, Fds *ret_fds)
{
        for (;;) {
                _cleanup_value_ struct json_object *reply = NULL;
                int r = foreground_first(&run->foreground, &reply, ret_fds);
                struct json_object *preparation = r < 0 ? NULL : value_object(reply, "preparation");

                if (r <= 0 || !preparation) {
                        progress_done(&run->progress);
                        *ret = TAKE_PTR(reply);
                        return r;
                }
                progress_show(&run->progress, value_text(preparation, "root") ?: "root", preparation);
        }
}

/* What was lent is the command's alone from now on: whoever is at its other end must notice when the command
 * closes it, though we live on. Errors are still to be said on stderr. */
static int give_up_standard(Run *run)
{
        int r = 0;

        for (int fd = STDIN_FILENO; r >= 0 && fd <= STDOUT_FILENO; fd++)
                if (lend_is_lendable(fd, fd == STDIN_FILENO))
                        r = lend_release(fd);
        return r < 0 ? failure_system(&run->failure, r, "cannot open /dev/null") : 0;
}

/* Takes from the first reply what the session goes on with. */
static int enter(Run *run, struct json_object *reply, Fds *fds)
{
        const char *id = value_text(value_object(reply, "session"), "id");
        int64_t index = value_number(reply, "ptyFileDescriptor", -1);

        run->foreground.id = id ? strdup(id) : NULL;
        run->foreground.pty = index >= 0 ? fds_take(fds, (size_t)index) : -EBADF;
        if (!run->foreground.id || run->terminal != (run->foreground.pty >= 0))
                return failure_lost(&run->failure, -EPROTO, run->client->socket);
        return 0;
}

/* From the call to its last reply. */
static int converse(Run *run, struct json_object **ret_reply)
{
        _cleanup_value_ struct json_object *first = NULL;
        _cleanup_(fds_close) Fds fds = {};
        int r;

        r = call_begin(run->client->socket, SESSION ".Run", TAKE_PTR(run->parameters), true, &run->lent,
                       &run->link, &run->failure);
        if (r < 0)
                return r;
        run->foreground.link = run->link;
        run->foreground.terminal = run->terminal;
        r = receive_first(run, &first, &fds);
        if (r <= 0) { /* an error, or over at once */
                if (r == 0)
                        *ret_reply = TAKE_PTR(first);
                return r;
        }
        r = enter(run, first, &fds);
        if (r >= 0 && !run->terminal)
                r = give_up_standard(run);
        return r < 0 ? r : foreground_stay(&run->foreground, ret_reply);
}

/* The result, or nsrootd's error in its place. */
static int write_result(Run *run, struct json_object *result)
{
        struct json_object *written = result ?: run->failure.answer;
        FILE *stream = TAKE_PTR(run->result);

        if (!stream)
                return 0;
        if (written)
                fprintf(stream, "%s\n", json_object_to_json_string_ext(written, 0));
        if (ferror(stream) | fclose(stream))
                return failure_exit("cannot write %s: %s", run->options->result, errno_text(errno));
        return 0;
}

static int conclude(Run *run, struct json_object *reply)
{
        struct json_object *result = value_object(value_object(reply, "session"), "result");
        _cleanup_free_ char *note = NULL;
        int status = outcome_status(result, &note);

        if (!result)
                note = strdup("nsrootd did not say how the session ended");
        if (note)
                failure_note(note);
        return write_result(run, result) ?: status;
}

static int run_run(const Client *client, const void *options, char **operands)
{
        _cleanup_(run_done) Run run = RUN_NEW;
        _cleanup_value_ struct json_object *reply = NULL;
        int r;

        run.client = client;
        run.options = options;
        run.command = operands;
        run.progress = progress_new(run.options->quiet);
        run.foreground.socket = client->socket;
        run.foreground.failure = &run.failure;
        signal(SIGPIPE, SIG_IGN); /* the command has its own; ours are errors of a write */

        r = choose_terminal(&run);
        if (r >= 0)
                r = open_result(&run);
        if (r >= 0)
                r = build_call(&run);
        if (r >= 0)
                r = converse(&run, &reply);
        if (r >= 0)
                return conclude(&run, reply);
        write_result(&run, NULL);
        return failure_say(&run.failure);
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT('r', "root", "ROOT", Options, root,
                        "the root to start from ('nsrootctl root list')"),
        OPTION_ROW_TEXT('n', "name", "NAME", Options, name,
                        "a name for the session, to use in place of its id"),
        OPTION_ROW_FLAG('i', "interactive", Options, interactive,
                        "changes nothing: standard input is always connected"),
        OPTION_ROW_CHOICE('t', "terminal", TERMINAL_ALWAYS, Options, terminal, "insist on a terminal"),
        OPTION_ROW_CHOICE('T', "no-terminal", TERMINAL_NEVER, Options, terminal,
                          "no terminal, even where there is one"),
        OPTION_ROW_LIST('e', "env", "NAME[=VALUE]", Options, environment,
                        "set a variable, or hand on your own"),
        OPTION_ROW_TEXT('w', "workdir", "DIR", Options, directory, "where in the root the command starts"),
        OPTION_ROW_TEXT('u', "user", "USER[:GROUP]", Options, user,
                        "who in the root it runs as (default: root)"),
        OPTION_ROW_TEXT(0, "hostname", "NAME", Options, hostname, "the host name inside"),
        OPTION_ROW_FLAG(0, "read-only", Options, read_only, "the root cannot be written to"),
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
