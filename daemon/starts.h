/* Who starts sessions how often, and whose turn it is: starts that wait are begun one at a time, each time
 * of another user, so that who asks for a hundred at once delays others by one. Knows the event loop; knows
 * no session. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"

typedef struct Starts Starts;

/* One that waits. Embedded in whatever belongs to it; linked until `begin` is called or starts_leave. */
typedef struct Start Start;
struct Start {
        void (*begin)(Start *start);
        struct StartsUser *user; /* NULL when it is not linked */
        Start *next;
};

/* may_begin: whether a start of that user's can begin now; if not, the others are not kept waiting, and it
 * is asked again a little later. NULL: always. */
int starts_new(sd_event *event, bool (*may_begin)(uid_t uid, void *userdata), void *userdata, Starts **ret);
Starts *starts_free(Starts *s); /* those that wait are forgotten */
DEFINE_CLEANUP(Starts *, starts_free);

/* Whether uid may start one more: that is at most `max` (UINT64_MAX: any number) in any interval_usec. If so
 * it is counted: it becomes one, whether it succeeds or not. */
bool starts_count(Starts *s, uid_t uid, uint64_t max, uint64_t interval_usec);

/* begin is called from the event loop, when it is its turn. -ENOMEM. */
int starts_queue(Starts *s, uid_t uid, Start *start);
void starts_leave(Starts *s, Start *start); /* also if it is not linked */
