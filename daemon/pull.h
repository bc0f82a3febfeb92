/* Makes one root: tries its sources in order, verifies what comes, asks it for its applets and builds the
 * tree under a temporary name. Knows the fetcher, the lister and busybox.h; knows nothing of who waits, or
 * of the cache it is for.
 *
 * A source that cannot be had leads to the next. A digest that differs ends it, and so does a binary that is
 * not what it should be: somebody pinned exactly that, and has to hear of it. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "config.h"
#include "error.h"
#include "metadata.h"
#include "roots.h"

typedef struct Pull Pull;

typedef struct PullJob {
        const RootConfig *root; /* copied as far as it is needed */
        const char *proxy;      /* or NULL; copied */
        uint64_t connect_timeout_usec;
        const char *fetch_path; /* outlives the Pull */
        uid_t uid;              /* what downloads, and what runs the binary to list its applets */
        gid_t gid;
        int roots_fd; /* where the tree is built; outlives the Pull */
} PullJob;

/* finished: r is 0, and then the tree is `build` below roots_fd, the callee's now, and built says what it is
 * (the callee may take its strings); or -EREMOTEIO with e; or another error of the machine's. Called once.
 * The callee may free the Pull in either. Neither is called from inside pull_start. */
typedef struct PullHandlers {
        void (*progress)(const PullProgress *p, void *userdata);
        void (*finished)(int r, const Error *e, Metadata *built, const char *build, void *userdata);
} PullHandlers;

int pull_start(sd_event *event, const PullJob *job, const PullHandlers *handlers, void *userdata,
               Pull **ret);
Pull *pull_free(Pull *p); /* stops a download and leaves nothing behind */
DEFINE_CLEANUP(Pull *, pull_free);
