#include "http.h"

#include <curl/curl.h>
#include <time.h>
#include <unistd.h>

#include "build-config.h"

#define REDIRECTS_MAX     10L
#define RESUMES_MAX       3
#define STALL_BYTES       1024L          /* a second, less than which is a stall */
#define PROGRESS_INTERVAL ((int64_t)100) /* ms */

typedef struct Download {
        CURL *curl;
        const FetchRequest *request;
        int output_fd;
        HttpProgress progress;
        void *userdata;
        int64_t start;       /* where this attempt began: what is there of the attempts before */
        int64_t done, total; /* total -1: not known */
        int64_t reported;    /* when, in ms */
        int write_error;     /* a positive errno */
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
        { CURLE_HTTP_RETURNED_ERROR,      FETCH_STATUS   },
        { CURLE_WEIRD_SERVER_REPLY,       FETCH_PROTOCOL },
        { CURLE_GOT_NOTHING,              FETCH_PROTOCOL },
        { CURLE_BAD_CONTENT_ENCODING,     FETCH_PROTOCOL },
        { CURLE_HTTP2,                    FETCH_PROTOCOL },
        { CURLE_HTTP2_STREAM,             FETCH_PROTOCOL },
        { CURLE_PARTIAL_FILE,             FETCH_TRUNCATED},
        { CURLE_RECV_ERROR,               FETCH_TRUNCATED},
        { CURLE_SEND_ERROR,               FETCH_TRUNCATED},
        { CURLE_RANGE_ERROR,              FETCH_TRUNCATED},
        { CURLE_OPERATION_TIMEDOUT,       FETCH_TIMEOUT  },
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

static size_t on_data(char *data, size_t one, size_t size, void *userdata)
{
        Download *d = userdata;

        if ((uint64_t)d->done + size > d->request->size_max) {
                d->write_error = EFBIG;
                return CURL_WRITEFUNC_ERROR;
        }
        for (size_t written = 0; written < size;) {
                ssize_t n = pwrite(d->output_fd, data + written, size - written, d->done);

                if (n < 0) {
                        d->write_error = errno;
                        return CURL_WRITEFUNC_ERROR;
                }
                written += (size_t)n;
                d->done += n;
        }
        return size;
}

static int on_progress(void *userdata, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
        Download *d = userdata;
        int64_t time = now_ms();

        d->total = total > 0 ? d->start + total : -1;
        if (time - d->reported < PROGRESS_INTERVAL)
                return 0;
        d->reported = time;
        return d->progress(d->done, d->total, d->userdata) < 0;
}

static int set_numbers(const Download *d)
{
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                {CURLOPT_FOLLOWLOCATION,     1                                },
                { CURLOPT_MAXREDIRS,         REDIRECTS_MAX                    },
                { CURLOPT_FAILONERROR,       1                                },
                { CURLOPT_HTTP09_ALLOWED,    0                                },
                { CURLOPT_NETRC,             CURL_NETRC_IGNORED               },
                { CURLOPT_NOSIGNAL,          1                                },
                { CURLOPT_NOPROGRESS,        0                                },
                { CURLOPT_SSL_VERIFYPEER,    1                                },
                { CURLOPT_SSL_VERIFYHOST,    2                                },
                { CURLOPT_CONNECTTIMEOUT_MS, (long)d->request->connect_timeout},
                { CURLOPT_TIMEOUT_MS,        (long)d->request->total_timeout  },
                { CURLOPT_LOW_SPEED_LIMIT,   STALL_BYTES                      },
                { CURLOPT_LOW_SPEED_TIME,    (long)d->request->stall_timeout  },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (curl_easy_setopt(d->curl, numbers[i].option, numbers[i].value) != CURLE_OK)
                        return -EINVAL;
        return 0;
}

/* An empty proxy and an empty list of exceptions: what the environment says does not count. */
static int set_strings(const Download *d)
{
        const struct {
                CURLoption option;
                const char *value;
        } strings[] = {
                {CURLOPT_URL,                  d->request->url          },
                { CURLOPT_PROXY,               d->request->proxy        },
                { CURLOPT_NOPROXY,             ""                       },
                { CURLOPT_PROTOCOLS_STR,       "http,https"             },
                { CURLOPT_REDIR_PROTOCOLS_STR, "http,https"             },
                { CURLOPT_USERAGENT,           "nsrootd/" NSROOT_VERSION},
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if (curl_easy_setopt(d->curl, strings[i].option, strings[i].value) != CURLE_OK)
                        return -EINVAL;
        return 0;
}

static int set_callbacks(Download *d)
{
        if (curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_XFERINFODATA, d) != CURLE_OK)
                return -EINVAL;
        return 0;
}

/* From where the attempt before stopped. */
static int set_range(Download *d)
{
        curl_off_t left = (curl_off_t)d->request->size_max - d->done;

        d->start = d->done;
        if (curl_easy_setopt(d->curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)d->start) != CURLE_OK ||
            curl_easy_setopt(d->curl, CURLOPT_MAXFILESIZE_LARGE, left) != CURLE_OK)
                return -EINVAL;
        return 0;
}

