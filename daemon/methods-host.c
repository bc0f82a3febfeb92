/* Describe of org.nsroot.session: what this machine can do, and what the caller may have of it. */
#include <json-c/json.h>

#include "build-config.h"
#include "caller.h"
#include "cgroup-parse.h"
#include "config-table.h"
#include "describe.h"
#include "methods.h"
#include "protocol.h"

static struct json_object *controllers_of(const Cgroups *cgroups)
{
        struct json_object *list = json_object_new_array();
        const char *name;
        unsigned bit;

        for (size_t i = 0; list && cgroups && (name = cgroup_controller_name(i, &bit)); i++)
                if (cgroups_controllers(cgroups) & bit)
                        json_object_array_add(list, json_object_new_string(name));
        return list;
}

static struct json_object *host(const Methods *m)
{
        struct json_object *o = json_object_new_object();
        HostFacts facts;

        if (!o)
                return NULL;
        host_look(m->host, &facts);
        describe_put_text(o, "version", NSROOT_VERSION);
        describe_put_text(o, "kernel", facts.kernel);
        describe_put_flag(o, "userNamespaces", facts.obstacle == USERNS_NO_OBSTACLE);
        describe_put_text(o, "userNamespacesObstacle", userns_obstacle_name(facts.obstacle));
        describe_put_flag(o, "overlay", facts.overlay);
        if (facts.idmapped_mounts >= 0)
                describe_put_flag(o, "idmappedMounts", facts.idmapped_mounts > 0);
        describe_put_text(o, "stateFilesystem", facts.state_filesystem);
        describe_put_number(o, "stateFreeBytes", facts.state_free);
        describe_put_text(o, "controlGroup", m->cgroups ? cgroups_path(m->cgroups) : NULL);
        describe_put(o, "controllers", controllers_of(m->cgroups));
        describe_put_flag(o, "chargesCallers", !m->policy_host.never_to_callers);
        if (facts.descriptor_store_max >= 0)
                describe_put_number(o, "descriptorStoreMax", (uint64_t)facts.descriptor_store_max);
        describe_put_number(o, "sessions", sessions_live(m->sessions));
        describe_put_number(o, "sessionsMax", m->config->sessions_max);
        return o;
}

/* The names of those the caller may use. */
static struct json_object *roots_of(const Config *c, const Caller *caller)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < c->n_roots; i++) {
                _cleanup_error_ Error refusal = {};

                if (policy_check_root_use(c, caller, &c->roots[i], &refusal) >= 0)
                        json_object_array_add(list, json_object_new_string(c->roots[i].name));
        }
        return list;
}

static struct json_object *allowance(const Methods *m, const Caller *caller)
{
        struct json_object *o = json_object_new_object();
        Allowance a;

        if (!o)
                return NULL;
        policy_allowance(m->config, caller, &a);
        describe_put_number(o, "uid", caller->uid);
        describe_put_number(o, "sessions", sessions_live_of(m->sessions, caller->uid));
        describe_put_number(o, "sessionsMax", a.sessions_max);
        describe_put_number(o, "connectionsMax", a.connections_max);
        describe_put_flag(o, "changesRoots", a.change_roots);
        describe_put(o, "roots", roots_of(m->config, caller));
        describe_put_text(o, "defaultRoot", m->config->default_root);
        describe_put_text(o, "charge", config_charges[a.charge]);
        describe_put(o, "limits", describe_limits(&a.limits));
        describe_put(o, "allowed", describe_limits(&a.allowed));
        describe_put(o, "together", describe_group_limits(&a.together));
        return o;
}

int method_describe(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        static const Field none[] = { {} };
        _cleanup_(caller_done) Caller caller = {};
        struct json_object *reply;
        const Methods *m = userdata;
        int r = fields_parse(parameters, none, NULL, e);

        if (r >= 0)
                r = caller_of(call_peer(c), &caller);
        if (r < 0)
                return r;
        reply = json_object_new_object();
        if (!reply)
                return -ENOMEM;
        describe_put(reply, "host", host(m));
        describe_put(reply, "allowance", allowance(m, &caller));
        call_reply(c, reply, NULL);
        return 0;
}
