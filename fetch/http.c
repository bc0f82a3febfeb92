#include "http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "build-config.h"

#define REDIRECTS_MAX     10L
#define STALL_BYTES       1024L          /* a second, less than which is a stall */
#define PROGRESS_INTERVAL ((int64_t)100) /* ms */
#define HEADERS_MAX       (64 * KIB)     /* of all answers together; nobody needs as much */
#define RETRY_AFTER_MAX   (24 * 3600)    /* s; more is not told apart */

#define NO_FAULT          FETCH_RUNNING

typedef struct Download {
        CURL *curl;
        const FetchRequest *request;
        int output_fd;
        HttpProgress progress;
        void *userdata;
        int64_t start;       /* what is there of the attempts before */
        int64_t done, total; /* total -1: not known */
        bool start_over;
        int64_t began, reported; /* when, in ms */
        uint64_t header_bytes;
        bool answered;      /* the headers are complete, of an answer that is no redirect */
        bool accepted;      /* and what follows is what was asked for */
        FetchOutcome fault; /* what we found, where it was us who ended it */
} Download;

/* libcurl's result in our words; what is not here is our own fault. */
static const struct {
        CURLcode code;
        FetchOutcome outcome;
} outcomes[] = {
        {CURLE_OK,                        FETCH_OK       },
        { CURLE_URL_MALFORMAT,            FETCH_BAD_URL  },
        { CURLE_COULDNT_RESOLVE_PROXY,    FETCH_PROXY    },
        { CURLE_PROXY,                    FETCH_PROXY    },
        { CURLE_COULDNT_RESOLVE_HOST,     FETCH_RESOLVE  },
        { CURLE_COULDNT_CONNECT,          FETCH_CONNECT  },
        { CURLE_WEIRD_SERVER_REPLY,       FETCH_PROTOCOL },
        { CURLE_BAD_CONTENT_ENCODING,     FETCH_PROTOCOL },
        { CURLE_GOT_NOTHING,              FETCH_TRUNCATED},
        { CURLE_PARTIAL_FILE,             FETCH_TRUNCATED},
        { CURLE_RECV_ERROR,               FETCH_TRUNCATED},
        { CURLE_SEND_ERROR,               FETCH_TRUNCATED},
        { CURLE_TOO_MANY_REDIRECTS,       FETCH_LOOP     },
        { CURLE_FILESIZE_EXCEEDED,        FETCH_TOO_LARGE},
        { CURLE_SSL_CONNECT_ERROR,        FETCH_TLS      },
        { CURLE_PEER_FAILED_VERIFICATION, FETCH_TLS      },
        { CURLE_SSL_CACERT_BADFILE,       FETCH_TLS      },
        { CURLE_SSL_CERTPROBLEM,          FETCH_TLS      },
        { CURLE_SSL_ISSUER_ERROR,         FETCH_TLS      },
};

static int64_t now_ms(void)
{
        return (int64_t)(now_usec(CLOCK_MONOTONIC) / USEC_PER_MSEC);
}

static FetchReport report_of(const Download *d, FetchOutcome outcome)
{
        return (FetchReport){
                .outcome = outcome, .start_over = d->start_over, .done = d->done, .total = d->total
        };
}

