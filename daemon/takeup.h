/* What earlier daemons left in the descriptor store, put together: of each session several descriptors,
 * which come in any order. Knows the store's names and what the descriptors are; knows no life of a session.
 */
#pragma once

#include "sessions.h"

typedef struct TakeUp TakeUp;

int take_up_new(TakeUp **ret);
TakeUp *take_up_free(TakeUp *t); /* closes what was not taken up */
DEFINE_CLEANUP(TakeUp *, take_up_free);

/* One descriptor, by the name it was kept under; taken, also on failure. -ENOENT: it is no session's. */
int take_up_add(TakeUp *t, const char *name, int fd);
/* Makes sessions of them all. What cannot be one is ended, and said in the log. */
void take_up_all(TakeUp *t, Sessions *sessions);
