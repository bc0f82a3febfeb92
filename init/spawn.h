/* What spawn.c arranges and profile.c checks. */
#pragma once

/* The pipe on which a starting command reports its failure; closed by the exec, which so says that it
 * succeeded. */
#define SPAWN_STATUS_FD 3
