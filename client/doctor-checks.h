/* What `nsrootctl doctor` finds: a table of checks, each of which judges what was seen and asked. Pure:
 * opens, asks and prints nothing. */
#pragma once

#include "doctor-daemon.h"
#include "doctor-machine.h"
#include "doctor-units.h"

/* All there is to judge by. */
typedef struct Evidence {
        const char *socket; /* where nsrootd was looked for */
        Machine machine;
        Units units;
        DaemonAnswers daemon;
} Evidence;

typedef enum CheckStatus {
        CHECK_SKIPPED, /* there was nothing to judge by */
        CHECK_OK,
        CHECK_DEGRADED, /* it works, at a cost: the detail says which */
        CHECK_MISSING,  /* something does not work: the advice says what to do */
} CheckStatus;

typedef struct Finding {
        const char *check; /* static: its name, which does not change from release to release */
        CheckStatus status;
        char *detail; /* what is the case, and what it costs; owned */
        char *advice; /* what to do about it; owned, NULL where there is nothing to do */
} Finding;

size_t checks_count(void);
/* Judges by the check of that number. 0; -ENOMEM. */
int check_judge(size_t number, const Evidence *e, Finding *ret);
void finding_done(Finding *f);

/* "ok", "degraded" or "missing"; NULL: it was skipped. */
const char *check_status_name(CheckStatus s);
