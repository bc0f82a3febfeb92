/* A process' children, and theirs. */
#pragma once

#include "base.h"

/* Sends SIGKILL to what is below the calling process, as it is at one moment after the other. Returns how
 * many of them were still alive, or a negative errno; -ENOENT: this kernel does not tell. */
int family_kill(void);

/* If that process or its first child is stopped: sends SIGKILL to both, and returns true. */
bool family_kill_stopped(pid_t pid);
