/* What a session is made of, for the files that are one module together: session.c (its life),
 * session-start.c (how it begins), session-time.c (when its time is up), session-command.c (the commands in
 * it), session-state.c (how it gets into the descriptor store, and back). Others use session.h. */
#pragma once

#include "session.h"

struct Session {
        const SessionHost *host;
        char id[SESSION_ID_LENGTH + 1];
        Spec spec;
        char *root_name;
        uid_t owner;
        Limits limits;

        SessionState state;
        bool was_started, is_start_logged, is_announced, has_result_event, is_stopping, is_killed, is_paused,
                was_sent_sigkill;
        Cause kill_cause, stop_cause;
        SessionResult result;
        uint64_t started_realtime, started_monotonic, exited_realtime, exited_monotonic;
        uint64_t changed; /* when it did last, as the table counts changes */
        SessionWatch *watches;
        CommandWatch *command_watches;
        OutputWatch *output_watches;
        size_t n_commands; /* that run or are about to, but for the main one */

        int state_fd, output_fd; /* until it is forgotten */

        /* While it lives */
        Root *root;    /* NULL also where an earlier daemon's was removed from the cache */
        uint64_t tree; /* the inode of its directory; 0: not known */
        Cgroup *cgroup;
        char *cgroup_path;
        uint64_t oom_kills_before; /* its start, by who counts them; others' too */
        uint32_t first_id;
        bool has_range;
        Launched init; /* nsroot-init */
        sd_event_source *control_source, *pidfd_source, *timer, *clock;
};

#define ARGUMENTS_SHOWN 32

/* session.c */
Session *session_alloc(const SessionHost *host); /* holds nothing yet; NULL: out of memory */
int session_listen(Session *s);                  /* to its init and its end */
int session_expect_start(Session *s);            /* for so long, and no longer */
int session_expect_stop(Session *s, uint64_t timeout_usec);
/* SIGTERM to its first command's group, and after the timeout an end to everything, for that cause. */
int session_end_gently(Session *s, Cause cause, uint64_t timeout_usec);
void session_kill_init(Session *s);
void session_changed(Session *s); /* keeps its state, and tells who wants to know */

LaunchFailure session_failure_of(const OrderMessage *m); /* EVENT_FAILED */
Cause session_cause_of(const Session *s, int status);    /* of a command that ended so of itself */

/* session-time.c */
int session_watch_time(Session *s); /* as soon as it runs */
/* Its time was up, but its command had ended before that. */
bool session_ended_in_time(const Session *s);

/* session-command.c */
void session_on_command_event(Session *s, OrderMessage *m);
void session_end_commands(Session *s); /* it is over */
/* Those there are, without gaps: as nsroot-init takes them. Returns how many. */
size_t session_pack_fds(const int fds[static COMMAND_FDS], int ret[static COMMAND_FDS]);

/* session-state.c */
int session_keep(Session *s);      /* in the descriptor store, from now on */
void session_keep_end(Session *s); /* there, what is needed of one that has ended, and no more */
void session_save(const Session *s);
