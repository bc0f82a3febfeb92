#include "roots.h"

#include <stdio.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"
#include "log.h"
#include "metadata.h"
#include "protocol.h"
#include "pull.h"
#include "root.h"
#include "setback.h"
#include "store.h"
#include "tree.h"

typedef struct Entry Entry;

struct RootsWait {
        LIST_ENTRY(RootsWait) list;
        Entry *entry;
        RootsHandlers handlers;
        void *userdata;
        bool is_told; /* how far it is */
};

LIST_HEAD(Waits, RootsWait);

/* One configured name. Whatever happens to it happens in its settle turn or in its pull's: never inside a
 * caller. */
struct Entry {
        Roots *roots;
        const RootConfig *config;
        Root *root; /* it may be outdated: is_current() */
        Pull *pull;
        Setback setback; /* of the last pull */
        struct Waits waits;
        sd_event_source *settle;
};

struct Roots {
        sd_event *event;
        const Config *config;
        const char *fetch_path;
        uid_t helper_uid;
        gid_t helper_gid;
        Store store;
        Entry **entries; /* as many, and in the order, as in the configuration */
        size_t n_entries;
};

const char *pull_state_name(PullState s)
{
        static const char *const names[] = {
                [PULL_CONNECTING] = "connecting", [PULL_DOWNLOADING] = "downloading",
                [PULL_VERIFYING] = "verifying",   [PULL_UNPACKING] = "unpacking",
                [PULL_FINISHED] = "finished",
        };

        return names[s];
}

/* ---- What is on the disk
 * -------------------------------------------------------------------------------------- */

/* One that is not stays on the disk until there is another: a configuration may come back. */
static bool is_current(const Entry *e)
{
        return e->root && root_is_vouched_for(e->root, e->config);
}

/* Another name is of the same tree, now that this root is no entry's any more. */
static bool is_shared(const Roots *r, const Root *root)
{
        for (size_t i = 0; i < r->n_entries; i++)
                if (r->entries[i] && r->entries[i]->root &&
                    streq(r->entries[i]->root->metadata.digest, root->metadata.digest))
                        return true;
        return false;
}

/* Nobody gets it from now on, whatever becomes of its files. */
static int drop(Entry *e)
{
        Root *root = TAKE_PTR(e->root);
        int k;

        root->config = NULL; /* it goes with a reload, which does not find this root any more */
        k = metadata_remove(e->roots->store.names_fd, e->config->name);
        if (k >= 0 && !is_shared(e->roots, root))
                k = root_bury(&e->roots->store, root);
        root_unref(root);
        return k;
}

/* Every name of a tree that turned out to be damaged. The first failure is returned. */
static int drop_all(Roots *r, const char *digest)
{
        char copy[DIGEST_HEX_SIZE];
        int first = 0;

        memcpy(copy, digest, sizeof(copy));
        for (size_t i = 0; i < r->n_entries; i++)
                if (r->entries[i]->root && streq(r->entries[i]->root->metadata.digest, copy)) {
                        int k = drop(r->entries[i]);
                        first = first < 0 ? first : k;
                }
        return first;
}

static bool is_wanted(const char *digest, void *userdata)
{
        const Roots *r = userdata;

        for (size_t i = 0; i < r->n_entries; i++) {
                const Entry *e = r->entries[i];

                for (size_t k = 0; !is_current(e) && k < e->config->n_sources; k++)
                        if (e->config->sources[k].digest && streq(e->config->sources[k].digest, digest))
                                return true;
        }
        return false;
}

/* Downloads of what nobody wants any more, or wants again. */
static void clean_partials(Roots *r)
{
        int k = store_partials_clean(&r->store, is_wanted, r);

        if (k < 0)
                log_warning("Cannot remove old downloads: %s", errno_text(k));
}

/* ---- Waiting and pulling
 * -------------------------------------------------------------------------------------- */

/* The waits that are there now and no later ones: a handler may well call roots_ensure again, or remove the
 * root. */
