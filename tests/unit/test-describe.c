/* describe.c: sessions, results, roots and failures as callers see them. A session is made up here. */
#include "describe.h"

#include <criterion/criterion.h>
#include <json-c/json.h>

#include "protocol.h"
#include "step.h"

#define STRINGS(...)                                                                                        \
        (char *[])                                                                                          \
        {                                                                                                   \
                __VA_ARGS__, NULL                                                                           \
        }

#define LIMITS_JSON                                                                                         \
        ",\"limits\":{\"memoryMaxBytes\":0,\"tasksMax\":0,\"cpuQuotaPercent\":0,\"cpuWeight\":0,"           \
        "\"ioWeight\":0,"                                                                                   \
        "\"cpuTimeMaxUSec\":0,\"runtimeMaxUSec\":0,\"storageMaxBytes\":0,\"storageMaxInodes\":0,"           \
        "\"sharedMemoryMaxBytes\":0,\"fileSizeMaxBytes\":0,\"openFilesMax\":0,\"processesMax\":0,"          \
        "\"lockedMemoryMaxBytes\":0}"

/* What a session says of itself, in session.c's place. */
struct Session {
        Spec spec;
        SessionState state;
        pid_t leader;
        const char *cgroup;
        uint64_t started, exited;
        bool was_started, is_paused;
        Limits limits;
        SessionResult result;
};

const char *session_id(const Session *s)
{
        return "abcdefghijkl";
}

const Spec *session_spec(const Session *s)
{
        return &s->spec;
}

const char *session_root(const Session *s)
{
        return "busybox";
}

uid_t session_owner(const Session *s)
{
        return 4294967294;
}

SessionState session_state(const Session *s)
{
        return s->state;
}

pid_t session_leader(const Session *s)
{
        return s->leader;
}

const char *session_cgroup(const Session *s)
{
        return s->cgroup;
}

const SessionResult *session_result(const Session *s)
{
        return s->state == SESSION_EXITED ? &s->result : NULL;
}

bool session_is_paused(const Session *s)
{
        return s->is_paused;
}

const Limits *session_limits(const Session *s)
{
        return &s->limits;
}

bool session_was_started(const Session *s)
{
        return s->was_started;
}

uint64_t session_started_realtime(const Session *s)
{
        return s->started;
}

uint64_t session_exited_realtime(const Session *s)
{
        return s->exited;
}

const char *cause_name(Cause c)
{
        static const char *const names[] = { [CAUSE_EXITED] = "exited",
                                             [CAUSE_SIGNALED] = "signaled",
                                             [CAUSE_STOPPED] = "stopped",
                                             [CAUSE_SETUP_FAILED] = "setupFailed" };

        return names[c];
}

static void expect_json(struct json_object *o, const char *text)
{
        cr_expect_str_eq(
                json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                text);
        json_object_put(o);
}

#define UNKNOWN                                                                                             \
        .wall_usec = RESULT_NONE, .user_usec = RESULT_NONE, .system_usec = RESULT_NONE,                     \
        .memory_peak = RESULT_NONE, .tasks_peak = RESULT_NONE

Test(describe, results)
{
        const SessionResult exited = { .cause = CAUSE_EXITED,
                                       .has_status = true,
                                       .status = 7 << 8,
                                       .wall_usec = 1,
                                       .user_usec = 0,
                                       .system_usec = 3,
                                       .memory_peak = 4,
                                       .tasks_peak = INT64_MAX },
                            killed = { .cause = CAUSE_SIGNALED, .has_status = true, .status = 9, UNKNOWN },
                            dumped = { .cause = CAUSE_STOPPED, .has_status = true, .status = 11 | 0x80, UNKNOWN },
                            gone = { .cause = CAUSE_STOPPED, .status = 9, UNKNOWN },
                            failed = { .cause = CAUSE_SETUP_FAILED,
                                       .failure = { .step = STEP_MASKS, .index = 0, .error = EPERM },
                                       UNKNOWN };

        cr_expect_null(describe_result(NULL));
        expect_json(describe_result(&exited),
                    "{\"cause\":\"exited\",\"code\":7,\"wallUSec\":1,\"userUSec\":0,\"systemUSec\":3,"
                    "\"memoryPeakBytes\":4,\"tasksPeak\":9223372036854775807}");
        expect_json(describe_result(&killed),
                    "{\"cause\":\"signaled\",\"signal\":\"SIGKILL\",\"coreDumped\":false}");
        expect_json(describe_result(&dumped),
                    "{\"cause\":\"stopped\",\"signal\":\"SIGSEGV\",\"coreDumped\":true}");
        expect_json(describe_result(&gone), "{\"cause\":\"stopped\"}");
        expect_json(describe_result(&failed), "{\"cause\":\"setupFailed\",\"failedStep\":\"mask "
                                              "/proc/bootconfig\",\"errnoName\":\"EPERM\"}");
}

