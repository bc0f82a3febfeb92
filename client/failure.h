/* Why a call came to nothing: one line that says what is wrong and what to do, and the status to exit with.
 * Knows what goes wrong with a connection; what nsrootd answers is for explain.h. Prints nothing before it
 * is told to. */
#pragma once

#include "base.h"

struct json_object;

typedef struct Failure {
        int status; /* what nsrootctl exits with */
        char *text; /* owned, without a newline; NULL: there was no memory for it */
        bool lost;  /* the connection was: whoever listens now may be another */
        struct json_object
                *answer; /* owned: {error, parameters} where it was nsrootd that said no, else NULL */
} Failure;

#define _cleanup_failure_ _cleanup_(failure_done)

void failure_done(Failure *f);

/* These set *f over and return -EREMOTEIO, the value that says "see the Failure", so that they end a
 * function well. */
int failure_set(Failure *f, int status, const char *format, ...) _printf_(3, 4);
/* Connecting to the socket at path failed with r. */
int failure_connect(Failure *f, int r, const char *path);
/* The connection at path was lost, or what came over it was not the protocol. */
int failure_lost(Failure *f, int r, const char *path);
/* nsrootd answered with an error. parameters may be NULL. */
int failure_reply(Failure *f, const char *error, struct json_object *parameters);
/* A system call of ours failed with r; `what` is what it was to do. */
int failure_system(Failure *f, int r, const char *what);

/* Says it on stderr, as "nsrootctl: <text>", and returns the status. */
int failure_say(const Failure *f);
/* As failure_set and failure_say for one that nobody else needs; the status is EXIT_OURS. */
int failure_exit(const char *format, ...) _printf_(1, 2);
/* A line on stderr that is no failure. */
void failure_note(const char *text);
