/* What limits are in the files of a cgroup (Documentation/admin-guide/cgroup-v2.rst). */
#pragma once

#include "cgroup.h"

/* What a new cgroup has; and one of which nothing is known, so that all is written. */
extern const GroupLimits group_limits_fresh, group_limits_unknown;

/* Writes what is not as it was, as far as there are controllers (CgroupController bits) for it. */
int group_limits_write(int fd, unsigned controllers, const GroupLimits *was, const GroupLimits *limits);
/* Of a session with the memory controller: no swap; and where its memory, or that of all of its user's
 * sessions, is too much, it ends as a whole. */
int group_limits_write_rules(int fd);
