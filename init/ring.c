/* See ring-writer.h, and common/ring.h for what readers rely on: what is given up is said before it is
 * overwritten, and what is new is said when it is whole. Knows no source and no viewer. */
#include "ring-writer.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

/* Two records of a few bytes. */
#define SIZE_MIN 128

static bool is_good(const RingHeader *h, uint64_t file_size)
{
        return h->magic == RING_MAGIC && h->version == RING_VERSION &&
               h->size == file_size - RING_HEADER_SIZE && h->size % RING_ALIGN == 0 &&
               (h->size == 0 || h->size >= SIZE_MIN);
}

int ring_map(Ring *r, int fd)
{
        struct stat st;
        RingHeader *h;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < RING_HEADER_SIZE)
                return -EBADMSG;
        h = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (h == MAP_FAILED)
                return -errno;
        /* Nothing that is forked has a use for it. */
        if (!is_good(h, (uint64_t)st.st_size) || madvise(h, (size_t)st.st_size, MADV_DONTFORK) < 0) {
                munmap(h, (size_t)st.st_size);
                return -EBADMSG;
        }
        *r = (Ring){ .header = h, .data = (char *)h + RING_HEADER_SIZE, .size = h->size };
        return 0;
}

size_t ring_record_max(const Ring *r)
{
        return MIN((uint64_t)RING_RECORD_MAX, r->size / 4);
}

const char *ring_bytes(const Ring *r, uint64_t position, size_t n, size_t *ret_n)
{
        uint64_t at = position % r->size;

        *ret_n = MIN((uint64_t)n, r->size - at);
        return r->data + at;
}

RingRecord ring_record(const Ring *r, uint64_t position)
{
        RingRecord record;
        size_t n;
        const char *bytes = ring_bytes(r, position, sizeof(record), &n);

        memcpy(&record, bytes, n);
        memcpy((char *)&record + n, r->data, sizeof(record) - n);
        return record;
}

static void put(Ring *r, uint64_t position, const void *bytes, size_t n)
{
        size_t first;
        char *at = (char *)ring_bytes(r, position, n, &first);

        memcpy(at, bytes, first);
        memcpy(r->data, (const char *)bytes + first, n - first);
}

/* The fence keeps the bytes that follow behind the tail that gives up their place. */
static void make_room(Ring *r, uint64_t needed)
{
        if (r->head + needed - r->tail <= r->size)
                return;
        while (r->head + needed - r->tail > r->size)
                r->tail += ring_record_size(ring_record(r, r->tail).length);
        __atomic_store_n(&r->header->tail, r->tail, __ATOMIC_RELAXED);
        atomic_thread_fence(memory_order_release);
}

void ring_append(Ring *r, RingStream stream, const void *bytes, size_t n)
{
        RingRecord record = { .length = (uint32_t)n,
                              .stream = stream,
                              .realtime_usec = now_usec(CLOCK_REALTIME),
                              .offset = r->offset };

        if (!r->size || !n)
                return;
        make_room(r, ring_record_size(n));
        put(r, r->head, &record, sizeof(record));
        put(r, r->head + sizeof(record), bytes, n);
        r->head += ring_record_size(n);
        r->offset += n;
        __atomic_store_n(&r->header->head, r->head, __ATOMIC_RELEASE);
}

static void set_flags(RingResult *e, uint32_t flags)
{
        __atomic_store_n(&e->flags, flags, __ATOMIC_RELEASE);
}

static RingResult *find(Ring *r, uint64_t command)
{
        for (size_t i = 0; i < RING_LEDGER_MAX; i++)
                if (r->header->results[i].command == command)
                        return &r->header->results[i];
        return NULL;
}

/* The entry of the command that ended longest ago; never the main one's, which is the first. */
static RingResult *find_oldest(Ring *r)
{
        RingResult *oldest = NULL;

        for (size_t i = 1; i < RING_LEDGER_MAX; i++) {
                RingResult *e = &r->header->results[i];
                if ((e->flags & RING_ENDED) && (!oldest || e->ended_usec < oldest->ended_usec))
                        oldest = e;
        }
        return oldest;
}

static RingResult *find_place(Ring *r, uint64_t command)
{
        RingResult *results = r->header->results;

        if (command == ORDER_MAIN_COMMAND)
                return &results[0];
        for (size_t i = 1; i < RING_LEDGER_MAX; i++)
                if (!results[i].command)
                        return &results[i];
        return find_oldest(r);
}

void ring_ending(Ring *r, EndReason reason)
{
        if (r->header)
                r->header->end_reason = reason;
}

void ring_started(Ring *r, uint64_t command, uint64_t monotonic_usec)
{
        RingResult *e = r->header ? find_place(r, command) : NULL;

        if (!e)
                return;
        set_flags(e, 0);
        atomic_thread_fence(memory_order_release);
        e->command = command;
        e->status = 0;
        e->started_usec = monotonic_usec;
        e->ended_usec = e->user_usec = e->system_usec = 0;
        set_flags(e, RING_STARTED);
}

void ring_ended(Ring *r, const EventExited *exited)
{
        RingResult *e = r->header ? find(r, exited->header.command) : NULL;

        if (!e)
                return;
        e->status = exited->status;
        e->ended_usec = exited->monotonic_usec;
        e->user_usec = exited->user_usec;
        e->system_usec = exited->system_usec;
        set_flags(e, RING_STARTED | RING_ENDED);
}
