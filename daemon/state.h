/* What a session is, in a memfd that the service manager's descriptor store keeps: a daemon that comes after
 * this one knows by it what it has taken up. Two parts: facts, which never change, as JSON; before them, how
 * far the session is, a plain structure that is written over in place, so that nobody has to be sent
 * anything when it changes.
 *
 * Both only grow: a later release reads what an earlier one wrote; what a later one wrote is refused. Nobody
 * but the daemon ever has the descriptor. Knows JSON; knows no session. */
#pragma once

#include "base.h"
#include "limit.h"

#ifndef STATE_VERSION
#define STATE_VERSION 1u
#endif

/* Strings are owned. Numbers are FIELD_ABSENT (field.h) where there is none. */
typedef struct StateFacts {
        char *id, *name, *root, *user, *hostname;
        char **arguments; /* as they are shown */
        int read_only, terminal, detached, has_cgroup, has_range;
        int has_lifeline; /* not used, but written by earlier releases */
        int64_t owner, pid, first_id;
        int64_t order_version; /* what its nsroot-init speaks */
        int64_t tree;          /* the inode of the cached root's directory */
        int64_t limits[LIMITS];
        char *cgroup;             /* where it is not the one by owner and id */
        int64_t oom_kills_before; /* with that */
} StateFacts;

/* As in session.h, in fixed sizes. A number that is not known is UINT64_MAX. */
typedef struct StateProgress {
        uint32_t magic, version, size; /* state_save fills them in */
        uint32_t state;
        uint32_t was_started, is_start_logged, is_stopping, is_killed, kill_cause, is_paused;
        uint32_t cause, has_status, has_result_event;
        int32_t status;
        uint32_t failed_step, failed_index;
        int32_t failed_error;
        uint32_t is_announced;
        uint64_t started_realtime, started_monotonic, exited_realtime, exited_monotonic;
        uint64_t wall_usec, user_usec, system_usec, memory_peak, tasks_peak;
        uint32_t stop_cause; /* with is_stopping; 0, as an earlier release wrote it: it is stopped */
        uint32_t was_sent_sigkill;
} StateProgress;

int state_new(const StateFacts *facts, const StateProgress *progress, int *ret_fd);
int state_save(int fd, const StateProgress *progress);
/* Whether that is what fd is. */
bool state_is(int fd);
/* -EOPNOTSUPP: a later release wrote it; -EBADMSG: it is damaged. */
int state_load(int fd, StateFacts *facts, StateProgress *progress);
void state_facts_done(StateFacts *facts);
