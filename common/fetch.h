/* What nsrootd and nsroot-fetch say to each other over their SOCK_SEQPACKET socket: one request, then
 * reports, the last of which is an outcome. Plain structures: both are always of the same build. Nothing
 * here is code. */
#pragma once

#include "base.h"

#define FETCH_FD_CONTROL 0 /* the socket */
#define FETCH_FD_OUTPUT  1 /* where the download goes, from its beginning */

#define FETCH_URL_MAX    4096

typedef struct FetchRequest {
        uint64_t size_max;        /* bytes; more is FETCH_TOO_LARGE */
        uint64_t connect_timeout; /* ms, name resolution and TLS included */
        uint64_t stall_timeout;   /* s with next to no data */
        uint64_t total_timeout;   /* ms */
        char url[FETCH_URL_MAX];
        char proxy[FETCH_URL_MAX]; /* "": none */
} FetchRequest;

/* How a download ended: a name, and the words that follow a source's name in a message. */
#define FETCH_OUTCOMES(X)                                                                                   \
        X(FETCH_OK, "was downloaded")                                                                       \
        X(FETCH_BAD_URL, "is not an http or https URL")                                                     \
        X(FETCH_RESOLVE, "its name cannot be resolved")                                                     \
        X(FETCH_PROXY, "the proxy cannot be used")                                                          \
        X(FETCH_CONNECT, "cannot be connected to")                                                          \
        X(FETCH_TLS, "its certificate cannot be trusted, or TLS failed")                                    \
        X(FETCH_STATUS, "the server refused it with HTTP status")                                           \
        X(FETCH_PROTOCOL, "the server does not speak HTTP properly")                                        \
        X(FETCH_TRUNCATED, "the download was cut short")                                                    \
        X(FETCH_REDIRECT, "redirects to something that is neither http nor https")                          \
        X(FETCH_LOOP, "redirects too often")                                                                \
        X(FETCH_TOO_LARGE, "is larger than any root binary")                                                \
        X(FETCH_TIMEOUT, "took too long")                                                                   \
        X(FETCH_NO_SPACE, "there is no space left for the download")                                        \
        X(FETCH_WRITE, "the download cannot be written")                                                    \
        X(FETCH_INTERNAL, "the downloader failed")

#define FETCH_ENUM(name, words) name,
typedef enum FetchOutcome {
        FETCH_OUTCOMES(FETCH_ENUM) FETCH_RUNNING,
        FETCH_OUTCOME_MAX = FETCH_RUNNING
} FetchOutcome;
#undef FETCH_ENUM

/* FETCH_RUNNING: progress. Anything else: the last report. */
typedef struct FetchReport {
        uint32_t outcome;
        uint32_t http_status; /* of FETCH_STATUS; else 0 */
        int64_t done, total;  /* bytes; total -1: not known */
} FetchReport;
