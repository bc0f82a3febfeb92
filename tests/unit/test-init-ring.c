/* ring.c: what is written can be read, by the writer and, while it writes, by another process, which never
 * takes for whole what is not. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring-writer.h"

static Ring ring;
static int memfd;

static int make_memfd(uint64_t size, uint32_t magic, uint32_t version, uint64_t said)
{
        RingHeader h = { .magic = magic, .version = version, .size = said };
        int fd = memfd_create("ring", MFD_CLOEXEC);

        cr_assert_geq(fd, 0);
        cr_assert_eq(ftruncate(fd, (off_t)(RING_HEADER_SIZE + size)), 0);
        cr_assert_eq(pwrite(fd, &h, offsetof(RingHeader, head), 0), offsetof(RingHeader, head));
        return fd;
}

static void make_ring(uint64_t size)
{
        memfd = make_memfd(size, RING_MAGIC, RING_VERSION, size);
        cr_assert_eq(ring_map(&ring, memfd), 0);
}

/* The byte that output has there. */
static char byte_at(uint64_t offset)
{
        return (char)(offset * 31 + offset / 251);
}

static void append(size_t n, RingStream stream)
{
        static char bytes[RING_RECORD_MAX];

        for (size_t i = 0; i < n; i++)
                bytes[i] = byte_at(ring.offset + i);
        ring_append(&ring, stream, bytes, n);
}

TestSuite(ring, .timeout = 30);

Test(ring, what_is_no_ring)
{
        const struct {
                uint64_t size;
                uint32_t magic, version;
                uint64_t said;
        } rows[] = {
                {4096,  0,          RING_VERSION,     4096},
                { 4096, RING_MAGIC, RING_VERSION + 1, 4096},
                { 4096, RING_MAGIC, RING_VERSION,     4095},
                { 4096, RING_MAGIC, RING_VERSION,     8192},
                { 4097, RING_MAGIC, RING_VERSION,     4097},
                { 64,   RING_MAGIC, RING_VERSION,     64  },
        };
        int ends[2];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_eq(ring_map(&ring, make_memfd(rows[i].size, rows[i].magic, rows[i].version,
                                                        rows[i].said)),
                             -EBADMSG, "row %zu", i);
        cr_expect_eq(ring_map(&ring, memfd_create("short", 0)), -EBADMSG);
        cr_assert_eq(pipe(ends), 0);
        cr_expect_eq(ring_map(&ring, ends[0]), -EBADMSG);
        cr_expect_null(ring.header);
}

Test(ring, a_record)
{
        size_t n;

        make_ring(4096);
        append(13, RING_STDOUT);
        append(3, RING_STDERR);
        cr_expect_eq(ring.header->head, 2 * sizeof(RingRecord) + 16 + 8);
        cr_expect_eq(ring.header->tail, 0);
        RingRecord first = ring_record(&ring, 0), second = ring_record(&ring, sizeof(RingRecord) + 16);
        cr_expect_eq(first.length, 13);
        cr_expect_eq(first.stream, RING_STDOUT);
        cr_expect_eq(first.offset, 0);
        cr_expect_geq(first.realtime_usec, now_usec(CLOCK_REALTIME) - 10 * USEC_PER_SEC);
        cr_expect_leq(first.realtime_usec, now_usec(CLOCK_REALTIME));
        cr_expect_eq(second.length, 3);
        cr_expect_eq(second.stream, RING_STDERR);
        cr_expect_eq(second.offset, 13);
        const char *bytes = ring_bytes(&ring, sizeof(RingRecord), 13, &n);
        cr_expect_eq(n, 13);
        cr_expect_eq(bytes[12], byte_at(12));
        ring_append(&ring, RING_STDOUT, "", 0);
        cr_expect_eq(ring.header->head, 2 * sizeof(RingRecord) + 16 + 8, "nothing is no record");
}

static void check_record(uint64_t at, const RingRecord *record)
{
        size_t n;
        const char *bytes = ring_bytes(&ring, at + sizeof(*record), record->length, &n);

        for (size_t i = 0; i < record->length; i++)
                cr_assert_eq(i < n ? bytes[i] : ring.data[i - n], byte_at(record->offset + i));
}