static long status_of(const Download *d)
{
        long status = 0;

        curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* Ends the download: what a callback returns is then not the size it was given. */
static size_t give_up(Download *d, FetchOutcome fault)
{
        d->fault = fault;
        return CURL_WRITEFUNC_ERROR;
}

/* ---- Is it what was asked for? ---- */

/* Of the last answer; NULL: it has none. */
static const char *header(const Download *d, const char *name)
{
        struct curl_header *h;

        return curl_easy_header(d->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

/* Digits, and *text behind them. -1: there are none, or too many. */
static int64_t read_number(const char **text)
{
        int64_t number = 0;

        if (!isdigit((unsigned char)**text))
                return -1;
        for (; isdigit((unsigned char)**text); (*text)++)
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, **text - '0', &number))
                        return -1;
        return number;
}

/* "bytes FIRST-LAST/TOTAL" with the last byte there is: RFC 9110, section 14.4. TOTAL may be "*". */
static bool is_the_rest(const char *text, int64_t first)
{
        static const char unit[] = "bytes ";
        int64_t last, total;

        if (!text || strncasecmp(text, unit, strlen(unit)) != 0)
                return false;
        text += strlen(unit);
        if (read_number(&text) != first || *text++ != '-')
                return false;
        last = read_number(&text);
        if (last < first || *text++ != '/')
                return false;
        if (streq(text, "*"))
                return true;
        total = read_number(&text);
        return *text == '\0' && total - 1 == last;
}

/* What goes with 416, where there is nothing after the part that is there: it is all of the file. */
static bool is_whole(const char *text, int64_t size)
{
        static const char unsatisfied[] = "bytes */";

        if (!text || strncasecmp(text, unsatisfied, strlen(unsatisfied)) != 0)
                return false;
        text += strlen(unsatisfied);
        return read_number(&text) == size && *text == '\0';
}

static bool is_encoded(const Download *d)
{
        const char *encoding = header(d, "Content-Encoding");

        return encoding && strcasecmp(encoding, "identity") != 0;
}

/* A server need not know ranges: then all of it comes. */
static FetchOutcome begin_anew(Download *d)
{
        if (d->start == 0)
                return NO_FAULT;
        if (ftruncate(d->output_fd, 0) < 0)
                return FETCH_WRITE;
        d->start = d->done = 0;
        d->start_over = true;
        return NO_FAULT;
}

/* What follows these headers may go to the output, or why not. */
static FetchOutcome judge(Download *d, long status)
{
        const char *range = header(d, "Content-Range");

        if (status == 416 && d->start > 0)
                return is_whole(range, d->start) ? FETCH_OK : FETCH_RANGE;
        if (status != 200 && status != 206)
                return FETCH_STATUS;
        if (is_encoded(d))
                return FETCH_ENCODED;
        if (status == 200)
                return begin_anew(d);
        return is_the_rest(range, d->start) ? NO_FAULT : FETCH_RANGE;
}

/* Called for each line. An empty one ends the headers; of the answers before the last there is nothing to
 * be said, and behind a body there may be more. */
static size_t on_header(char *line, size_t one, size_t size, void *userdata)
{
        Download *d = userdata;
        long status = status_of(d);
        FetchOutcome fault;

        d->header_bytes += size;
        if (d->header_bytes > HEADERS_MAX)
                return give_up(d, FETCH_PROTOCOL);
        if (d->answered || (line[0] != '\r' && line[0] != '\n') || status / 100 == 1 ||
            (status / 100 == 3 && header(d, "Location")))
                return size;
        d->answered = true;
        fault = judge(d, status);
        if (fault != NO_FAULT)
                return give_up(d, fault);
        d->accepted = true;
        return size;
}

/* ---- The body ---- */

static FetchOutcome write_fault(int error)
{
        if (error == ENOSPC || error == EDQUOT)
                return FETCH_NO_SPACE;
        return error == EFBIG ? FETCH_TOO_LARGE : FETCH_WRITE;
}

static size_t on_data(char *data, size_t one, size_t size, void *userdata)
{
        Download *d = userdata;

        if (!d->accepted)
                return give_up(d, FETCH_PROTOCOL);
        if ((uint64_t)d->done + size > d->request->size_max)
                return give_up(d, FETCH_TOO_LARGE);
        for (size_t written = 0; written < size;) {
                ssize_t n = pwrite(d->output_fd, data + written, size - written, d->done);

                if (n < 0)
                        return give_up(d, write_fault(errno));
                written += (size_t)n;
                d->done += n;
        }
        return size;
}

/* libcurl bounds each connection; this bounds all of them together, and the silence after them. */
static bool is_silent(const Download *d, int64_t time)
{
        return !d->answered && (uint64_t)(time - d->began) >= d->request->connect_timeout;
}

static int on_progress(void *userdata, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
        Download *d = userdata;
        int64_t time = now_ms();
        FetchReport report;

        if (is_silent(d, time)) {
                d->fault = FETCH_SILENT;
                return 1;
        }
        d->total = total > 0 && d->accepted ? d->start + total : -1;
        if (!d->accepted || time - d->reported < PROGRESS_INTERVAL)
                return 0;
        d->reported = time;
        report = report_of(d, FETCH_RUNNING);
        return d->progress(&report, d->userdata) < 0;
}

/* ---- Setting it up ---- */

/* One file needs no more than HTTP/1.1. A thread that still asks a name server which is silent is not waited
 * for. */
static int set_numbers(const Download *d)
{
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                {CURLOPT_FOLLOWLOCATION,            1                                },
                { CURLOPT_MAXREDIRS,                REDIRECTS_MAX                    },
                { CURLOPT_HTTP_VERSION,             CURL_HTTP_VERSION_1_1            },
                { CURLOPT_HTTP09_ALLOWED,           0                                },
                { CURLOPT_SUPPRESS_CONNECT_HEADERS, 1                                },
                { CURLOPT_NETRC,                    CURL_NETRC_IGNORED               },
                { CURLOPT_NOSIGNAL,                 1                                },
                { CURLOPT_QUICK_EXIT,               1                                },
                { CURLOPT_NOPROGRESS,               0                                },
                { CURLOPT_SSL_VERIFYPEER,           1                                },
                { CURLOPT_SSL_VERIFYHOST,           2                                },
                { CURLOPT_CONNECTTIMEOUT_MS,        (long)d->request->connect_timeout},
                { CURLOPT_TIMEOUT_MS,               (long)d->request->total_timeout  },
                { CURLOPT_LOW_SPEED_LIMIT,          STALL_BYTES                      },
                { CURLOPT_LOW_SPEED_TIME,           (long)d->request->stall_timeout  },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (curl_easy_setopt(d->curl, numbers[i].option, numbers[i].value) != CURLE_OK)
                        return -EINVAL;
        if (curl_easy_setopt(d->curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)d->request->size_max) !=
            CURLE_OK)
                return -EINVAL;
        return 0;
}

