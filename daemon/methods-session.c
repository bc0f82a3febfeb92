/* org.nsroot.session. */
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>

#include "caller.h"
#include "describe.h"
#include "lent.h"
#include "methods.h"
#include "protocol.h"

/* -- Run
 * ---------------------------------------------------------------------------------------------------- */

/* A Run from its call to its last answer. Freed when the session has ended or when the caller is gone,
 * whichever is first. */
typedef struct Run {
        Methods *methods;
        Call *call;
        SessionRequest request; /* until the session is started */
        bool has_lifeline;
        RootsWait *pull; /* while the root is being made */
        SessionWatch watch;
} Run;

/* As soon as the session has them, and before the call ends: a copy here would keep a pipe's other end
 * waiting.
 */
static void close_lent(Run *run)
{
        Fds lent = {};

        for (size_t i = 0; i < ELEMENTSOF(run->request.fds); i++)
                if (run->request.fds[i] >= 0)
                        lent.fd[lent.n++] = TAKE_FD(run->request.fds[i]);
        if (lent.n > 0)
                call_close_fds(run->call, &lent);
}

/* Before the call ends, if the session was not started. */
static Run *run_free(Run *run)
{
        close_lent(run);
        session_request_done(&run->request);
        session_unwatch(&run->watch);
        free(run);
        return NULL;
}
DEFINE_CLEANUP(Run *, run_free);

/* A lifeline outlives the connection: a client may come back for the result. Without one, this connection
 * was it. */
static void run_on_gone(Call *call, void *userdata)
{
        Run *run = userdata;
        Session *orphan = run->has_lifeline ? NULL : run->watch.session;

        if (run->pull)
                roots_cancel(run->pull);
        run_free(run);
        if (orphan)
                session_kill(orphan, CAUSE_DISCONNECTED);
}

static void run_on_started(SessionWatch *w, int *pty)
{
        Run *run = container_of(w, Run, watch);
        struct json_object *reply = json_object_new_object();
        Fds fds = { 0 };

        describe_put(reply, "session", describe_session(w->session));
        if (*pty >= 0) {
                describe_put(reply, "ptyFileDescriptor", json_object_new_int(0));
                fds.fd[fds.n++] = TAKE_FD(*pty);
        }
        call_notify(run->call, reply, &fds);
}

/* The watch is not linked any more; the session is told of by who calls. */
static void run_answer(Run *run, const Session *s)
{
        _cleanup_error_ Error e = { 0 };
        struct json_object *reply;

        if (describe_failed_start(s, &e) < 0)
                call_error(run->call, &e);
        else {
                reply = json_object_new_object();
                describe_put(reply, "session", describe_session(s));
                call_reply(run->call, reply, NULL);
        }
        run_free(run);
}

static void run_on_ended(SessionWatch *w, const Session *s)
{
        run_answer(container_of(w, Run, watch), s);
}

/* The caller's own, so that it is as likely to be chosen as what the caller runs outside. */
static int oom_score_adj_of(const Peer *peer)
{
        _cleanup_free_ char *text = NULL;
        char path[48];

        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", peer->pid);
        return read_file_at(AT_FDCWD, path, 16, &text, NULL) < 0 ? 0 : atoi(text);
}

static const char *root_name_of(const Run *run)
{
        return run->request.spec.root ?: run->methods->config->default_root;
}

/* Whether policy lets the caller have this session now, in this root (NULL: there is none of that name), and
 * within which limits. */
static int check_policy(Run *run, const RootConfig *root, Error *e)
{
        const Methods *m = run->methods;
        const PolicyUsage usage = { .sessions_of_user = sessions_live_of(m->sessions, run->request.owner),
                                    .sessions = sessions_live(m->sessions) };
        _cleanup_(caller_done) Caller caller = {};
        Allowance allowance;
        int r = caller_of(call_peer(run->call), &caller);

        if (r >= 0)
                r = policy_check_run(m->config, &caller, &run->request.spec, &usage, e);
        if (r >= 0 && root)
                r = policy_check_root_use(m->config, &caller, root, e);
        if (r < 0)
                return r;
        policy_allowance(m->config, &caller, &allowance);
        run->request.limits = allowance.limits;
        return 0;
}

/* Asked twice where the root has to be made first: much may have changed by then. */
static int check(Run *run, const RootConfig *root, Error *e)
{
        const Methods *m = run->methods;
        const char *name = run->request.spec.name;

        if (m->stopping)
                return error_setf(e, ERROR_REFUSED, "rule", "nsrootd-is-stopping");
        if (sessions_has_name(m->sessions, run->request.owner, name))
                return error_setf(e, ERROR_SESSION_EXISTS, "name", "%s", name);
        return check_policy(run, root, e);
}

