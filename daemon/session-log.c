/* See session-log.h. */
#include "session-log.h"

#include <stdio.h>
#include <sys/wait.h>

#include "log.h"
#include "step.h"

#define STATUS_SIZE 16
#define USAGE_SIZE  256

static LogFields fields_of(const Session *s, LogEvent event)
{
        return (LogFields){
                .event = event, .session = session_id(s), .root = session_root(s), .uid = session_owner(s)
        };
}

/* What a caller asks for in vain (a command, a user, a directory) is no fault of the machine's. */
static bool is_callers_fault(uint32_t step)
{
        return step == STEP_EXEC || step == STEP_USER || step == STEP_DIRECTORY;
}

void session_log_failure(const Session *s, const LaunchFailure *f)
{
        LogFields fields = fields_of(s, LOG_EVENT_SETUP_FAILED);
        char step[128];

        step_describe(f->step, f->index, step, sizeof(step));
        fields.step = step;
        fields.result = cause_name(CAUSE_SETUP_FAILED);
        fields.error = f->error;
        log_bounded(is_callers_fault(f->step) ? LOG_DEBUG : LOG_WARNING, &fields,
                    "Session %s of uid %u was not set up: %s: %s", fields.session, (unsigned)fields.uid,
                    step, errno_text(f->error));
}

bool session_log_start(const Session *s)
{
        const LogFields fields = fields_of(s, LOG_EVENT_SESSION_STARTED);

        return log_bounded(LOG_INFO, &fields, "Session %s of uid %u started from root %s", fields.session,
                           (unsigned)fields.uid, fields.root);
}

/* As nsrootctl's result has it: the number it exited with, or the signal's name. */
static void put_status(const SessionResult *r, char ret[static STATUS_SIZE])
{
        const char *name = WIFSIGNALED(r->status) ? signal_name(WTERMSIG(r->status)) : NULL;

        if (!r->has_status)
                snprintf(ret, STATUS_SIZE, "none");
        else if (name)
                snprintf(ret, STATUS_SIZE, "%s", name);
        else if (WIFSIGNALED(r->status))
                snprintf(ret, STATUS_SIZE, "signal %d", WTERMSIG(r->status));
        else
                snprintf(ret, STATUS_SIZE, "%d", WEXITSTATUS(r->status));
}

/* What is not known is left out. */
static void put_usage(const SessionResult *r, char ret[static USAGE_SIZE])
{
        const struct {
                uint64_t value, unit;
                int decimals;
                const char *what;
        } numbers[] = {
                {r->wall_usec,    USEC_PER_SEC, 3, "s in all"             },
                { r->user_usec,   USEC_PER_SEC, 3, "s in user mode"       },
                { r->system_usec, USEC_PER_SEC, 3, "s in the kernel"      },
                { r->memory_peak, MIB,          1, "MiB of memory at most"},
                { r->tasks_peak,  1,            0, "tasks at most"        },
        };
        size_t n = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(numbers) && n < USAGE_SIZE; i++)
                if (numbers[i].value != RESULT_NONE)
                        n += (size_t)snprintf(
                                ret + n, USAGE_SIZE - n, "%s%.*f %s", n ? ", " : "", numbers[i].decimals,
                                (double)numbers[i].value / (double)numbers[i].unit, numbers[i].what);
        if (n == 0)
                snprintf(ret, USAGE_SIZE, "nothing is known of what it used");
}

void session_log_end(const Session *s, bool begun)
{
        const SessionResult *r = session_result(s);
        LogFields fields = fields_of(s, LOG_EVENT_SESSION_ENDED);
        int priority = r->cause == CAUSE_INIT_DIED ? LOG_WARNING : LOG_INFO;
        char status[STATUS_SIZE], usage[USAGE_SIZE], text[USAGE_SIZE + 128];

        if (r->cause == CAUSE_SETUP_FAILED) {
                session_log_failure(s, &r->failure);
                return;
        }
        put_status(r, status);
        put_usage(r, usage);
        fields.result = cause_name(r->cause);
        fields.status = status;
        fields.usage = usage;
        snprintf(text, sizeof(text), "Session %s of uid %u ended: %s, status %s; %s", fields.session,
                 (unsigned)fields.uid, fields.result, status, usage);
        if (begun)
                log_full(priority, &fields, "%s", text);
        else
                log_bounded(priority, &fields, "%s", text);
}
