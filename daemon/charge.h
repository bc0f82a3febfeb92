/* Charge=caller: from who asks to the cgroup that its session is charged to, and why that may not be. */
#pragma once

#include "error.h"
#include "server.h"

/* NULL, or why no session of this machine can be charged to who asked for it, in words for people. */
const char *charge_why_never(bool has_cgroups);
/* The cgroup of the process that made the connection, below the mount; the caller's to free. -EREMOTEIO with
 * *e: LimitUnavailable. */
int charge_find(int proc_fd, const Peer *peer, char **ret, Error *e);
/* The session's cgroup could not be made in it, for that (negative): -EREMOTEIO with *e, likewise. */
int charge_failed(int r, Error *e);