/* The root is there. Takes it; answers if it fails. */
static void run_start(Run *run, Root *root)
{
        _cleanup_error_ Error e = { 0 };
        LaunchFailure f;
        Session *s;
        int r;

        run->request.root = root;
        r = check(run, root_config(root), &e);
        if (r >= 0) {
                r = sessions_start(run->methods->sessions, &run->request, &run->watch, &s, &f);
                if (r == -EREMOTEIO)
                        describe_failure(&f, NULL, &e);
        }
        close_lent(run);
        if (r >= 0) {
                call_set_parked(run->call);
                return;
        }
        if (r == -EREMOTEIO)
                call_error(run->call, &e);
        else
                call_fail(run->call, r);
        run_free(run);
}

/* One reply more that its reader has no time for would be one too many. */
static void run_on_progress(const PullProgress *p, void *userdata)
{
        Run *run = userdata;
        struct json_object *reply, *preparation;

        if (run->request.spec.progress != 1 || call_has_backlog(run->call))
                return;
        reply = json_object_new_object();
        preparation = describe_progress(p);
        describe_put(preparation, "root", json_object_new_string(root_name_of(run)));
        describe_put(reply, "preparation", preparation);
        call_notify(run->call, reply, NULL);
}

static void run_on_pulled(int r, const Error *e, Root *root, void *userdata)
{
        Run *run = userdata;

        run->pull = NULL;
        if (r >= 0) {
                run_start(run, root);
                return;
        }
        close_lent(run);
        if (r == -EREMOTEIO)
                call_error(run->call, e);
        else
                call_fail(run->call, r);
        run_free(run);
}

/* *ret is set on failure too, for who closes it. */
static int take_lent(Call *c, int64_t index, LentUse use, const char *parameter, int *ret, Error *e)
{
        const char *fault;

        if (index == FIELD_ABSENT)
                return 0;
        *ret = call_take_fd(c, index);
        fault = *ret < 0 ? "no such descriptor came with the message, or it is used twice"
                         : lent_check(*ret, use);
        if (!fault)
                return 0;
        error_setf(e, ERROR_BAD_FILE_DESCRIPTOR, "parameter", "%s", parameter);
        return error_addf(e, "reason", "%s", fault);
}

static int take_all_lent(Call *c, const Spec *spec, int ret[static 4], Error *e)
{
        const struct {
                int64_t index;
                LentUse use;
                const char *parameter;
        } lent[] = {
                {spec->stdio[0],  LENT_INPUT,    "standardInputFileDescriptor" },
                { spec->stdio[1], LENT_OUTPUT,   "standardOutputFileDescriptor"},
                { spec->stdio[2], LENT_OUTPUT,   "standardErrorFileDescriptor" },
                { spec->lifeline, LENT_LIFELINE, "lifelineFileDescriptor"      },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(lent) && r >= 0; i++)
                r = take_lent(c, lent[i].index, lent[i].use, lent[i].parameter, &ret[i], e);
        return r;
}

static int run_new(Methods *m, Call *c, Run **ret)
{
        Run *run = calloc(1, sizeof(*run));

        if (!run)
                return -ENOMEM;
        *run = (Run){
                .methods = m,
                .call = c,
                .request = {.owner = call_peer(c)->uid, .fds = { -EBADF, -EBADF, -EBADF, -EBADF }},
                .watch = { .started = run_on_started, .ended = run_on_ended                    }
        };
        *ret = run;
        return 0;
}

/* Starts at once, or as soon as the root is made. */
static int run_with_root(Run **run, Error *e)
{
        static const RootsHandlers handlers = { .progress = run_on_progress, .finished = run_on_pulled };
        Methods *m = (*run)->methods;
        const char *name = root_name_of(*run);
        Root *root;
        int r = roots_get(m->roots, name, &root, e);

        if (r == 0)
                r = roots_ensure(m->roots, name, &handlers, *run, &(*run)->pull, e);
        else if (r > 0)
                run_start(TAKE_PTR(*run), root);
        if (r == -EREMOTEIO && e->name && streq(e->name, ERROR_ROOT_NO_SUCH_ROOT)) {
                error_done(e);
                return error_setf(e, ERROR_NO_SUCH_ROOT, "root", "%s", name);
        }
        if (r >= 0)
                (void)TAKE_PTR(*run);
        return r < 0 ? r : 0;
}

