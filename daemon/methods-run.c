/* Run: a session from a root, in the foreground or detached. */
#include <json-c/json.h>

#include "caller.h"
#include "charge.h"
#include "describe.h"
#include "methods.h"
#include "process.h"
#include "protocol.h"

/* A Run from its call to its last answer. Freed when the session has ended or when the caller is gone,
 * whichever is first. */
typedef struct Run {
        Methods *methods;
        Call *call;
        SessionRequest request; /* until the session is started */
        int lifeline;           /* held here, for a caller who has none of his own; or -EBADF */
        RootsWait *pull;        /* while the root is being made */
        uint64_t starts_max;    /* of its owner */
        Charge charge;
        Start start; /* while others are first */
        SessionWatch watch;
} Run;

/* Before the call ends, if the session was not started. */
static Run *run_free(Run *run)
{
        lent_close_all(run->call, run->request.fds);
        close_fd(run->lifeline);
        session_request_done(&run->request);
        session_unwatch(&run->watch);
        starts_leave(run->methods->starts, &run->start);
        free(run);
        return NULL;
}
DEFINE_CLEANUP(Run *, run_free);

/* With a lifeline of its own the caller may come back for the result; the one that is held here ends with
 * us. But one that is paused could not notice, and a detached one has nobody yet who knows of it. */
static void run_on_gone(Call *call, void *userdata)
{
        Run *run = userdata;
        Session *s = run->watch.session;

        if (run->pull)
                roots_cancel(run->pull);
        if (s && session_spec(s)->detached == 1)
                session_kill(s, CAUSE_DISCONNECTED);
        else if (s)
                (void)session_resume(s);
        run_free(run);
}

/* A detached one's only answer. */
static void answer_detached(Run *run, Session *s)
{
        struct json_object *reply = json_object_new_object();

        session_announce(s);
        describe_put(reply, "session", describe_session(s));
        call_reply(run->call, reply, NULL);
        run_free(run);
}