/* A signal without a name (a real-time one) is left out, and no pointer is followed for it. */
Test(describe, a_signal_without_a_name)
{
        const SessionResult r = { .cause = CAUSE_SIGNALED, .has_status = true, .status = 33, UNKNOWN };

        expect_json(describe_result(&r), "{\"cause\":\"signaled\",\"coreDumped\":false}");
}

Test(describe, a_session_that_starts)
{
        const Session s = {
                .spec = {.arguments = STRINGS((char *)"sh"),
                         .hostname = (char *)"busybox",
                         .read_only = -1,
                         .terminal = -1},
                .state = SESSION_STARTING
        };

        expect_json(
                describe_session(&s),
                "{\"id\":\"abcdefghijkl\",\"root\":\"busybox\",\"ownerUid\":4294967294,\"state\":"
                "\"starting\","
                "\"arguments\":[\"sh\"],\"hostname\":\"busybox\",\"network\":\"none\",\"readOnly\":false,"
                "\"terminal\":false,\"detached\":false" LIMITS_JSON "}");
}

Test(describe, a_session_that_has_everything)
{
        Session s = {
                .spec = {.arguments = STRINGS((char *)"sh", (char *)"\"\n"),
                         .name = (char *)"mine",
                         .user = (char *)"bin",
                         .hostname = (char *)"here",
                         .read_only = 1,
                         .terminal = 1},
                .state = SESSION_RUNNING,
                .leader = 4711,
                .cgroup = "/a/b",
                .started = 5
        };

        expect_json(
                describe_session(&s),
                "{\"id\":\"abcdefghijkl\",\"name\":\"mine\",\"root\":\"busybox\",\"ownerUid\":4294967294,"
                "\"state\":\"running\",\"arguments\":[\"sh\",\"\\\"\\n\"],\"user\":\"bin\",\"hostname\":"
                "\"here\","
                "\"network\":\"none\",\"readOnly\":true,\"terminal\":true,\"detached\":false" LIMITS_JSON ","
                "\"leader\":{\"pid\":4711},\"controlGroup\":\"/a/b\",\"startTimestamp\":{\"realtime\":5}}");

        s = (Session){
                .spec = {.arguments = STRINGS((char *)"sh"), .hostname = (char *)"h"},
                .state = SESSION_EXITED,
                .exited = 6,
                .result = { .cause = CAUSE_EXITED,                .has_status = true,                 UNKNOWN }
        };
        expect_json(
                describe_session(&s),
                "{\"id\":\"abcdefghijkl\",\"root\":\"busybox\",\"ownerUid\":4294967294,\"state\":\"exited\","
                "\"arguments\":[\"sh\"],\"hostname\":\"h\",\"network\":\"none\",\"readOnly\":false,"
                "\"terminal\":false,\"detached\":false" LIMITS_JSON ",\"exitTimestamp\":{\"realtime\":6},"
                "\"result\":{\"cause\":\"exited\",\"code\":0}}");
}

Test(describe, roots)
{
        const RootConfig config = { .default_arguments = STRINGS((char *)"/bin/sh"),
                                    .default_environment = STRINGS((char *)"A=b") },
                         bare = { 0 };
        const RootInfo cached = { .name = "busybox",
                                  .kind = "busybox",
                                  .source = "file:/bin/busybox",
                                  .digest = "00ff",
                                  .cached = true,
                                  .size_bytes = 9,
                                  .config = &config,
                                  .sessions = 2 },
                       absent = { .name = "x", .kind = "busybox", .size_bytes = -1, .config = &bare };

        expect_json(describe_root(&cached, 3),
                    "{\"name\":\"busybox\",\"kind\":\"busybox\",\"cached\":true,\"source\":\"file:/bin/"
                    "busybox\","
                    "\"digest\":\"00ff\",\"sizeBytes\":9,\"defaultArguments\":[\"/bin/sh\"],"
                    "\"defaultEnvironment\":[\"A=b\"],\"sessions\":2,\"warm\":3}");
        expect_json(describe_root(&absent, 0),
                    "{\"name\":\"x\",\"kind\":\"busybox\",\"cached\":false,\"sessions\":0,\"warm\":0}");
}

