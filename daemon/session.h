/* One session's life, from its start to what is remembered of it: starting → running → exited. Holds its
 * descriptors, its cgroup and its id range, and leaves them to the remains when the last of its processes is
 * gone but for its init.
 * Knows the launcher and sd-event; knows no Varlink. */
#pragma once

#include <systemd/sd-event.h>

#include "cgroup.h"
#include "config.h"
#include "idrange.h"
#include "launcher.h"
#include "remains.h"
#include "ring.h"
#include "roots.h"
#include "spec.h"

typedef struct Session Session;
typedef struct Prepared Prepared; /* prepared.h */

#define SESSION_ID_LENGTH         12 /* of a to z and 2 to 7 */
#define SESSION_ID_ALPHABET       "abcdefghijklmnopqrstuvwxyz234567"
/* How much of its id is its name in the descriptor store: enough to be the only one there. All names are
 * passed on in one variable of the environment, for which the kernel has 128 KiB (execve(2)). */
#define SESSION_STORE_NAME_LENGTH 5
#define SESSIONS_STORED_MAX       4096 /* that live; and a quarter as many that have ended */
/* Two descriptors are kept under that name, and as long as it lives two more under the name with this behind
 * it: so they go at its end while nothing else is touched. */
#define SESSION_STORE_LIVE        '+'

typedef enum SessionState { SESSION_STARTING, SESSION_RUNNING, SESSION_EXITED } SessionState;

typedef enum Cause {
        CAUSE_EXITED,
        CAUSE_SIGNALED,
        CAUSE_STOPPED,
        CAUSE_OUT_OF_MEMORY,
        CAUSE_DISCONNECTED,
        CAUSE_SETUP_FAILED,
        CAUSE_INIT_DIED,
        CAUSE_TIMED_OUT,
        CAUSE_OUTPUT_LIMIT,
        CAUSES, /* their numbers are in stored states: new ones come last */
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
        /* It is over and nothing in it runs; also where it never started. The watch is not linked any more.
         */
        void (*ended)(SessionWatch *w, Session *s);
        Session *session; /* NULL when it is not linked */
        SessionWatch *next;
};

/* Somebody who waits for a command that is not the main one. */
typedef struct CommandWatch CommandWatch;
struct CommandWatch {
        void (*started)(CommandWatch *w, int *pty); /* as above */
        /* It ended, or never began (CAUSE_SETUP_FAILED). The watch is not linked any more. */
        void (*ended)(CommandWatch *w, const SessionResult *r);
        Session *session; /* NULL when it is not linked */
        uint64_t command;
        bool was_started; /* it has been told so */
        CommandWatch *next;
};

/* Somebody who reads what a session prints. */
typedef struct OutputWatch OutputWatch;
struct OutputWatch {
        void (*more)(OutputWatch *w);  /* once; the watch is not linked any more */
        void (*ended)(OutputWatch *w); /* the session is over; likewise */
        Session *session;              /* NULL when it is not linked */
        OutputWatch *next;
};

/* What all sessions share; belongs to their table (sessions.h). */
typedef struct SessionHost {
        sd_event *event;
        const Config *config;
        Launcher *launcher;
        Cgroups *cgroups; /* NULL: this host has none */
        IdRanges *ranges;
        Remains *remains;
        void (*on_exited)(Session *s, void *userdata);  /* before the watchers are told */
        void (*on_changed)(Session *s, void *userdata); /* anything that describe_session shows */
        /* Whether there is a session already whose id begins so. */
        bool (*has_prefix)(const char *prefix, size_t length, void *userdata);
        void *userdata;
} SessionHost;

#define COMMAND_FDS 4 /* stdin, stdout, stderr, lifeline */

/* A request that passed policy. Everything in it is taken by session_start, also on failure, but for the
 * descriptors, which are the caller's to close. */
typedef struct SessionRequest {
        Spec spec;
        Root *root;
        uid_t owner;
        Limits limits;
        GroupLimits together; /* of all the owner's sessions */
        char *charged_to;     /* the cgroup below which the session's is made; NULL: one of the owner's */
        int oom_score_adj;    /* the caller's */
        int fds[COMMAND_FDS]; /* -EBADF where it was not given */
} SessionRequest;

/* One more command in it: what `spec` says of one. Nothing of it is taken. */
typedef struct CommandRequest {
        const Spec *spec;
        const RootConfig *root; /* for its environment; NULL: not configured any more */
        const int *fds;         /* as above */
} CommandRequest;

