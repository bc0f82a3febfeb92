/* A call from its message to its answer. Knows the rules of Varlink about both (varlink.org, the section on
 * method calls), and methods only as rows of a table. */
#include <assert.h>
#include <json-c/json.h>

#include "call.h"
#include "log.h"
#include "protocol.h"
#include "reply.h"

struct Call {
        unsigned refs;  /* the one of being in flight, and the dispatcher's while the method runs */
        Client *client; /* NULL once the call is over */
        CallMessage message;
        Fds fds; /* the caller's, those that no method took; none once it is over */
        bool sent_fds;
        void (*gone)(Call *c, void *userdata);
        void *gone_userdata;
        void (*drained)(Call *c, void *userdata);
        void *drained_userdata;
};

static Call *call_unref(Call *c)
{
        if (--c->refs > 0)
                return NULL;

        call_message_done(&c->message);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Call *, call_unref);

/* The pointer is dead for its method from here on, and its connection reads on. */
static void end(Call *c)
{
        Client *client = TAKE_PTR(c->client);

        client->call = NULL;
        client_set_parked(client, false);
        client_close_fds(client, &c->fds);
        connection_answered(client->connection);
        call_unref(c);
}

void call_gone(Call *c)
{
        if (!c)
                return;
        if (c->gone)
                c->gone(c, c->gone_userdata);
        end(c);
}

void call_drained(Call *c)
{
        if (c && c->drained)
                c->drained(c, c->drained_userdata);
}

/* -E2BIG: the answer is longer than a message may be, and was not sent. */
static int send_text(Call *c, const char *text, size_t length, Fds *fds)
{
        if (fds && fds->n > 0) {
                assert(!c->sent_fds); /* the protocol has them with one reply of a call */
                c->sent_fds = true;
        }
        return connection_send(c->client->connection, text, length, fds);
}

static int send_reply(Call *c, json_object *parameters, bool continues, Fds *fds)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (c->message.oneway) {
                json_object_put(parameters);
                return 0;
        }
        int r = reply_format(parameters, continues, &text, &length);
        return r < 0 ? r : send_text(c, text, length, fds);
}

bool call_has_backlog(const Call *c)
{
        return connection_has_backlog(c->client->connection);
}

void call_notify(Call *c, json_object *parameters, Fds *fds)
{
        Connection *connection = c->client->connection;

        if (!c->message.more)
                json_object_put(parameters);
        else if (send_reply(c, parameters, true, fds) < 0)
                connection_doom(connection);
        if (fds)
                fds_close(fds);
}

void call_reply(Call *c, json_object *parameters, Fds *fds)
{
        int r = send_reply(c, parameters, false, fds);
        if (fds)
                fds_close(fds);
        if (r < 0)
                call_fail(c, r);
        else
                end(c);
}

/* text is taken; r is what making it came to. */
static void send_error(Call *c, int r, char *text, size_t length)
{
        if (r >= 0)
                r = send_text(c, text, length, NULL);
        if (r < 0)
                connection_doom(c->client->connection);
        free(text);
        end(c);
}

/* What is answered to who may not: where the error says which rule it is, or the rule. */
static void log_refusal(const Call *c, const Error *e)
{
        static const struct {
                const char *error, *parameter, *rule;
        } refusals[] = {
                {ERROR_REFUSED,            "rule",  NULL       },
                { ERROR_ROOT_REFUSED,      "rule",  NULL       },
                { ERROR_LIMIT_REACHED,     "limit", NULL       },
                { ERROR_PERMISSION_DENIED, NULL,    "root-only"},
        };
        LogFields fields = { .event = LOG_EVENT_REFUSED, .method = c->message.method };

        for (size_t i = 0; i < ELEMENTSOF(refusals); i++)
                if (streq(e->name, refusals[i].error)) {
                        fields.rule = refusals[i].rule ?: error_text(e, refusals[i].parameter);
                        fields.uid = call_peer(c)->uid;
                        log_bounded(LOG_NOTICE, &fields, "Refused %s to uid %u by the rule %s",
                                    fields.method, (unsigned)fields.uid, fields.rule ?: "");
                }
}

