/* What `run` and `exec` share, by command.h. */
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "call.h"
#include "lend.h"
#include "outcome.h"
#include "protocol.h"
#include "value.h"

int command_init(Command *c, const Client *client)
{
        c->client = client;
        c->foreground.socket = client->socket;
        c->foreground.failure = &c->failure;
        signal(SIGPIPE, SIG_IGN); /* the command has its own; ours are errors of a write */
        c->parameters = json_object_new_object();
        return c->parameters ? 0 : failure_system(&c->failure, -ENOMEM, "cannot prepare the command");
}

void command_done(Command *c)
{
        json_object_put(c->parameters);
        fds_close(&c->lent);
        foreground_done(&c->foreground);
        failure_done(&c->failure);
        close_fd(c->lifeline);
}

int command_choose_terminal(Command *c, TerminalChoice choice)
{
        bool possible = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

        if (choice == TERMINAL_ALWAYS && !possible)
                return failure_set(
                        &c->failure, EXIT_OURS,
                        "-t needs a terminal on standard input and standard output: leave it out");
        c->terminal = possible && choice != TERMINAL_NEVER;
        return 0;
}

/* Adds NAME=VALUE, given as such or as the name of one of the caller's variables; one that is not set is
 * left out. */
static int add_variable(struct json_object *list, const char *given)
{
        _cleanup_free_ char *made = NULL;
        const char *value = strchr(given, '=') ? NULL : getenv(given);

        if (!strchr(given, '=')) {
                if (!value)
                        return 0;
                if (asprintf(&made, "%s=%s", given, value) < 0)
                        return -ENOMEM;
        }
        return value_append(list, json_object_new_string(made ?: given));
}

static bool is_variable(const char *given, const char *name)
{
        size_t n = strlen(name);

        return strncmp(given, name, n) == 0 && (given[n] == '=' || given[n] == '\0');
}

static int add_environment(Command *c, const OptionList *given)
{
        _cleanup_value_ struct json_object *list = json_object_new_array();
        bool has_term = false;
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < given->n; i++) {
                if (given->items[i][0] == '\0' || given->items[i][0] == '=')
                        return failure_set(&c->failure, EXIT_OURS, "-e '%s': a variable needs a name",
                                           given->items[i]);
                has_term |= is_variable(given->items[i], "TERM");
                r = add_variable(list, given->items[i]);
        }
        if (r >= 0 && !has_term)
                r = add_variable(list, "TERM");
        return r < 0 ? r : value_add(c->parameters, "environment", TAKE_PTR(list));
}

int command_add_options(Command *c, const CommandOptions *o)
{
        int r = o->directory ? value_add_text(c->parameters, "workingDirectory", o->directory) : 0;

        if (r >= 0 && o->user)
                r = value_add_text(c->parameters, "user", o->user);
        return r < 0 ? r : add_environment(c, &o->environment);
}

/* Of whichever of the standard descriptors is a terminal; false: none is, or it does not know. */
static bool read_window_size(struct winsize *ret)
{
        static const int order[] = { STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO };

        for (size_t i = 0; i < ELEMENTSOF(order); i++)
                if (ioctl(order[i], TIOCGWINSZ, ret) >= 0)
                        return ret->ws_col > 0 && ret->ws_row > 0;
        return false;
}

int command_add_terminal(Command *c)
{
        struct winsize size;
        int r;

        r = value_add_flag(c->parameters, "terminal");
        if (r < 0 || !read_window_size(&size))
                return r;
        r = value_add_number(c->parameters, "columns", size.ws_col);
        return r < 0 ? r : value_add_number(c->parameters, "rows", size.ws_row);
}

int command_add_lifeline(Command *c)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        c->lifeline = c->foreground.lifeline = ends[1];
        return lend(ends[0], "lifelineFileDescriptor", c->parameters, &c->lent);
}

int command_add_standard(Command *c)
{
        int r = 0;

        for (int fd = STDIN_FILENO; r >= 0 && fd <= STDERR_FILENO; fd++)
                if (!c->terminal || (fd == STDERR_FILENO && !isatty(fd)))
                        r = lend_standard(fd, c->parameters, &c->lent, &c->foreground.relays[fd]);
        return r;
}

int command_call(Command *c, const char *method, bool more)
{
        c->foreground.terminal = c->terminal;
        return call_begin(c->client->socket, method, TAKE_PTR(c->parameters), more, &c->lent,
                          &c->foreground.link, &c->failure);
}

/* What was lent is the command's alone from now on: whoever is at its other end must notice when the command
 * closes it, though we live on. Errors are still to be said on stderr. */
static int give_up_standard(Command *c)
{
        int r = 0;

        for (int fd = STDIN_FILENO; r >= 0 && fd <= STDOUT_FILENO; fd++)
                if (lend_is_lendable(fd, fd == STDIN_FILENO))
                        r = lend_release(fd);
        return r < 0 ? failure_system(&c->failure, r, "cannot open /dev/null") : 0;
}

/* Takes from the first reply what the command goes on with. */
static int enter(Command *c, const char *id, const char *command, struct json_object *first, Fds *fds)
{
        int64_t index = value_number(first, "ptyFileDescriptor", -1);
        Foreground *f = &c->foreground;

        f->pty = index >= 0 ? fds_take(fds, (size_t)index) : -EBADF;
        f->id = id ? strdup(id) : NULL;
        f->command = command ? strdup(command) : NULL;
        if (!id || c->terminal != (f->pty >= 0))
                return failure_lost(&c->failure, -EPROTO, c->client->socket);
        if (!f->id || (command && !f->command))
                return failure_system(&c->failure, -ENOMEM, "cannot stay with the command");
        return 0;
}

int command_stay(Command *c, const char *id, const char *command, struct json_object *first, Fds *fds,
                 struct json_object **ret_result)
{
        int r = enter(c, id, command, first, fds);

        if (r >= 0 && !c->terminal)
                r = give_up_standard(c);
        return r < 0 ? r : foreground_stay(&c->foreground, ret_result);
}

int command_conclude(struct json_object *result)
{
        _cleanup_free_ char *note = NULL;
        int status = outcome_status(result, &note);

        if (!result)
                note = strdup("nsrootd did not say how the session ended");
        if (note)
                failure_note(note);
        return status;
}
