/* What spawn.c arranges and profile.c checks. */
#pragma once

#include <linux/securebits.h>

/* The pipe on which a starting command reports its failure; closed by the exec, which so says that it
 * succeeded. */
#define SPAWN_STATUS_FD 3

/* Nothing about capabilities can be changed back. Root of the session keeps root's meaning of exec. */
#define SECUREBITS_LOCKS                                                                                    \
        (SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                   \
         SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)
#define SECUREBITS_ROOT SECUREBITS_LOCKS
#define SECUREBITS_USER (SECUREBITS_LOCKS | SECBIT_NOROOT)