void call_error(Call *c, const Error *e)
{
        size_t length = 0;
        char *text = NULL;

        log_refusal(c, e);
        if (c->message.oneway)
                end(c);
        else {
                int r = reply_format_error(e, &text, &length);
                send_error(c, r, text, length);
        }
}

void call_error_object(Call *c, const char *name, json_object *parameters)
{
        size_t length = 0;
        char *text = NULL;

        if (c->message.oneway) {
                json_object_put(parameters);
                end(c);
        } else {
                int r = reply_format_error_object(name, parameters, &text, &length);
                send_error(c, r, text, length);
        }
}

void call_fail(Call *c, int r)
{
        _cleanup_error_ Error e = {};

        error_setf(&e, ERROR_SYSTEM, "origin", "linux");
        error_add_number(&e, "errno", abs(r));
        error_addf(&e, "errnoName", "%s", errno_name(r));
        call_error(c, &e);
}

static int find_method(Call *c, const Interface **ret_interface, const Method **ret_method, Error *e)
{
        const char *full = c->message.method, *dot = strrchr(full, '.');
        const Interface *interface = server_find_interface(c->client->server, full, dot - full);
        if (!interface)
                return error_setf(e, ERROR_INTERFACE_NOT_FOUND, "interface", "%.*s", (int)(dot - full),
                                  full);

        const Method *method = interface->methods;
        while (method->name && !streq(method->name, dot + 1))
                method++;
        if (!method->name)
                return error_setf(e, ERROR_METHOD_NOT_FOUND, "method", "%s", full);
        if (method->root_only && call_peer(c)->uid != 0)
                return error_set(e, ERROR_PERMISSION_DENIED);
        if (!method->handle)
                return error_setf(e, ERROR_NOT_IMPLEMENTED, "method", "%s", full);

        *ret_interface = interface;
        *ret_method = method;
        return 0;
}

/* The method may end the call, or even the server, before it returns; then there is nothing left to answer.
 */
static void run(Call *c)
{
        _cleanup_error_ Error e = {};
        const Interface *interface = NULL;
        const Method *method = NULL;

        int r = find_method(c, &interface, &method, &e);
        if (r >= 0)
                r = method->handle(c, c->message.parameters, interface->userdata, &e);
        if (r >= 0 || !c->client)
                return;
        if (r == -EREMOTEIO && e.name)
                call_error(c, &e);
        else
                call_fail(c, r);
}

int call_dispatch(Client *client, const char *text, size_t length, Fds *fds)
{
        _cleanup_(call_unrefp) Call *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->refs = 1;

        int r = call_message_parse(text, length, &c->message);
        if (r < 0)
                return r;
        if (!c->message.parameters)
                c->message.parameters = json_object_new_object();
        if (!c->message.parameters)
                return -ENOMEM;
        if (c->message.oneway)
                connection_expects_no_answer(client->connection);

        c->fds = *fds;
        fds->n = 0;
        c->client = client;
        client->call = c;
        c->refs++;
        run(c);
        return 0;
}

const Peer *call_peer(const Call *c)
{
        return connection_peer(c->client->connection);
}

bool call_more(const Call *c)
{
        return c->message.more;
}

int call_take_fd(Call *c, int64_t index)
{
        return index < 0 ? -EBADF : fds_take(&c->fds, index);
}

void call_close_fds(Call *c, Fds *fds)
{
        client_close_fds(c->client, fds);
}

void call_on_gone(Call *c, void (*gone)(Call *c, void *userdata), void *userdata)
{
        c->gone = gone;
        c->gone_userdata = userdata;
}

void call_on_drained(Call *c, void (*drained)(Call *c, void *userdata), void *userdata)
{
        c->drained = drained;
        c->drained_userdata = userdata;
}

bool call_upgrade(const Call *c)
{
        return c->message.upgrade;
}

int call_reply_upgraded(Call *c)
{
        Connection *connection = c->client->connection;
        int fd, r;

        call_reply(c, NULL, NULL);
        r = connection_hand_on(connection, &fd);
        return r < 0 ? r : fd;
}

void call_set_parked(Call *c)
{
        client_set_parked(c->client, true);
}
