/* The methods of org.nsroot.session and org.nsroot.root: each reads from top to bottom: parse, authorise,
 * act, answer. The only place that sees both the server and the sessions. */
#pragma once

#include "cgroup.h"
#include "host.h"
#include "policy.h"
#include "roots.h"
#include "server.h"
#include "sessions.h"
#include "starts.h"

typedef struct Methods {
        sd_event *event;
        const Config *config; /* the manager's; changes with a reload */
        Sessions *sessions;
        Roots *roots;
        Host *host;
        Cgroups *cgroups; /* NULL: this host has none of use */
        Starts *starts;
        PolicyHost policy_host;
        bool stopping; /* nothing new is started */
        struct Subscriber *subscribers;
        Interface session_interface, root_interface;
} Methods;

/* Adds both interfaces to the server, which *m must outlive. */
int methods_add(Methods *m, Server *s);

/* methods-session.c and methods-root.c */
extern const Method session_methods[], root_methods[];

/* Those of org.nsroot.session that have files of their own: methods-run, -exec, -output, -watch and -host.
 */
#define METHOD(name) int method_##name(Call *c, struct json_object *parameters, void *userdata, Error *e)
METHOD(run);
METHOD(exec);
METHOD(attach);
METHOD(logs);
METHOD(resize);
METHOD(subscribe);
METHOD(statistics);
METHOD(describe);
#undef METHOD

/* methods-session.c. What is not there and what is not the caller's are the same answer: NoSuchSession. */
int methods_find(const Methods *m, Call *c, const char *id, Session **ret, Error *e);
/* SessionExited with the result; 0. */
int methods_answer_exited(Call *c, const Session *s);
/* One that lives: 1; 0: it has ended, and that is the answer. */
int methods_find_live(const Methods *m, Call *c, const char *id, Session **ret, Error *e);

/* methods-watch.c: tells the subscribers. */
void methods_on_changed(Session *s, void *userdata);

/* methods-lent.c. What is set in ret, on failure too, is for lent_close_all. -EREMOTEIO: BadFileDescriptor.
 */
int lent_take_all(Call *c, const Spec *spec, int ret[static COMMAND_FDS], Error *e);
/* As soon as the session has them, and before the call ends: a copy here would keep a pipe's other end
 * waiting. */
void lent_close_all(Call *c, int fds[static COMMAND_FDS]);
/* A lifeline where the caller gave none. What is held of it is the caller's end, to be closed with the
 * connection; that it ends with this process is what has to happen, for so does the connection. */
int lent_need_lifeline(Spec *spec, int fds[static COMMAND_FDS], int *ret_held);

/* methods-root.c: how far a root is that is being made; {state, doneBytes, totalBytes}. */
struct json_object *describe_progress(const PullProgress *p);
