/* nsrootctl wait: until sessions, or a command of each, have ended; exits as the last one named did. All of
 * them are waited for at once, each by a connection of its own. */
#include <poll.h>
#include <stdio.h>

#include "client.h"
#include "errand.h"
#include "outcome.h"
#include "protocol.h"
#include "value.h"

typedef struct Options {
        const char *command;
} Options;

typedef struct Waiter {
        const char *id;
        Errand errand;
        bool ended;
        struct json_object *result; /* owned; NULL: it failed, or was not said */
        int status;
} Waiter;

typedef struct Waiters {
        Waiter *items;
        struct pollfd *polled;
        size_t n;
} Waiters;

static void waiters_done(Waiters *w)
{
        for (size_t i = 0; i < w->n; i++) {
                errand_done(&w->items[i].errand);
                json_object_put(w->items[i].result);
        }
        free(w->items);
        free(w->polled);
}

static int waiter_init(Waiter *w, const Client *client, const Options *o, const char *id)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id);

        if (!parameters || (o->command && value_add_text(parameters, "command", o->command) < 0))
                return -ENOMEM;
        w->id = id;
        errand_init(&w->errand, client->socket, SESSION ".Wait", TAKE_PTR(parameters));
        return 0;
}

static int waiters_init(Waiters *w, const Client *client, const Options *o, char **ids)
{
        size_t n = 0;
        int r = 0;

        while (ids[n])
                n++;
        w->items = calloc(n, sizeof(*w->items));
        w->polled = calloc(n, sizeof(*w->polled));
        if (!w->items || !w->polled)
                return -ENOMEM;
        while (r >= 0 && w->n < n) {
                r = waiter_init(&w->items[w->n], client, o, ids[w->n]);
                w->n++;
        }
        return r;
}

/* Goes on with one, and says what there is to be said of its end. */
static void step(Waiter *w)
{
        _cleanup_value_ struct json_object *reply = NULL;
        _cleanup_failure_ Failure f = {};
        _cleanup_free_ char *note = NULL;
        int r = errand_try(&w->errand, ERRAND_PATIENCE_MS, &reply, &f);

        if (r == 0)
                return;
        w->ended = true;
        if (r < 0) {
                w->status = failure_say(&f);
                return;
        }
        w->result = json_object_get(value_object(reply, "result"));
        w->status = outcome_status(w->result, &note);
        if (note)
                failure_note(note);
}

/* Goes on with all of them; how many have not ended yet. */
static size_t step_all(Waiters *w, int *timeout_ms)
{
        size_t left = 0;

        for (size_t i = 0; i < w->n; i++) {
                if (!w->items[i].ended)
                        step(&w->items[i]);
                w->polled[i] = (struct pollfd){ .fd = -1 };
                if (w->items[i].ended)
                        continue;
                errand_prepare(&w->items[i].errand, &w->polled[i], timeout_ms);
                left++;
        }
        return left;
}

static int print_results(const Waiters *w)
{
        _cleanup_value_ struct json_object *results = json_object_new_array();

        if (!results)
                return -ENOMEM;
        for (size_t i = 0; i < w->n; i++) {
                _cleanup_value_ struct json_object *one = value_new_text("id", w->items[i].id);

                if (!w->items[i].result)
                        continue;
                if (!one || value_add(one, "result", json_object_get(w->items[i].result)) < 0 ||
                    value_append(results, TAKE_PTR(one)) < 0)
                        return -ENOMEM;
        }
        return value_print(results, stdout);
}

static int run_wait(const Client *client, const void *options, char **operands)
{
        _cleanup_(waiters_done) Waiters w = {};
        int timeout_ms = -1;

        if (waiters_init(&w, client, options, operands) < 0)
                return failure_exit("out of memory");
        while (step_all(&w, &timeout_ms) > 0) {
                if (poll(w.polled, w.n, timeout_ms) < 0 && errno != EINTR)
                        return failure_exit("poll: %s", errno_text(errno));
                timeout_ms = -1;
        }
        if (client->json && print_results(&w) < 0)
                return failure_exit("out of memory");
        return w.items[w.n - 1].status;
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT(0, "command", "COMMAND", Options, command,
                        "for that one, which 'nsrootctl exec' has started"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl wait",
        .arguments = "ID...",
        .summary = "Wait until sessions have ended, and exit as the last one named did",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_wait = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_wait,
};
