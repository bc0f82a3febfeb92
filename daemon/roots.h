/* The cache of roots below the state directory: which are there, making one (once, however many wait),
 * verifying and removing. A cached root is a directory named by its digest, built beside its place and
 * renamed into it, and never changed afterwards; its metadata lies beside it. Knows the fetcher; knows
 * nothing of sessions but that they hold references, nothing of Varlink but Error. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "config.h"
#include "error.h"

typedef struct Roots Roots;
typedef struct Root Root; /* one that is cached, with a reference */
typedef struct RootsWait RootsWait;

typedef enum PullState {
        PULL_CONNECTING,
        PULL_DOWNLOADING,
        PULL_VERIFYING,
        PULL_UNPACKING,
        PULL_FINISHED
} PullState;
const char *pull_state_name(PullState s);

typedef struct PullProgress {
        PullState state;
        int64_t done_bytes, total_bytes; /* -1: not known */
} PullProgress;

/* progress may be NULL; who waits for what others wait for already is told soon how far it is. finished is
 * called exactly once, never from inside roots_ensure: r is 0 and root is a reference the callee now owns,
 * or r is negative (-EREMOTEIO: see e) and root is NULL. */
typedef struct RootsHandlers {
        void (*progress)(const PullProgress *p, void *userdata);
        void (*finished)(int r, const Error *e, Root *root, void *userdata);
} RootsHandlers;

/* state_fd: the state directory (stays the caller's, outlives the Roots); it must be ours and not writable
 * by others, or -EPERM, and no other daemon's, or -EBUSY. fetch_path: the nsroot-fetch program. */
int roots_new(sd_event *event, int state_fd, const Config *config, const char *fetch_path, Roots **ret);
/* Removes what earlier daemons left, but for the trees that sessions of theirs still use, by the inodes of
 * their directories. */
void roots_tidy(Roots *r, const uint64_t *used, size_t n_used);
Roots *roots_free(Roots *r); /* waits still open are finished with -ECANCELED */
DEFINE_CLEANUP(Roots *, roots_free);
/* A cached root that none of its sources would give any more, since its digest is another or the source is
 * gone, is outdated: it is made anew for who wants it next, and an error if it cannot be. Sessions keep what
 * they have, and its files stay until the new one is there. config outlives this or the next call. Waits for
 * roots that are no longer configured are finished with -ECANCELED. Negative: nothing has changed, and the
 * old one is in force. */
int roots_set_config(Roots *r, const Config *config);

/* The cached root, if it is there: 1 and a reference; 0: not there (roots_ensure makes it); -EREMOTEIO: e is
 * org.nsroot.root.NoSuchRoot: no such name in the configuration. Fast: no I/O beyond the first time. */
int roots_get(Roots *r, const char *name, Root **ret, Error *e);
/* Makes it if it is not there. -EREMOTEIO: no such root. */
int roots_ensure(Roots *r, const char *name, const RootsHandlers *handlers, void *userdata, RootsWait **ret,
                 Error *e);
/* What failed is not tried again for a while, which grows: roots_ensure then finishes soon, with the same
 * error and when it will be tried again. This lets the next one try at once. */
void roots_retry(Roots *r, const char *name);
/* The caller is gone: handlers are not called any more. The download goes on while anybody waits, else it
 * ends. */
void roots_cancel(RootsWait *w);

typedef struct RootInfo {
        const char *name, *kind, *source,
                *digest; /* the Roots' until the next call; source and digest NULL if not cached */
        bool cached;
        int64_t size_bytes; /* -1: not cached */
        const RootConfig *config;
        unsigned sessions; /* references held with root_ref, but for idle ones */
} RootInfo;
size_t roots_count(const Roots *r); /* of configured roots */
int roots_info(Roots *r, size_t index, RootInfo *ret);
int roots_find(const Roots *r, const char *name); /* index or -ENOENT */
/* Reads everything again: 0, or -EREMOTEIO (DigestMismatch) when a file is changed, missing or added, or
 * cannot be read: then the root is dropped, and the next roots_ensure builds it anew. Not there:
 * NoSuchRoot. */
int roots_verify(Roots *r, const char *name, Error *e);
/* Also when it is not cached (idempotent). -EREMOTEIO: RootInUse, NoSuchRoot, CacheUnusable. */
int roots_remove(Roots *r, const char *name, Error *e);

int root_tree_fd(const Root *root); /* O_PATH of the tree's directory; the root's. Open_tree(2) it */
bool root_can_idmap(
        const Root *root); /* the filesystem takes MOUNT_ATTR_IDMAP; tried once when first opened */
const RootConfig *root_config(const Root *root); /* NULL: not configured any more, since a reload */
const char *root_name(const Root *root);
Root *root_ref(Root *root);
/* One more (1) or one fewer (-1) of the references is no session's and does not keep it from being removed:
 * who has it lets go of it when root_config becomes NULL. */
void root_count_idle(Root *root, int by);
Root *root_unref(Root *root); /* returns NULL */
DEFINE_CLEANUP(Root *, root_unref);
