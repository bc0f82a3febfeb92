/* The methods of org.nsroot.session and org.nsroot.root: each reads from top to bottom: parse, authorise,
 * act, answer. The only place that sees both the server and the sessions. */
#pragma once

#include "roots.h"
#include "server.h"
#include "sessions.h"

typedef struct Methods {
        const Config *config; /* the manager's; changes with a reload */
        Sessions *sessions;
        Roots *roots;
        bool stopping; /* nothing new is started */
        Interface session_interface, root_interface;
} Methods;

/* Adds both interfaces to the server, which *m must outlive. */
int methods_add(Methods *m, Server *s);

/* methods-session.c and methods-root.c */
extern const Method session_methods[], root_methods[];
