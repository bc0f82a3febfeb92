/* What is remembered of something that failed: why, when, and from when on it is worth another try, which is
 * later each time. So who asks for it in a loop is told at once, and nobody else is bothered. Knows no root
 * and no clock: times are given, in microseconds of any clock that does not jump. */
#pragma once

#include "error.h"

typedef struct Setback {
        int r; /* what it ended with; 0: nothing is remembered */
        Error error;
        unsigned in_a_row;
        uint64_t at, until;
} Setback;

/* Remembers one more failure. error is copied, and is that of an r of -EREMOTEIO, else not looked at. */
void setback_note(Setback *s, int r, const Error *error, uint64_t now);
/* Whether the time for another try has not come yet. */
bool setback_lasts(const Setback *s, uint64_t now);
/* What to tell who comes too early: r again, and the error with a field `retry`, for people, that says when
 * it was tried and when it may be again. */
int setback_tell(const Setback *s, uint64_t now, Error *ret);
/* It worked, or the world has changed: there is nothing to be remembered. */
void setback_forget(Setback *s);
