/* Which sessions there are, by roster.h. */
#include "roster.h"

#include "protocol.h"
#include "value.h"

int roster_init(Roster *r, const char *socket, bool ended_too)
{
        struct json_object *parameters = json_object_new_object();

        *r = (Roster){ .ended_too = ended_too, .sessions = json_object_new_array() };
        stream_init(&r->stream, socket, SESSION ".Subscribe", parameters);
        return parameters && r->sessions ? 0 : -ENOMEM;
}

void roster_done(Roster *r)
{
        stream_done(&r->stream);
        json_object_put(r->sessions);
        *r = (Roster){};
}

static bool is_over(struct json_object *session)
{
        return streq(value_text(session, "state") ?: "", "exited");
}

/* Where in the list the session of that id is; its length if it is not. */
static size_t find(struct json_object *sessions, const char *id)
{
        size_t n = json_object_array_length(sessions), i = 0;

        while (i < n && !streq(value_text(json_object_array_get_idx(sessions, i), "id") ?: "", id))
                i++;
        return i;
}

/* Puts one into the list or out of it; also into *changed if it is not as it was in `before`. */
static int take(Roster *r, struct json_object *session, struct json_object *before,
                struct json_object *changed)
{
        const char *id = value_text(session, "id") ?: "";
        size_t old = find(before, id), at = find(r->sessions, id);
        bool known = old < json_object_array_length(before),
             there = at < json_object_array_length(r->sessions);

        if ((!known || !json_object_equal(json_object_array_get_idx(before, old), session)) &&
            value_append(changed, json_object_get(session)) < 0)
                return -ENOMEM;
        if (is_over(session) && !r->ended_too)
                return there ? json_object_array_del_idx(r->sessions, at, 1) : 0;
        if (!there)
                return value_append(r->sessions, json_object_get(session));
        if (json_object_array_put_idx(r->sessions, at, json_object_get(session)) >= 0)
                return 0;
        json_object_put(session);
        return -ENOMEM;
}

/* The first reply of a call is all there is. */
static int apply(Roster *r, struct json_object *reply, bool first, struct json_object *changed)
{
        _cleanup_value_ struct json_object *before = json_object_get(r->sessions);
        struct json_object *sessions = value_array(reply, "sessions");
        int k = 0;

        if (first) {
                json_object_put(r->sessions);
                r->sessions = json_object_new_array();
        }
        if (!r->sessions)
                return -ENOMEM;
        for (size_t i = 0; k >= 0 && sessions && i < json_object_array_length(sessions); i++) {
                struct json_object *session = json_object_array_get_idx(sessions, i);

                k = session ? take(r, session, before, changed) : 0;
        }
        return k;
}

int roster_next(Roster *r, int timeout_ms, struct json_object **ret_changed, Failure *f)
{
        _cleanup_value_ struct json_object *reply = NULL, *changed = json_object_new_array();
        bool first;
        int k;

        k = changed ? stream_next(&r->stream, timeout_ms, &reply, &first, f)
                    : failure_system(f, -ENOMEM, "list");
        if (k < 0)
                return k;
        if (k == 0) /* it never ends by itself */
                return failure_lost(f, -EPROTO, r->stream.socket);
        if (apply(r, reply, first, changed) < 0)
                return failure_system(f, -ENOMEM, "list");
        *ret_changed = TAKE_PTR(changed);
        return 0;
}
