/* The one writer of a session's ring (common/ring.h), and who reads it in the same process. */
#pragma once

#include "order.h"
#include "ring.h"

typedef struct Ring {
        RingHeader *header; /* NULL: none was given */
        char *data;
        uint64_t size; /* of the records' part; 0: results only */
        uint64_t head; /* ours, which what is in the header follows: nobody else's writing moves us */
        uint64_t tail;
        uint64_t offset; /* bytes of output, ever */
} Ring;

/* Maps the memfd, which stays the caller's. -EBADMSG: it is none that a ring can be in. */
int ring_map(Ring *r, int fd);

/* Bytes of output that a record has at most; 0 where no output is kept. */
size_t ring_record_max(const Ring *r);
/* Adds one record of at most ring_record_max() bytes, in the place of the oldest ones. Nothing, where no
 * output is kept. */
void ring_append(Ring *r, RingStream stream, const void *bytes, size_t n);

/* The record at a position from tail on, before head. */
RingRecord ring_record(const Ring *r, uint64_t position);
/* n bytes of the ring from that position on: where they are, and how many of them are there, for the others
 * are at the ring's beginning. */
const char *ring_bytes(const Ring *r, uint64_t position, size_t n, size_t *ret_n);

/* Why the session ends without its main command's having ended. */
void ring_ending(Ring *r, EndReason reason);
/* The results of commands. Without a ring nothing happens. */
void ring_started(Ring *r, uint64_t command, uint64_t monotonic_usec);
void ring_ended(Ring *r, const EventExited *e);
