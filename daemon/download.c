#include "download.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "log.h"

#define LOCK_RETRY   (50 * USEC_PER_MSEC)
#define LOCK_TIMEOUT (2 * USEC_PER_SEC) /* a downloader ends with its daemon, but not at once */
#define PAUSE_FIRST  (500 * USEC_PER_MSEC)
#define PAUSE_MAX    (30 * USEC_PER_SEC)
#define REASON_MAX   256

struct Download {
        sd_event_source *turn; /* runs next, once, at its time */
        void (*next)(Download *d);
        sd_event *event;
        DownloadJob job;
        DownloadHandlers handlers;
        void *userdata;
        uint64_t began; /* CLOCK_MONOTONIC */
        uint64_t pause; /* before the next attempt, should there be one */
        uint64_t attempts;
        Fetcher *fetcher;
        int fd;
        bool has_name; /* below the state directory: what has come stays */
        bool is_pieced;
};

static uint64_t elapsed(const Download *d)
{
        return now_usec(CLOCK_MONOTONIC) - d->began;
}

static uint64_t time_left(const Download *d)
{
        uint64_t so_far = elapsed(d), all = d->job.limits.total_timeout_usec;

        return all > so_far ? all - so_far : 1;
}

static int go_on(Download *d, void (*next)(Download *d), uint64_t delay_usec)
{
        int r = sd_event_source_set_time_relative(d->turn, delay_usec);

        d->next = next;
        return r < 0 ? r : sd_event_source_set_enabled(d->turn, SD_EVENT_ONESHOT);
}

/* d may be gone afterwards. */
static void finish(Download *d, int r, const char *reason, int64_t size)
{
        d->handlers.finished(r, reason, size, d->userdata);
}

static int forget(Download *d)
{
        return TAKE_GENERIC(d->has_name, false) ? store_partial_remove(d->job.store, d->job.digest) : 0;
}

