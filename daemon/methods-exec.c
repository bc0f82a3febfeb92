/* Exec: one more command in a running session. */
#include <json-c/json.h>

#include "describe.h"
#include "methods.h"
#include "protocol.h"

/* From its call to its last answer, or until the caller is gone: the command's lifeline outlives that, where
 * the caller has one of his own. */
typedef struct Exec {
        Call *call;
        ExecSpec spec;
        int fds[COMMAND_FDS];
        int lifeline; /* held here, for a caller who has none of his own; or -EBADF */
        CommandWatch watch;
} Exec;

static Exec *exec_free(Exec *x)
{
        lent_close_all(x->call, x->fds);
        close_fd(x->lifeline);
        session_unwatch_command(&x->watch);
        exec_spec_done(&x->spec);
        free(x);
        return NULL;
}
DEFINE_CLEANUP(Exec *, exec_free);

static void exec_on_gone(Call *call, void *userdata)
{
        exec_free(userdata);
}

static struct json_object *describe_command(const Exec *x)
{
        struct json_object *reply = json_object_new_object();
        char id[COMMAND_ID_SIZE];

        command_format(x->watch.command, id);
        describe_put_text(reply, "command", id);
        return reply;
}

static void exec_on_started(CommandWatch *w, int *pty)
{
        Exec *x = container_of(w, Exec, watch);
        struct json_object *reply = describe_command(x);
        Fds fds = { 0 };

        if (*pty >= 0) {
                describe_put(reply, "ptyFileDescriptor", json_object_new_int(0));
                fds.fd[fds.n++] = TAKE_FD(*pty);
        }
        call_notify(x->call, reply, &fds);
}

static void exec_on_ended(CommandWatch *w, const SessionResult *r)
{
        Exec *x = container_of(w, Exec, watch);
        _cleanup_error_ Error e = { 0 };
        struct json_object *reply;

        if (r->cause == CAUSE_SETUP_FAILED) {
                describe_failure(&r->failure, &x->spec.command, &e);
                call_error(x->call, &e);
        } else {
                reply = describe_command(x);
                describe_put(reply, "result", describe_result(r));
                call_reply(x->call, reply, NULL);
        }
        exec_free(x);
}

static int exec_new(Call *c, Exec **ret)
{
        Exec *x = calloc(1, sizeof(*x));

        if (!x)
                return -ENOMEM;
        *x = (Exec){
                .call = c,
                .fds = {-EBADF,  -EBADF, -EBADF, -EBADF },
                .lifeline = -EBADF,
                .watch = { .started = exec_on_started, .ended = exec_on_ended     }
        };
        *ret = x;
        return 0;
}

static int start(const Methods *m, Exec *x, Session *s, Error *e)
{
        const CommandRequest request = { .spec = &x->spec.command,
                                         .root = config_root(m->config, session_root(s)),
                                         .fds = x->fds };
        int r = lent_need_lifeline(&x->spec.command, x->fds, &x->lifeline);

        if (r >= 0)
                r = session_exec(s, &request, &x->watch);
        if (r == -EUSERS)
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "CommandsPerSession");
        return r;
}

int method_exec(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        _cleanup_(exec_freep) Exec *x = NULL;
        const Methods *m = userdata;
        Session *s;
        int r = exec_new(c, &x);

        if (r >= 0)
                r = exec_spec_parse(parameters, &x->spec, e);
        if (r < 0)
                return r;
        if (!call_more(c))
                return error_set(e, ERROR_EXPECTED_MORE);
        r = methods_find_live(m, c, x->spec.id, &s, e);
        if (r <= 0)
                return r;
        r = lent_take_all(c, &x->spec.command, x->fds, e);
        if (r >= 0)
                r = start(m, x, s, e);
        if (r < 0)
                return r;
        lent_close_all(c, x->fds);
        call_set_parked(c);
        call_on_gone(c, exec_on_gone, TAKE_PTR(x));
        return 0;
}
