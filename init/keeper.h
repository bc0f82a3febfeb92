/* The process between nsroot-init and a command that somebody's lifeline holds. */
#pragma once

#include "base.h"

/* In a process forked for it, with all signals blocked: starts a process that runs `command`, which soon
 * executes something or ends, for it borrows this one's memory until then; closes all but the null device
 * and the lifeline, and stays.
 *
 * When the command ends, so does this process, in the same way, and what the command has left running stays.
 * When the lifeline ends, the command and all that it has started end, then this process, by SIGKILL.
 *
 * Returns only where it could not begin: a negative errno. */
int keeper_run(int lifeline, void (*command)(void *data), void *data);
