/* SHA-256, as 64 lower-case hex digits. Knows libcrypto; knows nothing of what is hashed. */
#pragma once

#include "base.h"

#define DIGEST_HEX_SIZE 65 /* with the NUL */

typedef struct Digest Digest;

int digest_new(Digest **ret);
Digest *digest_free(Digest *d);
DEFINE_CLEANUP(Digest *, digest_free);
int digest_add(Digest *d, const void *data, size_t size);
/* Ends it: after this only digest_free. */
int digest_finish(Digest *d, char ret_hex[static DIGEST_HEX_SIZE]);

/* Adds at most max bytes of a file from *offset on, and moves *offset. 1: there may be more; 0: the file's
 * end. So that an event loop can hash a large file in slices. */
int digest_add_file(Digest *d, int fd, uint64_t *offset, uint64_t max);
/* The digest of a whole file, in one go. */
int digest_file(int fd, char ret_hex[static DIGEST_HEX_SIZE]);
