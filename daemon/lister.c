#include "lister.h"

#include <fcntl.h>
#include <unistd.h>

#include "helper.h"
#include "log.h"

#define ANSWER_TIMEOUT (10 * USEC_PER_SEC)

/* The newer way to ask, with the directory of each applet, and the older one. */
static const char *const questions[] = { "--list-full", "--list" };

struct Lister {
        sd_event *event;
        sd_event_source *output, *end, *deadline;
        ListerFinished finished;
        void *userdata;
        int binary_fd;
        uid_t uid;
        gid_t gid;
        size_t question;
        int pidfd, pipe_fd;
        char text[APPLETS_TEXT];
        size_t length;
};

static void stop(Lister *l)
{
        l->output = sd_event_source_disable_unref(l->output);
        l->end = sd_event_source_disable_unref(l->end);
        l->deadline = sd_event_source_disable_unref(l->deadline);
        l->pipe_fd = close_fd(l->pipe_fd);
        l->pidfd = helper_kill(l->pidfd);
}

static int ask(Lister *l);

static void finish(Lister *l, int r, Applets *applets, const char *reason)
{
        stop(l);
        l->finished(r, applets, reason, l->userdata);
}

static void judge(Lister *l, int status)
{
        const char *reason = "cannot list its applets";
        Applets applets = {};
        int r;

        stop(l);
        r = status == 0 ? applets_parse(l->text, l->length, &applets, &reason) : -EBADMSG;
        if (r == -EBADMSG && ++l->question < ELEMENTSOF(questions)) {
                r = ask(l);
                if (r >= 0)
                        return;
        }
        finish(l, r == -EBADMSG ? -ENOEXEC : r, &applets, reason);
}

/* 1: there may be more; 0: that was all. */
static int read_some(Lister *l)
{
        ssize_t n = read(l->pipe_fd, l->text + l->length, sizeof(l->text) - l->length);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 1 : -errno;
        l->length += (size_t)n;
        if (l->length == sizeof(l->text))
                return -E2BIG;
        return n > 0;
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Lister *l = userdata;
        int r = read_some(l);

        if (r < 0)
                finish(l, -ENOEXEC, NULL, "lists too many applets");
        else if (r == 0)
                l->output = sd_event_source_disable_unref(l->output);
        return 0;
}

/* The end may be seen before the last of the output; both are here by now. */
static int on_end(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Lister *l = userdata;
        int status, r;

        l->end = sd_event_source_disable_unref(l->end);
        r = helper_wait(l->pidfd, &status);
        l->pidfd = close_fd(l->pidfd);
        while (r >= 0 && l->output)
                if (read_some(l) <= 0)
                        break;
        if (r < 0)
                finish(l, r, NULL, NULL);
        else
                judge(l, status);
        return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
        finish(userdata, -ENOEXEC, NULL, "does not say in time which applets it has");
        return 0;
}

static int start_process(Lister *l, int write_end)
{
        _cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        const char *const argv[] = { "busybox", questions[l->question], NULL };
        const char *step;
        int r;
        HelperSpec spec = {
                .program_fd = l->binary_fd,
                .argv = argv,
                .fds = {null_fd,               write_end,              null_fd},
                .uid = l->uid,
                .gid = l->gid,
                .limits = { { RLIMIT_CORE, 0 },
                        { RLIMIT_FSIZE, 0 },
                        { RLIMIT_NOFILE, 16 },
                        { RLIMIT_CPU, ANSWER_TIMEOUT / USEC_PER_SEC },
                        { RLIMIT_AS, 256 * MIB } },
                .n_limits = 5,
        };

        if (null_fd < 0)
                return -errno;
        r = helper_start(&spec, &l->pidfd, &step);
        if (r < 0)
                log_bounded(LOG_WARNING, NULL, "Running a busybox to list its applets failed at: %s: %s",
                            step, errno_text(r));
        return r;
}

static int watch(Lister *l)
{
        int r;

        r = sd_event_add_io(l->event, &l->output, l->pipe_fd, EPOLLIN, on_output, l);
        if (r >= 0)
                r = sd_event_add_io(l->event, &l->end, l->pidfd, EPOLLIN, on_end, l);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->deadline, CLOCK_MONOTONIC, ANSWER_TIMEOUT, 0,
                                               on_deadline, l);
        return r;
}

static int ask(Lister *l)
{
        _cleanup_close_ int write_end = -EBADF;
        int pipe_fds[2], r;

        l->length = 0;
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        l->pipe_fd = pipe_fds[0];
        write_end = pipe_fds[1];
        if (fcntl(l->pipe_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = start_process(l, write_end);
        return r < 0 ? r : watch(l);
}

int lister_start(sd_event *event, int binary_fd, uid_t uid, gid_t gid, ListerFinished finished,
                 void *userdata, Lister **ret)
{
        _cleanup_(lister_freep) Lister *l = malloc(sizeof(Lister));
        int r;

        if (!l)
                return -ENOMEM;
        *l = (Lister){ .event = sd_event_ref(event),
                       .finished = finished,
                       .userdata = userdata,
                       .binary_fd = binary_fd,
                       .uid = uid,
                       .gid = gid,
                       .pidfd = -EBADF,
                       .pipe_fd = -EBADF };
        r = ask(l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

Lister *lister_free(Lister *l)
{
        if (!l)
                return NULL;
        stop(l);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}
