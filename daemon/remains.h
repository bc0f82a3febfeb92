/* What is left of sessions that have ended: an nsroot-init whose namespaces the kernel still takes apart,
 * which nobody waits for, and the cgroup and the ids, which are nobody else's until it is gone. Knows the
 * launcher and the event loop; knows no session. */
#pragma once

#include <systemd/sd-event.h>

#include "cgroup.h"
#include "idrange.h"
#include "launcher.h"

typedef struct Remains Remains;

/* How many of one user's there may be before that user's next start has to wait: the kernel may take its
 * time over them, for it is that user's processor time. */
#define REMAINS_PER_USER 16

typedef struct Remnant {
        uid_t owner;
        Launched init;
        Cgroup *cgroup; /* or NULL */
        bool has_range;
        uint32_t first_id;
} Remnant;

/* gone: called from the event loop, when one of them is. The others outlive it. */
int remains_new(sd_event *event, IdRanges *ranges, void (*gone)(void *userdata), void *userdata,
                Remains **ret);
Remains *remains_free(Remains *r); /* waits for what there is, but not for ever (launcher_end) */
DEFINE_CLEANUP(Remains *, remains_free);

/* Takes all of it, and kills its init, which has nobody left inside, a moment later; where that is gone
 * already (its pidfd is negative), the rest is given back at once. Where there is no memory, it is killed
 * and waited for. */
void remains_add(Remains *r, const Remnant *remnant);
size_t remains_of(const Remains *r, uid_t owner);
bool remains_any(const Remains *r);