static void expect_failure(LaunchFailure f, const Spec *spec, const char *name, const char *key,
                           const char *value, const char *errno_name)
{
        _cleanup_error_ Error e = { 0 };

        cr_assert_eq(describe_failure(&f, spec, &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, name);
        cr_expect_str_eq(error_text(&e, key) ?: "", value);
        cr_expect_str_eq(error_text(&e, "errnoName") ?: "", errno_name);
        if (streq(name, ERROR_SETUP_FAILED))
                cr_expect_str_eq(error_text(&e, "detail") ?: "", step_hint(f.step, f.error) ?: "");
}

Test(describe, failures)
{
        const Spec spec = { .arguments = STRINGS((char *)"ls", (char *)"/") };
        const Spec more = { .arguments = STRINGS((char *)"ls"),
                            .user = (char *)"bin",
                            .working_directory = (char *)"/nowhere" };

#define F(s, i, e) (LaunchFailure){ .step = STEP_##s, .index = i, .error = e }
        expect_failure(F(EXEC, 0, ENOENT), &spec, ERROR_COMMAND_NOT_FOUND, "path", "ls", "");
        expect_failure(F(EXEC, 0, ENOTDIR), &spec, ERROR_COMMAND_NOT_FOUND, "path", "ls", "");
        expect_failure(F(EXEC, 0, EACCES), &spec, ERROR_EXEC_FAILED, "path", "ls", "EACCES");
        expect_failure(F(EXEC, 0, ENOENT), NULL, ERROR_SETUP_FAILED, "step", "execute the command",
                       "ENOENT");
        expect_failure(F(USER, 0, ENOENT), &spec, ERROR_NO_SUCH_USER, "user", "root", "");
        expect_failure(F(USER, 0, EINVAL), &more, ERROR_NO_SUCH_USER, "user", "bin", "");
        expect_failure(F(USER, 0, EOPNOTSUPP), &more, ERROR_SETUP_FAILED, "step", "look up the user",
                       errno_name(EOPNOTSUPP));
        expect_failure(F(USER, 0, EINVAL), NULL, ERROR_SETUP_FAILED, "step", "look up the user", "EINVAL");
        expect_failure(F(DIRECTORY, 0, ENOENT), &more, ERROR_SETUP_FAILED, "step",
                       "enter the working directory /nowhere", "ENOENT");
        expect_failure(F(DIRECTORY, 0, ENOENT), &spec, ERROR_SETUP_FAILED, "step",
                       "enter the working directory", "ENOENT");
        expect_failure(F(PROC, 0, EPERM), &spec, ERROR_SETUP_FAILED, "step", "mount /proc", "EPERM");
        expect_failure(F(NODES, 1, ENODEV), NULL, ERROR_SETUP_FAILED, "step", "bind /dev/zero", "ENODEV");
        expect_failure((LaunchFailure){ .step = 9999, .error = 9999 }, &spec, ERROR_SETUP_FAILED, "step",
                       "unknown step 9999", "E?");
#undef F
}

Test(describe, failed_starts)
{
        const struct {
                bool was_started;
                Cause cause;
                const char *error; /* NULL: it did not fail */
        } rows[] = {
                {true,   CAUSE_EXITED,       NULL              },
                { true,  CAUSE_INIT_DIED,    NULL              },
                { true,  CAUSE_SETUP_FAILED, NULL              },
                { false, CAUSE_SETUP_FAILED, ERROR_SETUP_FAILED},
                { false, CAUSE_INIT_DIED,    ERROR_SETUP_FAILED},
                { false, CAUSE_STOPPED,      NULL              },
                { false, CAUSE_DISCONNECTED, NULL              },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Session s = {
                        .state = SESSION_EXITED,
                        .was_started = rows[i].was_started,
                        .result = {.cause = rows[i].cause,
                                   .failure = { .step = STEP_PIVOT, .error = EBUSY }}
                };
                _cleanup_error_ Error e = { 0 };
                bool died = rows[i].cause == CAUSE_INIT_DIED;

                cr_expect_eq(describe_failed_start(&s, &e), rows[i].error ? -EREMOTEIO : 0, "row %zu", i);
                cr_expect_str_eq(e.name ?: "", rows[i].error ?: "", "row %zu", i);
                if (rows[i].error)
                        cr_expect_str_eq(error_text(&e, "step"),
                                         died ? "start the session in time" : "pivot_root");
        }
}
