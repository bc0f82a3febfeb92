/* nsrootctl logs: what a detached session has printed, and with -f what it goes on to print. */
#include <stdio.h>

#include "call.h"
#include "client.h"
#include "protocol.h"
#include "record.h"
#include "stream.h"
#include "value.h"

typedef struct Options {
        bool follow;
} Options;

/* Each stream goes where it would have gone; a terminal has but one. */
static int print_plain(const Record *r)
{
        FILE *stream = streq(r->stream, "stderr") ? stderr : stdout;

        if (r->lost > 0)
                fprintf(stderr, "[%llu bytes were lost here]\n", (unsigned long long)r->lost);
        fwrite(r->data, 1, r->length, stream);
        return 0;
}

static int print_json(struct json_object *o, const Record *r)
{
        _cleanup_value_ struct json_object *built = record_build(o, r);

        return built ? value_print_line(built, stdout) : -ENOMEM;
}

static int print_record(const Client *client, struct json_object *o, Place *place)
{
        _cleanup_record_ Record record = {};
        int r;

        r = record_parse(o, &record);
        if (r < 0 || !place_pass(place, &record))
                return r;
        return client->json ? print_json(o, &record) : print_plain(&record);
}

/* Each record is written before the next, so that the streams stay in order, and at once. -EPIPE: nobody
 * wants to read it any more. */
static int print_reply(const Client *client, struct json_object *reply, Place *place)
{
        struct json_object *records = value_array(reply, "records");
        int r = 0;

        for (size_t i = 0; r >= 0 && records && i < json_object_array_length(records); i++) {
                r = print_record(client, json_object_array_get_idx(records, i), place);
                if (fflush(stdout) == EOF)
                        return -EPIPE;
        }
        return r;
}

static int follow(const Client *client, Stream *s, Failure *f)
{
        Place place = {};
        int more;

        do {
                _cleanup_value_ struct json_object *reply = NULL;
                bool first;
                int r;

                more = stream_next(s, -1, &reply, &first, f);
                if (more < 0)
                        return more;
                if (first)
                        place.at = 0;
                r = print_reply(client, reply, &place);
                if (r == -EPIPE)
                        return 0; /* said by who looks at standard output last */
                if (r < 0)
                        return failure_lost(f, r == -EBADMSG ? -EPROTO : r, client->socket);
        } while (more);
        return 0;
}

static int run_logs(const Client *client, const void *options, char **operands)
{
        const Options *o = options;
        _cleanup_value_ struct json_object *parameters = value_new_text("id", operands[0]);
        _cleanup_stream_ Stream s = {};
        _cleanup_failure_ Failure f = {};

        if (!parameters || (o->follow && value_add_flag(parameters, "follow") < 0))
                return failure_exit("out of memory");
        stream_init(&s, client->socket, SESSION ".Logs", TAKE_PTR(parameters));
        return follow(client, &s, &f) < 0 ? failure_say(&f) : 0;
}

static const Option verb_options[] = {
        OPTION_ROW_FLAG('f', "follow", Options, follow, "go on until the session ends"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl logs",
        .arguments = "ID",
        .summary = "Print what a detached session has printed",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_logs = {
        .table = &table,
        .size = sizeof(Options),
        .operands_min = 1,
        .operands_max = 1,
        .run = run_logs,
};
