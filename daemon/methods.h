/* The methods of org.nsroot.session and org.nsroot.root: each reads from top to bottom: parse, authorise,
 * act, answer. The only place that sees both the server and the sessions. */
#pragma once

#include "cgroup.h"
#include "host.h"
#include "roots.h"
#include "server.h"
#include "sessions.h"

typedef struct Methods {
        const Config *config; /* the manager's; changes with a reload */
        Sessions *sessions;
        Roots *roots;
        Host *host;
        Cgroups *cgroups; /* NULL: this host has none of use */
        bool stopping;    /* nothing new is started */
        Interface session_interface, root_interface;
} Methods;

/* Adds both interfaces to the server, which *m must outlive. */
int methods_add(Methods *m, Server *s);

/* methods-session.c and methods-root.c */
extern const Method session_methods[], root_methods[];

/* methods-host.c: the one of org.nsroot.session that is about no session. */
int method_describe(Call *c, struct json_object *parameters, void *userdata, Error *e);

/* methods-root.c: how far a root is that is being made; {state, doneBytes, totalBytes}. */
struct json_object *describe_progress(const PullProgress *p);