static void finish_waits(Entry *e, int r, const Error *error)
{
        struct Waits batch = LIST_HEAD_INITIALIZER(batch);
        RootsWait *w;

        while ((w = LIST_FIRST(&e->waits))) {
                LIST_REMOVE(w, list);
                LIST_INSERT_HEAD(&batch, w, list);
        }
        while ((w = LIST_FIRST(&batch))) {
                RootsWait wait = *w;

                LIST_REMOVE(w, list);
                free(w);
                if (r >= 0 && !e->root)
                        r = -ECANCELED; /* removed by the handler before */
                wait.handlers.finished(r, error, r < 0 ? NULL : root_ref(e->root), wait.userdata);
        }
}

static void tell(RootsWait *w, const PullProgress *p)
{
        w->is_told = true;
        if (w->handlers.progress)
                w->handlers.progress(p, w->userdata);
}

static void on_pull_progress(const PullProgress *p, void *userdata)
{
        Entry *e = userdata;
        RootsWait *w, *next;

        for (w = LIST_FIRST(&e->waits); w; w = next) {
                next = LIST_NEXT(w, list); /* a handler may cancel its own wait */
                tell(w, p);
        }
}

/* Who came later is told at once what the others know. */
static void tell_late(Entry *e)
{
        RootsWait *w, *next;

        for (w = LIST_FIRST(&e->waits); w; w = next) {
                next = LIST_NEXT(w, list);
                if (!w->is_told)
                        tell(w, pull_progress(e->pull));
        }
}

static void log_pulled(const Entry *e)
{
        const Metadata *m = &e->root->metadata;

        log_full(LOG_INFO,
                 &(LogFields){ .event = LOG_EVENT_ROOT_PULLED, .root = m->name, .uid = LOG_NO_UID },
                 "Root %s: made from %s, digest %s", m->name, m->source, m->digest);
}

/* What an error says, for the log. */
static int failure_words(int r, const Error *error, char **ret)
{
        const char *source = error_text(error, "source"), *reason = error_text(error, "reason"),
                   *found = error_text(error, "found"), *expected = error_text(error, "expected");
        int n;

        if (r != -EREMOTEIO)
                n = asprintf(ret, "%s", errno_text(r));
        else if (found && expected)
                n = asprintf(ret, "%s: %s: its digest is %s, not %s", error->name, source ? source : "",
                             found, expected);
        else
                n = asprintf(ret, "%s%s%s%s%s", error->name, source ? ": " : "", source ? source : "",
                             reason ? ": " : "", reason ? reason : "");
        return n < 0 ? -ENOMEM : 0;
}

/* A user can cause this line, so not all of them are written. */
static void log_pull_failed(const Entry *e, int r, const Error *error)
{
        _cleanup_free_ char *words = NULL;
        LogFields fields = { .event = LOG_EVENT_ROOT_FAILED, .root = e->config->name, .uid = LOG_NO_UID };

        if (failure_words(r, error, &words) < 0)
                return;
        fields.reason = (r == -EREMOTEIO ? error_text(error, "reason") : NULL) ?: words;
        log_bounded(LOG_WARNING, &fields, "Root %s could not be made: %s", e->config->name, words);
}

/* What this machine's errors mean to who waits for a root, and what can be done about them. */
static int explain_failure(int r, Error *ret)
{
        switch (r) {
        case -EREMOTEIO:
        case -ENOMEM:
        case -ECANCELED:
                return r;
        case -ENOSPC:
        case -EDQUOT:
                return error_set(ret, ERROR_ROOT_NO_SPACE);
        case -EROFS:
                return error_setf(ret, ERROR_ROOT_CACHE_UNUSABLE, "reason",
                                  "nsrootd's state directory is on a read-only filesystem: remount it "
                                  "writable, or choose another");
        default:
                return error_setf(ret, ERROR_ROOT_CACHE_UNUSABLE, "reason",
                                  "nsrootd's state directory: %s: see the kernel's log", errno_text(r));
        }
}

/* The new one is in its place: the one before, if it is another, waits for its last session. */
static int replace(Entry *e, Metadata *built, const char *build)
{
        Root *old = TAKE_PTR(e->root), *new = NULL;
        int r = root_commit(&e->roots->store, e->config, built, build, &new), k;

        e->root = r < 0 ? old : new;
        if (r < 0 || !old)
                return r;
        old->config = NULL; /* as in drop() */
        k = is_shared(e->roots, old) ? 0 : root_bury(&e->roots->store, old);
        if (k < 0)
                log_warning("Root %s: its old tree cannot be removed: %s", e->config->name, errno_text(k));
        root_unref(old);
        return r;
}

