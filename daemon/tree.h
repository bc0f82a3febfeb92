/* A directory tree that the daemon made itself: its digest, its removal. Knows nothing of what the tree is
 * for. */
#pragma once

#include "base.h"
#include "digest.h"

/* The digest of everything that is in the tree below dir_fd (which may be O_PATH): for each entry, in the
 * order of the bytes of their names, its path, type, mode, owner and contents or link target. Times and hard
 * links do not count. *ret_bytes: what its regular files hold. -ELOOP: deeper than a tree of ours ever is.
 */
int tree_digest(int dir_fd, char ret_hex[static DIGEST_HEX_SIZE], uint64_t *ret_bytes);
/* Removes name below dir_fd with all that is in it, following no link. 0 if it is not there. */
int tree_remove(int dir_fd, const char *name);
/* A name below which something new can be built in the same directory: prefix and random digits. */
#define TREE_NAME_SIZE 40
int tree_name(const char *prefix, char ret[static TREE_NAME_SIZE]);
