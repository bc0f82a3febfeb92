/* org.nsroot.session: its methods in a table, and those that are about sessions as a whole. */
#include <json-c/json.h>

#include "describe.h"
#include "methods.h"
#include "output.h"
#include "protocol.h"

/* What is not there and what is not the caller's are the same answer. */
int methods_find(const Methods *m, Call *c, const char *id, Session **ret, Error *e)
{
        int r = sessions_find(m->sessions, call_peer(c)->uid, id, ret);

        if (r == -ENOENT)
                return error_setf(e, ERROR_NO_SUCH_SESSION, "id", "%s", id);
        if (r == -ENOTUNIQ)
                return error_setf(e, ERROR_AMBIGUOUS_ID, "id", "%s", id);
        return r;
}

int methods_answer_exited(Call *c, const Session *s)
{
        struct json_object *parameters = json_object_new_object();

        describe_put(parameters, "result", describe_result(session_result(s)));
        call_error_object(c, ERROR_SESSION_EXITED, parameters);
        return 0;
}

int methods_find_live(const Methods *m, Call *c, const char *id, Session **ret, Error *e)
{
        int r = methods_find(m, c, id, ret, e);

        if (r < 0)
                return r;
        return session_is_live(*ret) ? 1 : methods_answer_exited(c, *ret);
}

static int list(const Methods *m, Call *c, const ListSpec *spec, Error *e)
{
        struct json_object *reply = json_object_new_object(), *sessions = json_object_new_array();
        size_t cursor = 0;
        Session *s = NULL;

        describe_put(reply, "sessions", sessions);
        if (spec->id) {
                int r = methods_find(m, c, spec->id, &s, e);
                if (r < 0) {
                        json_object_put(reply);
                        return r;
                }
                json_object_array_add(sessions, describe_session(s));
        } else
                while ((s = sessions_next(m->sessions, call_peer(c)->uid, &cursor)))
                        if (session_is_live(s) || spec->all == 1)
                                json_object_array_add(sessions, describe_session(s));
        call_reply(c, reply, NULL);
        return 0;
}

static int method_list(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        ListSpec spec;
        int r = fields_parse(parameters, list_fields, &spec, e);

        if (r < 0)
                return r;
        r = list(userdata, c, &spec, e);
        fields_done(list_fields, &spec);
        return r;
}

static int no_such_command(const char *command, Error *e)
{
        return error_setf(e, ERROR_NO_SUCH_COMMAND, "command", "%s", command);
}

/* Whether it has ever been there is known from the ledger; one that has ended takes no signals. */
static int find_command(const Session *s, const char *text, uint64_t *ret, Error *e)
{
        RingResult entry;

        *ret = text ? command_parse(text) : 0;
        if (!text)
                return 0;
        if (*ret <= ORDER_MAIN_COMMAND || output_result(session_output(s), *ret, &entry) < 0)
                return no_such_command(text, e);
        return 0;
}

static int send_signal(const Methods *m, Call *c, const SignalSpec *spec, Error *e)
{
        int sig = parse_signal(spec->signal);
        uint64_t command;
        Session *s;
        int r;

        if (sig < 0)
                return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "signal");
        r = methods_find_live(m, c, spec->id, &s, e);
        if (r <= 0)
                return r;
        r = find_command(s, spec->command, &command, e);
        if (r >= 0)
                r = session_signal(s, command, sig, spec->everyone == 1);
        if (r >= 0)
                call_reply(c, NULL, NULL);
        return r;
}

static int method_signal(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        SignalSpec spec;
        int r = fields_parse(parameters, signal_fields, &spec, e);

        if (r < 0)
                return r;
        r = send_signal(userdata, c, &spec, e);
        fields_done(signal_fields, &spec);
        return r;
}

/* A call that is answered when a session has ended: Wait with its result, Stop without. */
typedef struct Waiter {
        Call *call;
        bool with_result;
        SessionWatch watch;
} Waiter;

static void waiter_on_ended(SessionWatch *w, Session *s)
{
        Waiter *waiter = container_of(w, Waiter, watch);
        struct json_object *reply = NULL;

        if (waiter->with_result) {
                reply = json_object_new_object();
                describe_put(reply, "result", describe_result(session_result(s)));
        }
        call_reply(waiter->call, reply, NULL);
        free(waiter);
}

static void waiter_on_gone(Call *call, void *userdata)
{
        Waiter *waiter = userdata;

        session_unwatch(&waiter->watch);
        free(waiter);
}

