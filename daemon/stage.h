/* The daemon's stage: a small read-only tmpfs in a mount namespace of the daemon's own, which is its working directory
 * and so, copied, every child's. On it lie what a child binds into a session: device nodes, and the empty inodes that
 * mask; and `base`, where a child mounts the session's storage. Nothing on it is ever found by a path of the host, and no
 * session sees a path of it. Knows mounts; knows no session. */
#pragma once

#include "base.h"

/* Makes the mount namespace and the stage, and enters it: relative paths mean nothing else afterwards, so whatever is
 * named on the command line is opened or made absolute before. The host's mounts still arrive, the daemon's do not leave.
 * On failure *ret_what says what was tried (static). */
int stage_enter(const char **ret_what);