/* All that the ring has: whole, one after the other, up to the newest byte. */
static void check_all(void)
{
        uint64_t at = ring.tail, offset = ring_record(&ring, at).offset;

        cr_assert_leq(ring.head - ring.tail, ring.size);
        while (at < ring.head) {
                RingRecord record = ring_record(&ring, at);
                cr_assert_eq(record.offset, offset);
                check_record(at, &record);
                offset += record.length;
                at += ring_record_size(record.length);
        }
        cr_assert_eq(at, ring.head);
        cr_assert_eq(offset, ring.offset);
}

Test(ring, goes_round)
{
        static const uint64_t sizes[] = { 128, 136, 1024, 4096 + 8, 100 * 1024 };

        for (size_t s = 0; s < ELEMENTSOF(sizes); s++) {
                make_ring(sizes[s]);
                for (size_t i = 0; i < 3000; i++) {
                        append(1 + i * 7919 % ring_record_max(&ring), 1 + i % 3);
                        check_all();
                        cr_assert_eq(ring.header->head, ring.head);
                        cr_assert_eq(ring.header->tail, ring.tail);
                        if (i > 2 * sizes[s] / sizeof(RingRecord))
                                cr_assert_gt(ring.head - ring.tail + sizeof(RingRecord) +
                                                     2 * ring_record_max(&ring) + RING_ALIGN,
                                             ring.size, "no more is given up than has to be");
                }
                cr_expect_gt(ring.tail, sizes[s]);
        }
}

Test(ring, records_are_bounded)
{
        make_ring(1024);
        cr_expect_eq(ring_record_max(&ring), 256);
        make_ring(MIB);
        cr_expect_eq(ring_record_max(&ring), RING_RECORD_MAX);
}

Test(ring, no_output_is_kept)
{
        make_ring(0);
        cr_expect_eq(ring_record_max(&ring), 0);
        ring_append(&ring, RING_STDOUT, "a", 1);
        cr_expect_eq(ring.header->head, 0);
        ring_started(&ring, ORDER_MAIN_COMMAND, 5);
        cr_expect_eq(ring.header->results[0].flags, RING_STARTED);
}

static void end_command(uint64_t command, uint64_t usec)
{
        EventExited e = { .header.command = command,
                          .status = (int32_t)command,
                          .user_usec = 1,
                          .system_usec = 2,
                          .monotonic_usec = usec };

        ring_ended(&ring, &e);
}

Test(ring, results)
{
        const RingResult *r;

        make_ring(0);
        r = ring.header->results;
        ring_started(&ring, 7, 10);
        ring_started(&ring, ORDER_MAIN_COMMAND, 11);
        cr_expect_eq(r[0].command, ORDER_MAIN_COMMAND, "the main one is the first, whoever was first");
        cr_expect_eq(r[1].command, 7);
        cr_expect_eq(r[1].flags, RING_STARTED);
        cr_expect_eq(r[1].started_usec, 10);
        end_command(7, 30);
        cr_expect_eq(r[1].flags, RING_STARTED | RING_ENDED);
        cr_expect_eq(r[1].status, 7);
        cr_expect_eq(r[1].started_usec, 10);
        cr_expect_eq(r[1].ended_usec, 30);
        cr_expect_eq(r[1].user_usec, 1);
        cr_expect_eq(r[1].system_usec, 2);
        end_command(8, 31);
        cr_expect_eq(r[2].command, 0, "one that never started has no result");
}

Test(ring, results_make_room)
{
        const RingResult *r;

        make_ring(0);
        r = ring.header->results;
        ring_started(&ring, ORDER_MAIN_COMMAND, 1);
        end_command(ORDER_MAIN_COMMAND, 2); /* longer ago than any, and never given up */
        for (uint64_t i = 2; i <= RING_LEDGER_MAX; i++)
                ring_started(&ring, i, 100 + i);
        cr_expect_eq(r[RING_LEDGER_MAX - 1].command, RING_LEDGER_MAX);
        ring_started(&ring, 1000, 1000);
        cr_expect_eq(r[1].command, 2, "what runs is never given up");
        end_command(50, 1003);
        end_command(60, 1001);
        end_command(70, 1002);
        ring_started(&ring, 1001, 1010);
        cr_expect_eq(r[59].command, 1001);
        cr_expect_eq(r[59].flags, RING_STARTED);
        cr_expect_eq(r[59].status, 0);
        cr_expect_eq(r[59].ended_usec, 0);
        ring_started(&ring, 1002, 1011);
        ring_started(&ring, 1003, 1012);
        cr_expect_eq(r[69].command, 1002);
        cr_expect_eq(r[49].command, 1003);
        cr_expect_eq(r[0].command, ORDER_MAIN_COMMAND);
}

