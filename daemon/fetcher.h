/* Runs nsroot-fetch for one URL: starts it as a helper, gives it its request, believes of its reports only
 * what can be true, and waits for its end. Knows helpers and the fetch protocol; links no HTTP library and
 * knows nothing of roots. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "fetch.h"

typedef struct Fetcher Fetcher;

typedef struct FetchJob {
        const char *program; /* the path of nsroot-fetch */
        const char *url;     /* http: or https: */
        const char *proxy;   /* or NULL */
        uint64_t connect_timeout_usec, stall_timeout_usec, total_timeout_usec;
        uint64_t size_max, offset; /* bytes; what the output has already */
        int output_fd;             /* for reading and writing; the caller's */
        uid_t uid;                 /* what it runs as */
        gid_t gid;
} FetchJob;

/* progress: at most ten times a second. finished: once, when the process is gone and nobody writes to the
 * output any more; the callee may free the Fetcher in either. Neither is called from inside fetcher_start.
 */
typedef struct FetchHandlers {
        void (*progress)(int64_t done, int64_t total, void *userdata);
        void (*finished)(const FetchReport *last, void *userdata);
} FetchHandlers;

int fetcher_start(sd_event *event, const FetchJob *job, const FetchHandlers *handlers, void *userdata,
                  Fetcher **ret);
Fetcher *fetcher_free(Fetcher *f); /* ends the process */
DEFINE_CLEANUP(Fetcher *, fetcher_free);

/* The words for an outcome, static. */
const char *fetch_outcome_text(FetchOutcome outcome);
/* What helps against what a last report says. */
FetchRemedy fetch_remedy(const FetchReport *last);