static int size_of(const Download *d, uint64_t *ret)
{
        struct stat st;

        if (fstat(d->fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.st_size;
        return 0;
}

/* ---- After an attempt ---- */

static void attempt(Download *d);

static void give_up(Download *d, const FetchReport *last)
{
        char reason[REASON_MAX], status[16] = "", times[48] = "";

        if (last->outcome == FETCH_STATUS)
                snprintf(status, sizeof(status), " %u", last->http_status);
        if (d->attempts > 1)
                snprintf(times, sizeof(times), ", at the last of %llu attempts",
                         (unsigned long long)d->attempts);
        snprintf(reason, sizeof(reason), "%s%s%s", fetch_outcome_text(last->outcome), status, times);
        finish(d, -EREMOTEIO, reason, last->total);
}

/* Twice as long each time; what a server asks for counts if it is more. */
static uint64_t next_pause(Download *d, const FetchReport *last)
{
        uint64_t pause = d->pause;

        d->pause = MIN(2 * pause, PAUSE_MAX);
        return MAX(pause, last->retry_after * USEC_PER_SEC);
}

/* Who has to wait longer than anyone likes is better off with the next source. */
static void try_again(Download *d, const FetchReport *last)
{
        uint64_t pause = next_pause(d, last);
        int r;

        if (d->attempts >= d->job.limits.attempts || pause > PAUSE_MAX || pause >= time_left(d)) {
                give_up(d, last);
                return;
        }
        log_debug("%s: %s; tried again in %llu ms", d->job.url, fetch_outcome_text(last->outcome),
                  (unsigned long long)(pause / USEC_PER_MSEC));
        r = go_on(d, attempt, pause);
        if (r < 0)
                finish(d, r, NULL, last->total);
}

/* What is there is no beginning of what the source has. */
static int empty(Download *d)
{
        d->is_pieced = false;
        return ftruncate(d->fd, 0) < 0 ? -errno : 0;
}

/* A server that cannot even send the whole will not learn it. */
static FetchRemedy remedy_of(const Download *d, const FetchReport *last)
{
        FetchRemedy remedy = fetch_remedy(last);

        return remedy == FETCH_AFRESH && !d->is_pieced ? FETCH_NO_REMEDY : remedy;
}

static void on_fetched(const FetchReport *report, void *userdata)
{
        Download *d = userdata;
        FetchReport last = *report;
        FetchRemedy remedy = remedy_of(d, &last);
        int r = 0;

        d->fetcher = fetcher_free(d->fetcher);
        if (last.start_over)
                d->is_pieced = false;
        if (remedy == FETCH_AFRESH || last.outcome == FETCH_TOO_LARGE || last.outcome == FETCH_NO_SPACE)
                r = empty(d);
        if (last.outcome == FETCH_NO_SPACE)
                r = -ENOSPC;
        if (r < 0 || last.outcome == FETCH_OK)
                finish(d, r, NULL, last.total);
        else if (remedy == FETCH_NO_REMEDY)
                give_up(d, &last);
        else
                try_again(d, &last);
}

static void on_progress(int64_t done, int64_t total, void *userdata)
{
        Download *d = userdata;

        d->handlers.progress(done, total, d->userdata);
}

/* ---- An attempt ---- */

static int start_fetcher(Download *d, uint64_t offset)
{
        static const FetchHandlers handlers = { on_progress, on_fetched };
        const DownloadLimits *limits = &d->job.limits;
        FetchJob job = {
                .program = d->job.program,
                .url = d->job.url,
                .proxy = d->job.proxy,
                .connect_timeout_usec = limits->connect_timeout_usec,
                .stall_timeout_usec = limits->stall_timeout_usec,
                .total_timeout_usec = time_left(d),
                .size_max = d->job.size_max,
                .offset = offset,
                .output_fd = d->fd,
                .uid = d->job.uid,
                .gid = d->job.gid,
        };

        return fetcher_start(d->event, &job, &handlers, d, &d->fetcher);
}

static void attempt(Download *d)
{
        char reason[REASON_MAX];
        uint64_t offset = 0;
        int r = size_of(d, &offset);

        if (r >= 0 && offset >= d->job.size_max) {
                offset = 0;
                r = empty(d);
        }
        if (r < 0) {
                finish(d, r, NULL, -1);
                return;
        }
        d->attempts++;
        d->is_pieced = offset > 0;
        r = start_fetcher(d, offset);
        if (r >= 0)
                return;
        snprintf(reason, sizeof(reason), "nsroot-fetch cannot be started: %s", errno_text(r));
        finish(d, -EREMOTEIO, reason, -1);
}

/* Somebody else may be at it: the downloader of a daemon that was killed, for a moment; another root that
 * wants the same file, for longer. Then there is nothing to take up, and nothing is kept; and so without a
 * digest that it could be found by. */
static void open_file(Download *d)
{
        const char *digest = d->job.digest;
        int r;

        d->fd = digest ? store_partial_open(d->job.store, digest) : unnamed_file(d->job.store->roots_fd);
        d->has_name = digest && d->fd >= 0;
        if (d->fd == -EBUSY && elapsed(d) < LOCK_TIMEOUT) {
                r = go_on(d, open_file, LOCK_RETRY);
                if (r < 0)
                        finish(d, r, NULL, -1);
                return;
        }
        if (d->fd == -EBUSY)
                d->fd = unnamed_file(d->job.store->roots_fd);
        if (d->fd < 0)
                finish(d, d->fd, NULL, -1);
        else
                attempt(d);
}

static int on_turn(sd_event_source *s, uint64_t usec, void *userdata)
{
        Download *d = userdata;

        d->next(d);
        return 0;
}

int download_start(sd_event *event, const DownloadJob *job, const DownloadHandlers *handlers, void *userdata,
                   Download **ret)
{
        _cleanup_(download_freep) Download *d = malloc(sizeof(Download));
        int r;

        if (!d)
                return -ENOMEM;
        *d = (Download){ .event = sd_event_ref(event),
                         .job = *job,
                         .handlers = *handlers,
                         .userdata = userdata,
                         .began = now_usec(CLOCK_MONOTONIC),
                         .pause = PAUSE_FIRST,
                         .fd = -EBADF };
        r = sd_event_add_time_relative(event, &d->turn, CLOCK_MONOTONIC, 0, 1, on_turn, d);
        if (r >= 0)
                r = go_on(d, open_file, 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

/* A name with nothing behind it is of no use to anyone. */
Download *download_free(Download *d)
{
        uint64_t size;

        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->turn);
        fetcher_free(d->fetcher);
        if (d->has_name && size_of(d, &size) >= 0 && size == 0)
                (void)forget(d);
        close_fd(d->fd);
        sd_event_unref(d->event);
        free(d);
        return NULL;
}

int download_fd(const Download *d)
{
        return d->fd;
}

bool download_is_pieced(const Download *d)
{
        return d->is_pieced;
}

int download_take(Download *d)
{
        (void)forget(d); /* what is left is found and collected */
        return TAKE_FD(d->fd);
}
