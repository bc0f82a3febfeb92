/* Attach, Resize and Logs: what a detached session prints, and what is typed. */
#include <json-c/json.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include "describe.h"
#include "methods.h"
#include "output.h"
#include "protocol.h"

#define PART_MAX    (64 * KIB) /* of output in one reply of several */
#define WHOLE_MAX   (8 * MIB)  /* and in one reply alone, so that it fits into a message */
#define RECORD_COST 128        /* what a record is in a reply, its output apart */
#define BASE64_SIZE (4 * ((RING_RECORD_MAX + 2) / 3) + 1)

/* One that keeps what it prints. */
static int find_detached(const Methods *m, Call *c, const char *id, Session **ret, Error *e)
{
        int r = methods_find(m, c, id, ret, e);

        if (r < 0)
                return r;
        if (session_spec(*ret)->detached == 1)
                return 0;
        return error_setf(e, ERROR_NOT_DETACHED, "id", "%s", id);
}

/* As methods_find_live. */
static int find_live_detached(const Methods *m, Call *c, const char *id, Session **ret, Error *e)
{
        int r = find_detached(m, c, id, ret, e);

        if (r < 0)
                return r;
        return session_is_live(*ret) ? 1 : methods_answer_exited(c, *ret);
}

static bool is_replay(const AttachSpec *spec)
{
        return spec->replay != 0; /* also where nothing is said */
}

static int attach_upgraded(Call *c, Session *s, const AttachSpec *spec)
{
        _cleanup_close_ int stream = call_reply_upgraded(c);

        if (stream >= 0) /* else, or if it fails now, the stream ends: there is nobody to be told */
                (void)session_attach(s, stream, is_replay(spec));
        return 0;
}

static int attach_stream(Call *c, Session *s, const AttachSpec *spec)
{
        struct json_object *reply;
        Fds fds = { .n = 1 };
        int ends[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        r = session_attach(s, ends[0], is_replay(spec));
        close_fd(ends[0]);
        if (r < 0) {
                close_fd(ends[1]);
                return r;
        }
        fds.fd[0] = ends[1];
        reply = json_object_new_object();
        describe_put(reply, "streamFileDescriptor", json_object_new_int(0));
        call_reply(c, reply, &fds);
        return 0;
}

static int attach(const Methods *m, Call *c, const AttachSpec *spec, Error *e)
{
        Session *s;
        int r = find_live_detached(m, c, spec->id, &s, e);

        if (r <= 0)
                return r;
        return call_upgrade(c) ? attach_upgraded(c, s, spec) : attach_stream(c, s, spec);
}

int method_attach(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        AttachSpec spec;
        int r = fields_parse(parameters, attach_fields, &spec, e);

        if (r < 0)
                return r;
        r = attach(userdata, c, &spec, e);
        fields_done(attach_fields, &spec);
        return r;
}

static int resize(const Methods *m, Call *c, const ResizeSpec *spec, Error *e)
{
        Session *s;
        int r = find_live_detached(m, c, spec->id, &s, e);

        if (r <= 0)
                return r;
        if (session_spec(s)->terminal != 1)
                return error_set(e, ERROR_NO_TERMINAL);
        r = session_resize(s, (uint16_t)spec->columns, (uint16_t)spec->rows);
        if (r >= 0)
                call_reply(c, NULL, NULL);
        return r;
}

int method_resize(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        ResizeSpec spec;
        int r = fields_parse(parameters, resize_fields, &spec, e);

        if (r < 0)
                return r;
        r = resize(userdata, c, &spec, e);
        fields_done(resize_fields, &spec);
        return r;
}

/* -- Logs
 * --------------------------------------------------------------------------------------------------- */

/* A reader of a session's output, who is sent as much as he reads. */
typedef struct Logs {
        Call *call;
        Methods *methods;
        char id[SESSION_ID_LENGTH + 1];
        bool follow;
        OutputCursor cursor;
        OutputWatch watch;
        sd_event_source *turn; /* when the next part is sent; NULL: he is waited for, or the session */
} Logs;

static Logs *logs_free(Logs *l)
{
        session_unwatch_output(&l->watch);
        sd_event_source_disable_unref(l->turn);
        free(l);
        return NULL;
}

static void logs_on_gone(Call *call, void *userdata)
{
        logs_free(userdata);
}

static const char *stream_name(RingStream stream)
{
        static const char *const names[] = {
                [RING_STDOUT] = "stdout", [RING_STDERR] = "stderr", [RING_TERMINAL] = "terminal"
        };

        return names[stream];
}

static struct json_object *describe_record(const OutputRecord *record)
{
        struct json_object *o = json_object_new_object();
        char text[BASE64_SIZE];
        int length = EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)record->bytes,
                                     (int)record->length);

        describe_put(o, "timestamp", describe_timestamp(record->realtime_usec));
        describe_put_text(o, "stream", stream_name(record->stream));
        describe_put(o, "dataBase64", json_object_new_string_len(text, length));
        if (record->lost > 0)
                describe_put_number(o, "lost", record->lost);
        return o;
}

