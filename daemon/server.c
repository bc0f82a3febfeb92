/* Who may connect, and what may be called: listeners, admission, quotas, and the table of interfaces. What a
 * connection says is connection.c's and call.c's. */
#include <fcntl.h>
#include <sys/epoll.h>

#include "call.h"
#include "closer.h"
#include "log.h"
#include "protocol.h"
#include "quota.h"
#include "reply.h"
#include "server.h"
#include "socket.h"

#define INTERFACES_MAX 8
#define LISTENERS_MAX  4
#define REFUSED_MAX    64 /* connections that wait for their Refused; what comes on top is closed at once */
#define PAUSE_USEC     (100 * USEC_PER_MSEC)

#define RULE_STUCK     "files-that-do-not-close"

struct Server {
        sd_event *event;
        ServerIdentity identity;
        ServerLimits limits;
        ServerAdmit admit;
        void *userdata;

        const Interface *interfaces[INTERFACES_MAX];
        size_t n_interfaces;

        sd_event_source *listeners[LISTENERS_MAX];
        size_t n_listeners;
        sd_event_source *pause; /* runs out when it is worth trying to accept again */

        Client *clients;
        unsigned n_admitted, n_refused;
        Quota *quota;
        Closer *closer;
};

static uid_t uid_of(const Client *client)
{
        return connection_peer(client->connection)->uid;
}

void client_close_fds(Client *client, Fds *fds)
{
        closer_close(client->server->closer, uid_of(client), fds);
}

/* Who lends what cannot be closed again may not go on lending. */
static int on_message(const char *text, size_t length, Fds *fds, void *userdata)
{
        Client *client = userdata;
        bool stuck = fds->n > 0 && closer_is_stuck(client->server->closer, uid_of(client));

        int r = stuck ? -EBUSY : call_dispatch(client, text, length, fds);
        if (r < 0) {
                const LogFields fields = { .uid = uid_of(client), .error = -r };
                log_bounded(LOG_DEBUG, &fields, "Closing a connection of uid %u, for what it has sent: %s",
                            (unsigned)fields.uid, errno_text(r));
                client_close_fds(client, fds);
        }
        return r;
}

static void on_leftover(Fds *fds, void *userdata)
{
        client_close_fds(userdata, fds);
}

static void on_drained(void *userdata)
{
        Client *client = userdata;

        call_drained(client->call);
}

static void on_closed(void *userdata)
{
        Client *client = userdata;
        Server *s = client->server;

        call_gone(client->call);
        if (client->standing == CLIENT_REFUSED)
                s->n_refused--;
        if (client->standing == CLIENT_ADMITTED) {
                s->n_admitted--;
                quota_give_back(s->quota, uid_of(client));
        }
        *(client->previous ? &client->previous->next : &s->clients) = client->next;
        if (client->next)
                client->next->previous = client->previous;
        free(client);
}

static const ConnectionHandlers client_handlers = {
        .message = on_message,
        .leftover = on_leftover,
        .drained = on_drained,
        .closed = on_closed,
};

void client_set_parked(Client *client, bool parked)
{
        if (client->parked == parked)
                return;

        uid_t uid = uid_of(client);
        if (parked)
                quota_park(client->server->quota, uid);
        else
                quota_unpark(client->server->quota, uid);
        client->parked = parked;
}

/* Takes fd. */
static int client_new(Server *s, int fd, const Peer *peer, Client **ret)
{
        _cleanup_free_ Client *client = calloc(1, sizeof(*client));
        Connection *connection;

        if (!client) {
                close_fd(fd);
                return -ENOMEM;
        }
        int r = connection_new(s->event, fd, peer, &s->limits, &client_handlers, client, &connection);
        if (r < 0)
                return r;
        client->server = s;
        client->connection = connection;
        client->next = s->clients;
        if (s->clients)
                s->clients->previous = client;
        s->clients = client;
        *ret = TAKE_PTR(client);
        return 0;
}

static void log_refused(uid_t uid, const char *rule)
{
        const LogFields fields = { .event = LOG_EVENT_REFUSED, .rule = rule, .uid = uid };

        log_bounded(LOG_NOTICE, &fields, "Refused a connection of uid %u by the rule %s", (unsigned)uid,
                    rule);
}

static int refuse(Server *s, Client *client, const char *rule)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        size_t length;

        if (s->n_refused >= REFUSED_MAX)
                return -ECONNREFUSED;
        client->standing = CLIENT_REFUSED;
        s->n_refused++;

        error_setf(&e, ERROR_REFUSED, "rule", "%s", rule);
        int r = reply_format_error(&e, &text, &length);
        return r < 0 ? r : connection_refuse(client->connection, text, length);
}

