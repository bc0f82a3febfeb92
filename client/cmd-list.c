/* nsrootctl list: the caller's sessions, and for root everyone's. */
#include <pwd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "client.h"
#include "outcome.h"
#include "protocol.h"
#include "table.h"
#include "text.h"
#include "value.h"

typedef struct Options {
        bool all, quiet;
} Options;

/* Each makes the text of one cell; owned by the caller, NULL: there is none (or no memory: shown alike). */

static char *copy(const char *text)
{
        return text ? strdup(text) : NULL;
}

static char *cell_id(struct json_object *session)
{
        return copy(value_text(session, "id"));
}

static char *cell_name(struct json_object *session)
{
        return copy(value_text(session, "name"));
}

static char *cell_root(struct json_object *session)
{
        return copy(value_text(session, "root"));
}

static char *cell_state(struct json_object *session)
{
        struct json_object *result = value_object(session, "result");

        return result ? outcome_words(result) : copy(value_text(session, "state"));
}

static char *cell_owner(struct json_object *session)
{
        uid_t uid = (uid_t)value_number(session, "ownerUid", (uid_t)-1);
        const struct passwd *user = getpwuid(uid);
        char *text;

        if (user)
                return copy(user->pw_name);
        return asprintf(&text, "%u", uid) < 0 ? NULL : text;
}

static char *cell_age(struct json_object *session)
{
        int64_t started = value_number(value_object(session, "startTimestamp"), "realtime", 0);
        uint64_t now = now_usec(CLOCK_REALTIME);

        return started > 0 ? text_age(now > (uint64_t)started ? now - (uint64_t)started : 0) : NULL;
}

static char *cell_command(struct json_object *session)
{
        struct json_object *arguments = value_array(session, "arguments");
        char *line = NULL;
        size_t size;
        FILE *stream;

        stream = open_memstream(&line, &size);
        if (!stream)
                return NULL;
        for (size_t i = 0; arguments && i < json_object_array_length(arguments); i++)
                fprintf(stream, "%s%s", i > 0 ? " " : "",
                        json_object_get_string(json_object_array_get_idx(arguments, i)) ?: "");
        fclose(stream);
        return line;
}

static const struct {
        const char *head;
        char *(*cell)(struct json_object *session);
        bool for_root; /* only root sees more than one owner */
} columns[] = {
        {"ID",       cell_id,      false},
        { "NAME",    cell_name,    false},
        { "ROOT",    cell_root,    false},
        { "STATE",   cell_state,   false},
        { "OWNER",   cell_owner,   true },
        { "AGE",     cell_age,     false},
        { "COMMAND", cell_command, false},
};

/* One line: the head where session is NULL. */
static int add_line(Table *t, struct json_object *session, bool root)
{
        for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
                _cleanup_free_ char *cell = NULL;
                int r;

                if (columns[i].for_root && !root)
                        continue;
                cell = session ? columns[i].cell(session) : strdup(columns[i].head);
                r = table_add(t, cell);
                if (r < 0)
                        return r;
        }
        return 0;
}

static size_t terminal_width(void)
{
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

static int print_table(struct json_object *sessions)
{
        bool root = geteuid() == 0;
        _cleanup_table_ Table table = { .columns = ELEMENTSOF(columns) - !root };
        int r;

        r = add_line(&table, NULL, root);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(sessions); i++)
                r = add_line(&table, json_object_array_get_idx(sessions, i), root);
        if (r >= 0)
                table_print(&table, stdout, terminal_width());
        return r;
}

static int print_ids(struct json_object *sessions)
{
        for (size_t i = 0; i < json_object_array_length(sessions); i++) {
                const char *id = value_text(json_object_array_get_idx(sessions, i), "id");
                _cleanup_free_ char *safe = text_escape(id ?: "");

                if (!safe)
                        return -ENOMEM;
                puts(safe);
        }
        return 0;
}

/* A long list comes in several replies. */
static int collect(struct json_object *reply, void *userdata, Failure *f)
{
        struct json_object *sessions = userdata, *part = value_array(reply, "sessions");

        for (size_t i = 0; part && i < json_object_array_length(part); i++)
                if (json_object_array_add(sessions, json_object_get(json_object_array_get_idx(part, i))) < 0)
                        return failure_system(f, -ENOMEM, "list");
        return 0;
}

static int run_list(const Client *client, const void *options, char **operands _unused_)
{
        const Options *o = options;
        _cleanup_value_ struct json_object *sessions = json_object_new_array(),
                                           *parameters = json_object_new_object();
        _cleanup_failure_ Failure f = {};
        int r;

        if (!sessions || !parameters || (o->all && value_add_flag(parameters, "all") < 0))
                return failure_exit("out of memory");
        r = call_stream(client->socket, SESSION ".List", TAKE_PTR(parameters), collect, sessions, &f);
        if (r < 0)
                return failure_say(&f);
        if (client->json)
                r = value_print(sessions, stdout);
        else
                r = o->quiet ? print_ids(sessions) : print_table(sessions);
        return r < 0 ? failure_exit("out of memory") : 0;
}

static const Option verb_options[] = {
        OPTION_ROW_FLAG('a', "all", Options, all, "also those that have ended and are remembered"),
        OPTION_ROW_FLAG('q', "quiet", Options, quiet, "print only their ids"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl list",
        .summary = "List your sessions (root: everyone's)",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_list = {
        .table = &table,
        .size = sizeof(Options),
        .run = run_list,
};
