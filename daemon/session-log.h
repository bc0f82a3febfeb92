/* What the log says of a session's life. Knows what a session tells of itself (session.h) and the fields of
 * the log; changes nothing. Each line is within its owner's share (log.h). */
#pragma once

#include "session.h"

bool session_log_start(const Session *s); /* whether it was logged */
/* begun: its start was logged, and so its end is in any case. */
void session_log_end(const Session *s, bool begun);
/* It did not even come to be: s is new, and f says why. */
void session_log_failure(const Session *s, const LaunchFailure *f);
