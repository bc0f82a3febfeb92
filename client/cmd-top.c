/* nsrootctl top: what sessions use, over and over. Which there are is nsrootd's word (roster.h), what they
 * use is asked for. */
#include <stdio.h>
#include <time.h>
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

#define DELAY_DEFAULT  USEC_PER_SEC
#define DELAY_MIN      (100 * USEC_PER_MSEC) /* it is nsrootd's time, too */
#define ITERATIONS_MAX UINT32_MAX

typedef struct Options {
        const char *delay, *iterations;
} Options;

/* What was used, and when that was. */
typedef struct Sample {
        struct json_object *usage; /* a list; owned */
        uint64_t at;               /* CLOCK_REALTIME, µs */
} Sample;

typedef struct Top {
        const Client *client;
        uint64_t delay, iterations; /* 0: without an end */
        bool in_place;
        Roster roster;
        Sample now, before;
} Top;

static void top_done(Top *t)
{
        roster_done(&t->roster);
        json_object_put(t->now.usage);
        json_object_put(t->before.usage);
}

/* What a sample has of a session; NULL: nothing. */
static struct json_object *usage_of(const Sample *s, struct json_object *session)
{
        const char *id = value_text(session, "id") ?: "";

        for (size_t i = 0; s->usage && i < json_object_array_length(s->usage); i++) {
                struct json_object *usage = json_object_array_get_idx(s->usage, i);

                if (streq(value_text(usage, "id") ?: "", id))
                        return usage;
        }
        return NULL;
}

/* Each makes the text of one cell; owned by the caller, NULL: there is none (or no memory: shown alike). */

/* Since the last time or, for who was not there then, since it began. */
static char *cell_cpu(const Top *t, struct json_object *session)
{
        int64_t used = value_number(usage_of(&t->now, session), "cpuUSec", -1);
        int64_t before = value_number(usage_of(&t->before, session), "cpuUSec", -1);
        int64_t since = before >= 0 ? (int64_t)t->before.at
                                    : value_number(value_object(session, "startTimestamp"), "realtime", 0);
        char *text;

        if (used < 0 || since <= 0 || since >= (int64_t)t->now.at)
                return NULL;
        used -= MAX(before, (int64_t)0);
        return asprintf(&text, "%.1f", 100.0 * (double)used / (double)((int64_t)t->now.at - since)) < 0
                       ? NULL
                       : text;
}

static char *cell_time(const Top *t, struct json_object *session)
{
        int64_t used = value_number(usage_of(&t->now, session), "cpuUSec", -1);
        uint64_t hundredths = (uint64_t)used / 10000;
        char *text;

        if (used < 0 || asprintf(&text, "%llu:%02llu.%02llu", (unsigned long long)(hundredths / 6000),
                                 (unsigned long long)(hundredths / 100 % 60),
                                 (unsigned long long)(hundredths % 100)) < 0)
                return NULL;
        return text;
}

static char *size_of(const Top *t, struct json_object *session, const char *key)
{
        int64_t size = value_number(usage_of(&t->now, session), key, -1);

        return size < 0 ? NULL : text_size((uint64_t)size);
}

static char *cell_memory(const Top *t, struct json_object *session)
{
        return size_of(t, session, "memoryBytes");
}

static char *cell_peak(const Top *t, struct json_object *session)
{
        return size_of(t, session, "memoryPeakBytes");
}

static char *cell_tasks(const Top *t, struct json_object *session)
{
        int64_t tasks = value_number(usage_of(&t->now, session), "tasks", -1);
        char *text;

        return tasks < 0 || asprintf(&text, "%lld", (long long)tasks) < 0 ? NULL : text;
}

static const struct {
        const char *head;
        char *(*of_session)(struct json_object *session);
        char *(*of_usage)(const Top *t, struct json_object *session);
        bool for_root; /* only root sees more than one owner */
} columns[] = {
        {"ID",       session_cell_id,      NULL,        false},
        { "NAME",    session_cell_name,    NULL,        false},
        { "OWNER",   session_cell_owner,   NULL,        true },
        { "STATE",   session_cell_state,   NULL,        false},
        { "CPU%",    NULL,                 cell_cpu,    false},
        { "TIME",    NULL,                 cell_time,   false},
        { "MEMORY",  NULL,                 cell_memory, false},
        { "PEAK",    NULL,                 cell_peak,   false},
        { "TASKS",   NULL,                 cell_tasks,  false},
        { "COMMAND", session_cell_command, NULL,        false},
};

