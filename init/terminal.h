/* A session's terminals, in its own devpts. */
#pragma once

#include "init.h"

/* Opens a pty of the job's size, whose slave is the job's user's, and puts the slave wherever the job was
 * given no descriptor. Both ends are the caller's. 0 or a negative errno. */
int terminal_open(Job *job, int *ret_master, int *ret_slave);
/* Makes the first of the three that is a terminal the caller's controlling one; the caller leads a process
 * session. */
int terminal_make_controlling(const int stdio[3]);