/* The next records, up to so many bytes; *ret_all: there are none after them now. */
static struct json_object *read_part(int output, OutputCursor *cursor, size_t max, bool *ret_all)
{
        static OutputRecord record; /* too large for a stack; there is one thread */
        struct json_object *list = json_object_new_array();
        size_t n = 0;

        *ret_all = false;
        while (n < max) {
                if (output_next(output, cursor, &record) <= 0) {
                        *ret_all = true;
                        break;
                }
                json_object_array_add(list, describe_record(&record));
                n += RECORD_COST + record.length;
        }
        return list;
}

static struct json_object *records_reply(struct json_object *records)
{
        struct json_object *reply = json_object_new_object();

        describe_put(reply, "records", records);
        return reply;
}

static void logs_end(Logs *l, struct json_object *records)
{
        Call *call = l->call;

        logs_free(l);
        call_reply(call, records_reply(records), NULL);
}

static void logs_go_on(Logs *l);

static int logs_on_turn(sd_event_source *source, void *userdata)
{
        Logs *l = userdata;

        l->turn = sd_event_source_disable_unref(l->turn);
        logs_go_on(l);
        return 0;
}

/* Another part: when he has read, when others had their turn, or when there is more to read. */
static int logs_wait(Logs *l, Session *s, bool all)
{
        if (all)
                return session_watch_output(s, l->cursor.position, &l->watch);
        if (call_has_backlog(l->call))
                return 0;
        return sd_event_add_defer(l->methods->event, &l->turn, logs_on_turn, l);
}

/* One part of what there is: a reader as fast as what prints must not keep the daemon to himself. */
static void logs_go_on(Logs *l)
{
        Session *s = NULL;
        struct json_object *part;
        bool all;

        if (sessions_find(l->methods->sessions, 0, l->id, &s) < 0) {
                logs_end(l, json_object_new_array());
                return;
        }
        part = read_part(session_output(s), &l->cursor, PART_MAX, &all);
        if (all && (!l->follow || !session_is_live(s))) {
                logs_end(l, part);
                return;
        }
        if (json_object_array_length(part) > 0)
                call_notify(l->call, records_reply(part), NULL);
        else
                json_object_put(part);
        if (logs_wait(l, s, all) < 0)
                logs_end(l, json_object_new_array());
}

static void logs_on_drained(Call *call, void *userdata)
{
        Logs *l = userdata;

        if (!l->watch.session && !l->turn)
                logs_go_on(l);
}

/* A reader with enough to read is not sent more of it: what he has missed then is lost, and he is told. */
static void logs_on_more(OutputWatch *w)
{
        Logs *l = container_of(w, Logs, watch);

        if (!call_has_backlog(l->call))
                logs_go_on(l);
}

static int logs_start(Methods *m, Call *c, const Session *s, const LogsSpec *spec)
{
        Logs *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        *l = (Logs){
                .call = c,
                .methods = m,
                .follow = spec->follow == 1,
                .watch = {.more = logs_on_more, .ended = logs_on_more}
        };
        strcpy(l->id, session_id(s));
        call_on_gone(c, logs_on_gone, l);
        call_on_drained(c, logs_on_drained, l);
        logs_go_on(l);
        return 0;
}

static int logs(Methods *m, Call *c, const LogsSpec *spec, Error *e)
{
        OutputCursor cursor = { 0 };
        struct json_object *records;
        Session *s;
        bool all;
        int r = find_detached(m, c, spec->id, &s, e);

        if (r < 0)
                return r;
        if (call_more(c))
                return logs_start(m, c, s, spec);
        if (spec->follow == 1)
                return error_set(e, ERROR_EXPECTED_MORE);
        records = read_part(session_output(s), &cursor, WHOLE_MAX, &all);
        if (!all) {
                json_object_put(records);
                return error_set(e, ERROR_EXPECTED_MORE);
        }
        call_reply(c, records_reply(records), NULL);
        return 0;
}

int method_logs(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        LogsSpec spec;
        int r = fields_parse(parameters, logs_fields, &spec, e);

        if (r < 0)
                return r;
        r = logs(userdata, c, &spec, e);
        fields_done(logs_fields, &spec);
        return r;
}
