/* org.nsroot.root. */
#include <json-c/json.h>

#include "caller.h"
#include "describe.h"
#include "methods.h"
#include "protocol.h"
#include "spec.h"

static struct json_object *describe_by_name(const Methods *m, const char *name)
{
        int index = roots_find(m->roots, name);
        RootInfo info;

        if (index < 0 || roots_info(m->roots, (size_t)index, &info) < 0)
                return NULL;
        return describe_root(&info, sessions_warm(m->sessions, info.name));
}

static int check_exists(const Methods *m, const char *name, Error *e)
{
        return roots_find(m->roots, name) < 0 ? error_setf(e, ERROR_ROOT_NO_SUCH_ROOT, "name", "%s", name)
                                              : 0;
}

static int list(const Methods *m, Call *c, const char *name, Error *e)
{
        struct json_object *reply, *roots;
        RootInfo info;
        int r = name ? check_exists(m, name, e) : 0;

        if (r < 0)
                return r;
        reply = json_object_new_object();
        roots = json_object_new_array();
        describe_put(reply, "roots", roots);
        for (size_t i = 0; i < roots_count(m->roots); i++)
                if (roots_info(m->roots, i, &info) >= 0 && (!name || streq(info.name, name)))
                        json_object_array_add(roots,
                                              describe_root(&info, sessions_warm(m->sessions, info.name)));
        call_reply(c, reply, NULL);
        return 0;
}

static int method_list(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        NameSpec spec;
        int r = fields_parse(parameters, optional_name_fields, &spec, e);

        if (r < 0)
                return r;
        r = list(userdata, c, spec.name, e);
        fields_done(optional_name_fields, &spec);
        return r;
}

static int check_change(const Methods *m, Call *c, Error *e)
{
        _cleanup_(caller_done) Caller caller = {};
        int r = caller_of(call_peer(c), &caller);

        return r < 0 ? r : policy_check_root_change(m->config, &caller, e);
}

/* -- Pull
 * --------------------------------------------------------------------------------------------------- */

typedef struct Pull {
        Methods *methods;
        Call *call;
        RootsWait *wait;
        char *name;
} Pull;

static Pull *pull_free(Pull *p)
{
        free(p->name);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(Pull *, pull_free);

struct json_object *describe_progress(const PullProgress *p)
{
        struct json_object *o = json_object_new_object();

        describe_put(o, "state", json_object_new_string(pull_state_name(p->state)));
        describe_put(o, "doneBytes", p->done_bytes < 0 ? NULL : json_object_new_int64(p->done_bytes));
        describe_put(o, "totalBytes", p->total_bytes < 0 ? NULL : json_object_new_int64(p->total_bytes));
        return o;
}

static void answer_finished(const Methods *m, Call *c, const char *name)
{
        const PullProgress finished = { .state = PULL_FINISHED, .done_bytes = -1, .total_bytes = -1 };
        struct json_object *reply = describe_progress(&finished);

        describe_put(reply, "root", describe_by_name(m, name));
        call_reply(c, reply, NULL);
}

static void pull_on_progress(const PullProgress *p, void *userdata)
{
        Pull *pull = userdata;

        if (call_more(pull->call) && !call_has_backlog(pull->call))
                call_notify(pull->call, describe_progress(p), NULL);
}

static void pull_on_finished(int r, const Error *e, Root *root, void *userdata)
{
        Pull *pull = userdata;

        sessions_forsake_roots(pull->methods->sessions);
        if (r >= 0) {
                root_unref(root);
                answer_finished(pull->methods, pull->call, pull->name);
        } else if (r == -EREMOTEIO)
                call_error(pull->call, e);
        else
                call_fail(pull->call, r);
        pull_free(pull);
}

static void pull_on_gone(Call *call, void *userdata)
{
        Pull *pull = userdata;

        roots_cancel(pull->wait);
        pull_free(pull);
}

/* Takes *name where it goes on waiting. */
static int pull(Methods *m, Call *c, char **name, Error *e)
{
        static const RootsHandlers handlers = { .progress = pull_on_progress, .finished = pull_on_finished };
        _cleanup_(pull_freep) Pull *p = NULL;
        Root *root;
        int r = check_change(m, c, e);

        if (r >= 0)
                r = roots_get(m->roots, *name, &root, e);
        if (r < 0)
                return r;
        if (r > 0) {
                root_unref(root);
                answer_finished(m, c, *name);
                return 0;
        }
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (Pull){ .methods = m, .call = c, .name = TAKE_PTR(*name) };
        roots_retry(m->roots, p->name);
        r = roots_ensure(m->roots, p->name, &handlers, p, &p->wait, e);
        if (r < 0)
                return r;
        call_on_gone(c, pull_on_gone, p);
        (void)TAKE_PTR(p);
        return 0;
}

static int method_pull(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        NameSpec spec;
        int r = fields_parse(parameters, name_fields, &spec, e);

        if (r < 0)
                return r;
        r = pull(userdata, c, &spec.name, e);
        fields_done(name_fields, &spec);
        return r;
}

/* -- Verify and Remove
 * -------------------------------------------------------------------------------------- */

/* One method that changes a root by its name: what it does, and what it answers. */
static int change(Call *c, struct json_object *parameters, Methods *m,
                  int (*act)(Roots *r, const char *name, Error *e), bool with_root, Error *e)
{
        struct json_object *reply = NULL;
        NameSpec spec;
        int r = fields_parse(parameters, name_fields, &spec, e);

        if (r < 0)
                return r;
        r = check_change(m, c, e);
        if (r >= 0)
                r = act(m->roots, spec.name, e);
        sessions_forsake_roots(m->sessions);
        if (r >= 0 && with_root) {
                reply = json_object_new_object();
                describe_put(reply, "root", describe_by_name(m, spec.name));
        }
        fields_done(name_fields, &spec);
        if (r >= 0)
                call_reply(c, reply, NULL);
        return r;
}

static int method_verify(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        return change(c, parameters, userdata, roots_verify, true, e);
}

static int method_remove(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        return change(c, parameters, userdata, roots_remove, false, e);
}

const Method root_methods[] = {
        {.name = "List",           .handle = method_list },
        { .name = "Pull",                       .handle = method_pull },
        { .name = "Import"},
        { .name = "Verify",        .handle = method_verify },
        { .name = "Remove",        .handle = method_remove },
        {}
};
