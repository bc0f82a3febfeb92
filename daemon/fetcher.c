#include "fetcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"
#include "log.h"

#define TIMEOUT_GRACE     (10 * USEC_PER_SEC) /* for the process to keep its own time limits */
#define PROGRESS_INTERVAL (100 * USEC_PER_MSEC)

/* What a name needs to be resolved and a certificate to be checked with. */
static const char *const view[] = {
        "/usr",
        "/lib",
        "/lib32",
        "/lib64",
        "/etc",
        "/run/systemd/resolve",
        "/run/resolvconf",
        "/run/NetworkManager",
        "/run/nscd",
        NULL,
};

struct Fetcher {
        sd_event_source *control, *end, *deadline;
        FetchHandlers handlers;
        void *userdata;
        int control_fd, pidfd;
        int64_t size_max, offset;
        uint64_t last_progress; /* CLOCK_MONOTONIC */
        FetchReport last;
};

const char *fetch_outcome_text(FetchOutcome outcome)
{
#define FETCH_WORDS(name, words, remedy) words,
        static const char *const text[] = { FETCH_OUTCOMES(FETCH_WORDS) };
#undef FETCH_WORDS

        return outcome < ELEMENTSOF(text) ? text[outcome] : text[FETCH_INTERNAL];
}

/* A server that is overloaded, or is asked too often, says so; 408 is one that was impatient. */
static FetchRemedy status_remedy(uint32_t status)
{
        return status == 408 || status == 429 || status / 100 == 5 ? FETCH_AGAIN : FETCH_NO_REMEDY;
}

FetchRemedy fetch_remedy(const FetchReport *last)
{
#define FETCH_REMEDY(name, words, remedy) remedy,
        static const FetchRemedy remedies[] = { FETCH_OUTCOMES(FETCH_REMEDY) };
#undef FETCH_REMEDY

        if (last->outcome == FETCH_STATUS)
                return status_remedy(last->http_status);
        return last->outcome < ELEMENTSOF(remedies) ? remedies[last->outcome] : FETCH_NO_REMEDY;
}

/* The process may say anything; what cannot be true ends it. */
static bool is_plausible(const Fetcher *f, const FetchReport *r)
{
        if (r->outcome > FETCH_OUTCOME_MAX || r->http_status > 999 || r->start_over > 1)
                return false;
        if (r->done < (r->start_over ? 0 : f->offset) || r->done > f->size_max || r->total < -1)
                return false;
        return (r->outcome == FETCH_STATUS) == (r->http_status != 0);
}

/* The outcome is known, or never will be: what is left is the process's end. */
static void conclude(Fetcher *f, FetchReport last)
{
        f->last = last;
        f->control = sd_event_source_disable_unref(f->control);
        f->control_fd = close_fd(f->control_fd);
        helper_signal_end(f->pidfd);
}

static void report_progress(Fetcher *f, const FetchReport *report)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (now - f->last_progress < PROGRESS_INTERVAL)
                return;
        f->last_progress = now;
        f->handlers.progress(report->done, report->total, f->userdata);
}

/* 1: one was read; 0: none is there now, or there will be no more. */
static int read_report(Fetcher *f, FetchReport *ret)
{
        ssize_t n = recv(f->control_fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n == sizeof(*ret) && is_plausible(f, ret))
                return 1;
        if (n > 0)
                log_bounded(LOG_WARNING, NULL, "nsroot-fetch said what cannot be true: it is ended");
        conclude(f, (FetchReport){ .outcome = FETCH_INTERNAL });
        return 0;
}

static int on_control(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Fetcher *f = userdata;
        FetchReport report;

        if (read_report(f, &report) == 0)
                return 0;
        if (report.outcome == FETCH_RUNNING)
                report_progress(f, &report);
        else
                conclude(f, report);
        return 0;
}

/* It may have ended right after its last words, which are then still to be read. */
static int on_end(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Fetcher *f = userdata;
        FetchReport report;

        while (f->control && read_report(f, &report) > 0)
                if (report.outcome != FETCH_RUNNING)
                        conclude(f, report);
        f->end = sd_event_source_disable_unref(f->end);
        f->deadline = sd_event_source_disable_unref(f->deadline);
        f->pidfd = helper_kill(f->pidfd);
        f->handlers.finished(&f->last, f->userdata);
        return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
        conclude(userdata, (FetchReport){ .outcome = FETCH_TIMEOUT });
        return 0;
}

