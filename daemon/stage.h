/* The daemon's stage: a small read-only tmpfs in a mount namespace of the daemon's own, which is its working
 * directory and so, copied, every child's. On it lie what a child binds into a session: device nodes, and
 * the empty inodes that mask; and `base`, where a child mounts the session's storage. Nothing on it is ever
 * found by a path of the host, and no session sees a path of it. Knows mounts; knows no session. */
#pragma once

#include "base.h"

/* Gives the daemon a mount namespace of its own. The host's mounts still arrive, the daemon's do not leave.
 * What is to be mounted into sessions (the state directory) is opened after this: a mount of another
 * namespace cannot be cloned. */
int stage_isolate(void);

/* Makes the stage on mount_point (a directory; what was in it is out of sight, by its name, for the daemon)
 * and enters it: relative paths mean nothing else afterwards. On failure *ret_what is what it was at
 * (mount_point's, or static). */
int stage_enter(const char *mount_point, const char **ret_what);
