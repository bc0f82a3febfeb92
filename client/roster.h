/* Which sessions there are, kept up to date by nsrootd's own word (the method Subscribe), never by asking
 * again and again. Knows that method; draws nothing. */
#pragma once

#include "base.h"
#include "failure.h"
#include "stream.h"

struct json_object;

typedef struct Roster {
        Stream stream;
        bool ended_too;               /* those that are over stay in it */
        struct json_object *sessions; /* a list, in the order in which they came; owned */
} Roster;

#define _cleanup_roster_ _cleanup_(roster_done)

/* -ENOMEM. */
int roster_init(Roster *r, const char *socket, bool ended_too);
void roster_done(Roster *r);
/* The next change, in timeout_ms at most (negative: forever): *ret_changed is a list of the sessions that
 * are not as they were, for the first time all of them; the caller's. 0; -ETIMEDOUT; -EREMOTEIO with *f set.
 */
int roster_next(Roster *r, int timeout_ms, struct json_object **ret_changed, Failure *f);
