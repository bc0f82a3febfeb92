/* nsroot-forker: a small process of the daemon's, of the same program as nsroot-init, that makes the
 * children which become sessions. A clone copies the memory map of who asks for it, marks all of its memory
 * for copying, and waits for a new network namespace: all that is nothing here, and would be the daemon's
 * time. The child is the daemon's own (CLONE_PARENT), and there is no descriptor of any client's that it
 * could have a copy of. Knows libc only. */
#pragma once

#include "order.h"

#define FORKER_NAME   "nsroot-forker"
#define HOSTNAME_SIZE 65 /* sethostname(2): 64 bytes */

/* What the child does between its clone and the exec of nsroot-init: everything is decided before, as plain
 * data. */
typedef struct ChildPlan {
        uint32_t read_only;
        uint32_t plain_root; /* the root is what was attached, and no overlay over it */
        uint32_t only_id;    /* 0: there is a user namespace; else there is none, and this uid and gid */
        uint32_t processors; /* how many the host may have, for their masks */
        char hostname[HOSTNAME_SIZE];
        char storage[96]; /* options of the tmpfs that holds what the session writes: root, /tmp and /run */
        char shm[96], pts[80];
} ChildPlan;

/* To the forker, with the child's end of its order socket, and, if it is to be cloned into one, its cgroup's
 * directory. Both sides are of one build. */
typedef struct OrderFork {
        OrderHeader header;
        uint32_t version;
        uint32_t into_cgroup;
        uint64_t namespaces; /* CLONE_NEW…, clone(2) */
        ChildPlan plan;
} OrderFork;

/* And back, with the child's pidfd. */
typedef struct EventForked {
        OrderHeader header;
        int32_t pid; /* or a negative errno */
        uint32_t unused;
} EventForked;

/* The descriptors that the forker and nsroot-init find. */
#define INIT_CONTROL_FD 3
#define INIT_PROGRAM_FD 4 /* nsroot-init, in a sealed memfd */

/* init/forker.c: until the daemon is gone. */
_noreturn_ void forker_run(void);
/* init/child.c: the child's part; control is its end of the order socket. Ends in the exec, or in _exit,
 * after an EVENT_FAILED says which step failed. */
_noreturn_ void child_run(const ChildPlan *plan, int control);
