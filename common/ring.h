/* A session's output and results in one memfd of fixed size, which outlives both who writes it (nsroot-init)
 * and who reads it (nsrootd): a page-aligned header with the results of commands, then a ring of records.
 * Made by the daemon, sealed against resizing, charged to the session as it fills; held by both and by the
 * service manager's descriptor store. Its layout is one that later releases read, too: it has a version.
 *
 * There is one writer. Readers are in other processes, which never wait for it: positions only grow, a
 * record is whole before `head` passes it, and `tail` passes it before it is overwritten. So who has copied
 * a record, and then finds `tail` not beyond it, has copied it whole.
 *
 * What is in it came from within a session: a reader believes no length before it is checked (output.h).
 * Knows libc and nothing else: it is linked into nsroot-init. */
#pragma once

#include "base.h"

#define RING_MAGIC       UINT32_C(0x676e6972) /* "ring" */
#define RING_VERSION     1u
#define RING_HEADER_SIZE (20 * 1024) /* of the file; the records follow it */
#define RING_LEDGER_MAX  400         /* more than there are commands at once in a session */
#define RING_RECORD_MAX  (16 * 1024) /* bytes of output in one record at most */

typedef enum RingStream { RING_STDOUT = 1, RING_STDERR = 2, RING_TERMINAL = 3 } RingStream;

typedef enum RingResultFlag {
        RING_STARTED = 1 << 0, /* its exec has succeeded */
        RING_ENDED = 1 << 1,   /* and the rest of the entry is set */
} RingResultFlag;

/* What became of a command. The main one is always the first; of the others, those that ended longest ago
 * make room. */
typedef struct RingResult {
        uint64_t command; /* 0: the entry is free */
        uint32_t flags;   /* RingResultFlag; written last, also when an entry is given to another command */
        int32_t status;   /* as wait(2) gives it */
        uint64_t started_usec, ended_usec; /* CLOCK_MONOTONIC */
        uint64_t user_usec, system_usec;
} RingResult;

typedef struct RingHeader {
        uint32_t magic, version;
        uint64_t size; /* of the records' part: the file's size less RING_HEADER_SIZE; 0: results only */
        uint64_t head, tail; /* positions: bytes written and bytes given up, ever; modulo size: where */
        uint32_t
                end_reason; /* EndReason of order.h: init ends the session of its own accord; 0: not (yet) */
        uint32_t unused;
        RingResult results[RING_LEDGER_MAX];
} RingHeader;

/* Before each record's bytes; the next record begins at the next multiple of RING_ALIGN. */
typedef struct RingRecord {
        uint32_t length; /* of the bytes that follow */
        uint32_t stream; /* RingStream */
        uint64_t realtime_usec;
        uint64_t offset; /* how many bytes of output there were before it, ever */
} RingRecord;

#define RING_ALIGN sizeof(uint64_t)

_Static_assert(sizeof(RingHeader) <= RING_HEADER_SIZE, "the header has room for all results");

static inline uint64_t ring_record_size(uint64_t length)
{
        return sizeof(RingRecord) + (length + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
}
