/* How long a session may last, and how much processor time it may use up: looked at by a timer, and where it
 * is too much, the session is stopped for that cause. See session-private.h. */
#include <time.h>
#include <unistd.h>

#include "session-private.h"

/* How far processor time may be over its limit, as a part of that: so often it is looked at towards the end,
 * but within these bounds. */
#define CPU_TOLERANCE 50
#define CPU_LOOK_MIN  (10 * USEC_PER_MSEC)
#define CPU_LOOK_MAX  USEC_PER_SEC

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
        return MIN(MAX(value, least), most);
}

static uint64_t difference(uint64_t a, uint64_t b)
{
        return a > b ? a - b : 0;
}

static uint64_t runtime_left(const Session *s)
{
        uint64_t limit = s->limits.of[LIMIT_RUNTIME];

        return limit == LIMIT_NONE
                       ? USEC_INFINITY
                       : difference(limit, difference(now_usec(CLOCK_MONOTONIC), s->started_monotonic));
}

/* When it may be used up at the earliest, with all processors at work for it. */
static uint64_t cpu_time_left(const Session *s)
{
        uint64_t limit = s->limits.of[LIMIT_CPU_TIME], user, system, left;
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        if (limit == LIMIT_NONE || !s->cgroup)
                return USEC_INFINITY;
        if (cgroup_cpu_time(s->cgroup, &user, &system) < 0)
                return CPU_LOOK_MAX;
        left = difference(limit, user + system);
        return left == 0 ? 0
                         : MAX(left / (uint64_t)MAX(processors, 1L),
                               clamp(limit / CPU_TOLERANCE, CPU_LOOK_MIN, CPU_LOOK_MAX));
}

static int look(Session *s)
{
        uint64_t left = MIN(runtime_left(s), cpu_time_left(s));

        if (left == 0)
                return session_end_gently(s, CAUSE_TIMED_OUT, s->host->config->time_limit_grace_usec);
        if (left > INT64_MAX / 2) /* as good as never */
                return 0;
        (void)sd_event_source_set_time_relative(s->clock, left);
        return sd_event_source_set_enabled(s->clock, SD_EVENT_ONESHOT);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)look(userdata);
        return 0;
}

int session_watch_time(Session *s)
{
        int r;

        if (s->limits.of[LIMIT_RUNTIME] == LIMIT_NONE && s->limits.of[LIMIT_CPU_TIME] == LIMIT_NONE)
                return 0;
        r = sd_event_add_time(s->host->event, &s->clock, CLOCK_MONOTONIC, UINT64_MAX, 1, on_look, s);
        return r < 0 ? r : look(s);
}

bool session_ended_in_time(const Session *s)
{
        return s->has_result_event && s->limits.of[LIMIT_CPU_TIME] == LIMIT_NONE &&
               difference(s->exited_monotonic, s->started_monotonic) < s->limits.of[LIMIT_RUNTIME];
}
