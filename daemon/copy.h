/* A file's contents into another, and files that have no name. Knows only descriptors. */
#pragma once

#include "base.h"

/* Copies from's contents, from its beginning, to to's position. -EFBIG: more than max. */
int copy_file(int from, int to, uint64_t max);
/* A new file on the filesystem of dir_fd that has no name, so that nothing of it is left whatever happens;
 * read and write. */
int unnamed_file(int dir_fd);
/* The same file once more, read only and with a position of its own. */
int reopen_read_only(int fd);
