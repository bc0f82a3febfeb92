/* The cached root as one session sees it: its files owned by the session's ids, read-only, mounted nowhere
 * yet. Knows mounts; knows no session and no cache. */
#pragma once

#include "base.h"

/* tree_fd: the tree's directory. userns_fd: the session's user namespace, its maps written. A clone of the
 * tree's mount with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). *ret is the caller's. */
int lower_idmapped(int tree_fd, int userns_fd, int *ret);
/* Where the filesystem takes no such mapping: a copy in a tmpfs of its own, owned by first_id and what
 * follows it. */
int lower_copied(int tree_fd, uint32_t first_id, int *ret);