static void on_pulled(int r, const Error *error, Metadata *built, const char *build, void *userdata)
{
        Entry *e = userdata;
        _cleanup_(pull_freep) Pull *pull = TAKE_PTR(e->pull); /* its error is used below */
        _cleanup_error_ Error explained = {};

        if (r >= 0)
                r = replace(e, built, build);
        if (r < 0 && r != -EREMOTEIO) {
                r = explain_failure(r, &explained);
                error = &explained;
        }
        if (r >= 0) {
                log_pulled(e);
                setback_forget(&e->setback);
                clean_partials(e->roots);
        } else {
                log_pull_failed(e, r, error);
                setback_note(&e->setback, r, error, now_usec(CLOCK_MONOTONIC));
        }
        finish_waits(e, r, error);
}

static DownloadLimits limits_of(const Config *config)
{
        return (DownloadLimits){ .connect_timeout_usec = config->connect_timeout_usec,
                                 .stall_timeout_usec = config->stall_timeout_usec,
                                 .total_timeout_usec = config->download_timeout_usec,
                                 .attempts = config->download_attempts };
}

static int start_pull(Entry *e)
{
        static const PullHandlers handlers = { on_pull_progress, on_pulled };
        const Roots *r = e->roots;
        PullJob job = {
                .root = e->config,
                .proxy = r->config->proxy,
                .limits = limits_of(r->config),
                .fetch_path = r->fetch_path,
                .uid = r->helper_uid,
                .gid = r->helper_gid,
                .store = &r->store,
        };

        return pull_start(r->event, &job, &handlers, e, &e->pull);
}

static void finish_with_setback(Entry *e)
{
        _cleanup_error_ Error error = {};
        int r = setback_tell(&e->setback, now_usec(CLOCK_MONOTONIC), &error);

        finish_waits(e, r, &error);
}

static int on_settle(sd_event_source *s, void *userdata)
{
        Entry *e = userdata;
        int r;

        if (is_current(e)) {
                finish_waits(e, 0, NULL);
        } else if (LIST_EMPTY(&e->waits)) {
                e->pull = pull_free(e->pull);
        } else if (e->pull) {
                tell_late(e);
        } else if (setback_lasts(&e->setback, now_usec(CLOCK_MONOTONIC))) {
                finish_with_setback(e);
        } else {
                r = start_pull(e);
                if (r < 0)
                        finish_waits(e, r, NULL);
        }
        return 0;
}

static int settle_soon(Entry *e)
{
        return sd_event_source_set_enabled(e->settle, SD_EVENT_ONESHOT);
}

/* ---- The list of names
 * ---------------------------------------------------------------------------------------- */

static Entry *entry_free(Entry *e)
{
        if (!e)
                return NULL;
        sd_event_source_disable_unref(e->settle);
        pull_free(e->pull);
        setback_forget(&e->setback);
        if (e->root)
                e->root->config = NULL; /* a session may still use it */
        root_unref(e->root);
        free(e);
        return NULL;
}
DEFINE_CLEANUP(Entry *, entry_free);

static int entry_new(Roots *r, const RootConfig *config, Entry **ret)
{
        _cleanup_(entry_freep) Entry *e = calloc(1, sizeof(Entry));
        int k;

        if (!e)
                return -ENOMEM;
        e->roots = r;
        e->config = config;
        LIST_INIT(&e->waits);
        k = sd_event_add_defer(r->event, &e->settle, on_settle, e);
        if (k >= 0)
                k = sd_event_source_set_enabled(e->settle, SD_EVENT_OFF);
        if (k >= 0)
                k = root_load(&r->store, config, &e->root);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(e);
        return 0;
}

static void entry_cancel(Entry *e)
{
        finish_waits(e, -ECANCELED, NULL);
        entry_free(e);
}

static Entry *find(const Roots *r, const char *name)
{
        int i = roots_find(r, name);

        return i < 0 ? NULL : r->entries[i];
}

static int no_such_root(Error *e, const char *name)
{
        return error_setf(e, ERROR_ROOT_NO_SUCH_ROOT, "name", "%s", name);
}

static bool has_same_sources(const RootConfig *a, const RootConfig *b)
{
        if (a->n_sources != b->n_sources)
                return false;
        for (size_t i = 0; i < a->n_sources; i++)
                if (!streq(a->sources[i].url, b->sources[i].url) ||
                    !streq(a->sources[i].digest ?: "", b->sources[i].digest ?: ""))
                        return false;
        return true;
}

