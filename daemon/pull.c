#include "pull.h"

#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binary.h"
#include "busybox.h"
#include "copy.h"
#include "lister.h"
#include "log.h"
#include "protocol.h"
#include "tree.h"

#define BUILD_PREFIX    ".build-" /* of a name below roots_fd; none that begins with a dot is a root's */
#define BINARY_SIZE_MAX (64 * MIB)
#define HASH_SLICE      (4 * MIB)
#define TREE_OVERHEAD   (256 * KIB) /* what a tree takes beside the binary, about */

struct Pull {
        sd_event_source *turn; /* runs next, once, when it is enabled */
        int (*next)(Pull *p);
        sd_event *event;
        PullHandlers handlers;
        void *userdata;
        PullProgress progress;

        PullJob job; /* its root and proxy are not used: they are copied to the following */
        char *name, *proxy;
        RootSource *sources;
        size_t n_sources, current;
        char *failures; /* what came of the sources before: "SOURCE: words; SOURCE: words" */

        Download *download; /* until its file is known to be the right one */
        bool is_second;     /* the download from the beginning, after one in pieces that was wrong */
        Lister *lister;
        int file_fd; /* the unnamed file with what the current source gave */
        Digest *digest;
        uint64_t hashed;
        Applets applets;
        char build[TREE_NAME_SIZE]; /* "": none yet */
        Metadata built;
        Error error;
};

static const RootSource *current_source(const Pull *p)
{
        return &p->sources[p->current];
}

static void say(Pull *p, PullState state, int64_t done, int64_t total)
{
        p->progress = (PullProgress){ state, done, total };
        p->handlers.progress(&p->progress, p->userdata);
}

/* Lets next run in a later turn of the event loop. */
static int go_on(Pull *p, int (*next)(Pull *p))
{
        p->next = next;
        return sd_event_source_set_enabled(p->turn, SD_EVENT_ONESHOT);
}

/* The end: p may be gone afterwards. */
static void finish(Pull *p, int r)
{
        sd_event_source_set_enabled(p->turn, SD_EVENT_OFF);
        p->handlers.finished(r, &p->error, &p->built, p->build, p->userdata);
}

static int no_space(Pull *p)
{
        int64_t size = MAX(p->progress.total_bytes, p->progress.done_bytes);

        error_set(&p->error, ERROR_ROOT_NO_SPACE);
        return size < 0 ? -EREMOTEIO
                        : error_add_number(&p->error, "neededBytes", 2 * size + (int64_t)TREE_OVERHEAD);
}

static void discard_build(Pull *p)
{
        if (p->build[0] != '\0')
                (void)tree_remove(p->job.store->roots_fd,
                                  p->build); /* else the next start of the daemon does */
        p->build[0] = '\0';
}

/* A failure of this machine's, not of a source's. Whoever hears of it finds nothing half-made. */
static void fail(Pull *p, int r)
{
        discard_build(p);
        p->download = download_free(p->download);
        p->file_fd = close_fd(p->file_fd);
        if (r == -ENOSPC || r == -EDQUOT)
                r = no_space(p);
        finish(p, r);
}