void session_request_done(SessionRequest *r);

/* Starts one; `watch` is linked at once and told of its start and its end, later. warm: what it becomes,
 * which fits the request and is adapted to it; taken, also on failure; NULL: it is made now. -EREMOTEIO: it
 * did not even begin, see *f. *ret lives until session_free. */
int session_start(const SessionHost *host, SessionRequest *request, Prepared *warm, SessionWatch *watch,
                  Session **ret, LaunchFailure *f);
/* Forgets it; one that runs is killed. */
Session *session_free(Session *s);
DEFINE_CLEANUP(Session *, session_free);

void session_watch(Session *s, SessionWatch *w); /* not on one that has exited */
void session_unwatch(SessionWatch *w);           /* also if it is not linked */

/* Takes up what an earlier daemon left in the descriptor store. All of *stored is taken, also on failure:
 * then the session ends, if it lives. -EOPNOTSUPP: a later release's; -EBADMSG: something is missing or
 * damaged. */
typedef struct StoredSession {
        int state, control, pidfd, output; /* -EBADF where it is not there */
} StoredSession;
void stored_session_done(StoredSession *stored);
int session_take_up(const SessionHost *host, StoredSession *stored, Session **ret);
/* The inode of the tree it uses; 0: none, or it is not known. And the root that has it, if there still is
 * one: its reference is taken. */
uint64_t session_tree(const Session *s);
void session_use_root(Session *s, Root *root);
/* Frees it, but lets it live on: for who ends and leaves it to the descriptor store. */
Session *session_leave(Session *s);
/* Somebody is about to be told that it is there; a detached one that nobody was told of ends with us. */
void session_announce(Session *s);
/* Takes it out of the store: the next daemon need not know how it ended. */
void session_forget(Session *s);
bool session_is_stored(const Session *s);

/* Starts a command; `watch` is linked at once. The session is live. -EAGAIN: its init does not take any at
 * the moment; -EUSERS: it has too many; -E2BIG. */
int session_exec(Session *s, const CommandRequest *request, CommandWatch *watch);
/* Waits for a command that was started. 1: `watch` is linked; 0: it has ended, see *ret; -ENOENT: no such
 * command is known (any more). */
int session_await_command(Session *s, uint64_t command, CommandWatch *watch, SessionResult *ret);
void session_unwatch_command(CommandWatch *w); /* also if it is not linked */
/* Numbers of commands as clients have them: 12 letters and digits. parse: 0 for what is none. */
#define COMMAND_ID_SIZE 13
void command_format(uint64_t command, char ret[static COMMAND_ID_SIZE]);
uint64_t command_parse(const char *text);

/* The memfd of output.h; the session's. */
int session_output(const Session *s);
/* Tells of the next output behind that position. Not on one that has exited. */
int session_watch_output(Session *s, uint64_t position, OutputWatch *w);
void session_unwatch_output(OutputWatch *w); /* also if it is not linked */
/* stream: the other end of what a viewer has; the caller's. */
int session_attach(Session *s, int stream, bool replay);
int session_resize(Session *s, uint16_t columns, uint16_t rows);

/* To a command's process group (0: the first one's), or to everything inside. -ESRCH: it has exited;
 * -EAGAIN: try again. */
int session_signal(Session *s, uint64_t command, int signal, bool everyone);
/* Nothing in it runs any more, or again. Its init is stopped, too, where there is cgroup v2. */
int session_pause(Session *s);
int session_resume(Session *s);
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
bool session_is_live(const Session *s);
pid_t session_leader(const Session *s);                /* nsroot-init on the host; 0 after the end */
const char *session_cgroup(const Session *s);          /* below the mount, or NULL */
const SessionResult *session_result(const Session *s); /* NULL before the end */
bool session_was_started(const Session *s);            /* its first command ran */
bool session_is_paused(const Session *s);
const Limits *session_limits(const Session *s);
const Cgroup *session_group(const Session *s); /* NULL: it has none, or has ended */
/* A number that grows with each change of any session. */
uint64_t session_last_change(const Session *s);
void session_set_last_change(Session *s, uint64_t number); /* the table's to do */
uint64_t session_started_realtime(const Session *s);       /* microseconds; 0: not yet */
uint64_t session_exited_realtime(const Session *s);

const char *cause_name(Cause c); /* as in the interface */
