/* The texts that the kernel writes about cgroups, taken apart. Pure. */
#pragma once

#include "base.h"

typedef enum CgroupController {
        CGROUP_MEMORY = 1 << 0,
        CGROUP_PIDS = 1 << 1,
        CGROUP_CPU = 1 << 2,
        CGROUP_IO = 1 << 3,
} CgroupController;

/* The kernel's name of the controller of that place, and *ret_bit; NULL beyond the last. */
const char *cgroup_controller_name(size_t place, unsigned *ret_bit);

/* 1: the line of /proc/PID/mountinfo (proc(5)) is a whole cgroup2 hierarchy, mounted at *ret (the caller's);
 * 0: it is something else. */
int cgroup_parse_mount(const char *line, char **ret);
/* The cgroup in v2 that /proc/PID/cgroup names (cgroups(7)), without a slash at its end: the root is "". The
 * caller's. -EOPNOTSUPP: there is none. */
int cgroup_parse_own(const char *text, char **ret);
/* "memory pids" to CgroupController bits; those we do not use are left out. */
unsigned cgroup_parse_controllers(const char *text);
