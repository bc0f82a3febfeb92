/* How far a root is that somebody waits for: one line on a terminal's stderr, drawn over and over. Knows the
 * states and numbers of org.nsroot.root.Pull; knows no call. */
#pragma once

#include "base.h"

struct json_object;

typedef struct Progress {
        bool enabled;        /* else nothing is ever drawn */
        bool drawn;          /* there is a line to be erased */
        uint64_t not_before; /* CLOCK_MONOTONIC, µs: who waits for less is not bothered */
} Progress;

/* Enabled if stderr is a terminal and not `quiet`. */
Progress progress_new(bool quiet);
/* Draws what a reply says (state, doneBytes, totalBytes) of the root of that name. */
void progress_show(Progress *p, const char *root, struct json_object *reply);
/* Takes the line away. */
void progress_done(Progress *p);

/* That line, at most `columns` wide: "busybox: downloading [#####     ] 50% of 1.1M". A total that is not
 * known is -1, and so is what is done. The caller's; NULL: out of memory. */
char *progress_line(const char *root, const char *state, int64_t done, int64_t total, size_t columns);
