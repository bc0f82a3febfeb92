/* Sessions that wait, warm, for their first command: of each user, in each root, as many as that user has
 * lately started at about the same time. Made a moment after a start, so as not to compete with it; given to
 * one session of that user each, ever; thrown away when nobody has wanted one for a while. Knows what is
 * prepared and the event loop; knows no session that runs. */
#pragma once

#include "prepared.h"

typedef struct Pool Pool;

/* host outlives it; its configuration may change with pool_flush. */
int pool_new(const SessionHost *host, Pool **ret);
Pool *pool_free(Pool *p);
DEFINE_CLEANUP(Pool *, pool_free);

/* One that fits, adapted; the caller's. NULL: there is none. */
Prepared *pool_take(Pool *p, const Wanted *wanted);
/* Such a session was just started: another one may follow. */
void pool_expect(Pool *p, const Wanted *wanted);
/* All are thrown away: what they were made of is not in force any more. */
void pool_flush(Pool *p);
/* Those whose root is not the cache's any more. */
void pool_forsake(Pool *p);
size_t pool_in_root(const Pool *p, const char *name); /* how many wait there */
bool pool_has_prefix(const Pool *p, const char *prefix, size_t length);