static int method_run(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        _cleanup_(run_freep) Run *run = NULL;
        Methods *m = userdata;
        int r = run_new(m, c, &run);

        if (r >= 0)
                r = spec_parse(parameters, &run->request.spec, e);
        if (r < 0)
                return r;
        if (!call_more(c))
                return error_set(e, ERROR_EXPECTED_MORE);
        r = check(run, config_root(m->config, root_name_of(run)), e);
        if (r >= 0)
                r = take_all_lent(c, &run->request.spec, run->request.fds, e);
        if (r < 0)
                return r;
        run->has_lifeline = run->request.fds[3] >= 0;
        run->request.oom_score_adj = oom_score_adj_of(call_peer(c));
        call_on_gone(c, run_on_gone, run);
        return run_with_root(&run, e);
}

/* -- the others
 * --------------------------------------------------------------------------------------------- */

/* What is not there and what is not the caller's are the same answer. */
static int find(const Methods *m, Call *c, const char *id, Session **ret, Error *e)
{
        int r = sessions_find(m->sessions, call_peer(c)->uid, id, ret);

        if (r == -ENOENT)
                return error_setf(e, ERROR_NO_SUCH_SESSION, "id", "%s", id);
        if (r == -ENOTUNIQ)
                return error_setf(e, ERROR_AMBIGUOUS_ID, "id", "%s", id);
        return r;
}

static bool is_live(const Session *s)
{
        return session_state(s) != SESSION_EXITED;
}

static int list(const Methods *m, Call *c, const ListSpec *spec, Error *e)
{
        struct json_object *reply = json_object_new_object(), *sessions = json_object_new_array();
        size_t cursor = 0;
        Session *s = NULL;

        describe_put(reply, "sessions", sessions);
        if (spec->id) {
                int r = find(m, c, spec->id, &s, e);
                if (r < 0) {
                        json_object_put(reply);
                        return r;
                }
                json_object_array_add(sessions, describe_session(s));
        } else
                while ((s = sessions_next(m->sessions, call_peer(c)->uid, &cursor)))
                        if (is_live(s) || spec->all == 1)
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

static int answer_exited(Call *c, const Session *s)
{
        struct json_object *parameters = json_object_new_object();

        describe_put(parameters, "result", describe_result(session_result(s)));
        call_error_object(c, ERROR_SESSION_EXITED, parameters);
        return 0;
}

static int send_signal(const Methods *m, Call *c, const SignalSpec *spec, Error *e)
{
        int sig = parse_signal(spec->signal);
        Session *s;
        int r;

        if (sig < 0)
                return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "signal");
        if (spec->command)
                return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "command");
        r = find(m, c, spec->id, &s, e);
        if (r < 0)
                return r;
        if (!is_live(s))
                return answer_exited(c, s);
        r = session_signal(s, sig, spec->everyone == 1);
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

static void waiter_on_ended(SessionWatch *w, const Session *s)
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
        if (is_live(s)) {
                session_watch(s, &waiter->watch);
                call_on_gone(c, waiter_on_gone, waiter);
        } else
                waiter_on_ended(&waiter->watch, s);
        return 0;
}

static int method_wait(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        WaitSpec spec;
        Session *s;
        int r = fields_parse(parameters, wait_fields, &spec, e);

        if (r < 0)
                return r;
        if (spec.command)
                r = error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "command");
        else
                r = find(userdata, c, spec.id, &s, e);
        fields_done(wait_fields, &spec);
        return r < 0 ? r : answer_at_end(c, s, true);
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
        r = find(m, c, spec.id, &s, e);
        fields_done(stop_fields, &spec);
        if (r < 0)
                return r;
        if (!is_live(s))
                return answer_exited(c, s);
        r = session_stop(s, timeout_usec);
        return r < 0 ? r : answer_at_end(c, s, false);
}

const Method session_methods[] = {
        {.name = "Run",            .handle = method_run },
        { .name = "Exec"                      },
        { .name = "Attach" },
        { .name = "Resize"                      },
        { .name = "List",  .handle = method_list },
        { .name = "Subscribe" },
        { .name = "Logs"    },
        { .name = "Describe",          .handle = method_describe },
        { .name = "Statistics"     },
        { .name = "Signal",                       .handle = method_signal },
        { .name = "Pause"                  },
        { .name = "Resume"},
        { .name = "Stop",         .handle = method_stop },
        { .name = "Wait",        .handle = method_wait },
        {                      }
};
