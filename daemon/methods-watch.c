/* Subscribe and Statistics: what changes, and what is used. */
#include <json-c/json.h>

#include "describe.h"
#include "methods.h"
#include "protocol.h"

/* Somebody who is told of each change of the sessions that he may see. One who does not read is told of
 * less: then of the last state of each that has changed. */
typedef struct Subscriber Subscriber;
struct Subscriber {
        Methods *methods;
        Call *call;
        uid_t uid;
        uint64_t told;  /* the last change that he knows of */
        bool is_behind; /* there are later ones, to be told when he has read */
        Subscriber *next;
};

static void subscriber_on_gone(Call *call, void *userdata)
{
        Subscriber *s = userdata;
        Subscriber **p = &s->methods->subscribers;

        while (*p != s)
                p = &(*p)->next;
        *p = s->next;
        free(s);
}

static void tell(Subscriber *subscriber, const Session *s)
{
        struct json_object *reply = json_object_new_object(), *list = json_object_new_array();

        json_object_array_add(list, describe_session(s));
        describe_put(reply, "sessions", list);
        subscriber->told = MAX(subscriber->told, session_last_change(s));
        call_notify(subscriber->call, reply, NULL);
}

void methods_on_changed(Session *s, void *userdata)
{
        Methods *m = userdata;

        for (Subscriber *subscriber = m->subscribers, *next; subscriber; subscriber = next) {
                next = subscriber->next;
                if (subscriber->uid != 0 && subscriber->uid != session_owner(s))
                        continue;
                if (call_has_backlog(subscriber->call))
                        subscriber->is_behind = true;
                if (!subscriber->is_behind)
                        tell(subscriber, s);
        }
}

/* The one with the earliest change that he does not know of. */
static const Session *find_untold(const Subscriber *subscriber)
{
        const Session *found = NULL, *s;
        size_t cursor = 0;

        while ((s = sessions_next(subscriber->methods->sessions, subscriber->uid, &cursor)))
                if (session_last_change(s) > subscriber->told &&
                    (!found || session_last_change(s) < session_last_change(found)))
                        found = s;
        return found;
}

static void subscriber_on_drained(Call *call, void *userdata)
{
        Subscriber *subscriber = userdata;
        const Session *s;

        while (subscriber->is_behind && !call_has_backlog(call)) {
                s = find_untold(subscriber);
                if (s)
                        tell(subscriber, s);
                else
                        subscriber->is_behind = false;
        }
}

/* All that he sees now, and the number of the last change. */
static struct json_object *describe_all(Subscriber *subscriber)
{
        struct json_object *list = json_object_new_array();
        const Session *s;
        size_t cursor = 0;

        while ((s = sessions_next(subscriber->methods->sessions, subscriber->uid, &cursor))) {
                subscriber->told = MAX(subscriber->told, session_last_change(s));
                if (session_is_live(s))
                        json_object_array_add(list, describe_session(s));
        }
        return list;
}

int method_subscribe(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        static const Field none[] = { {} };
        struct json_object *reply;
        Methods *m = userdata;
        Subscriber *s;
        int r = fields_parse(parameters, none, NULL, e);

        if (r < 0)
                return r;
        if (!call_more(c))
                return error_set(e, ERROR_EXPECTED_MORE);
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (Subscriber){ .methods = m, .call = c, .uid = call_peer(c)->uid, .next = m->subscribers };
        m->subscribers = s;
        call_on_gone(c, subscriber_on_gone, s);
        call_on_drained(c, subscriber_on_drained, s);
        reply = json_object_new_object();
        describe_put(reply, "sessions", describe_all(s));
        call_notify(c, reply, NULL);
        return 0;
}

static struct json_object *describe_usage(const Session *s)
{
        struct json_object *o = json_object_new_object();
        CgroupUsage usage;

        describe_put_text(o, "id", session_id(s));
        describe_put_number(o, "ownerUid", session_owner(s));
        if (!session_group(s))
                return o;
        cgroup_usage(session_group(s), &usage);
        describe_put_number(o, "cpuUSec", usage.cpu_usec);
        describe_put_number(o, "memoryBytes", usage.memory);
        describe_put_number(o, "memoryPeakBytes", usage.memory_peak);
        describe_put_number(o, "tasks", usage.tasks);
        describe_put_number(o, "ioReadBytes", usage.io_read);
        describe_put_number(o, "ioWriteBytes", usage.io_write);
        return o;
}

static int statistics(const Methods *m, Call *c, const IdSpec *spec, Error *e)
{
        struct json_object *reply, *list;
        size_t cursor = 0;
        Session *s = NULL;

        if (spec->id) {
                int r = methods_find(m, c, spec->id, &s, e);
                if (r < 0)
                        return r;
                if (!session_is_live(s))
                        return methods_answer_exited(c, s);
        }
        list = json_object_new_array();
        if (s)
                json_object_array_add(list, describe_usage(s));
        else
                while ((s = sessions_next(m->sessions, call_peer(c)->uid, &cursor)))
                        if (session_is_live(s))
                                json_object_array_add(list, describe_usage(s));
        reply = json_object_new_object();
        describe_put(reply, "usage", list);
        call_reply(c, reply, NULL);
        return 0;
}

int method_statistics(Call *c, struct json_object *parameters, void *userdata, Error *e)
{
        IdSpec spec;
        int r = fields_parse(parameters, optional_id_fields, &spec, e);

        if (r < 0)
                return r;
        r = statistics(userdata, c, &spec, e);
        fields_done(optional_id_fields, &spec);
        return r;
}