/* Who waits, waits for what is made in the new way. */
static void begin_anew(Entry *e)
{
        e->pull = pull_free(e->pull);
        (void)settle_soon(e); /* cannot fail: the source exists */
}

/* The entry of a name that stays, taken out of the old list; NULL: there is none. */
static Entry *adopt(Roots *r, const RootConfig *config)
{
        int i = roots_find(r, config->name);
        Entry *e;

        if (i < 0)
                return NULL;
        e = TAKE_PTR(r->entries[i]);
        if (e->pull && !has_same_sources(e->config, config))
                begin_anew(e);
        setback_forget(&e->setback); /* perhaps that was what the reload is for */
        e->config = config;
        if (e->root)
                e->root->config = config;
        return e;
}

/* Entries for the names that are new, at their places; nothing that is there already is touched. At the
 * start one root less is better than no daemon at all; later the old configuration is better. */
static int make_new(Roots *r, const Config *config, Entry **entries)
{
        for (size_t i = 0; i < config->n_roots; i++) {
                const RootConfig *root = &config->roots[i];
                int k = roots_find(r, root->name) >= 0 ? 0 : entry_new(r, root, &entries[i]);

                if (k < 0)
                        log_error("Root %s cannot be used: %s", root->name, errno_text(k));
                if (k < 0 && r->config)
                        return k;
        }
        return 0;
}

static void entries_free(Entry **entries, size_t n)
{
        for (size_t i = 0; i < n; i++)
                entry_free(entries[i]);
        free(entries);
}

static void tell_outdated(const Roots *r)
{
        for (size_t i = 0; i < r->n_entries; i++)
                if (r->entries[i]->root && !is_current(r->entries[i]))
                        log_notice("Root %s: its sources are others now; the next run makes it anew",
                                   r->entries[i]->config->name);
}

int roots_set_config(Roots *r, const Config *config)
{
        Entry **old = r->entries, **entries = calloc(config->n_roots + 1, sizeof(Entry *));
        size_t n_old = r->n_entries, n = 0;
        int k = entries ? make_new(r, config, entries) : -ENOMEM;

        if (k < 0) {
                if (entries)
                        entries_free(entries, config->n_roots);
                return k;
        }
        for (size_t i = 0; i < config->n_roots; i++) {
                Entry *e = entries[i] ? entries[i] : adopt(r, &config->roots[i]);

                if (e)
                        entries[n++] = e;
        }
        r->config = config;
        r->entries = entries;
        r->n_entries = n;
        for (size_t i = 0; i < n_old; i++)
                if (old[i])
                        entry_cancel(old[i]);
        free(old);
        tell_outdated(r);
        clean_partials(r);
        return 0;
}

/* ---- For the rest of the daemon
 * ------------------------------------------------------------------------------- */

/* What cannot be removed now is removed later, and until then it is in nobody's way. */
void roots_tidy(Roots *r, const uint64_t *used, size_t n_used)
{
        int k = store_clean(&r->store, used, n_used); /* trees that have found their names again stay */

        if (k == -EROFS)
                log_warning("The state directory is on a read-only filesystem: roots that are there can be "
                            "used, others cannot be made.");
        else if (k < 0)
                log_warning("Cannot remove what was left in the state directory: %s", errno_text(k));
}

