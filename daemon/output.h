/* What a session printed and how its commands ended, as its nsroot-init wrote it into a memfd (ring.h).
 * Reads it with pread(2), so that no page of it is ever the daemon's, and believes nothing in it. Knows no
 * session and no protocol. */
#pragma once

#include "ring.h"

/* A new one, with room for so many bytes of records (0: results only), sealed against resizing. */
int output_new(uint64_t size, int *ret_fd);
/* Whether that is what fd is. */
bool output_is(int fd);

/* What is known of a command (fd may be none): -ENOENT, where its exec has not succeeded, or it ended too
 * long ago. */
int output_result(int fd, uint64_t command, RingResult *ret);
/* Why its init has ended the session, of its own accord: an EndReason of order.h; 0: it has not. */
uint32_t output_end_reason(int fd);
/* How many commands that are not the main one run, or have run and are known. */
size_t output_running(int fd);
size_t output_commands(int fd);

/* Where a reader is; all zero: before the first record there ever was. */
typedef struct OutputCursor {
        uint64_t position, offset;
} OutputCursor;

typedef struct OutputRecord {
        RingStream stream;
        uint64_t realtime_usec;
        uint64_t lost; /* bytes that were printed since the last record read, and are not there any more */
        size_t length;
        char bytes[RING_RECORD_MAX];
} OutputRecord;

/* The next record. 1; 0: there is none yet; -EBADMSG: it is damaged, and there will be none. */
int output_next(int fd, OutputCursor *cursor, OutputRecord *ret);