/* The rule against one more connection, or NULL: then it is counted from now on. */
static int find_rule(Server *s, const Peer *peer, const char **ret)
{
        QuotaLimits limits = { .in_all = s->limits.connections_max,
                               .kept_for_root = s->limits.connections_kept_for_root };
        const char *rule;
        int r = s->admit(peer, &rule, &limits.of_user, s->userdata);

        if (r < 0)
                return r;
        if (!rule && closer_is_stuck(s->closer, peer->uid))
                rule = RULE_STUCK;
        if (!rule) {
                r = quota_take(s->quota, &limits, peer->uid, &rule);
                if (r < 0)
                        return r;
        }
        *ret = rule;
        return 0;
}

/* Before anything is read. Negative: close. */
static int admit(Server *s, Client *client)
{
        const Peer *peer = connection_peer(client->connection);
        const char *rule;
        int r = find_rule(s, peer, &rule);

        if (r < 0)
                return r;
        if (rule) {
                log_refused(peer->uid, rule);
                return refuse(s, client, rule);
        }
        client->standing = CLIENT_ADMITTED;
        s->n_admitted++;
        return 0;
}

static void enable_listeners(Server *s, int enabled)
{
        for (size_t i = 0; i < s->n_listeners; i++)
                sd_event_source_set_enabled(s->listeners[i], enabled);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        enable_listeners(userdata, SD_EVENT_ON);
        return 0;
}

/* Out of descriptors or memory: the connection stays in the backlog and would be reported again at once. */
static void pause_listeners(Server *s, int why)
{
        log_bounded(LOG_WARNING, NULL, "Cannot take more connections for the moment: %s", errno_text(why));
        enable_listeners(s, SD_EVENT_OFF);
        sd_event_source_set_time_relative(s->pause, PAUSE_USEC);
        sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *userdata)
{
        Server *s = userdata;
        Client *client = NULL;
        Peer peer;

        int fd = socket_accept(listener, &peer);
        int r = fd < 0 ? fd : client_new(s, fd, &peer, &client);
        if (client) {
                r = admit(s, client);
                if (r < 0)
                        connection_close(client->connection);
        }
        if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM)
                pause_listeners(s, r);
        return 0;
}

int server_new(sd_event *event, const ServerIdentity *identity, const ServerLimits *limits,
               ServerAdmit admit_peer, void *userdata, Server **ret)
{
        _cleanup_(server_freep) Server *s = malloc(sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (Server){
                .event = sd_event_ref(event),
                .identity = *identity,
                .limits = *limits,
                .admit = admit_peer,
                .userdata = userdata,
        };

        int r = quota_new(&s->quota);
        if (r >= 0)
                r = closer_new(event, &s->closer);
        if (r >= 0)
                r = sd_event_add_time(event, &s->pause, CLOCK_MONOTONIC, 0, 0, on_pause_over, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Server *server_free(Server *s)
{
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_listeners; i++)
                sd_event_source_disable_unref(s->listeners[i]);
        while (s->clients)
                connection_close(s->clients->connection);
        sd_event_source_disable_unref(s->pause);
        quota_free(s->quota);
        if (s->closer)
                closer_free(s->closer);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

void server_set_limits(Server *s, const ServerLimits *limits)
{
        s->limits = *limits;
}

int server_add_interface(Server *s, const Interface *interface)
{
        if (s->n_interfaces >= INTERFACES_MAX)
                return -ENOSPC;
        s->interfaces[s->n_interfaces++] = interface;
        return 0;
}

const Interface *server_interface(const Server *s, size_t index)
{
        return index < s->n_interfaces ? s->interfaces[index] : NULL;
}

const Interface *server_find_interface(const Server *s, const char *name, size_t length)
{
        for (size_t i = 0; i < s->n_interfaces; i++)
                if (strlen(s->interfaces[i]->name) == length &&
                    memcmp(s->interfaces[i]->name, name, length) == 0)
                        return s->interfaces[i];
        return NULL;
}

const ServerIdentity *server_identity(const Server *s)
{
        return &s->identity;
}

unsigned server_connections(const Server *s)
{
        return s->n_admitted;
}

int server_listen(Server *s, int fd)
{
        _cleanup_close_ int listener = fd;
        if (s->n_listeners >= LISTENERS_MAX)
                return -ENOSPC;

        /* One that a service manager made may block, and what was to be accepted may be gone. */
        int flags = fcntl(listener, F_GETFL);
        if (flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;

        sd_event_source **source = &s->listeners[s->n_listeners];
        int r = sd_event_add_io(s->event, source, listener, EPOLLIN, on_connection, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(*source, true);
        if (r < 0) {
                *source = sd_event_source_disable_unref(*source);
                return r;
        }
        TAKE_FD(listener);
        s->n_listeners++;
        return 0;
}

int server_listen_path(Server *s, const char *path)
{
        int fd = socket_listen(path);
        return fd < 0 ? fd : server_listen(s, fd);
}
