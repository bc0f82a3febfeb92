/* How many connections each user has and how many there are in all: whether one more may be, and by which
 * rule not. Pure counting: knows no socket and no event loop.
 *
 * Parked connections wait for a foreground session. They are known but do not count: the limits on sessions
 * bound them, and a user's many sessions must not lock out that user's `list` and `kill`, nor anyone else.
 */
#pragma once

#include "base.h"

typedef struct Quota Quota;

typedef struct QuotaLimits {
        unsigned of_user; /* of the one who wants one more */
        unsigned in_all;
        unsigned kept_for_root; /* of in_all: only uid 0 may use the last ones */
} QuotaLimits;

int quota_new(Quota **ret);
Quota *quota_free(Quota *q);
DEFINE_CLEANUP(Quota *, quota_free);

/* 0: if *ret_rule is NULL, uid has one more, until quota_give_back; else it is the static name of the rule
 * that does not allow it. -ENOMEM. */
int quota_take(Quota *q, const QuotaLimits *limits, uid_t uid, const char **ret_rule);
/* One that was taken is over; it is not parked. */
void quota_give_back(Quota *q, uid_t uid);
/* One of uid's is parked, or is an ordinary one again (then whatever the limits say). */
void quota_park(Quota *q, uid_t uid);
void quota_unpark(Quota *q, uid_t uid);
