/* A process' children, and theirs. */
#pragma once

#include "base.h"

/* Sends SIGKILL to what is below the calling process, as it is at one moment after the other. Returns how
 * many of them were still alive, or a negative errno; -ENOENT: this kernel does not tell. */
int family_kill(void);
