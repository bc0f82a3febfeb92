/* A command that is about to run, be it the first of a session or one more: what `run` and `exec` have in
 * common between the command line and the exit status. Its environment, its terminal, what is lent to it,
 * its lifeline. Knows what the methods Run and Exec share; knows neither of them. */
#pragma once

#include <sys/ioctl.h>

#include "client.h"
#include "failure.h"
#include "foreground.h"

struct json_object;

typedef enum TerminalChoice {
        TERMINAL_AUTO, /* if stdin and stdout are terminals */
        TERMINAL_ALWAYS,
        TERMINAL_NEVER,
} TerminalChoice;

typedef struct Command {
        const Client *client;
        bool terminal;
        int lifeline;                   /* its write end: the command ends when it is closed */
        struct json_object *parameters; /* of the call */
        Fds lent;
        Foreground foreground;
        Failure failure;
} Command;

#define COMMAND_NEW                                                                                         \
        {                                                                                                   \
                .lifeline = -EBADF, .foreground = FOREGROUND_NEW                                            \
        }

/* What both verbs can be told of a command. */
typedef struct CommandOptions {
        const char *directory, *user;
        OptionList environment;
        int terminal; /* TerminalChoice */
} CommandOptions;

/* Rows of a table of options, for a member of that type. */
#define COMMAND_OPTIONS(type, member)                                                                       \
        OPTION_ROW_CHOICE('t', "terminal", TERMINAL_ALWAYS, type, member.terminal, "insist on a terminal"), \
                OPTION_ROW_CHOICE('T', "no-terminal", TERMINAL_NEVER, type, member.terminal,                \
                                  "no terminal, even where there is one"),                                  \
                OPTION_ROW_LIST('e', "env", "NAME[=VALUE]", type, member.environment,                       \
                                "set a variable, or hand on your own"),                                     \
                OPTION_ROW_TEXT('w', "workdir", "DIR", type, member.directory,                              \
                                "where in the root the command starts"),                                    \
                OPTION_ROW_TEXT('u', "user", "USER[:GROUP]", type, member.user,                             \
                                "who in the root it runs as (default: root)")

/* With no parameters in it yet. c stays where it is from then on. -ENOMEM. */
int command_init(Command *c, const Client *client);
void command_done(Command *c);

/* Whether it gets the caller's terminal. -EREMOTEIO, as all of these: see c->failure. */
int command_choose_terminal(Command *c, TerminalChoice choice);

/* These add to the parameters; errors are -EREMOTEIO or any other. */
/* What the options say, but for the terminal. */
int command_add_options(Command *c, const CommandOptions *o);
/* A terminal of the size of the caller's, where there is one. */
int command_add_terminal(Command *c);
int command_add_lifeline(Command *c);
/* The standard descriptors: with a terminal only stderr, and that only if it is not the terminal as well. */
int command_add_standard(Command *c);

/* Sends the call, whose parameters and descriptors are then gone. */
int command_call(Command *c, const char *method, bool more);
/* From the first reply, which more follow, to the result (the caller's; NULL: it was not said). id and
 * command (NULL: the session's own) are how it is known; copied. */
int command_stay(Command *c, const char *id, const char *command, struct json_object *first, Fds *fds,
                 struct json_object **ret_result);
/* Says why it ended, where that has to be said; what to exit with. */
int command_conclude(struct json_object *result);
