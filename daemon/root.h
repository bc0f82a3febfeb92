/* One cached root: its tree, what is remembered of it, who has a reference, and what becomes of its files.
 * Between root.c and roots.c, which says which name has which root; others use roots.h. */
#pragma once

#include "roots.h"
#include "store.h"

struct Root {
        unsigned n_ref;  /* one is the cache's own while it is in it */
        unsigned n_idle; /* of these, in nobody's way (root_set_idle) */
        const RootConfig *config;
        Metadata metadata;
        int tree_fd;
        bool can_idmap;
        int dead_dir_fd; /* where the tree waits for its last user, under dead_name, once it is given up */
        char dead_name[TREE_NAME_SIZE];
};

/* The cached root of a name, if there is one: else *ret stays. What cannot be read is as good as not there:
 * the next that is made replaces it. But where one of its sources has a digest, its tree is found also when
 * its metadata is lost. */
int root_load(const Store *s, const RootConfig *config, Root **ret);
/* Puts a build into its place, and its name to it. Takes the strings of *built if it succeeds. */
int root_commit(const Store *s, const RootConfig *config, Metadata *built, const char *build, Root **ret);
/* Whether one of the sources would still give this: who changes a digest in the configuration, or takes a
 * source away, does not want what came of it any more. */
bool root_is_vouched_for(const Root *root, const RootConfig *config);
/* Takes its files out of the cache. They stay until nobody uses them. */
int root_bury(const Store *s, Root *root);
