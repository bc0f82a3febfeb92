/* One session's life, from its start to what is remembered of it: starting → running → exited. Holds its
 * descriptors, its cgroup and its id range, and gives them back when the last of its processes is gone.
 * Knows the launcher and sd-event; knows no Varlink. */
#pragma once

#include <systemd/sd-event.h>

#include "cgroup.h"
#include "config.h"
#include "idrange.h"
#include "launcher.h"
#include "roots.h"
#include "spec.h"

typedef struct Session Session;

#define SESSION_ID_LENGTH 12 /* of a to z and 2 to 7 */

typedef enum SessionState { SESSION_STARTING, SESSION_RUNNING, SESSION_EXITED } SessionState;

typedef enum Cause {
        CAUSE_EXITED,
        CAUSE_SIGNALED,
        CAUSE_STOPPED,
        CAUSE_OUT_OF_MEMORY,
        CAUSE_DISCONNECTED,
        CAUSE_SETUP_FAILED,
        CAUSE_INIT_DIED,
} Cause;

#define RESULT_NONE UINT64_MAX /* a number that is not known */

typedef struct SessionResult {
        Cause cause;
        bool has_status;
        int status;            /* as wait(2) gives it */
        LaunchFailure failure; /* with CAUSE_SETUP_FAILED */
        uint64_t wall_usec, user_usec, system_usec, memory_peak, tasks_peak;
} SessionResult;

/* Somebody who wants to know. Embedded in whatever belongs to him; linked until `ended` was called or
 * session_unwatch. */
typedef struct SessionWatch SessionWatch;
struct SessionWatch {
        /* The first command runs. pty: its terminal's master, or -EBADF; who wants it takes it. NULL: not
         * interested. */
        void (*started)(SessionWatch *w, int *pty);
        /* It is over and nothing of it is left; also where it never started. The watch is not linked any
         * more. */
        void (*ended)(SessionWatch *w, const Session *s);
        Session *session; /* NULL when it is not linked */
        SessionWatch *next;
};

/* What all sessions share; belongs to their table (sessions.h). */
typedef struct SessionHost {
        sd_event *event;
        const Config *config;
        Launcher *launcher;
        Cgroups *cgroups; /* NULL: this host has none */
        IdRanges *ranges;
        void (*on_exited)(Session *s, void *userdata); /* before the watchers are told */
        void *userdata;
} SessionHost;

/* A request that passed policy. Everything in it is taken by session_start, also on failure, but for the
 * descriptors, which are the caller's to close. */
typedef struct SessionRequest {
        Spec spec;
        Root *root;
        uid_t owner;
        Limits limits;
        int oom_score_adj; /* the caller's */
        int fds[4];        /* stdin, stdout, stderr, lifeline: -EBADF where it was not given */
} SessionRequest;

void session_request_done(SessionRequest *r);

/* Starts one; `watch` is linked at once and told of its start and its end, later. -EREMOTEIO: it did not
 * even begin, see *f. *ret lives until session_free. */
int session_start(const SessionHost *host, SessionRequest *request, SessionWatch *watch, Session **ret,
                  LaunchFailure *f);
/* Forgets it; one that runs is killed first, and nothing waits for that. */
Session *session_free(Session *s);
DEFINE_CLEANUP(Session *, session_free);

void session_watch(Session *s, SessionWatch *w); /* not on one that has exited */
void session_unwatch(SessionWatch *w);           /* also if it is not linked */

/* To the first command's process group, or to everything inside. -ESRCH: it has exited; -EAGAIN: try again.
 */
int session_signal(Session *s, int signal, bool everyone);
/* SIGTERM to the first command's group, and after the timeout an end to everything. */
int session_stop(Session *s, uint64_t timeout_usec);
/* Everything ends now, for that cause. */
void session_kill(Session *s, Cause cause);

/* What it is. Strings belong to the session. */
const char *session_id(const Session *s);
const Spec *
session_spec(const Session *s); /* without its environment; arguments are abridged and always there */
const char *session_root(const Session *s);
uid_t session_owner(const Session *s);
SessionState session_state(const Session *s);
pid_t session_leader(const Session *s);                /* nsroot-init on the host; 0 after the end */
const char *session_cgroup(const Session *s);          /* below the mount, or NULL */
const SessionResult *session_result(const Session *s); /* NULL before the end */
bool session_was_started(const Session *s);            /* its first command ran */
uint64_t session_started_realtime(const Session *s);   /* microseconds; 0: not yet */
uint64_t session_exited_realtime(const Session *s);

const char *cause_name(Cause c); /* as in the interface */
