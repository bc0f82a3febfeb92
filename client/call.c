/* One call, by call.h. */
#include "call.h"

#include "value.h"

int call_begin(const char *path, const char *method, struct json_object *parameters, bool more, Fds *fds,
               Link **ret, Failure *f)
{
        _cleanup_(link_freep) Link *l = NULL;
        int r;

        r = connection_open(path, &l);
        if (r < 0) {
                json_object_put(parameters);
                return failure_connect(f, r, path);
        }
        r = connection_send(l, method, parameters, more, fds);
        /* Who is refused may find the connection closed already, with the reason waiting in it. */
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return failure_lost(f, r, path);
        *ret = TAKE_PTR(l);
        return 0;
}

int call_next(Link *l, const char *path, int timeout_ms, struct json_object **ret, Fds *ret_fds, Failure *f)
{
        _cleanup_(reply_message_done) ReplyMessage reply = {};
        _cleanup_(fds_close) Fds fds = {};
        int r;

        r = connection_receive(l, timeout_ms, &reply, &fds);
        if (r == -ETIMEDOUT)
                return r;
        if (r < 0)
                return failure_lost(f, r, path);
        if (reply.error)
                return failure_reply(f, reply.error, reply.parameters);
        if (ret_fds) {
                *ret_fds = fds;
                fds.n = 0;
        }
        *ret = TAKE_PTR(reply.parameters);
        return reply.continues;
}

int call_once(const char *path, const char *method, struct json_object *parameters, struct json_object **ret,
              Failure *f)
{
        _cleanup_(link_freep) Link *l = NULL;
        _cleanup_value_ struct json_object *reply = NULL;
        int r;

        r = call_begin(path, method, parameters, false, NULL, &l, f);
        if (r < 0)
                return r;
        r = call_next(l, path, CONNECTION_FOREVER, &reply, NULL, f);
        if (r < 0)
                return r;
        if (ret)
                *ret = TAKE_PTR(reply);
        return 0;
}

int call_stream(const char *path, const char *method, struct json_object *parameters, CallEach each,
                void *userdata, Failure *f)
{
        _cleanup_(link_freep) Link *l = NULL;
        int more, r;

        r = call_begin(path, method, parameters, true, NULL, &l, f);
        if (r < 0)
                return r;
        do {
                _cleanup_value_ struct json_object *reply = NULL;

                more = call_next(l, path, CONNECTION_FOREVER, &reply, NULL, f);
                if (more < 0)
                        return more;
                r = each(reply, userdata, f);
                if (r < 0)
                        return r;
        } while (more);
        return 0;
}
