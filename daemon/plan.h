/* A session's plan: everything that is decided before the clone, as plain data, so that what runs after it
 * only makes system calls. */
#pragma once

#include "child.h"

/* A command, as an order: the structure and the strings that follow it. */
typedef struct SpawnPlan {
        OrderSpawn order;
        char *blob; /* owned */
} SpawnPlan;

struct Limits;
struct RootConfig;
struct Spec;

/* What the child does. hostname has at most 64 bytes (spec.c, root names). */
void plan_child(const struct Limits *limits, bool read_only, const char *hostname, ChildPlan *ret);
/* A session's, by its caller's: never below 500. */
int plan_oom_score_adj(int callers);
/* A limit as tmpfs(5) takes it, where 0 is none. */
uint64_t plan_tmpfs_limit(uint64_t limit);
/* A command's order: limits as the caller's allowance has them, the command and its environment from the
 * request, the root's own defaults where that says nothing. root may be NULL: it is not configured any more.
 * 0, -ENOMEM, -E2BIG (more strings than an order takes). */
int plan_command(const struct Limits *limits, const struct Spec *spec, const struct RootConfig *root,
                 uint64_t command, SpawnPlan *ret);
void plan_done(SpawnPlan *spawn);
/* What is run: the request's arguments, else the root's, else a shell. Never NULL; not the caller's. */
char *const *plan_arguments(const struct Spec *spec, const struct RootConfig *root);