/* An empty proxy and an empty list of exceptions: what the environment says does not count. The range by
 * its own name, not as libcurl's resume, which has other ideas of what a server may answer. */
static int set_strings(const Download *d)
{
        char range[32];
        const struct {
                CURLoption option;
                const char *value;
        } strings[] = {
                {CURLOPT_URL,                  d->request->url            },
                { CURLOPT_PROXY,               d->request->proxy          },
                { CURLOPT_NOPROXY,             ""                         },
                { CURLOPT_PROTOCOLS_STR,       "http,https"               },
                { CURLOPT_REDIR_PROTOCOLS_STR, "http,https"               },
                { CURLOPT_USERAGENT,           "nsrootd/" NSROOT_VERSION  },
                { CURLOPT_RANGE,               d->start > 0 ? range : NULL},
        };

        snprintf(range, sizeof(range), "%lld-", (long long)d->start);
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if (curl_easy_setopt(d->curl, strings[i].option, strings[i].value) != CURLE_OK)
                        return -EINVAL;
        return 0;
}

/* *headers is the caller's, for as long as the download goes on. */
static int set_headers(const Download *d, struct curl_slist **headers)
{
        *headers = curl_slist_append(NULL, "Accept-Encoding: identity");
        if (!*headers || curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, *headers) != CURLE_OK)
                return -ENOMEM;
        return 0;
}

static int set_callbacks(Download *d)
{
        if (curl_easy_setopt(d->curl, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_HEADERDATA, d) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_XFERINFODATA, d) != CURLE_OK)
                return -EINVAL;
        return 0;
}

/* ---- How it ended ---- */

/* One result for a scheme in the URL, one in a redirect, and an answer that is not in HTTP/1 or later. */
static FetchOutcome unsupported(const Download *d)
{
        long connections = 0;

        curl_easy_getinfo(d->curl, CURLINFO_NUM_CONNECTS, &connections);
        if (status_of(d) / 100 == 3)
                return FETCH_REDIRECT;
        return connections > 0 ? FETCH_PROTOCOL : FETCH_BAD_URL;
}

/* One result for all of libcurl's own clocks. */
static FetchOutcome timed_out(const Download *d)
{
        if ((uint64_t)(now_ms() - d->began) >= d->request->total_timeout)
                return FETCH_TIMEOUT;
        return d->answered ? FETCH_STALLED : FETCH_SILENT;
}

/* That it does not listen, or will have no tunnel, is told like a failure of the server's. */
static bool is_the_proxy(const Download *d, CURLcode code)
{
        long tunnel = 0;

        curl_easy_getinfo(d->curl, CURLINFO_HTTP_CONNECTCODE, &tunnel);
        return d->request->proxy[0] != '\0' &&
               (code == CURLE_COULDNT_CONNECT || (tunnel != 0 && tunnel / 100 != 2));
}

static FetchOutcome outcome_of(const Download *d, CURLcode code)
{
        if (d->fault != NO_FAULT)
                return d->fault;
        if (code == CURLE_UNSUPPORTED_PROTOCOL)
                return unsupported(d);
        if (code == CURLE_OPERATION_TIMEDOUT)
                return timed_out(d);
        if (is_the_proxy(d, code))
                return FETCH_PROXY;
        if (code == CURLE_OK && !d->accepted)
                return FETCH_PROTOCOL;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
                if (outcomes[i].code == code)
                        return outcomes[i].outcome;
        return FETCH_INTERNAL;
}

static void add_status(const Download *d, FetchReport *report)
{
        curl_off_t after = 0;
        long status = status_of(d);

        curl_easy_getinfo(d->curl, CURLINFO_RETRY_AFTER, &after);
        report->http_status = status > 0 && status <= 999 ? (uint32_t)status : 999;
        report->retry_after = (uint32_t)MIN(MAX(after, (curl_off_t)0), (curl_off_t)RETRY_AFTER_MAX);
}

static FetchReport perform(Download *d)
{
        FetchOutcome outcome = outcome_of(d, curl_easy_perform(d->curl));
        FetchReport report = report_of(d, outcome);

        if (outcome == FETCH_STATUS)
                add_status(d, &report);
        return report;
}

FetchReport http_download(const FetchRequest *request, int output_fd, HttpProgress progress, void *userdata)
{
        FetchReport report = { .outcome = FETCH_INTERNAL, .total = -1 };
        struct curl_slist *headers = NULL;
        Download d = { .request = request,
                       .output_fd = output_fd,
                       .progress = progress,
                       .userdata = userdata,
                       .start = (int64_t)request->offset,
                       .done = (int64_t)request->offset,
                       .total = -1,
                       .began = now_ms(),
                       .fault = NO_FAULT };

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return report;
        d.curl = curl_easy_init();
        if (d.curl && set_numbers(&d) >= 0 && set_strings(&d) >= 0 && set_headers(&d, &headers) >= 0 &&
            set_callbacks(&d) >= 0)
                report = perform(&d);
        curl_easy_cleanup(d.curl);
        curl_slist_free_all(headers);
        curl_global_cleanup();
        return report;
}
