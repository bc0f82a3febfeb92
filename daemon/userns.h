/* Whether a session can have a user namespace on this machine, and what is in the way. Knows how the kernel
 * refuses one; knows no session. */
#pragma once

#include "base.h"

/* X(identifier, its name in Describe, what is said of it). */
#define USERNS_OBSTACLES(X)                                                                                 \
        X(SYSCTL, "sysctl", "user.max_user_namespaces is 0")                                                \
        X(KERNEL, "kernel", "the kernel has none: CONFIG_USER_NS")                                          \
        X(FORBIDDEN, "forbidden", "a security module, a container or nsrootd's unit forbids them")

typedef enum UsernsObstacle {
        USERNS_NO_OBSTACLE,
#define X(id, name, words) USERNS_##id,
        USERNS_OBSTACLES(X)
#undef X
} UsernsObstacle;

/* Makes one, in a process that ends at once. That there are as many as there may be is no obstacle: that
 * passes, and nobody's session is to be weaker for it. */
UsernsObstacle userns_obstacle(void);
/* One system call or two, and no process: whether user.max_user_namespaces is 0. */
bool userns_are_switched_off(void);
/* NULL: there is no obstacle. Static. */
const char *userns_obstacle_name(UsernsObstacle o);
const char *userns_obstacle_words(UsernsObstacle o);

/* What stands behind clone's error, a positive errno or 0. Here to be tested. */
UsernsObstacle userns_judge(int error, bool switched_off);
