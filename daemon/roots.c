#include "roots.h"

#include <fcntl.h>
#include <sys/queue.h>
#include <unistd.h>

#include "helper.h"
#include "idmap.h"
#include "log.h"
#include "metadata.h"
#include "protocol.h"
#include "pull.h"
#include "store.h"
#include "tree.h"

struct Root {
        unsigned n_ref; /* one is the cache's own while it is in it */
        const RootConfig *config;
        Metadata metadata;
        int tree_fd;
        bool can_idmap;
        int dead_dir_fd; /* where the tree waits for its last user, under dead_name, once it is given up */
        char dead_name[TREE_NAME_SIZE];
};

typedef struct Entry Entry;

struct RootsWait {
        LIST_ENTRY(RootsWait) list;
        Entry *entry;
        RootsHandlers handlers;
        void *userdata;
};

LIST_HEAD(Waits, RootsWait);

/* One configured name. Whatever happens to it happens in its settle turn or in its pull's: never inside a
 * caller. */
struct Entry {
        Roots *roots;
        const RootConfig *config;
        Root *root;
        Pull *pull;
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

/* ---- A root
 * --------------------------------------------------------------------------------------------------- */

static bool try_idmap(const Root *root)
{
        int r = idmap_try(root->tree_fd);

        if (r < 0)
                log_warning("Root %s: cannot find out whether it can be mounted with mapped ids: %s",
                            root->metadata.name, errno_text(r));
        return r > 0;
}

/* Takes what *m owns if it succeeds. -ENOENT: its tree is not there. */
static int root_open(const Roots *r, const RootConfig *config, Metadata *m, Root **ret)
{
        _cleanup_close_ int fd =
                openat(r->store.roots_fd, m->digest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        Root *root;

        if (fd < 0)
                return -errno;
        root = malloc(sizeof(Root));
        if (!root)
                return -ENOMEM;
        *root = (Root){
                .n_ref = 1, .config = config, .metadata = *m, .tree_fd = TAKE_FD(fd), .dead_dir_fd = -EBADF
        };
        *m = (Metadata){};
        root->can_idmap = try_idmap(root);
        *ret = root;
        return 0;
}

Root *root_ref(Root *root)
{
        root->n_ref++;
        return root;
}

Root *root_unref(Root *root)
{
        if (!root || --root->n_ref > 0)
                return NULL;
        if (root->dead_dir_fd >= 0)
                (void)tree_remove(root->dead_dir_fd, root->dead_name); /* else the next start does */
        close_fd(root->dead_dir_fd);
        close_fd(root->tree_fd);
        metadata_done(&root->metadata);
        free(root);
        return NULL;
}

int root_tree_fd(const Root *root)
{
        return root->tree_fd;
}

bool root_can_idmap(const Root *root)
{
        return root->can_idmap;
}

const RootConfig *root_config(const Root *root)
{
        return root->config;
}

const char *root_name(const Root *root)
{
        return root->metadata.name;
}

/* ---- What is on the disk
 * -------------------------------------------------------------------------------------- */

/* The cached root of a name, if there is one. What cannot be read is as good as not there: the next pull
 * replaces it. */
static int load(const Roots *r, const RootConfig *config, Root **ret)
{
        _cleanup_(metadata_done) Metadata m = {};
        int k;

        k = metadata_read(r->store.names_fd, config->name, &m);
        if (k >= 0)
                k = root_open(r, config, &m, ret);
        if (k == -ENOENT)
                return 0;
        if (k == -EBADMSG || k == -E2BIG) {
                log_warning("Root %s: its metadata is damaged; it will be made again", config->name);
                return 0;
        }
        return k;
}

/* The tree first and then its name: a crash in between leaves a tree without a name, which the next start
 * removes. */
static int commit(const Entry *e, Metadata *built, const char *build, Root **ret)
{
        const Store *s = &e->roots->store;
        int r, placed;

        placed = store_place(s, build, built->digest);
        if (placed < 0)
                return placed;
        r = metadata_write(s->names_fd, built);
        if (r < 0 && placed > 0)
                (void)tree_remove(s->roots_fd, built->digest); /* else the next start does */
        return r < 0 ? r : root_open(e->roots, e->config, built, ret);
}

static bool is_shared(const Entry *e)
{
        const Roots *r = e->roots;

        for (size_t i = 0; i < r->n_entries; i++)
                if (r->entries[i] != e && r->entries[i]->root &&
                    streq(r->entries[i]->root->metadata.digest, e->root->metadata.digest))
                        return true;
        return false;
}

/* Its files stay until nobody uses them. */
static int bury(const Roots *r, Root *root)
{
        _cleanup_close_ int dir_fd = fcntl(r->store.roots_fd, F_DUPFD_CLOEXEC, 3);
        int k;

        if (dir_fd < 0)
                return -errno;
        k = store_bury(&r->store, root->metadata.digest, root->dead_name);
        if (k >= 0)
                root->dead_dir_fd = TAKE_FD(dir_fd);
        return k == -ENOENT ? 0 : k;
}

static int drop(Entry *e)
{
        int k;

        k = metadata_remove(e->roots->store.names_fd, e->config->name);
        if (k >= 0 && !is_shared(e))
                k = bury(e->roots, e->root);
        if (k >= 0)
                e->root = root_unref(e->root);
        return k;
}

/* Every name of a tree that turned out to be damaged. */
static int drop_all(Roots *r, const char *digest)
{
        char copy[DIGEST_HEX_SIZE];
        int k = 0;

        memcpy(copy, digest, sizeof(copy));
        for (size_t i = 0; i < r->n_entries && k >= 0; i++)
                if (r->entries[i]->root && streq(r->entries[i]->root->metadata.digest, copy))
                        k = drop(r->entries[i]);
        return k;
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

static void on_pull_progress(const PullProgress *p, void *userdata)
{
        Entry *e = userdata;
        RootsWait *w, *next;

        for (w = LIST_FIRST(&e->waits); w; w = next) {
                next = LIST_NEXT(w, list); /* a handler may cancel its own wait */
                if (w->handlers.progress)
                        w->handlers.progress(p, w->userdata);
        }
}

static void log_pulled(const Entry *e)
{
        const Metadata *m = &e->root->metadata;

        log_full(LOG_INFO,
                 &(LogFields){ .event = LOG_EVENT_ROOT_PULLED, .root = m->name, .uid = LOG_NO_UID },
                 "Root %s: made from %s, digest %s", m->name, m->source, m->digest);
}

/* A user can cause this line, so not all of them are written. */
static void log_pull_failed(const Entry *e, int r, const Error *error)
{
        const char *source = r == -EREMOTEIO ? error_text(error, "source") : NULL;
        const char *reason = r == -EREMOTEIO ? error_text(error, "reason") : errno_text(r);

        log_bounded(LOG_WARNING, &(LogFields){ .root = e->config->name, .uid = LOG_NO_UID },
                    "Root %s could not be made: %s%s%s%s%s", e->config->name,
                    r == -EREMOTEIO ? error->name : "", source ? ": " : "", source ? source : "",
                    r == -EREMOTEIO && reason ? ": " : "", reason ? reason : "");
}

static void on_pulled(int r, const Error *error, Metadata *built, const char *build, void *userdata)
{
        Entry *e = userdata;
        _cleanup_(pull_freep) Pull *pull = TAKE_PTR(e->pull); /* its error is used below */
        _cleanup_error_ Error no_space = {};

        if (r >= 0)
                r = commit(e, built, build, &e->root);
        if (r == -ENOSPC || r == -EDQUOT) {
                r = error_set(&no_space, ERROR_ROOT_NO_SPACE);
                error = &no_space;
        }
        if (r >= 0)
                log_pulled(e);
        else
                log_pull_failed(e, r, error);
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

static int on_settle(sd_event_source *s, void *userdata)
{
        Entry *e = userdata;
        int r;

        if (e->root) {
                finish_waits(e, 0, NULL);
        } else if (LIST_EMPTY(&e->waits)) {
                e->pull = pull_free(e->pull);
        } else if (!e->pull) {
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
                k = load(r, config, &e->root);
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

/* The entry of a name that stays, taken out of the old list; NULL: there is none. */
static Entry *adopt(Roots *r, const RootConfig *config)
{
        int i = roots_find(r, config->name);
        Entry *e;

        if (i < 0)
                return NULL;
        e = TAKE_PTR(r->entries[i]);
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
        return 0;
}

/* ---- For the rest of the daemon
 * ------------------------------------------------------------------------------- */

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
                k = store_clean(&r->store);
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
        if (!entry->root)
                return 0;
        *ret = root_ref(entry->root);
        return 1;
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
        if (e->root) {
                ret->source = e->root->metadata.source;
                ret->digest = e->root->metadata.digest;
                ret->size_bytes = e->root->metadata.size_bytes;
                ret->cached = true;
                ret->sessions = e->root->n_ref - 1;
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

int roots_verify(Roots *r, const char *name, Error *e)
{
        const Entry *entry = find(r, name);
        char found[DIGEST_HEX_SIZE];
        uint64_t bytes;
        int k;

        if (!entry || !entry->root)
                return no_such_root(e, name);
        k = tree_digest(entry->root->tree_fd, found, &bytes);
        if (k < 0)
                return k;
        if (streq(found, entry->root->metadata.digest))
                return 0;
        error_setf(e, ERROR_ROOT_DIGEST_MISMATCH, "expected", "%s", entry->root->metadata.digest);
        error_addf(e, "found", "%s", found);
        k = drop_all(r, entry->root->metadata.digest);
        return k < 0 ? k : -EREMOTEIO;
}

int roots_remove(Roots *r, const char *name, Error *e)
{
        Entry *entry = find(r, name);

        if (!entry)
                return no_such_root(e, name);
        if (!entry->root)
                return 0;
        if (entry->root->n_ref > 1) {
                error_setf(e, ERROR_ROOT_IN_USE, "name", "%s", name);
                return error_add_number(e, "sessions", entry->root->n_ref - 1);
        }
        return drop(entry);
}