static int answer_at_end(Call *c, Session *s, bool with_result)
{
        Waiter *waiter = calloc(1, sizeof(*waiter));

        if (!waiter)
                return -ENOMEM;
        *waiter = (Waiter){ .call = c, .with_result = with_result, .watch = { .ended = waiter_on_ended } };
        if (session_is_live(s)) {
                session_watch(s, &waiter->watch);
                call_on_gone(c, waiter_on_gone, waiter);
        } else
                waiter_on_ended(&waiter->watch, s);
        return 0;
}

/* The same of a command that is not the main one. */
typedef struct CommandWaiter {
        Call *call;
        CommandWatch watch;
} CommandWaiter;

static void answer_result(Call *c, const SessionResult *r)
{
        struct json_object *reply = json_object_new_object();

        describe_put(reply, "result", describe_result(r));
        call_reply(c, reply, NULL);
}

static void command_waiter_on_ended(CommandWatch *w, const SessionResult *r)
{
        CommandWaiter *waiter = container_of(w, CommandWaiter, watch);

        answer_result(waiter->call, r);
        free(waiter);
}

static void command_waiter_on_gone(Call *call, void *userdata)
{
        CommandWaiter *waiter = userdata;

        session_unwatch_command(&waiter->watch);
        free(waiter);
}

static int await_command(Call *c, Session *s, const char *text, Error *e)
{
        _cleanup_free_ CommandWaiter *waiter = calloc(1, sizeof(*waiter));
        uint64_t command = command_parse(text);
        SessionResult result;
        int r;

        if (!waiter)
                return -ENOMEM;
        *waiter = (CommandWaiter){ .call = c, .watch = { .ended = command_waiter_on_ended } };
        r = command <= ORDER_MAIN_COMMAND ? -ENOENT
                                          : session_await_command(s, command, &waiter->watch, &result);
        if (r == -ENOENT)
                return no_such_command(text, e);
        if (r == 0)
                answer_result(c, &result);
        else if (r > 0) {
                call_on_gone(c, command_waiter_on_gone, waiter);
                (void)TAKE_PTR(waiter);
        }
        return MIN(r, 0);
}

static int wait_for(const Methods *m, Call *c, const WaitSpec *spec, Error *e)
{
        Session *s;
        int r = methods_find(m, c, spec->id, &s, e);

        if (r < 0)
                return r;
        return spec->command ? await_command(c, s, spec->command, e) : answer_at_end(c, s, true);
}

static int method_wait(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        WaitSpec spec;
        int r = fields_parse(parameters, wait_fields, &spec, e);

        if (r < 0)
                return r;
        r = wait_for(userdata, c, &spec, e);
        fields_done(wait_fields, &spec);
        return r;
}

/* Pause and Resume. */
static int set_paused(const Methods *m, Call *c, struct json_object *parameters, int (*set)(Session *s),
                      Error *e)
{
        IdSpec spec;
        Session *s;
        int r = fields_parse(parameters, id_fields, &spec, e);

        if (r < 0)
                return r;
        r = methods_find_live(m, c, spec.id, &s, e);
        fields_done(id_fields, &spec);
        if (r <= 0)
                return r;
        r = set(s);
        if (r >= 0)
                call_reply(c, NULL, NULL);
        return r;
}

static int method_pause(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        return set_paused(userdata, c, parameters, session_pause, e);
}

static int method_resume(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        return set_paused(userdata, c, parameters, session_resume, e);
}

static int method_stop(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        const Methods *m = userdata;
        uint64_t timeout_usec;
        StopSpec spec;
        Session *s;
        int r = fields_parse(parameters, stop_fields, &spec, e);

        if (r < 0)
                return r;
        timeout_usec = spec.timeout_usec == FIELD_ABSENT ? m->config->stop_timeout_usec
                                                         : (uint64_t)spec.timeout_usec;
        r = methods_find_live(m, c, spec.id, &s, e);
        fields_done(stop_fields, &spec);
        if (r <= 0)
                return r;
        r = session_stop(s, timeout_usec);
        return r < 0 ? r : answer_at_end(c, s, false);
}

/* clang-format off */
const Method session_methods[] = {
        { .name = "Run",        .handle = method_run },
        { .name = "Exec",       .handle = method_exec },
        { .name = "Attach",     .handle = method_attach },
        { .name = "Resize",     .handle = method_resize },
        { .name = "List",       .handle = method_list },
        { .name = "Subscribe",  .handle = method_subscribe },
        { .name = "Logs",       .handle = method_logs },
        { .name = "Describe",   .handle = method_describe },
        { .name = "Statistics", .handle = method_statistics },
        { .name = "Signal",     .handle = method_signal },
        { .name = "Pause",      .handle = method_pause },
        { .name = "Resume",     .handle = method_resume },
        { .name = "Stop",       .handle = method_stop },
        { .name = "Wait",       .handle = method_wait },
        { .name = NULL },
};
/* clang-format on */
