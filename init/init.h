/* nsroot-init: PID 1 of a session. Runs commands by orders, reports events, reaps. Static, libc only, no
 * stdio, no allocation, no log. What its files share. */
#pragma once

#include <sys/types.h>

#include "viewers.h"

#define COMMANDS_MAX 256  /* at once, in one session */
#define STRINGS_MAX  8192 /* arguments or environment entries of one command */

typedef struct Command {
        uint64_t id;
        pid_t pid;    /* who is waited for: the command, or its keeper */
        pid_t group;  /* the command, which leads a process group */
        int lifeline; /* or -EBADF */
        bool is_main;
        size_t poll;
} Command;

/* user.c: who a command runs as, by the root's own /etc/passwd and /etc/group. */
typedef struct User {
        uid_t uid;
        gid_t gid;
        char name[64]; /* the number where it has no name */
        char home[256];
} User;

typedef struct Init {
        int control;      /* the order socket */
        int signals;      /* a signalfd of SIGCHLD and SIGTERM */
        uint32_t only_id; /* 0: a user namespace is the session's; else none, and this is its one uid and gid
                           */
        uint64_t inherited_filters;
        struct rlimit limits[RLIM_NLIMITS]; /* our own, which commands inherit */
        User root; /* who runs what nobody is named for, by the files as they were before any command */
        bool has_root;
        Command commands[COMMANDS_MAX];
        size_t n_commands;
        Ring ring;
        Relay relay;
        Viewers viewers;
        bool watched; /* the daemon wants to know when the ring's head is not this one any more */
        uint64_t watched_head;
} Init;

_Static_assert(2 + COMMANDS_MAX + RELAY_SOURCES + VIEWERS_MAX <= POLLS_MAX, "all can be waited for");

/* Why something failed: the step, which item of its list, and a positive errno. */
typedef struct Failure {
        uint32_t step, index, error;
} Failure;

/* Fills *f and returns false, so that a failing function ends with it. */
static inline bool fail(Failure *f, Step step, uint32_t index, int error)
{
        *f = (Failure){ .step = step, .index = index, .error = (uint32_t)(error < 0 ? -error : error) };
        return false;
}

/* events.c: each waits until there is room for it, for a daemon that is stopped has to hear of it later. It
 * fails where nobody holds the session any more, which the loop will see, and with descriptors, of which the
 * kernel lets only so many be on their way (-ETOOMANYREFS, unix(7)). */
int event_send(const Init *init, void *event, size_t size, const int *fds, size_t n_fds);
void event_send_failed(const Init *init, uint64_t command, const Failure *f);
_noreturn_ void event_end(Init *init, EndReason reason);

/* loop.c: waits for something to happen, and does what follows. */
void loop_once(Init *init);

/* commands.c: starts, signals and ends commands. */
void commands_start(Init *init, OrderMessage *m);
void commands_signal(Init *init, OrderMessage *m);
void commands_poll(Init *init, Polls *polls);
void commands_dispatch(Init *init, const Polls *polls); /* the ends of lifelines */
void commands_reap(Init *init);

/* setup.c: from the exec to the first order. */
bool setup_process(Init *init, Failure *f);
bool setup_hello(Init *init, Failure *f);

/* check.c: reads the session's namespaces and mounts back from the kernel. */
bool check_session(const Init *init, const OrderHello *hello, Failure *f);
/* Its second part, of /proc/self/mountinfo (proc(5)), which it reads. */
bool check_mounts(int mountinfo, const OrderHello *hello, Failure *f);

/* user.c. spec: "", NAME, UID, and either with :GROUP or :GID. "" is root. 0; -ENOENT: no such user or
 * group; -EINVAL, -ERANGE: not a name nor an id of this session; or an error of reading the files. Never
 * yields an id that was not asked for. */
int user_resolve(const char *spec, User *ret);

/* A command as it was ordered, its strings in the receive buffer. */
typedef struct Job {
        OrderSpawn order;
        char **argv, **envp; /* of strings */
        const char *directory;
        const char *path; /* of envp: where the command is looked for */
        User user;
        int stdio[3]; /* or -EBADF, as the two below */
        int lifeline;
        int ring;
        char home[sizeof("HOME=") + 256], user_entry[sizeof("USER=") + 64];
        char *strings[2 * (STRINGS_MAX + 1)]; /* at the end: what is not used is not touched */
} Job;

/* job.c: takes an order apart; the message's descriptors are the job's afterwards. only_id: as Init's. root:
 * who root is, where that is known already, or NULL. */
bool job_parse(OrderMessage *m, uint32_t only_id, const User *root, Job *ret, Failure *f);
void job_done(Job *job);

/* A command that runs: its exec has succeeded. */
typedef struct Running {
        pid_t pid, group;  /* as Command's */
        int master, slave; /* of its terminal, the caller's; or -EBADF */
} Running;

/* spawn.c: starts it. */
bool spawn(const Init *init, Job *job, Running *ret, Failure *f);

/* profile.c: what the kernel says about the calling process, against what a command of that user must have.
 */
bool profile_check(const Init *init, const Job *job, Failure *f);
/* The same of nsroot-init itself: who it is, and which capabilities it has. Before it has its filter: notes
 * how many the daemon's unit gave it, for a command has those and the session's. */
bool profile_check_init(Init *init, Failure *f);