static int start_process(Fetcher *f, const FetchJob *job, int control)
{
        _cleanup_close_ int program_fd = open(job->program, O_PATH | O_CLOEXEC);
        _cleanup_close_ int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        static const char *const argv[] = { "nsroot-fetch", NULL };
        const char *step;
        int r;
        HelperSpec spec = {
                .program_fd = program_fd,
                .argv = argv,
                .fds = {[FETCH_FD_CONTROL] = control, [FETCH_FD_OUTPUT] = job->output_fd, [2] = null_fd        },
                .uid = job->uid,
                .gid = job->gid,
                .network = true,
                .view = view,
                .limits = { { RLIMIT_CORE, 0 },          { RLIMIT_FSIZE, job->size_max },    { RLIMIT_NOFILE, 64 }},
                .n_limits = 3,
        };

        if (program_fd < 0 || null_fd < 0)
                return -errno;
        r = helper_start(&spec, &f->pidfd, &step);
        if (r < 0)
                log_bounded(LOG_WARNING, NULL, "Starting %s failed at: %s: %s", job->program, step,
                            errno_text(r));
        return r;
}

/* Rounded up: 0 would mean that there is no limit. The bound is what the C library takes in either unit. */
static uint64_t units(uint64_t usec, uint64_t unit)
{
        return MIN(MAX((usec / unit) + (usec % unit != 0), (uint64_t)1), (uint64_t)INT32_MAX);
}

static int send_request(Fetcher *f, const FetchJob *job)
{
        FetchRequest request = {
                .size_max = job->size_max,
                .offset = job->offset,
                .connect_timeout = units(job->connect_timeout_usec, USEC_PER_MSEC),
                .stall_timeout = units(job->stall_timeout_usec, USEC_PER_SEC),
                .total_timeout = units(job->total_timeout_usec, USEC_PER_MSEC),
        };

        if (strlen(job->url) >= sizeof(request.url) ||
            (job->proxy && strlen(job->proxy) >= sizeof(request.proxy)))
                return -ENAMETOOLONG;
        strcpy(request.url, job->url);
        strcpy(request.proxy, job->proxy ? job->proxy : "");
        return send(f->control_fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int watch(Fetcher *f, sd_event *event, uint64_t total_usec)
{
        int r;

        r = sd_event_add_io(event, &f->control, f->control_fd, EPOLLIN, on_control, f);
        if (r >= 0)
                r = sd_event_add_io(event, &f->end, f->pidfd, EPOLLIN, on_end, f);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &f->deadline, CLOCK_MONOTONIC,
                                               MIN(total_usec, USEC_INFINITY / 2) + TIMEOUT_GRACE, 0,
                                               on_deadline, f);
        return r;
}

int fetcher_start(sd_event *event, const FetchJob *job, const FetchHandlers *handlers, void *userdata,
                  Fetcher **ret)
{
        _cleanup_(fetcher_freep) Fetcher *f = malloc(sizeof(Fetcher));
        _cleanup_close_ int theirs = -EBADF;
        int pair[2], r;

        if (!f)
                return -ENOMEM;
        *f = (Fetcher){
                .handlers = *handlers,
                .userdata = userdata,
                .control_fd = -EBADF,
                .pidfd = -EBADF,
                .size_max = (int64_t)job->size_max,
                .offset = (int64_t)job->offset,
                .last = {.outcome = FETCH_INTERNAL, .done = (int64_t)job->offset, .total = -1}
        };
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        f->control_fd = pair[0];
        theirs = pair[1];
        r = send_request(f, job);
        if (r >= 0)
                r = start_process(f, job, theirs);
        if (r >= 0)
                r = watch(f, event, job->total_timeout_usec);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

Fetcher *fetcher_free(Fetcher *f)
{
        if (!f)
                return NULL;
        sd_event_source_disable_unref(f->control);
        sd_event_source_disable_unref(f->end);
        sd_event_source_disable_unref(f->deadline);
        close_fd(f->control_fd);
        helper_kill(f->pidfd);
        free(f);
        return NULL;
}
