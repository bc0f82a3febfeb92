/* The cached root as one session sees it: its files owned by the session's ids, mounted nowhere yet. Knows
 * mounts; knows no session and no cache. */
#pragma once

#include "base.h"

/* tree_fd: the tree's directory. userns_fd: the session's user namespace, its maps written. A clone of the
 * tree's mount with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). *ret is the caller's. */
int lower_idmapped(int tree_fd, int userns_fd, int *ret);
/* Whose a copy's files are: the first id is root's, and what follows it the others'; or it is everybody's.
 */
typedef struct LowerIds {
        uint32_t first;
        bool only;
} LowerIds;

/* Where that, or an overlay on top of it, cannot be had: a copy in a tmpfs of its own, owned by those ids,
 * which may grow to that size; writable unless read_only. */
int lower_copied(int tree_fd, const LowerIds *ids, uint64_t bytes_max, uint64_t inodes_max, bool read_only,
                 int *ret);