int roots_new(sd_event *event, int state_fd, const Config *config, const char *fetch_path, Roots **ret)
{
        _cleanup_(roots_freep) Roots *r = calloc(1, sizeof(Roots));
        int k;

        if (!r)
                return -ENOMEM;
        r->event = sd_event_ref(event);
        r->fetch_path = fetch_path;
        r->store = (Store){ -EBADF, -EBADF, -EBADF };
        helper_user(&r->helper_uid, &r->helper_gid);
        k = store_open(state_fd, &r->store);
        if (k >= 0)
                k = roots_set_config(r, config);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

Roots *roots_free(Roots *r)
{
        size_t n;

        if (!r)
                return NULL;
        n = TAKE_GENERIC(r->n_entries, 0);
        for (size_t i = 0; i < n; i++)
                entry_cancel(r->entries[i]);
        free(r->entries);
        store_done(&r->store);
        sd_event_unref(r->event);
        free(r);
        return NULL;
}

int roots_get(Roots *r, const char *name, Root **ret, Error *e)
{
        const Entry *entry = find(r, name);

        if (!entry)
                return no_such_root(e, name);
        if (!is_current(entry))
                return 0;
        *ret = root_ref(entry->root);
        return 1;
}

void roots_retry(Roots *r, const char *name)
{
        Entry *entry = find(r, name);

        if (entry)
                setback_forget(&entry->setback);
}

int roots_ensure(Roots *r, const char *name, const RootsHandlers *handlers, void *userdata, RootsWait **ret,
                 Error *e)
{
        Entry *entry = find(r, name);
        RootsWait *w;
        int k;

        if (!entry)
                return no_such_root(e, name);
        k = settle_soon(entry);
        if (k < 0)
                return k;
        w = malloc(sizeof(RootsWait));
        if (!w)
                return -ENOMEM;
        *w = (RootsWait){ .entry = entry, .handlers = *handlers, .userdata = userdata };
        LIST_INSERT_HEAD(&entry->waits, w, list);
        *ret = w;
        return 0;
}

void roots_cancel(RootsWait *w)
{
        LIST_REMOVE(w, list);
        (void)settle_soon(w->entry); /* cannot fail: the source exists */
        free(w);
}

size_t roots_count(const Roots *r)
{
        return r->n_entries;
}

int roots_info(Roots *r, size_t index, RootInfo *ret)
{
        const Entry *e;

        if (index >= r->n_entries)
                return -ENOENT;
        e = r->entries[index];
        *ret = (RootInfo){
                .name = e->config->name, .kind = e->config->kind, .size_bytes = -1, .config = e->config
        };
        if (is_current(e)) {
                ret->source = e->root->metadata.source;
                ret->digest = e->root->metadata.digest;
                ret->size_bytes = e->root->metadata.size_bytes;
                ret->cached = true;
                ret->sessions = e->root->n_ref - e->root->n_idle - 1;
        }
        return 0;
}

int roots_find(const Roots *r, const char *name)
{
        for (size_t i = 0; i < r->n_entries; i++)
                if (r->entries[i] && streq(r->entries[i]->config->name, name))
                        return (int)i;
        return -ENOENT;
}

/* What the daemon lacks says nothing of the tree; all else that keeps it from being read does. */
static bool is_own_failure(int k)
{
        return k == -ENOMEM || k == -EMFILE || k == -ENFILE;
}

int roots_verify(Roots *r, const char *name, Error *e)
{
        const Entry *entry = find(r, name);
        char found[DIGEST_HEX_SIZE];
        uint64_t bytes;
        int k;

        if (!entry || !is_current(entry))
                return no_such_root(e, name);
        k = tree_digest(entry->root->tree_fd, found, &bytes);
        if (is_own_failure(k))
                return k;
        if (k >= 0 && streq(found, entry->root->metadata.digest))
                return 0;
        error_setf(e, ERROR_ROOT_DIGEST_MISMATCH, "expected", "%s", entry->root->metadata.digest);
        if (k < 0)
                error_addf(e, "found", "none (%s)", errno_text(k));
        else
                error_addf(e, "found", "%s", found);
        log_warning("Root %s is not as it was made; the next run makes it again: its digest is %s, not %s",
                    name, error_text(e, "found"), error_text(e, "expected"));
        k = drop_all(r, entry->root->metadata.digest);
        if (k < 0)
                log_error("Root %s is damaged, and cannot be removed: %s", name, errno_text(k));
        return -EREMOTEIO;
}

int roots_remove(Roots *r, const char *name, Error *e)
{
        Entry *entry = find(r, name);
        unsigned sessions;
        int k;

        if (!entry)
                return no_such_root(e, name);
        if (!entry->root)
                return 0;
        sessions = entry->root->n_ref - entry->root->n_idle - 1;
        if (sessions > 0) {
                error_setf(e, ERROR_ROOT_IN_USE, "name", "%s", name);
                return error_add_number(e, "sessions", sessions);
        }
        k = metadata_remove(r->store.names_fd, name); /* if not even that can be done, it stays */
        if (k >= 0)
                k = drop(entry);
        return k < 0 ? explain_failure(k, e) : 0;
}
