/* See describe.h. */
#include "describe.h"

#include <json-c/json.h>
#include <sys/wait.h>

#include "protocol.h"
#include "step.h"

void describe_put(struct json_object *object, const char *key, struct json_object *value)
{
        if (value)
                json_object_object_add(object, key, value);
}

void describe_put_text(struct json_object *object, const char *key, const char *value)
{
        describe_put(object, key, value ? json_object_new_string(value) : NULL);
}

void describe_put_flag(struct json_object *object, const char *key, bool value)
{
        describe_put(object, key, json_object_new_boolean(value));
}

void describe_put_number(struct json_object *object, const char *key, uint64_t value)
{
        describe_put(object, key, value > INT64_MAX ? NULL : json_object_new_int64((int64_t)value));
}

static struct json_object *strings(char *const *list)
{
        struct json_object *array = list ? json_object_new_array() : NULL;

        for (; array && *list; list++)
                json_object_array_add(array, json_object_new_string(*list));
        return array;
}

struct json_object *describe_timestamp(uint64_t realtime_usec)
{
        struct json_object *o = realtime_usec ? json_object_new_object() : NULL;

        if (o)
                describe_put_number(o, "realtime", realtime_usec);
        return o;
}

static struct json_object *process(pid_t pid)
{
        struct json_object *o = pid ? json_object_new_object() : NULL;

        if (o)
                describe_put_number(o, "pid", (uint64_t)pid);
        return o;
}

static void put_status(struct json_object *o, int status)
{
        if (WIFSIGNALED(status)) {
                describe_put_text(o, "signal", signal_name(WTERMSIG(status)));
                describe_put_flag(o, "coreDumped", WCOREDUMP(status));
        } else
                describe_put_number(o, "code", (uint64_t)WEXITSTATUS(status));
}

static void put_failure(struct json_object *o, const LaunchFailure *f)
{
        char step[128];

        step_describe(f->step, f->index, step, sizeof(step));
        describe_put_text(o, "failedStep", step);
        describe_put_text(o, "errnoName", errno_name(f->error));
}

struct json_object *describe_result(const SessionResult *r)
{
        struct json_object *o = r ? json_object_new_object() : NULL;

        if (!o)
                return NULL;
        describe_put_text(o, "cause", cause_name(r->cause));
        if (r->has_status)
                put_status(o, r->status);
        if (r->cause == CAUSE_SETUP_FAILED)
                put_failure(o, &r->failure);
        describe_put_number(o, "wallUSec", r->wall_usec);
        describe_put_number(o, "userUSec", r->user_usec);
        describe_put_number(o, "systemUSec", r->system_usec);
        describe_put_number(o, "memoryPeakBytes", r->memory_peak);
        describe_put_number(o, "tasksPeak", r->tasks_peak);
        return o;
}

static const char *state_name(SessionState s)
{
        static const char *const names[] = {
                [SESSION_STARTING] = "starting", [SESSION_RUNNING] = "running", [SESSION_EXITED] = "exited"
        };

        return names[s];
}

struct json_object *describe_limits(const Limits *l)
{
        struct json_object *o = json_object_new_object();

        if (!o)
                return NULL;
        for (Limit i = 0; i < LIMITS; i++)
                if (limit_kinds[i].field)
                        describe_put_number(o, limit_kinds[i].field, l->of[i]);
        return o;
}

struct json_object *describe_group_limits(const GroupLimits *l)
{
        Limits all;

        for (Limit i = 0; i < LIMITS; i++)
                all.of[i] = LIMIT_NONE;
        all.of[LIMIT_MEMORY] = l->memory_max;
        all.of[LIMIT_TASKS] = l->tasks_max;
        all.of[LIMIT_CPU_QUOTA] = l->cpu_percent;
        all.of[LIMIT_CPU_WEIGHT] = l->cpu_weight;
        all.of[LIMIT_IO_WEIGHT] = l->io_weight;
        return describe_limits(&all);
}