static void run_on_started(SessionWatch *w, int *pty)
{
        Run *run = container_of(w, Run, watch);
        struct json_object *reply = json_object_new_object();
        Fds fds = { 0 };

        if (session_spec(w->session)->detached == 1) {
                json_object_put(reply);
                answer_detached(run, w->session);
                return;
        }
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

static void run_on_ended(SessionWatch *w, Session *s)
{
        run_answer(container_of(w, Run, watch), s);
        if (session_spec(s)->detached != 1) /* whoever wanted to know has just been told */
                session_forget(s);
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
        run->request.together = allowance.together;
        run->starts_max = allowance.starts_max;
        run->charge = allowance.charge;
        return policy_limits(&allowance, &run->request.spec, &m->policy_host, &run->request.limits, e);
}

/* Asked when it comes and again at its turn: much may have changed by then, the root's name may mean
 * another. */
static int check(Run *run, Error *e)
{
        const Methods *m = run->methods;
        const char *name = run->request.spec.name;

        if (m->stopping)
                return error_setf(e, ERROR_REFUSED, "rule", "nsrootd-is-stopping");
        if (sessions_has_name(m->sessions, run->request.owner, name))
                return error_setf(e, ERROR_SESSION_EXISTS, "name", "%s", name);
        return check_policy(run, config_root(m->config, root_name_of(run)), e);
}

static void run_fail(Run *run, int r, const Error *e)
{
        lent_close_all(run->call, run->request.fds);
        if (r == -EREMOTEIO)
                call_error(run->call, e);
        else
                call_fail(run->call, r);
        run_free(run);
}

static int run_session(Run *run, Error *e)
{
        const Methods *m = run->methods;
        LaunchFailure f;
        Session *s;
        int r = 0;

        if (run->charge == CHARGE_CALLER)
                r = charge_find(call_peer(run->call), &run->request.charged_to, e);
        if (r < 0)
                return r;
        r = sessions_start(m->sessions, &run->request, &run->watch, &s, &f);
        if (r != -EREMOTEIO)
                return r;
        return run->charge == CHARGE_CALLER && f.step == STEP_LEAF ? charge_failed(-f.error, e)
                                                                   : describe_failure(&f, NULL, e);
}

/* The root is there. Takes it, and frees the run if it fails. */
static void run_start(Run *run, Root *root)
{
        _cleanup_error_ Error e = { 0 };
        int r = 0;

        run->request.root = root;
        if (run->request.spec.detached != 1)
                r = lent_need_lifeline(&run->request.spec, run->request.fds, &run->lifeline);
        if (r >= 0)
                r = run_session(run, &e);
        if (r < 0) {
                run_fail(run, r, &e);
                return;
        }
        lent_close_all(run->call, run->request.fds);
        call_set_parked(run->call);
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

/* It may be another one's turn, for many may have waited; and by its own the root may be gone again. */
static void run_on_pulled(int r, const Error *e, Root *root, void *userdata)
{
        Run *run = userdata;

        run->pull = NULL;
        if (r >= 0) {
                root_unref(root);
                r = starts_queue(run->methods->starts, run->request.owner, &run->start);
        }
        if (r < 0)
                run_fail(run, r, e);
}

/* Starts, or waits until the root is made. Negative: neither. */
static int run_with_root(Run *run, Error *e)
{
        static const RootsHandlers handlers = { .progress = run_on_progress, .finished = run_on_pulled };
        Methods *m = run->methods;
        const char *name = root_name_of(run);
        Root *root;
        int r = roots_get(m->roots, name, &root, e);

        if (r == 0)
                r = roots_ensure(m->roots, name, &handlers, run, &run->pull, e);
        else if (r > 0)
                run_start(run, root);
        if (r == -EREMOTEIO && e->name && streq(e->name, ERROR_ROOT_NO_SUCH_ROOT)) {
                error_done(e);
                return error_setf(e, ERROR_NO_SUCH_ROOT, "root", "%s", name);
        }
        return r;
}

/* Its turn. */
static void run_begin(Start *start)
{
        Run *run = container_of(start, Run, start);
        _cleanup_error_ Error e = { 0 };
        int r = check(run, &e);

        if (r >= 0)
                r = run_with_root(run, &e);
        if (r < 0)
                run_fail(run, r, &e);
}

static int run_new(Methods *m, Call *c, Run **ret)
{
        Run *run = calloc(1, sizeof(*run));

        if (!run)
                return -ENOMEM;
        *run = (Run){
                .methods = m,
                .call = c,
                .lifeline = -EBADF,
                .request = {.owner = call_peer(c)->uid, .fds = { -EBADF, -EBADF, -EBADF, -EBADF }},
                .start = { .begin = run_begin       },
                .watch = { .started = run_on_started,     .ended = run_on_ended                                         }
        };
        *ret = run;
        return 0;
}

int method_run(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        _cleanup_(run_freep) Run *run = NULL;
        Methods *m = userdata;
        int r = run_new(m, c, &run);

        if (r >= 0)
                r = spec_parse(parameters, &run->request.spec, e);
        if (r < 0)
                return r;
        if (!call_more(c) && run->request.spec.detached != 1)
                return error_set(e, ERROR_EXPECTED_MORE);
        r = check(run, e);
        if (r >= 0 && !starts_count(m->starts, run->request.owner, run->starts_max, m->config->starts_usec))
                r = error_setf(e, ERROR_LIMIT_REACHED, "limit", "StartsPerUser");
        if (r >= 0)
                r = lent_take_all(c, &run->request.spec, run->request.fds, e);
        if (r < 0)
                return r;
        /* The caller's own, so that it is as likely to be chosen as what the caller runs outside. */
        run->request.oom_score_adj = process_oom_score_adj(call_peer(c)->pid);
        r = starts_queue(m->starts, run->request.owner, &run->start);
        if (r < 0)
                return r;
        call_on_gone(c, run_on_gone, TAKE_PTR(run));
        return 0;
}
