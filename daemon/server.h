/* The Varlink server: connections, admission, quotas, dispatch and replies in order, on sd-event. Knows the
 * protocol (design: one call in flight a connection, replies in order, close on what is not Varlink) and
 * nothing of sessions or roots: those are methods given to it in tables.
 *
 * Life of a Call: the server makes it for a whole message and hands it to its method. The method answers at
 * once, or keeps the pointer and answers later; exactly one of call_reply, call_error, call_fail ends it
 * (call_notify may come before, for a call with `more`). When the connection goes away first, the call's
 * on_gone is run and the pointer is dead. After a final answer the pointer is dead too.
 *
 * A peer is gone when it can no longer read. One that has only shut down its sending side waits for its
 * answer, and that of a oneway call waits for nothing: neither ends a call. What is sent to a oneway call is
 * dropped. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "error.h"

struct json_object;
typedef struct Server Server;
typedef struct Call Call;

/* Who is on the other side, from SO_PEERCRED when the connection was made. */
typedef struct Peer {
        uid_t uid;
        gid_t gid;
        pid_t pid;  /* it may have been recycled: not for what matters */
        int socket; /* the connection's; by it the kernel can be asked for more (socket_peer_groups,
                       socket_peer_pidfd) */
} Peer;

/* params is never NULL (an empty object where the caller sent none) and stays the server's. 0: answered, or
 * will be. Negative: not answered; the server answers -EREMOTEIO with *e, and anything else with
 * io.systemd.System. */
typedef int (*MethodHandler)(Call *c, struct json_object *params, void *userdata, Error *e);

typedef struct Method {
        const char *name;     /* without the interface */
        MethodHandler handle; /* NULL: in the IDL but not built yet: MethodNotImplemented */
        bool root_only;       /* else PermissionDenied to anyone but uid 0 */
} Method;

typedef struct Interface {
        const char *name;
        const char *description; /* the IDL, for GetInterfaceDescription */
        const Method *methods;   /* ended by a name of NULL */
        void *userdata;
} Interface;

typedef struct ServerLimits {
        /* Of connections that do not wait for a foreground session (call_set_parked). */
        unsigned connections_max, connections_kept_for_root;
        uint64_t idle_usec;    /* a connection with no call in flight is closed after this; 0: never */
        uint64_t message_usec; /* a message that began is whole within this, or the connection is closed */
        size_t queue_max;      /* unread output */
} ServerLimits;

/* Admission: called for each new connection before a byte of it is read. 0: if *ret_rule is NULL the peer is
 * admitted and *ret_connections_max is how many connections its user may have by now; else it is the static
 * name of the rule that refuses, which becomes Refused{rule}. Negative: the connection is closed. */
typedef int (*ServerAdmit)(const Peer *peer, const char **ret_rule, unsigned *ret_connections_max,
                           void *userdata);

typedef struct ServerIdentity {
        const char *vendor, *product, *version, *url;
} ServerIdentity;

int server_new(sd_event *event, const ServerIdentity *identity, const ServerLimits *limits,
               ServerAdmit admit, void *userdata, Server **ret);
Server *server_free(Server *s); /* closes all connections; their calls' on_gone are run */
DEFINE_CLEANUP(Server *, server_free);

void server_set_limits(Server *s, const ServerLimits *limits); /* for a reload: open connections are kept */
/* interface and all it points to outlive s. -ENOSPC: more than there is room for. */
int server_add_interface(Server *s, const Interface *interface);
/* fd: a listening AF_UNIX stream socket; taken. */
int server_listen(Server *s, int fd);
/* Makes, binds (mode 0666, replacing a stale socket, refusing one somebody listens on: -EADDRINUSE) and
 * listens. */
int server_listen_path(Server *s, const char *path);
unsigned server_connections(const Server *s); /* admitted ones */
/* What the server was told, for org.varlink.service. NULL beyond the last interface. */
const ServerIdentity *server_identity(const Server *s);
const Interface *server_interface(const Server *s, size_t index);
/* By the first length bytes of name, or NULL. */
const Interface *server_find_interface(const Server *s, const char *name, size_t length);

const Peer *call_peer(const Call *c);
bool call_more(const Call *c);
bool call_upgrade(const Call *c);
/* Takes descriptor `index` of the call's message. -EBADF: there is none, or it was taken already. */
int call_take_fd(Call *c, int64_t index);
/* Closes what the caller lent and call_take_fd gave, all of *fds, without waiting for it: a close may take
 * as long as the caller likes (closer.h). Before the call's end, and in on_gone. */
void call_close_fds(Call *c, Fds *fds);
/* Whether the caller has not read all that was sent: who has only news can leave some out. */
bool call_has_backlog(const Call *c);
/* Run whenever the caller has read all that was sent, after it had not; NULL to unset. */
void call_on_drained(Call *c, void (*drained)(Call *c, void *userdata), void *userdata);
/* Run when the connection is gone before the call was answered; NULL to unset. */
void call_on_gone(Call *c, void (*gone)(Call *c, void *userdata), void *userdata);
/* From now on this connection waits for a foreground session: not counted against its user's, never
 * idle. */
void call_set_parked(Call *c);

/* Answers. parameters are taken (NULL is {}), fds (may be NULL) are taken. Nothing can be done about a
 * failure but to go on: the server closes the connection itself, so these return nothing. call_reply and the
 * errors end the call; call_notify says `continues` (only for a call with `more`). */
void call_notify(Call *c, struct json_object *parameters, Fds *fds);
void call_reply(Call *c, struct json_object *parameters, Fds *fds);
void call_error(Call *c, const Error *e);
void call_error_object(Call *c, const char *name, struct json_object *parameters); /* taken */
/* For a call with `upgrade`: {}, after which the connection is no Varlink any more. Ends the call. A copy of
 * the socket, which is the caller's; or negative, and there is nothing to go on with. */
int call_reply_upgraded(Call *c);
void call_fail(Call *c, int r); /* io.systemd.System{errno, errnoName} */
