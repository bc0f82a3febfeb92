/* What is remembered about a cached root, as a small JSON file beside it. Knows the file's form; knows
 * nothing of how a root is made or used. */
#pragma once

#include "base.h"
#include "digest.h"

typedef struct Metadata {
        char *name;                          /* owned */
        char *source;                        /* owned: the URL it came from */
        char digest[DIGEST_HEX_SIZE];        /* of the tree (tree_digest), and the name of its directory */
        char binary_digest[DIGEST_HEX_SIZE]; /* of the file that came from the source */
        int64_t size_bytes;                  /* what its files hold */
} Metadata;

void metadata_done(Metadata *m);
/* -EBADMSG: not what metadata_format writes; nothing is set then. */
int metadata_parse(const char *text, size_t length, Metadata *ret);
/* *ret is the caller's. */
int metadata_format(const Metadata *m, char **ret);

/* The file NAME.json below dir_fd. */
int metadata_read(int dir_fd, const char *name,
                  Metadata *ret); /* -ENOENT; -EBADMSG also if it is another name's, or no file */
int metadata_write(int dir_fd, const Metadata *m); /* all of it or nothing, and synced */
int metadata_remove(int dir_fd, const char *name); /* 0 if it is not there */
