/* See output.h. */
#include "output.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS     (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define TRIES_MAX 16

int output_new(uint64_t size, int *ret_fd)
{
        const RingHeader header = { .magic = RING_MAGIC, .version = RING_VERSION, .size = size };
        const size_t head = offsetof(RingHeader, results);
        _cleanup_close_ int fd = memfd_create("nsroot-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (size % RING_ALIGN != 0)
                return -EINVAL;
        if (fd < 0 || ftruncate(fd, (off_t)(RING_HEADER_SIZE + size)) < 0)
                return -errno;
        if (pwrite(fd, &header, head, 0) != (ssize_t)head || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return errno ? -errno : -EIO;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Exactly so many bytes. */
static int read_at(int fd, void *ret, size_t size, uint64_t at)
{
        ssize_t n = pread(fd, ret, size, (off_t)at);

        if (n < 0)
                return -errno;
        return (size_t)n == size ? 0 : -EBADMSG;
}

/* The header without the results. */
static int read_head(int fd, RingHeader *ret)
{
        struct stat st;
        int r = read_at(fd, ret, offsetof(RingHeader, results), 0);

        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (ret->magic != RING_MAGIC || ret->version != RING_VERSION || ret->size % RING_ALIGN != 0 ||
            (uint64_t)st.st_size != RING_HEADER_SIZE + ret->size || ret->tail > ret->head ||
            ret->head - ret->tail > ret->size)
                return -EBADMSG;
        return 0;
}

bool output_is(int fd)
{
        uint32_t magic;

        return read_at(fd, &magic, sizeof(magic), 0) >= 0 && magic == RING_MAGIC;
}

uint32_t output_end_reason(int fd)
{
        RingHeader header;

        return fd >= 0 && read_head(fd, &header) >= 0 ? header.end_reason : 0;
}

static int read_results(int fd, RingHeader *ret)
{
        return read_at(fd, ret->results, sizeof(ret->results), offsetof(RingHeader, results));
}

int output_result(int fd, uint64_t command, RingResult *ret)
{
        RingHeader header;
        int r = fd < 0 ? -ENOENT : read_results(fd, &header);

        if (r < 0)
                return r;
        for (size_t i = 0; i < RING_LEDGER_MAX; i++)
                if (header.results[i].command == command && header.results[i].flags & RING_STARTED) {
                        *ret = header.results[i];
                        return 0;
                }
        return -ENOENT;
}

static size_t count_commands(int fd, bool ended_too)
{
        RingHeader header;
        size_t n = 0;

        if (read_results(fd, &header) < 0)
                return 0;
        for (size_t i = 1; i < RING_LEDGER_MAX; i++)
                n += header.results[i].command && (ended_too || !(header.results[i].flags & RING_ENDED));
        return n;
}

size_t output_running(int fd)
{
        return count_commands(fd, false);
}

size_t output_commands(int fd)
{
        return count_commands(fd, true);
}

/* Bytes from a position on, of which the ring may have the end at its beginning. */
static int read_wrapped(int fd, const RingHeader *header, uint64_t position, void *ret, size_t size)
{
        uint64_t at = position % header->size;
        size_t first = MIN(size, (size_t)(header->size - at));
        int r = read_at(fd, ret, first, RING_HEADER_SIZE + at);

        if (r < 0 || first == size)
                return r;
        return read_at(fd, (char *)ret + first, size - first, RING_HEADER_SIZE);
}

static int read_record(int fd, const RingHeader *header, uint64_t position, RingRecord *record, char *bytes)
{
        uint64_t left = header->head - position;
        int r;

        if (left < sizeof(*record))
                return -EBADMSG;
        r = read_wrapped(fd, header, position, record, sizeof(*record));
        if (r < 0)
                return r;
        if (record->length > RING_RECORD_MAX || ring_record_size(record->length) > left)
                return -EBADMSG;
        return read_wrapped(fd, header, position + sizeof(*record), bytes, record->length);
}

static bool stream_is_good(uint32_t stream)
{
        return stream >= RING_STDOUT && stream <= RING_TERMINAL;
}

/* What was read is what was there only if it was not given up meanwhile (ring.h). Who gives up everything we
 * try to read has us come back later. */
int output_next(int fd, OutputCursor *cursor, OutputRecord *ret)
{
        RingHeader header;
        RingRecord record;

        for (size_t tries = 0; tries < TRIES_MAX; tries++) {
                int r = read_head(fd, &header), damage;

                if (r < 0)
                        return r;
                uint64_t position = MAX(cursor->position, header.tail);
                if (position >= header.head)
                        return position > header.head ? -EBADMSG : 0;
                damage = read_record(fd, &header, position, &record, ret->bytes);
                r = read_head(fd, &header);
                if (r < 0)
                        return r;
                if (header.tail > position)
                        continue;
                if (damage < 0 || !stream_is_good(record.stream) || record.offset < cursor->offset)
                        return -EBADMSG;
                ret->stream = record.stream;
                ret->realtime_usec = record.realtime_usec;
                ret->lost = record.offset - cursor->offset;
                ret->length = record.length;
                *cursor = (OutputCursor){ .position = position + ring_record_size(record.length),
                                          .offset = record.offset + record.length };
                return 1;
        }
        return 0;
}
