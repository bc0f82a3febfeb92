/* The cache as it lies on the disk, below the state directory:
 *
 *   roots/DIGEST/      a tree, named by the digest of all that is in it (tree.h)
 *   names/NAME.json    which tree has that name, and where it came from (metadata.h)
 *   downloads/DIGEST   what has come so far of the file that has this digest
 *
 * Whatever begins with a dot is unfinished or given up. Knows files; knows nothing of who uses a root, or of
 * how one is made. On a read-only filesystem what is there can be used: only what changes something fails.
 */
#pragma once

#include "base.h"
#include "metadata.h"
#include "tree.h"

typedef struct Store {
        int roots_fd, names_fd; /* roots_fd has a lock: one daemon a state directory */
        int state_fd;           /* the caller's */
} Store;

/* Makes what is not there yet. state_fd stays the caller's and outlives the Store. -EPERM: the directory is
 * not ours, or others may write to it; -EBUSY: another daemon uses it. */
int store_open(int state_fd, Store *ret);
void store_done(Store *s);
/* Removes what a crash left: all that begins with a dot, and trees without a name, but for those whose
 * directory has one of these inodes. */
int store_clean(const Store *s, const uint64_t *kept, size_t n_kept);

/* Calls act with the name of each tree until one call fails, and returns that. */
int store_each_tree(const Store *s, int (*act)(const char *name, void *data), void *data);
#define STORE_FOUND (-EEXIST) /* for who searches: ends it, as a failure would */

/* Renames a finished build (a name below roots_fd) to its place. A tree that is there already and intact
 * stays, and one that is damaged takes the build's name: either way, what is left under that name is the
 * caller's to remove. 1: the build has the place now; 0: what was there keeps it. */
int store_place(const Store *s, const char *build, const char *digest);
/* Takes a tree out of the cache. Its files stay, below roots_fd under the name that is returned, for as long
 * as somebody uses them. -ENOENT: it was not there. */
int store_bury(const Store *s, const char *digest, char ret_name[static TREE_NAME_SIZE]);

/* What has come so far of the file with this digest (64 hex digits), else an empty one; for reading and
 * writing. The descriptor holds a lock, and so does each copy of it, a process's that outlives its daemon
 * too: -EBUSY as long as there is one. No validator of the server's is kept beside it: the digest says in
 * the end whether the parts belong together, and it does so for every server that has the file. */
int store_partial_open(const Store *s, const char *digest);
int store_partial_remove(const Store *s, const char *digest); /* 0 also if it is not there */
/* Removes those that are not wanted, or old, and whatever else lies there; not those that are in use. */
int store_partials_clean(const Store *s, bool (*is_wanted)(const char *digest, void *userdata),
                         void *userdata);
