/* The cached root as one session sees it: its files owned by the session's ids, mounted nowhere yet. Knows
 * mounts; knows no session and no cache. */
#pragma once

#include "base.h"

/* tree_fd: the tree's directory. userns_fd: the session's user namespace, its maps written. A clone of the
 * tree's mount with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). *ret is the caller's. */
int lower_idmapped(int tree_fd, int userns_fd, int *ret);
/* Where that, or an overlay on top of it, cannot be had: a copy in a tmpfs of its own, owned by first_id and
 * what follows it, which may grow to that size; writable unless read_only. */
int lower_copied(int tree_fd, uint32_t first_id, uint64_t bytes_max, uint64_t inodes_max, bool read_only,
                 int *ret);