Test(ring, no_ring)
{
        ring_started(&ring, 1, 1);
        end_command(1, 2);
        ring_append(&ring, RING_STDOUT, "a", 1);
}

static struct {
        uint64_t head, tail;
} at_first_write;

static void on_write(int signal)
{
        at_first_write.head = ring.header->head;
        at_first_write.tail = ring.header->tail;
        mprotect(ring.data, ring.size, PROT_READ | PROT_WRITE);
}

/* What readers rely on, seen at the moment when the first byte is overwritten. */
Test(ring, says_what_it_gives_up_first)
{
        uint64_t head, tail;

        make_ring(64 * KIB);
        while (!ring.tail)
                append(1000, RING_STDOUT);
        head = ring.head;
        tail = ring.tail;
        signal(SIGSEGV, on_write);
        cr_assert_eq(mprotect(ring.data, ring.size, PROT_READ), 0);
        append(5000, RING_STDOUT);
        cr_expect_eq(at_first_write.head, head);
        cr_expect_gt(at_first_write.tail, tail);
        cr_expect_eq(at_first_write.tail, ring.header->tail);
        cr_expect_gt(ring.header->head, head);
}

static uint64_t read_position(size_t where)
{
        uint64_t position;

        if (pread(memfd, &position, sizeof(position), (off_t)where) != sizeof(position))
                _exit(10);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        return position;
}

static void copy(uint64_t position, char *to, size_t n)
{
        uint64_t at = position % ring.size;
        size_t first = MIN((uint64_t)n, ring.size - at);

        if (pread(memfd, to, first, (off_t)(RING_HEADER_SIZE + at)) != (ssize_t)first ||
            pread(memfd, to + first, n - first, RING_HEADER_SIZE) != (ssize_t)(n - first))
                _exit(11);
}

typedef struct Seen {
        uint64_t records, torn, skipped;
} Seen;

/* Copies the record at *position; true if it was whole, and then it has to be right in all parts. */
static bool read_one(uint64_t *position, uint64_t *offset, Seen *seen)
{
        static char bytes[RING_RECORD_MAX];
        RingRecord record;
        uint64_t tail;

        copy(*position, (char *)&record, sizeof(record));
        if (record.length <= ring_record_max(&ring))
                copy(*position + sizeof(record), bytes, record.length);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        tail = read_position(offsetof(RingHeader, tail));
        if (tail > *position) {
                seen->torn++;
                *position = tail;
                *offset = UINT64_MAX;
                return false;
        }
        if (!record.length || record.length > ring_record_max(&ring) || record.stream < 1 ||
            record.stream > 3 || (*offset != UINT64_MAX && record.offset != *offset))
                _exit(12);
        for (size_t i = 0; i < record.length; i++)
                if (bytes[i] != byte_at(record.offset + i))
                        _exit(13);
        *position += ring_record_size(record.length);
        *offset = record.offset + record.length;
        seen->records++;
        return true;
}

static _noreturn_ void read_all(uint64_t until, int report)
{
        uint64_t position = 0, offset = 0;
        Seen seen = { 0 };

        while (offset == UINT64_MAX || offset < until) {
                if (read_position(offsetof(RingHeader, head)) <= position)
                        continue;
                (void)read_one(&position, &offset, &seen);
        }
        (void)!write(report, &seen, sizeof(seen));
        _exit(0);
}

/* A reader that is always too slow, and one that keeps up for a while. */
Test(ring, another_process_reads)
{
        const uint64_t until = 48 * MIB;
        int report[2], status;
        Seen seen;
        pid_t pid;

        make_ring(64 * KIB);
        cr_assert_eq(pipe(report), 0);
        pid = fork();
        if (pid == 0) {
                close(report[0]);
                read_all(until, report[1]);
        }
        close(report[1]);
        for (size_t i = 0; ring.offset < until; i++) {
                append(MIN(1 + i * 7919 % 3000, until - ring.offset), 1 + i % 3);
                if (i % 64 == 0)
                        usleep(50);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status));
        cr_assert_eq(WEXITSTATUS(status), 0, "a record was not whole: %d", WEXITSTATUS(status));
        cr_assert_eq(read(report[0], &seen, sizeof(seen)), sizeof(seen));
        cr_expect_gt(seen.records, 100);
        cr_expect_gt(seen.torn, 0, "this test has to see it");
        fprintf(stderr, "%lu records, %lu torn\n", seen.records, seen.torn);
}
