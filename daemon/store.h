/* The cache as it lies on the disk, below the state directory:
 *
 *   roots/DIGEST/      a tree, named by the digest of all that is in it (tree.h)
 *   names/NAME.json    which tree has that name, and where it came from (metadata.h)
 *
 * Whatever begins with a dot is unfinished or given up. Knows files; knows nothing of who uses a root, or of
 * how one is made. */
#pragma once

#include "base.h"
#include "metadata.h"
#include "tree.h"

typedef struct Store {
        int roots_fd, names_fd; /* roots_fd has a lock: one daemon a state directory */
} Store;

/* Makes what is not there yet. state_fd stays the caller's. -EPERM: the directory is not ours, or others may
 * write to it; -EBUSY: another daemon uses it. */
int store_open(int state_fd, Store *ret);
void store_done(Store *s);
/* Removes what a crash left: all that begins with a dot, and trees without a name. */
int store_clean(const Store *s);

/* Renames a finished build (a name below roots_fd) to its place. A tree that is there already and intact
 * stays, and one that is damaged takes the build's name: either way, what is left under that name is the
 * caller's to remove. 1: the build has the place now; 0: what was there keeps it. */
int store_place(const Store *s, const char *build, const char *digest);
/* Takes a tree out of the cache. Its files stay, below roots_fd under the name that is returned, for as long
 * as somebody uses them. -ENOENT: it was not there. */
int store_bury(const Store *s, const char *digest, char ret_name[static TREE_NAME_SIZE]);
