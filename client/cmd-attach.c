/* nsrootctl attach: what a detached session prints, and what is typed into it. */
#include <signal.h>
#include <stdio.h>

#include "call.h"
#include "client.h"
#include "command.h"
#include "listing.h"
#include "protocol.h"
#include "value.h"
#include "watch.h"

typedef struct Options {
        bool no_replay;
} Options;

/* *ret is the session's stream. */
static int attach(const Client *client, const char *id, bool replay, int *ret, Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id), *reply = NULL;
        _cleanup_(link_freep) Link *l = NULL;
        _cleanup_(fds_close) Fds fds = {};
        int64_t index;
        int r;

        /* Said in both cases: which of them is meant by silence is nothing to rely on. */
        r = parameters ? value_add(parameters, "replay", json_object_new_boolean(replay)) : -ENOMEM;
        if (r < 0)
                return failure_system(f, r, "attach");
        r = call_begin(client->socket, SESSION ".Attach", TAKE_PTR(parameters), false, NULL, &l, f);
        if (r >= 0)
                r = call_next(l, client->socket, CONNECTION_FOREVER, &reply, &fds, f);
        if (r < 0)
                return r;
        index = value_number(reply, "streamFileDescriptor", -1);
        r = index >= 0 ? fds_take(&fds, (size_t)index) : -EBADF;
        if (r < 0)
                return failure_lost(f, -EPROTO, client->socket);
        *ret = r;
        return 0;
}

/* Ends as the session did. */
static int conclude(const Client *client, const char *id, Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id), *reply = NULL;
        _cleanup_errand_ Errand wait = {};
        int r;

        if (!parameters)
                return failure_system(f, -ENOMEM, "attach");
        errand_init(&wait, client->socket, SESSION ".Wait", TAKE_PTR(parameters));
        wait.reached = true; /* it was, a while ago */
        r = errand_finish(&wait, ERRAND_PATIENCE_MS, &reply, f);
        return r < 0 ? r : command_conclude(foreground_result(reply));
}

/* The status to exit with, or -EREMOTEIO. */
static int stay(const Client *client, const Options *o, struct json_object *session, Failure *f)
{
        _cleanup_close_ int stream = -EBADF;
        WatchSession watched = { client->socket, value_text(session, "id"), value_flag(session, "terminal"),
                                 -EBADF };
        int r;

        if (!watched.id)
                return failure_lost(f, -EPROTO, client->socket);
        r = attach(client, watched.id, !o->no_replay, &stream, f);
        if (r < 0)
                return r;
        watched.stream = stream;
        r = watch(&watched, f);
        if (r == WATCH_DETACHED) {
                failure_note("detached");
                return 0;
        }
        return r < 0 ? r : conclude(client, watched.id, f);
}

static int run_attach(const Client *client, const void *options, char **operands)
{
        _cleanup_value_ struct json_object *session = NULL;
        _cleanup_failure_ Failure f = {};
        int r;

        signal(SIGPIPE, SIG_IGN);
        r = listing_find(client->socket, operands[0], &session, &f);
        if (r >= 0)
                r = stay(client, options, session, &f);
        return r < 0 ? failure_say(&f) : r;
}

static const Option verb_options[] = {
        OPTION_ROW_FLAG(0, "no-replay", Options, no_replay, "only what it prints from now on"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl attach",
        .arguments = "ID",
        .summary = "Watch a detached session, and type into it",
        .details = "Leave it with ^] three times within a second. Else the exit status is the session's.\n",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_attach = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 1,
        .operands_max = 1,
        .run = run_attach,
};