static FetchOutcome write_outcome(int error)
{
        if (error == ENOSPC || error == EDQUOT)
                return FETCH_NO_SPACE;
        return error == EFBIG ? FETCH_TOO_LARGE : FETCH_WRITE;
}

/* One result for a scheme in the URL, one in a redirect, and an answer that is not in HTTP/1 or later. */
static FetchOutcome unsupported(const Download *d, long status)
{
        long connections = 0;

        curl_easy_getinfo(d->curl, CURLINFO_NUM_CONNECTS, &connections);
        if (status / 100 == 3)
                return FETCH_REDIRECT;
        return connections > 0 ? FETCH_PROTOCOL : FETCH_BAD_URL;
}

static FetchOutcome outcome_of(const Download *d, CURLcode code, long status)
{
        if (d->write_error != 0)
                return write_outcome(d->write_error);
        if (code == CURLE_UNSUPPORTED_PROTOCOL)
                return unsupported(d, status);
        if (code == CURLE_OK && status != 200 && status != 206)
                return FETCH_STATUS;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
                if (outcomes[i].code == code)
                        return outcomes[i].outcome;
        return FETCH_INTERNAL;
}

static FetchReport attempt(Download *d)
{
        FetchReport report = { .outcome = FETCH_INTERNAL, .total = -1 };
        CURLcode code;
        long status = 0;

        if (set_range(d) < 0)
                return report;
        code = curl_easy_perform(d->curl);
        curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
        report.outcome = outcome_of(d, code, status);
        if (report.outcome == FETCH_STATUS)
                report.http_status = status > 0 && status <= 999 ? (uint32_t)status : 999;
        report.done = d->done;
        report.total = d->total;
        return report;
}

static bool is_interrupted(const FetchReport *report)
{
        return report->outcome == FETCH_TRUNCATED && report->done > 0;
}

/* Where the rest cannot be had, what counts is how the download itself ended. */
static FetchReport download(Download *d)
{
        FetchReport first = attempt(d), last = first;

        for (int i = 0; i < RESUMES_MAX && is_interrupted(&last) && last.done > d->start; i++)
                last = attempt(d);
        if (is_interrupted(&first) && last.outcome != FETCH_OK && d->write_error == 0)
                return first;
        return last;
}

FetchReport http_download(const FetchRequest *request, int output_fd, HttpProgress progress, void *userdata)
{
        FetchReport report = { .outcome = FETCH_INTERNAL, .total = -1 };
        Download d = { .request = request,
                       .output_fd = output_fd,
                       .progress = progress,
                       .userdata = userdata,
                       .total = -1 };

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return report;
        d.curl = curl_easy_init();
        if (d.curl && set_numbers(&d) >= 0 && set_strings(&d) >= 0 && set_callbacks(&d) >= 0)
                report = download(&d);
        curl_easy_cleanup(d.curl);
        curl_global_cleanup();
        return report;
}