/* One line: the head where session is NULL. */
static int add_line(const Top *t, struct json_object *session, Table *table)
{
        for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
                _cleanup_free_ char *cell = NULL;
                int r;

                if (columns[i].for_root && geteuid() != 0)
                        continue;
                if (!session)
                        cell = strdup(columns[i].head);
                else
                        cell = columns[i].of_session ? columns[i].of_session(session)
                                                     : columns[i].of_usage(t, session);
                r = table_add(table, cell);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int show(const Top *t, uint64_t iteration)
{
        _cleanup_table_ Table table = { .columns = ELEMENTSOF(columns) - (geteuid() != 0) };
        int r;

        if (t->client->json)
                return value_print_line(t->now.usage, stdout);
        r = add_line(t, NULL, &table);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(t->roster.sessions); i++)
                r = add_line(t, json_object_array_get_idx(t->roster.sessions, i), &table);
        if (r < 0)
                return r;
        if (t->in_place)
                return screen_draw(&table);
        if (iteration > 0)
                putchar('\n');
        table_print(&table, stdout, screen_width());
        return 0;
}

static int collect(struct json_object *reply, void *userdata, Failure *f)
{
        int r = value_append_all(userdata, value_array(reply, "usage"));

        return r < 0 ? failure_system(f, r, "top") : 0;
}

/* An nsrootd that is away may come back: until then, what it said last is shown. */
static int take_sample(Top *t, Failure *f)
{
        _cleanup_value_ struct json_object *usage = json_object_new_array();
        int r = usage ? call_stream(t->client->socket, SESSION ".Statistics", NULL, collect, usage, f)
                      : failure_system(f, -ENOMEM, "top");

        if (r < 0)
                return f->answer ? r : 0;
        json_object_put(t->before.usage);
        t->before = t->now;
        t->now = (Sample){ TAKE_PTR(usage), now_usec(CLOCK_REALTIME) };
        return 0;
}

/* Hears what changes, until it is time for the next sample. */
static int listen_until(Top *t, uint64_t deadline, Failure *f)
{
        for (;;) {
                _cleanup_value_ struct json_object *changed = NULL;
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                int r;

                if (now >= deadline)
                        return 0;
                r = roster_next(&t->roster, (int)((deadline - now) / USEC_PER_MSEC) + 1, &changed, f);
                if (r < 0)
                        return r == -ETIMEDOUT ? 0 : r;
        }
}

static int go_on(Top *t, Failure *f)
{
        _cleanup_value_ struct json_object *all = NULL;
        uint64_t next;
        int r = roster_next(&t->roster, -1, &all, f);

        for (uint64_t i = 0; r >= 0; i++) {
                next = now_usec(CLOCK_MONOTONIC) + t->delay;
                r = take_sample(t, f);
                if (r < 0)
                        return r;
                if (show(t, i) < 0)
                        return failure_system(f, -ENOMEM, "top");
                /* A failure to write is said by who looks at standard output last. */
                if (fflush(stdout) == EOF || i + 1 == t->iterations)
                        return 0;
                r = listen_until(t, next, f);
        }
        return r;
}

static int run_top(const Client *client, const void *options, char **operands _unused_)
{
        const Options *o = options;
        _cleanup_(top_done) Top t = { .client = client, .delay = DELAY_DEFAULT };
        _cleanup_failure_ Failure f = {};

        t.in_place = isatty(STDOUT_FILENO) && !client->json;
        t.iterations = t.in_place ? 0 : 1;
        if (o->delay && (parse_time(o->delay, &t.delay) < 0 || t.delay > INT32_MAX * USEC_PER_MSEC))
                return failure_exit("'%s' is no time: write it as 500ms, 10s or '1min 30s'", o->delay);
        if (o->iterations &&
            (parse_u64(o->iterations, ITERATIONS_MAX, &t.iterations) < 0 || t.iterations == 0))
                return failure_exit("'%s' is no number of times", o->iterations);
        t.delay = MAX(t.delay, DELAY_MIN);
        if (roster_init(&t.roster, client->socket, false) < 0)
                return failure_exit("out of memory");
        return go_on(&t, &f) < 0 ? failure_say(&f) : 0;
}

static const Option verb_options[] = {
        OPTION_ROW_TEXT('d', "delay", "TIME", Options, delay, "from one look to the next (default: 1s)"),
        OPTION_ROW_TEXT('n', "iterations", "N", Options, iterations,
                        "how many (default: without an end on a terminal, else 1)"),
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootctl top",
        .summary = "Show what sessions use, over and over",
        .options = verb_options,
        .shared = client_options,
};

const Verb verb_top = {
        .table = &table,
        .size = sizeof(Options),
        .run = run_top,
};
