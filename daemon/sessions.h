/* All sessions: those that live, and those that ended and are remembered for a while. Finds them for a
 * caller by id, name or prefix; a session that is not the caller's is not there. Knows no Varlink. */
#pragma once

#include "session.h"

typedef struct Sessions Sessions;

/* host is copied, except for its callback, which is the table's. */
int sessions_new(const SessionHost *host, Sessions **ret);
Sessions *sessions_free(Sessions *t); /* kills and waits for those that live */
DEFINE_CLEANUP(Sessions *, sessions_free);
void sessions_set_config(Sessions *t, const Config *config);

/* As session_start; whoever calls has asked sessions_has_name. */
int sessions_start(Sessions *t, SessionRequest *request, SessionWatch *watch, Session **ret,
                   LaunchFailure *f);

/* Whether owner has a live session of that name; a name may be NULL. */
bool sessions_has_name(const Sessions *t, uid_t owner, const char *name);

/* By name, id or the beginning of an id; what has ended is only looked at when nothing alive is meant.
 * -ENOENT; -ENOTUNIQ: more than one begins like that. */
int sessions_find(const Sessions *t, uid_t caller, const char *text, Session **ret);
/* The next one the caller may see, in the order of their start. *cursor is 0 at first. NULL: no more. */
Session *sessions_next(const Sessions *t, uid_t caller, size_t *cursor);

/* As session_take_up: one that an earlier daemon started is one of these from now on. */
int sessions_take_up(Sessions *t, StoredSession *stored);
/* Frees the table and lets its sessions live, for the next daemon. */
Sessions *sessions_leave(Sessions *t);

/* How many wait in that root for their first command. */
size_t sessions_warm(const Sessions *t, const char *root);
/* Roots were given up: nothing is kept warm in them any more. */
void sessions_forsake_roots(Sessions *t);

/* Called with each session that has changed, when it has. */
void sessions_on_changed(Sessions *t, void (*changed)(Session *s, void *userdata), void *userdata);

size_t sessions_live(const Sessions *t);
size_t sessions_live_of(const Sessions *t, uid_t uid);
/* Not while too much is left of those of that user's that have ended. */
bool sessions_may_start(const Sessions *t, uid_t uid);
/* Ends all; when the last is gone (at once, if there is none) done is called, from the event loop. */
int sessions_end_all(Sessions *t, void (*done)(void *userdata), void *userdata);
