/* nsrootctl root: the roots that sessions start from. */
#include <stdio.h>

#include "call.h"
#include "client.h"
#include "progress.h"
#include "protocol.h"
#include "table.h"
#include "text.h"
#include "value.h"

/* Says on stdout what became of a root: for people a line, for programs the root. */
static int print_root(const Client *client, struct json_object *root, const char *format_words)
{
        _cleanup_free_ char *name = text_escape(value_text(root, "name") ?: "root");
        _cleanup_free_ char *digest = text_escape(value_text(root, "digest") ?: "it has no digest");

        if (client->json)
                return value_print(root, stdout) < 0 ? failure_exit("out of memory") : 0;
        printf("%s %s: %s\n", name ?: "", format_words, digest ?: "");
        return 0;
}

/* root list */

static const char *const heads[] = { "NAME", "KIND", "CACHED", "SIZE", "SESSIONS", "SOURCE" };

static int add_root(Table *t, struct json_object *root)
{
        int64_t bytes = value_number(root, "sizeBytes", -1);
        _cleanup_free_ char *size = bytes >= 0 ? text_size((uint64_t)bytes) : NULL;
        char sessions[24];
        const char *cells[ELEMENTSOF(heads)] = {
                value_text(root, "name"),
                value_text(root, "kind"),
                value_flag(root, "cached") ? "yes" : "no",
                size,
                sessions,
                value_text(root, "source"),
        };

        snprintf(sessions, sizeof(sessions), "%lld", (long long)value_number(root, "sessions", 0));
        for (size_t i = 0; i < ELEMENTSOF(cells); i++)
                if (table_add(t, cells[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int print_table(struct json_object *roots)
{
        _cleanup_table_ Table table = { .columns = ELEMENTSOF(heads) };

        for (size_t i = 0; i < ELEMENTSOF(heads); i++)
                if (table_add(&table, heads[i]) < 0)
                        return -ENOMEM;
        for (size_t i = 0; roots && i < json_object_array_length(roots); i++)
                if (add_root(&table, json_object_array_get_idx(roots, i)) < 0)
                        return -ENOMEM;
        table_print(&table, stdout, 0);
        return 0;
}

static int run_root_list(const Client *client, const void *options _unused_, char **operands _unused_)
{
        _cleanup_value_ struct json_object *reply = NULL;
        _cleanup_failure_ Failure f = {};
        struct json_object *roots;
        int r;

        r = call_once(client->socket, ROOT ".List", NULL, &reply, &f);
        if (r < 0)
                return failure_say(&f);
        roots = value_array(reply, "roots");
        r = client->json ? value_print(roots, stdout) : print_table(roots);
        return r < 0 ? failure_exit("out of memory") : 0;
}

static const OptionTable list_table = {
        .name = "nsrootctl root list",
        .summary = "List the roots that sessions can start from",
        .shared = client_options,
};

const Verb verb_root_list = { .table = &list_table, .run = run_root_list };

/* root pull */

typedef struct Pull {
        const char *name;
        Progress progress;
        struct json_object *root;
} Pull;

static int on_pull(struct json_object *reply, void *userdata, Failure *f _unused_)
{
        Pull *pull = userdata;

        json_object_put(pull->root);
        pull->root = json_object_get(value_object(reply, "root"));
        progress_show(&pull->progress, pull->name, reply);
        return 0;
}

static int run_root_pull(const Client *client, const void *options _unused_, char **operands)
{
        struct json_object *parameters = value_new_text("name", operands[0]);
        Pull pull = { .name = operands[0], .progress = progress_new(false) };
        _cleanup_failure_ Failure f = {};
        int r, status;

        r = call_stream(client->socket, ROOT ".Pull", parameters, on_pull, &pull, &f);
        progress_done(&pull.progress);
        status = r < 0 ? failure_say(&f) : print_root(client, pull.root, "is here");
        json_object_put(pull.root);
        return status;
}

static const OptionTable pull_table = {
        .name = "nsrootctl root pull",
        .arguments = "NAME",
        .summary = "Get a root now, so that no session has to wait for it",
        .shared = client_options,
};

const Verb verb_root_pull = {
        .table = &pull_table,
        .operands_min = 1,
        .operands_max = 1,
        .run = run_root_pull,
};

/* root verify */

/* What some errors mean of a root that nobody wanted to be made. */
static int say_verify(const Failure *f, const char *name)
{
        const char *error = value_text(f->answer, "error") ?: "";
        struct json_object *parameters = value_object(f->answer, "parameters");
        _cleanup_free_ char *safe = text_escape(name);
        _cleanup_free_ char *found = text_escape(value_text(parameters, "found") ?: "");
        _cleanup_free_ char *expected = text_escape(value_text(parameters, "expected") ?: "");

        if (streq(error, ERROR_ROOT_DIGEST_MISMATCH))
                return failure_exit(
                        "%s is not as it was made; the next run makes it again: its digest is %s, not %s",
                        safe ?: "", found ?: "", expected ?: "");
        if (streq(error, ERROR_ROOT_NO_SUCH_ROOT))
                return failure_exit("there is no root %s in the cache: 'nsrootctl root list' shows those "
                                    "there are",
                                    safe ?: "");
        return failure_say(f);
}

static int run_root_verify(const Client *client, const void *options _unused_, char **operands)
{
        struct json_object *parameters = value_new_text("name", operands[0]);
        _cleanup_value_ struct json_object *reply = NULL;
        _cleanup_failure_ Failure f = {};

        if (call_once(client->socket, ROOT ".Verify", parameters, &reply, &f) < 0)
                return say_verify(&f, operands[0]);
        return print_root(client, value_object(reply, "root"), "is intact");
}

static const OptionTable verify_table = {
        .name = "nsrootctl root verify",
        .arguments = "NAME",
        .summary = "Compare a cached root with its digest",
        .shared = client_options,
};

const Verb verb_root_verify = {
        .table = &verify_table,
        .operands_min = 1,
        .operands_max = 1,
        .run = run_root_verify,
};

/* root remove */

static int run_root_remove(const Client *client, const void *options _unused_, char **operands)
{
        struct json_object *parameters = value_new_text("name", operands[0]);
        _cleanup_failure_ Failure f = {};

        if (call_once(client->socket, ROOT ".Remove", parameters, NULL, &f) < 0)
                return failure_say(&f);
        return 0;
}

static const OptionTable remove_table = {
        .name = "nsrootctl root remove",
        .arguments = "NAME",
        .summary = "Remove a root from the cache; the next run makes it again",
        .shared = client_options,
};

const Verb verb_root_remove = {
        .table = &remove_table,
        .operands_min = 1,
        .operands_max = 1,
        .run = run_root_remove,
};
