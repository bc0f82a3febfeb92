/* Makes one root: tries its sources in order, verifies what comes, asks it for its applets and builds the
 * tree under a temporary name. Knows downloads, the lister and busybox.h; knows nothing of who waits, or of
 * the cache it is for.
 *
 * A source that cannot be had leads to the next. A digest that differs ends it, and so does a binary that is
 * not what it should be: somebody pinned exactly that, and has to hear of it. What was put together from
 * parts gets one more chance, from the beginning. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "config.h"
#include "download.h"
#include "error.h"
#include "metadata.h"
#include "roots.h"

typedef struct Pull Pull;

typedef struct PullJob {
        const RootConfig *root; /* copied as far as it is needed */
        const char *proxy;      /* or NULL; copied */
        DownloadLimits limits;  /* of each source */
        const char *fetch_path; /* outlives the Pull */
        uid_t uid;              /* what downloads, and what runs the binary to list its applets */
        gid_t gid;
        const Store *store; /* in whose roots_fd the tree is built; outlives the Pull */
} PullJob;

/* finished: r is 0, and then the tree is `build` below the store's roots_fd, the callee's now, and built
 * says what it is (the callee may take its strings); or -EREMOTEIO with e; or another error of the
 * machine's. Called once. The callee may free the Pull in either. Neither is called from inside pull_start.
 */
typedef struct PullHandlers {
        void (*progress)(const PullProgress *p, void *userdata);
        void (*finished)(int r, const Error *e, Metadata *built, const char *build, void *userdata);
} PullHandlers;

int pull_start(sd_event *event, const PullJob *job, const PullHandlers *handlers, void *userdata,
               Pull **ret);
/* Stops it. Of what was downloaded, as much as there is stays for the next one. */
Pull *pull_free(Pull *p);
DEFINE_CLEANUP(Pull *, pull_free);
/* What was told last. */
const PullProgress *pull_progress(const Pull *p);
