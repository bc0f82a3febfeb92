/* nsrootctl inspect: all that nsrootd tells of sessions. */
#include <stdio.h>
#include <time.h>

#include "client.h"
#include "listing.h"
#include "text.h"
#include "value.h"

/* Each makes the text of one member; owned by the caller, NULL: there is none (or no memory: shown alike).
 */

static char *copy(const char *text)
{
        return text ? strdup(text) : NULL;
}

static char *yes_or_no(struct json_object *session, const char *key)
{
        return copy(value_flag(session, key) ? "yes" : "no");
}

static char *size_of(struct json_object *o, const char *key)
{
        int64_t size = value_number(o, key, -1);

        return size < 0 ? NULL : text_size((uint64_t)size);
}

static char *number_of(struct json_object *o, const char *key)
{
        int64_t number = value_number(o, key, -1);
        char *text;

        return number < 0 || asprintf(&text, "%lld", (long long)number) < 0 ? NULL : text;
}

static char *seconds_of(struct json_object *o, const char *key)
{
        int64_t usec = value_number(o, key, -1);
        char *text;

        return usec < 0 || asprintf(&text, "%.3fs", (double)usec / (double)USEC_PER_SEC) < 0 ? NULL : text;
}

static char *time_of(struct json_object *session, const char *key)
{
        time_t seconds =
                (time_t)(value_number(value_object(session, key), "realtime", 0) / (int64_t)USEC_PER_SEC);
        char text[64];
        struct tm tm;

        if (seconds <= 0 || !localtime_r(&seconds, &tm) ||
            strftime(text, sizeof(text), "%F %T %Z", &tm) == 0)
                return NULL;
        return strdup(text);
}

static char *text_of(struct json_object *o, const char *key)
{
        return copy(value_text(o, key));
}

static char *pid_of(struct json_object *session, const char *key)
{
        return number_of(value_object(session, key), "pid");
}

static char *of_state(struct json_object *session, const char *key _unused_)
{
        return session_cell_state(session);
}

static char *of_owner(struct json_object *session, const char *key _unused_)
{
        return session_cell_owner(session);
}

static char *of_command(struct json_object *session, const char *key _unused_)
{
        return session_cell_command(session);
}

/* What is shown, in this order; `in` is the member that the key is in (NULL: the session itself). */
static const struct {
        const char *label, *in, *key;
        char *(*text)(struct json_object *o, const char *key);
} members[] = {
        {"Id",            NULL,     "id",                   text_of   },
        { "Name",         NULL,     "name",                 text_of   },
        { "State",        NULL,     NULL,                   of_state  },
        { "Owner",        NULL,     NULL,                   of_owner  },
        { "Root",         NULL,     "root",                 text_of   },
        { "Command",      NULL,     NULL,                   of_command},
        { "User",         NULL,     "user",                 text_of   },
        { "Hostname",     NULL,     "hostname",             text_of   },
        { "Network",      NULL,     "network",              text_of   },
        { "Read-only",    NULL,     "readOnly",             yes_or_no },
        { "Terminal",     NULL,     "terminal",             yes_or_no },
        { "Detached",     NULL,     "detached",             yes_or_no },
        { "Started",      NULL,     "startTimestamp",       time_of   },
        { "Ended",        NULL,     "exitTimestamp",        time_of   },
        { "Leader",       NULL,     "leader",               pid_of    },
        { "Cgroup",       NULL,     "controlGroup",         text_of   },
        { "Memory limit", "limits", "memoryMaxBytes",       size_of   },
        { "Task limit",   "limits", "tasksMax",             number_of },
        { "CPU limit",    "limits", "cpuQuotaPercent",      number_of },
        { "CPU weight",   "limits", "cpuWeight",            number_of },
        { "IO weight",    "limits", "ioWeight",             number_of },
        { "CPU time max", "limits", "cpuTimeMaxUSec",       seconds_of},
        { "Storage max",  "limits", "storageMaxBytes",      size_of   },
        { "Inodes max",   "limits", "storageMaxInodes",     number_of },
        { "Shm max",      "limits", "sharedMemoryMaxBytes", size_of   },
        { "File max",     "limits", "fileSizeMaxBytes",     size_of   },
        { "Open files",   "limits", "openFilesMax",         number_of },
        { "Processes",    "limits", "processesMax",         number_of },
        { "Locked max",   "limits", "lockedMemoryMaxBytes", size_of   },
        { "Time limit",   "limits", "runtimeMaxUSec",       seconds_of},
        { "Wall time",    "result", "wallUSec",             seconds_of},
        { "User time",    "result", "userUSec",             seconds_of},
        { "System time",  "result", "systemUSec",           seconds_of},
        { "Memory peak",  "result", "memoryPeakBytes",      size_of   },
        { "Task peak",    "result", "tasksPeak",            number_of },
};

#define LABEL_WIDTH 14 /* of the longest, with its colon and a blank */

static int print_member(size_t i, struct json_object *session)
{
        struct json_object *o = members[i].in ? value_object(session, members[i].in) : session;
        _cleanup_free_ char *text = members[i].text(o, members[i].key), *safe = NULL, *label = NULL;

        if (!text || !*text)
                return 0;
        safe = text_escape(text);
        if (!safe || asprintf(&label, "%s:", members[i].label) < 0)
                return -ENOMEM;
        printf("%-*s%s\n", LABEL_WIDTH, label, safe);
        return 0;
}

static int print_session(struct json_object *session)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(members); i++)
                r = print_member(i, session);
        return r;
}

static int print_all(const Client *client, struct json_object *sessions)
{
        int r = 0;

        if (client->json)
                return value_print(sessions, stdout);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(sessions); i++) {
                if (i > 0)
                        putchar('\n');
                r = print_session(json_object_array_get_idx(sessions, i));
        }
        return r;
}

static int run_inspect(const Client *client, const void *options _unused_, char **operands)
{
        _cleanup_value_ struct json_object *sessions = json_object_new_array();
        int status = 0;

        for (; sessions && *operands; operands++) {
                _cleanup_value_ struct json_object *session = NULL;
                _cleanup_failure_ Failure f = {};

                if (listing_find(client->socket, *operands, &session, &f) < 0)
                        status = failure_say(&f);
                else if (value_append(sessions, TAKE_PTR(session)) < 0)
                        return failure_exit("out of memory");
        }
        if (!sessions || print_all(client, sessions) < 0)
                return failure_exit("out of memory");
        return status;
}

static const OptionTable table = {
        .name = "nsrootctl inspect",
        .arguments = "ID...",
        .summary = "Show all there is to know about sessions",
        .shared = client_options,
};

const Verb verb_inspect = {
        .table = &table,
        .operands_min = 1,
        .operands_max = OPERANDS_ANY,
        .run = run_inspect,
};
