/* Sessions as objects and cells, by listing.h. */
#include "listing.h"

#include <pwd.h>
#include <stdio.h>
#include <time.h>

#include "call.h"
#include "outcome.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

int listing_find(const char *socket, const char *id, struct json_object **ret, Failure *f)
{
        _cleanup_value_ struct json_object *parameters = value_new_text("id", id), *reply = NULL;
        struct json_object *sessions, *found;
        int r;

        if (!parameters)
                return failure_system(f, -ENOMEM, "list");
        r = call_once(socket, SESSION ".List", TAKE_PTR(parameters), &reply, f);
        if (r < 0)
                return r;
        sessions = value_array(reply, "sessions");
        found = sessions ? json_object_array_get_idx(sessions, 0) : NULL;
        if (!found)
                return failure_lost(f, -EPROTO, socket);
        *ret = json_object_get(found);
        return 0;
}

static char *copy(const char *text)
{
        return text ? strdup(text) : NULL;
}

char *session_cell_id(struct json_object *session)
{
        return copy(value_text(session, "id"));
}

char *session_cell_name(struct json_object *session)
{
        return copy(value_text(session, "name"));
}

char *session_cell_root(struct json_object *session)
{
        return copy(value_text(session, "root"));
}

char *session_cell_state(struct json_object *session)
{
        struct json_object *result = value_object(session, "result");

        return result ? outcome_words(result) : copy(value_text(session, "state"));
}

char *session_cell_owner(struct json_object *session)
{
        uid_t uid = (uid_t)value_number(session, "ownerUid", (uid_t)-1);
        const struct passwd *user = getpwuid(uid);
        char *text;

        if (user)
                return copy(user->pw_name);
        return asprintf(&text, "%u", uid) < 0 ? NULL : text;
}

char *session_cell_age(struct json_object *session)
{
        int64_t started = value_number(value_object(session, "startTimestamp"), "realtime", 0);
        uint64_t now = now_usec(CLOCK_REALTIME);

        return started > 0 ? text_age(now > (uint64_t)started ? now - (uint64_t)started : 0) : NULL;
}

char *session_cell_command(struct json_object *session)
{
        struct json_object *arguments = value_array(session, "arguments");
        char *line = NULL;
        size_t size;
        FILE *stream;

        stream = open_memstream(&line, &size);
        if (!stream)
                return NULL;
        for (size_t i = 0; arguments && i < json_object_array_length(arguments); i++)
                fprintf(stream, "%s%s", i > 0 ? " " : "",
                        json_object_get_string(json_object_array_get_idx(arguments, i)) ?: "");
        fclose(stream);
        return line;
}
