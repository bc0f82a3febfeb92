/* What one source on the network has: tries, pauses and tries again, each time from where it stopped, also
 * where an earlier daemon stopped. Knows the fetcher, and where unfinished downloads lie; knows nothing of
 * roots, and does not look at what comes. */
#pragma once

#include <systemd/sd-event.h>

#include "fetcher.h"
#include "store.h"

typedef struct Download Download;

typedef struct DownloadLimits {
        uint64_t connect_timeout_usec;
        uint64_t stall_timeout_usec;
        uint64_t total_timeout_usec; /* of all attempts and the pauses between them */
        uint64_t attempts;           /* at least 1 */
} DownloadLimits;

/* All of it outlives the Download. */
typedef struct DownloadJob {
        const char *program; /* the path of nsroot-fetch */
        const char *url;     /* http: or https: */
        const char *digest;  /* of the file that is wanted, by which the unfinished one is found; or NULL */
        const char *proxy;   /* or NULL */
        uint64_t size_max;   /* bytes */
        DownloadLimits limits;
        const Store *store;
        uid_t uid; /* what it runs as */
        gid_t gid;
} DownloadJob;

/* finished: once. 0: the file is there, and nobody writes to it any more; -EREMOTEIO: the source does not
 * give it, and reason says why, in words that follow the source's name; else an error of this machine's.
 * size is what the server said, or -1. The callee may free the Download in either. Neither is called from
 * inside download_start. */
typedef struct DownloadHandlers {
        void (*progress)(int64_t done, int64_t total, void *userdata);
        void (*finished)(int r, const char *reason, int64_t size, void *userdata);
} DownloadHandlers;

int download_start(sd_event *event, const DownloadJob *job, const DownloadHandlers *handlers, void *userdata,
                   Download **ret);
/* Ends it. What has come so far stays for the next one, unless download_take was called. */
Download *download_free(Download *d);
DEFINE_CLEANUP(Download *, download_free);

/* For when it has finished with 0. The file, for reading and writing: stays the Download's. */
int download_fd(const Download *d);
/* Parts of it come from different answers: if its digest is wrong, the file itself may still be right. */
bool download_is_pieced(const Download *d);
/* The file, which has no name any more and is the caller's. */
int download_take(Download *d);
