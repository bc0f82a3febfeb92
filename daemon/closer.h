/* Closes what clients lent, without ever waiting for it. A close may wait for as long as the client likes:
 * for a filesystem in user space that does not answer its flush, for a TCP socket whose SO_LINGER has not
 * run out. So a process of its own does it, which shares the table of descriptors: the number is free at
 * once, and who waits is that process. Knows sd-event and uids; knows nothing of calls or connections. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"

typedef struct Closer Closer;

/* So many closes of one user may be under way; who has more of them means no good. */
#define CLOSER_STUCK 16

int closer_new(sd_event *event, Closer **ret);
Closer *closer_free(Closer *c); /* does not wait for what is under way; returns NULL */
DEFINE_CLEANUP(Closer *, closer_free);

/* Takes all of *fds, which uid lent. Pipes and memory devices are closed when this returns, everything else
 * soon. Where no process can be had it is closed here after all, rather than leaked. */
void closer_close(Closer *c, uid_t uid, Fds *fds);
/* Whether CLOSER_STUCK closes of uid's, or more, have not come back. */
bool closer_is_stuck(const Closer *c, uid_t uid);
