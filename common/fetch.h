/* What nsrootd and nsroot-fetch say to each other over their SOCK_SEQPACKET socket: one request, then
 * reports, the last of which is an outcome. One process makes one attempt; whether there is another is for
 * nsrootd to decide. Plain structures: both are always of the same build. Nothing here is code. */
#pragma once

#include "base.h"

#define FETCH_FD_CONTROL 0 /* the socket */
#define FETCH_FD_OUTPUT  1 /* where the download goes; read and written */

#define FETCH_URL_MAX    4096

typedef struct FetchRequest {
        uint64_t size_max;        /* bytes; more is FETCH_TOO_LARGE */
        uint64_t offset;          /* bytes the output has already: the server is asked for the rest */
        uint64_t connect_timeout; /* ms until the server answers, all told: names, TLS, redirects */
        uint64_t stall_timeout;   /* s with next to no data */
        uint64_t total_timeout;   /* ms */
        char url[FETCH_URL_MAX];
        char proxy[FETCH_URL_MAX]; /* "": none */
} FetchRequest;

/* What an outcome is good for. */
typedef enum FetchRemedy {
        FETCH_NO_REMEDY, /* it will not get better soon: the next source */
        FETCH_AGAIN,     /* it may well work in a moment, from where it stopped */
        FETCH_AFRESH,    /* what there is cannot be continued: again, from the beginning */
} FetchRemedy;

/* How a download ended: a name, the words that follow a source's name in a message, and what helps.
 * FETCH_STATUS depends on the status. */
#define FETCH_OUTCOMES(X)                                                                                   \
        X(FETCH_OK, "was downloaded", FETCH_NO_REMEDY)                                                      \
        X(FETCH_BAD_URL, "is not an http or https URL", FETCH_NO_REMEDY)                                    \
        X(FETCH_RESOLVE, "its name cannot be resolved", FETCH_NO_REMEDY)                                    \
        X(FETCH_PROXY, "the proxy cannot be used", FETCH_NO_REMEDY)                                         \
        X(FETCH_CONNECT, "cannot be connected to", FETCH_NO_REMEDY)                                         \
        X(FETCH_SILENT, "does not answer in time", FETCH_NO_REMEDY)                                         \
        X(FETCH_TLS, "its certificate cannot be trusted, or TLS failed", FETCH_NO_REMEDY)                   \
        X(FETCH_STATUS, "the server refused it with HTTP status", FETCH_NO_REMEDY)                          \
        X(FETCH_PROTOCOL, "the server does not speak HTTP properly", FETCH_NO_REMEDY)                       \
        X(FETCH_ENCODED, "the server compresses it, which it was asked not to", FETCH_NO_REMEDY)            \
        X(FETCH_RANGE, "the server sends another part of it than it was asked for", FETCH_AFRESH)           \
        X(FETCH_TRUNCATED, "the download was cut short", FETCH_AGAIN)                                       \
        X(FETCH_STALLED, "the download stalled", FETCH_AGAIN)                                               \
        X(FETCH_REDIRECT, "redirects to something that is neither http nor https", FETCH_NO_REMEDY)         \
        X(FETCH_LOOP, "redirects too often", FETCH_NO_REMEDY)                                               \
        X(FETCH_TOO_LARGE, "is larger than any root binary", FETCH_NO_REMEDY)                               \
        X(FETCH_TIMEOUT, "took too long", FETCH_NO_REMEDY)                                                  \
        X(FETCH_NO_SPACE, "there is no space left for the download", FETCH_NO_REMEDY)                       \
        X(FETCH_WRITE, "the download cannot be written", FETCH_NO_REMEDY)                                   \
        X(FETCH_INTERNAL, "the downloader failed", FETCH_NO_REMEDY)

#define FETCH_ENUM(name, words, remedy) name,
typedef enum FetchOutcome {
        FETCH_OUTCOMES(FETCH_ENUM) FETCH_RUNNING,
        FETCH_OUTCOME_MAX = FETCH_RUNNING
} FetchOutcome;
#undef FETCH_ENUM

/* FETCH_RUNNING: progress. Anything else: the last report. */
typedef struct FetchReport {
        uint32_t outcome;
        uint32_t http_status; /* of FETCH_STATUS; else 0 */
        uint32_t retry_after; /* s, of FETCH_STATUS: when the server wants to be asked again; 0: not said */
        uint32_t start_over;  /* the server sent all of it, and what the output had before is gone */
        int64_t done, total;  /* bytes in the output; total -1: not known */
} FetchReport;
