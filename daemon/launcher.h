/* Starts sessions: the clone, what the parent does while the child waits, up to the hello. Holds what
 * all sessions share: nsroot-init and the seccomp filter, each in a sealed memfd. Knows namespaces and the
 * order protocol; knows no client and no life of a session. */
#pragma once

#include "plan.h"

typedef struct Launcher Launcher;

/* init_path: nsroot-init; read once, so that an upgrade of the file changes nothing for a running daemon. */
int launcher_new(const char *init_path, Launcher **ret);
Launcher *launcher_free(Launcher *l);
DEFINE_CLEANUP(Launcher *, launcher_free);

typedef struct Launch {
        ChildPlan child;   /* what depends on the machine and on ids is the launcher's to fill in */
        int tree_fd;       /* of the cached root; the caller's */
        bool can_idmap;    /* its filesystem */
        uint32_t first_id; /* of the session's range; without user namespaces, the only one that is used */
        int cgroup_fd;     /* to be cloned into, or negative; the caller's */
        int enter_fd; /* cgroup.procs of one that the child is to enter by itself, or negative; likewise */
        int oom_score_adj;                    /* the caller's; the session's is never below 500 */
        uint64_t storage_max, storage_inodes; /* of a root that is copied; 0: no limit */
} Launch;

/* A set-up that failed: numbers of order.h. */
typedef struct LaunchFailure {
        uint32_t step, index;
        int error; /* positive */
} LaunchFailure;

typedef struct Launched {
        pid_t pid;   /* of nsroot-init, on the host; to be reaped (launcher_end) */
        int pidfd;   /* the caller's */
        int control; /* the order socket; the caller's */
} Launched;
#define LAUNCHED_NONE ((Launched){ 0, -EBADF, -EBADF })

/* Returns when nsroot-init has been told all it needs to wait for its first ORDER_SPAWN, which can be sent
 * at once; how it goes on comes as events. On failure -EREMOTEIO with *f, and nothing is left of it. */
int launcher_start(Launcher *l, Launch *launch, Launched *ret, LaunchFailure *f);
bool launcher_has_userns(const Launcher *l); /* the last time */
void launcher_kill(const Launched *child);   /* and does not wait */
/* Kills and reaps it, but does not wait for that for long; its descriptors are closed. Also where there is
 * none (a negative pidfd). */
void launcher_end(Launched *child);
/* The caller's, later: the session's is never below 500. */
int launcher_write_oom_score_adj(const Launched *launched, int oom_score_adj);