struct json_object *describe_session(const Session *s)
{
        const Spec *spec = session_spec(s);
        struct json_object *o = json_object_new_object();

        if (!o)
                return NULL;
        describe_put_text(o, "id", session_id(s));
        describe_put_text(o, "name", spec->name);
        describe_put_text(o, "root", session_root(s));
        describe_put_number(o, "ownerUid", session_owner(s));
        describe_put_text(o, "state", session_is_paused(s) ? "paused" : state_name(session_state(s)));
        describe_put(o, "arguments", strings(spec->arguments));
        describe_put_text(o, "user", spec->user);
        describe_put_text(o, "hostname", spec->hostname);
        describe_put_text(o, "network", "none");
        describe_put_flag(o, "readOnly", spec->read_only == 1);
        describe_put_flag(o, "terminal", spec->terminal == 1);
        describe_put_flag(o, "detached", spec->detached == 1);
        describe_put(o, "limits", describe_limits(session_limits(s)));
        describe_put(o, "leader", process(session_leader(s)));
        describe_put_text(o, "controlGroup", session_cgroup(s));
        describe_put(o, "startTimestamp", describe_timestamp(session_started_realtime(s)));
        describe_put(o, "exitTimestamp", describe_timestamp(session_exited_realtime(s)));
        describe_put(o, "result", describe_result(session_result(s)));
        return o;
}

struct json_object *describe_root(const RootInfo *info, size_t warm)
{
        struct json_object *o = json_object_new_object();

        if (!o)
                return NULL;
        describe_put_text(o, "name", info->name);
        describe_put_text(o, "kind", info->kind);
        describe_put_flag(o, "cached", info->cached);
        describe_put_text(o, "source", info->source);
        describe_put_text(o, "digest", info->digest);
        if (info->cached)
                describe_put_number(o, "sizeBytes", (uint64_t)info->size_bytes);
        describe_put(o, "defaultArguments", strings(info->config->default_arguments));
        describe_put(o, "defaultEnvironment", strings(info->config->default_environment));
        describe_put_number(o, "sessions", info->sessions);
        describe_put_number(o, "warm", warm);
        return o;
}

static int exec_failure(int error, const char *command, Error *e)
{
        if (error == ENOENT || error == ENOTDIR)
                return error_setf(e, ERROR_COMMAND_NOT_FOUND, "path", "%s", command);
        error_setf(e, ERROR_EXEC_FAILED, "path", "%s", command);
        return error_addf(e, "errnoName", "%s", errno_name(error));
}

int describe_failure(const LaunchFailure *f, const Spec *spec, Error *e)
{
        const char *hint = step_hint(f->step, f->error);
        char step[128];

        if (f->step == STEP_EXEC && spec)
                return exec_failure(f->error, spec->arguments[0], e);
        if (f->step == STEP_USER && f->error != EOPNOTSUPP && spec)
                return error_setf(e, ERROR_NO_SUCH_USER, "user", "%s", spec->user ? spec->user : "root");
        step_describe(f->step, f->index, step, sizeof(step));
        if (f->step == STEP_DIRECTORY && spec && spec->working_directory)
                error_setf(e, ERROR_SETUP_FAILED, "step", "%s %s", step, spec->working_directory);
        else
                error_setf(e, ERROR_SETUP_FAILED, "step", "%s", step);
        if (hint)
                error_addf(e, "detail", "%s", hint);
        return error_addf(e, "errnoName", "%s", errno_name(f->error));
}

int describe_failed_start(const Session *s, Error *e)
{
        static const LaunchFailure init_died = { .step = STEP_START, .error = EIO };
        const SessionResult *r = session_result(s);

        if (session_was_started(s))
                return 0;
        if (r->cause == CAUSE_SETUP_FAILED)
                return describe_failure(&r->failure, session_spec(s), e);
        return r->cause == CAUSE_INIT_DIED ? describe_failure(&init_died, NULL, e) : 0;
}