static int remember_failure(Pull *p, const char *reason)
{
        _cleanup_free_ char *before = TAKE_PTR(p->failures);

        if (asprintf(&p->failures, "%s%s%s: %s", before ? before : "", before ? "; " : "",
                     current_source(p)->url, reason) < 0) {
                p->failures = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* The first source is the one an administrator wants; what came of the others is said behind it. */
static int all_failed(Pull *p)
{
        size_t first = p->n_sources ? strlen(p->sources[0].url) + strlen(": ") : 0;

        error_setf(&p->error, ERROR_ROOT_SOURCE_UNAVAILABLE, "source", "%s",
                   p->n_sources ? p->sources[0].url : p->name);
        return error_addf(&p->error, "reason", "%s",
                          p->failures ? p->failures + first : "has no source in the configuration");
}

static int try_source(Pull *p);

/* This source cannot be had: on to the next. */
static int skip_source(Pull *p, const char *reason)
{
        int r = remember_failure(p, reason);

        p->download = download_free(p->download);
        p->file_fd = close_fd(p->file_fd);
        p->is_second = false;
        p->current++;
        return r < 0 ? r : go_on(p, try_source);
}

static int bad_binary(Pull *p, const char *reason)
{
        error_setf(&p->error, ERROR_ROOT_BAD_BINARY, "source", "%s", current_source(p)->url);
        if (p->failures)
                return error_addf(&p->error, "reason", "%s (tried before: %s)", reason, p->failures);
        return error_addf(&p->error, "reason", "%s", reason);
}

static int mismatch(Pull *p, const char *expected, const char *found)
{
        error_setf(&p->error, ERROR_ROOT_DIGEST_MISMATCH, "source", "%s", current_source(p)->url);
        error_addf(&p->error, "expected", "%s", expected);
        return error_addf(&p->error, "found", "%s", found);
}

/* A downloader that was taken over may have given its file to somebody else, who writes to it after it was
 * looked at: what counts is what lies in the tree. */
static int check_copy(Pull *p, int dir_fd)
{
        char found[DIGEST_HEX_SIZE];
        int r = busybox_digest(dir_fd, found);

        if (r < 0 || streq(found, p->built.binary_digest))
                return r;
        return mismatch(p, p->built.binary_digest, found);
}

static int build(Pull *p)
{
        _cleanup_close_ int fd = -EBADF;
        uint64_t bytes;
        int r;

        r = tree_name(BUILD_PREFIX, p->build);
        if (r < 0)
                return r;
        if (mkdirat(p->job.store->roots_fd, p->build, 0700) < 0)
                return -errno;
        fd = openat(p->job.store->roots_fd, p->build, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = busybox_build(fd, p->file_fd, &p->applets);
        if (r >= 0)
                r = check_copy(p, fd);
        if (r >= 0)
                r = tree_digest(fd, p->built.digest, &bytes);
        if (r < 0)
                return r;
        p->built.size_bytes = (int64_t)bytes;
        p->built.name = strdup(p->name);
        p->built.source = strdup(current_source(p)->url);
        if (!p->built.name || !p->built.source)
                return -ENOMEM;
        finish(p, 0);
        return 0;
}

static void on_listed(int r, Applets *applets, const char *reason, void *userdata)
{
        Pull *p = userdata;

        p->lister = lister_free(p->lister);
        if (r == 0) {
                p->applets = *applets;
                r = go_on(p, build);
        } else if (r == -ENOEXEC) {
                r = bad_binary(p, reason ? reason : "cannot be run on this machine");
        }
        if (r < 0)
                fail(p, r);
}

/* Nobody may have the file open for writing when it is run. */
static int list_applets(Pull *p)
{
        int fd, r;

        say(p, PULL_UNPACKING, p->progress.done_bytes, p->progress.total_bytes);
        if (fchmod(p->file_fd, 0555) < 0)
                return -errno;
        fd = reopen_read_only(p->file_fd);
        if (fd < 0)
                return fd;
        close_fd(p->file_fd);
        p->file_fd = fd;
        r = lister_start(p->event, p->file_fd, p->job.uid, p->job.gid, on_listed, p, &p->lister);
        return r == -ENOEXEC ? bad_binary(p, "cannot be run on this machine") : r;
}

static int check_binary(Pull *p)
{
        const char *reason;
        int r = binary_check(p->file_fd, &reason);

        if (r == -ENOEXEC)
                return bad_binary(p, reason);
        return r < 0 ? r : go_on(p, list_applets);
}

static int download(Pull *p);

static int wrong_digest(Pull *p, bool is_pieced)
{
        const char *expected = current_source(p)->digest;

        p->file_fd = close_fd(p->file_fd);
        if (is_pieced && !p->is_second) {
                p->is_second = true;
                return go_on(p, download);
        }
        return mismatch(p, expected, p->built.binary_digest);
}

/* Right or wrong, from now on nobody finds it as a download that could be continued. */
static int check_digest(Pull *p)
{
        const char *expected = current_source(p)->digest;
        bool is_pieced = p->download && download_is_pieced(p->download);
        int r = digest_finish(p->digest, p->built.binary_digest);

        p->digest = digest_free(p->digest);
        if (p->download)
                p->file_fd = download_take(p->download);
        p->download = download_free(p->download);
        if (r < 0)
                return r;
        if (expected && strcasecmp(expected, p->built.binary_digest) != 0)
                return wrong_digest(p, is_pieced);
        return go_on(p, check_binary);
}

static int source_fd(const Pull *p)
{
        return p->download ? download_fd(p->download) : p->file_fd;
}

/* In slices, so that the event loop serves others in between. */
static int hash_slice(Pull *p)
{
        int r = digest_add_file(p->digest, source_fd(p), &p->hashed, HASH_SLICE);

        if (r < 0)
                return r;
        return go_on(p, r > 0 ? hash_slice : check_digest);
}

/* The file is there, and nobody writes to it any more. */
static int verify(Pull *p)
{
        struct stat st;
        int r;

        if (fstat(source_fd(p), &st) < 0)
                return -errno;
        say(p, PULL_VERIFYING, st.st_size, st.st_size);
        p->hashed = 0;
        r = digest_new(&p->digest);
        return r < 0 ? r : go_on(p, hash_slice);
}

static void on_progress(int64_t done, int64_t total, void *userdata)
{
        if (done > 0 || total >= 0) /* else it is still connecting */
                say(userdata, PULL_DOWNLOADING, done, total);
}

static void on_downloaded(int r, const char *reason, int64_t size, void *userdata)
{
        Pull *p = userdata;

        p->progress.total_bytes = size; /* what no_space() goes by */
        if (r == -EREMOTEIO)
                r = skip_source(p, reason);
        else if (r >= 0)
                r = go_on(p, verify);
        if (r < 0)
                fail(p, r);
}

static int download(Pull *p)
{
        static const DownloadHandlers handlers = { on_progress, on_downloaded };
        const RootSource *source = current_source(p);
        DownloadJob job = {
                .program = p->job.fetch_path,
                .url = source->url,
                .digest = source->digest,
                .proxy = p->proxy,
                .size_max = BINARY_SIZE_MAX,
                .limits = p->job.limits,
                .store = p->job.store,
                .uid = p->job.uid,
                .gid = p->job.gid,
        };

        say(p, PULL_CONNECTING, -1, -1);
        return download_start(p->event, &job, &handlers, p, &p->download);
}

/* Only what root alone can change is taken without a question. Non-blocking, in case it is no file at all.
 */
static int open_local(const char *path, const char **ret_reason)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                *ret_reason = errno_text(errno);
                return -errno;
        }
        *ret_reason = !S_ISREG(st.st_mode)                     ? "is not a regular file"
                      : st.st_uid != 0                         ? "does not belong to root"
                      : (st.st_mode & (S_IWGRP | S_IWOTH))     ? "can be written by others than root"
                      : (uint64_t)st.st_size > BINARY_SIZE_MAX ? fetch_outcome_text(FETCH_TOO_LARGE)
                                                               : NULL;
        return *ret_reason ? -EPERM : TAKE_FD(fd);
}

static int copy_local(Pull *p, const char *path)
{
        const char *reason;
        _cleanup_close_ int fd = open_local(path, &reason);
        struct stat st;
        int r;

        if (fd < 0)
                return skip_source(p, reason);
        p->file_fd = unnamed_file(p->job.store->roots_fd);
        if (p->file_fd < 0)
                return p->file_fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        say(p, PULL_DOWNLOADING, 0, st.st_size);
        r = copy_file(fd, p->file_fd, BINARY_SIZE_MAX);
        return r < 0 ? r : go_on(p, verify);
}

static int try_source(Pull *p)
{
        const char *url;

        if (p->current == p->n_sources)
                return all_failed(p);
        url = current_source(p)->url;
        if (strncmp(url, "file:", strlen("file:")) == 0)
                return copy_local(p, url + strlen("file:"));
        return download(p);
}

static int on_turn(sd_event_source *s, void *userdata)
{
        Pull *p = userdata;
        int r = p->next(p);

        if (r < 0)
                fail(p, r);
        return 0;
}

static int copy_sources(Pull *p, const RootConfig *root)
{
        p->sources = calloc(root->n_sources + 1, sizeof(RootSource));
        if (!p->sources)
                return -ENOMEM;
        p->n_sources = root->n_sources;
        for (size_t i = 0; i < root->n_sources; i++) {
                const RootSource *from = &root->sources[i];

                p->sources[i].url = strdup(from->url);
                p->sources[i].digest = from->digest ? strdup(from->digest) : NULL;
                if (!p->sources[i].url || (from->digest && !p->sources[i].digest))
                        return -ENOMEM;
        }
        return 0;
}

static int copy_job(Pull *p, const PullJob *job)
{
        p->job = *job;
        p->name = strdup(job->root->name);
        p->proxy = job->proxy ? strdup(job->proxy) : NULL;
        if (!p->name || (job->proxy && !p->proxy))
                return -ENOMEM;
        return copy_sources(p, job->root);
}

int pull_start(sd_event *event, const PullJob *job, const PullHandlers *handlers, void *userdata, Pull **ret)
{
        _cleanup_(pull_freep) Pull *p = malloc(sizeof(Pull));
        int r;

        if (!p)
                return -ENOMEM;
        *p = (Pull){
                .event = sd_event_ref(event),
                .handlers = *handlers,
                .userdata = userdata,
                .progress = {PULL_CONNECTING, -1, -1},
                .file_fd = -EBADF
        };
        r = copy_job(p, job);
        if (r >= 0)
                r = sd_event_add_defer(event, &p->turn, on_turn, p);
        if (r >= 0)
                r = go_on(p, try_source);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

static void free_sources(Pull *p)
{
        for (size_t i = 0; i < p->n_sources; i++) {
                free(p->sources[i].url);
                free(p->sources[i].digest);
        }
        free(p->sources);
}

Pull *pull_free(Pull *p)
{
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->turn);
        download_free(p->download);
        lister_free(p->lister);
        digest_free(p->digest);
        close_fd(p->file_fd);
        applets_done(&p->applets);
        metadata_done(&p->built);
        error_done(&p->error);
        discard_build(p);
        free_sources(p);
        free(p->name);
        free(p->proxy);
        free(p->failures);
        sd_event_unref(p->event);
        free(p);
        return NULL;
}

const PullProgress *pull_progress(const Pull *p)
{
        return &p->progress;
}
