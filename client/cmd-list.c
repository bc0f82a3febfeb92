/* nsrootctl list: the caller's sessions, and for root everyone's. */
#include <stdio.h>
#include <unistd.h>

#include "call.h"
#include "client.h"
#include "listing.h"
#include "protocol.h"
#include "roster.h"
#include "screen.h"
#include "table.h"
#include "text.h"
#include "value.h"

#define REDRAW_MS 1000 /* ages grow though nothing happens */

typedef struct Options {
        bool all, quiet, watch;
} Options;

static const struct {
        const char *head;
        char *(*cell)(struct json_object *session);
        bool for_root; /* only root sees more than one owner */
} columns[] = {
        {"ID",       session_cell_id,      false},
        { "NAME",    session_cell_name,    false},
        { "ROOT",    session_cell_root,    false},
        { "STATE",   session_cell_state,   false},
        { "OWNER",   session_cell_owner,   true },
        { "AGE",     session_cell_age,     false},
        { "COMMAND", session_cell_command, false},
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

static int build_table(struct json_object *sessions, bool with_head, Table *ret)
{
        bool root = geteuid() == 0;
        int r = 0;

        *ret = (Table){ .columns = ELEMENTSOF(columns) - !root };
        if (with_head)
                r = add_line(ret, NULL, root);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(sessions); i++)
                r = add_line(ret, json_object_array_get_idx(sessions, i), root);
        return r;
}

static int print_table(struct json_object *sessions, bool with_head)
{
        _cleanup_table_ Table table = {};
        int r = build_table(sessions, with_head, &table);

        if (r >= 0)
                table_print(&table, stdout, screen_width());
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
        int r = value_append_all(userdata, value_array(reply, "sessions"));

        return r < 0 ? failure_system(f, r, "list") : 0;
}

static int list_once(const Client *client, const Options *o, Failure *f)
{
        _cleanup_value_ struct json_object *sessions = json_object_new_array(),
                                           *parameters = json_object_new_object();
        int r;

        if (!sessions || !parameters || (o->all && value_add_flag(parameters, "all") < 0))
                return failure_system(f, -ENOMEM, "list");
        r = call_stream(client->socket, SESSION ".List", TAKE_PTR(parameters), collect, sessions, f);
        if (r < 0)
                return r;
        if (client->json)
                r = value_print(sessions, stdout);
        else
                r = o->quiet ? print_ids(sessions) : print_table(sessions, true);
        return r < 0 ? failure_system(f, r, "list") : 0;
}

static int draw(struct json_object *sessions)
{
        _cleanup_table_ Table table = {};
        int r = build_table(sessions, true, &table);

        return r < 0 ? r : screen_draw(&table);
}

/* A line for each session that is not as it was. */
static int print_changes(const Client *client, const Options *o, struct json_object *changed)
{
        int r = 0;

        if (client->json)
                for (size_t i = 0; r >= 0 && i < json_object_array_length(changed); i++)
                        r = value_print_line(json_object_array_get_idx(changed, i), stdout);
        else
                r = o->quiet ? print_ids(changed) : print_table(changed, false);
        return r;
}

/* Until it is interrupted, or nobody reads what it prints. */
static int list_on(const Client *client, const Options *o, Failure *f)
{
        bool in_place = isatty(STDOUT_FILENO) && !client->json && !o->quiet;
        _cleanup_roster_ Roster roster = {};
        int r = roster_init(&roster, client->socket, o->all);

        while (r >= 0) {
                _cleanup_value_ struct json_object *changed = NULL;

                r = roster_next(&roster, in_place && roster.stream.reached ? REDRAW_MS : -1, &changed, f);
                if (r == -EREMOTEIO)
                        return r;
                if (in_place)
                        r = draw(roster.sessions);
                else if (r >= 0)
                        r = print_changes(client, o, changed);
                if (fflush(stdout) == EOF)
                        return 0; /* said by who looks at standard output last */
        }
        return failure_system(f, r, "list");
}

static int run_list(const Client *client, const void *options, char **operands _unused_)
{
        const Options *o = options;
        _cleanup_failure_ Failure f = {};
        int r = o->watch ? list_on(client, o, &f) : list_once(client, o, &f);

        return r < 0 ? failure_say(&f) : 0;
}

static const Option verb_options[] = {
        OPTION_ROW_FLAG('a', "all", Options, all, "also those that have ended and are remembered"),
        OPTION_ROW_FLAG('q', "quiet", Options, quiet, "print only their ids"),
        OPTION_ROW_FLAG(0, "watch", Options, watch, "go on with what changes, in place on a terminal"),
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
