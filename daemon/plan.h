/* A session's plan: everything that is decided before the clone, as plain data, so that what runs after it
 * only makes system calls. Includes no header of the daemon's: child.c includes this one and system headers,
 * and nothing else. */
#pragma once

#include "order.h"

#define OOM_SCORE_ADJ_SIZE 8

/* What the child needs. Strings and descriptors belong to the plan's maker and outlive the clone. */
typedef struct ChildPlan {
        int control_fd; /* the child's end of the order socket */
        int init_fd;    /* nsroot-init, in a sealed memfd */
        int last_fd; /* the larger of the two: below are only descriptors that are the daemon's for good */
        uint32_t *has_own_table; /* shared with the daemon; becomes 1 */
        bool read_only;
        bool plain_root;     /* the root is what was attached, and no overlay over it */
        uint32_t only_id;    /* 0: there is a user namespace; else there is none, and this uid and gid */
        unsigned processors; /* how many the host may have, for their masks */
        char oom_score_adj[OOM_SCORE_ADJ_SIZE]; /* as the kernel reads it */
        const char *hostname;
        uint64_t storage_max, storage_inodes;
        char storage[96]; /* options of the tmpfs that holds what the session writes: root, /tmp and /run */
        char shm[96], pts[80];
} ChildPlan;

/* A command, as an order: the structure and the strings that follow it. */
typedef struct SpawnPlan {
        OrderSpawn order;
        char *blob; /* owned */
} SpawnPlan;

/* The descriptors that the init process finds. */
#define INIT_CONTROL_FD 3
#define INIT_PROGRAM_FD 4

struct Limits;
struct RootConfig;
struct Spec;

/* What the child does. oom_score_adj is the caller's; the session's is never below 500. hostname stays the
 * caller's. */
void plan_child(const struct Limits *limits, bool read_only, const char *hostname, int oom_score_adj,
                ChildPlan *ret);
void plan_oom_score_adj(int callers, char ret[static OOM_SCORE_ADJ_SIZE]);
/* A command's order: limits as the caller's allowance has them, the command and its environment from the
 * request, the root's own defaults where that says nothing. root may be NULL: it is not configured any more.
 * 0, -ENOMEM, -E2BIG (more strings than an order takes). */
int plan_command(const struct Limits *limits, const struct Spec *spec, const struct RootConfig *root,
                 uint64_t command, SpawnPlan *ret);
void plan_done(SpawnPlan *spawn);
/* What is run: the request's arguments, else the root's, else a shell. Never NULL; not the caller's. */
char *const *plan_arguments(const struct Spec *spec, const struct RootConfig *root);
