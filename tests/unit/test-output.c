/* output.c: what a session's init wrote is read, and believed no further than it can be checked. Who writes
 * is made up here, byte by byte; that init writes what this reads is what test-init-ring shows. */
#include "output.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 1024

static int fd;
static RingHeader *header;
static OutputRecord record;

static void set_up(void)
{
        cr_assert_eq(output_new(SIZE, &fd), 0);
        header = mmap(NULL, RING_HEADER_SIZE + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        cr_assert_neq(header, MAP_FAILED);
}

static void tear_down(void)
{
        munmap(header, RING_HEADER_SIZE + SIZE);
        close(fd);
}

TestSuite(output, .init = set_up, .fini = tear_down, .timeout = 10);

static void put_bytes(uint64_t position, const void *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((char *)header)[RING_HEADER_SIZE + (position + i) % SIZE] = ((const char *)bytes)[i];
}

static void put(const char *text, uint64_t offset)
{
        RingRecord r = {
                .length = (uint32_t)strlen(text), .stream = RING_STDERR, .realtime_usec = 7, .offset = offset
        };

        put_bytes(header->head, &r, sizeof(r));
        put_bytes(header->head + sizeof(r), text, r.length);
        header->head += ring_record_size(r.length);
}

static bool is(const char *text)
{
        return record.length == strlen(text) && memcmp(record.bytes, text, record.length) == 0;
}

Test(output, a_new_one_is_empty_and_cannot_be_resized)
{
        OutputCursor cursor = { 0 };

        cr_expect_eq(output_next(fd, &cursor, &record), 0);
        cr_expect_lt(ftruncate(fd, 1), 0);
        cr_expect_lt(ftruncate(fd, 1 << 20), 0);
        cr_expect(output_is(fd));
        cr_expect_not(output_is(memfd_create("other", 0)));
        cr_expect_eq(output_new(SIZE + 1, &(int){ -1 }), -EINVAL);
}

Test(output, records_come_in_order)
{
        OutputCursor cursor = { 0 };

        put("one", 0);
        put("three", 3);
        cr_assert_eq(output_next(fd, &cursor, &record), 1);
        cr_expect(is("one"));
        cr_expect_eq(record.stream, RING_STDERR);
        cr_expect_eq(record.realtime_usec, 7);
        cr_assert_eq(output_next(fd, &cursor, &record), 1);
        cr_expect(is("three"));
        cr_expect_eq(record.lost, 0);
        cr_expect_eq(output_next(fd, &cursor, &record), 0);
        put("late", 8);
        cr_assert_eq(output_next(fd, &cursor, &record), 1);
        cr_expect(is("late"));
}

/* The end of the ring is within the second record: its head, or its bytes. */
Test(output, records_wrap)
{
        for (uint64_t before = SIZE - 64; before < SIZE; before += RING_ALIGN) {
                OutputCursor cursor = { .position = before };

                header->head = header->tail = before;
                put("first", 0);
                put("around the end of it", 5);
                cr_assert_eq(output_next(fd, &cursor, &record), 1);
                cr_expect(is("first"));
                cr_assert_eq(output_next(fd, &cursor, &record), 1);
                cr_expect(is("around the end of it"), "%lu", before);
        }
}

Test(output, what_is_lost_is_counted)
{
        OutputCursor cursor = { 0 };

        put("gone", 0);
        header->tail = header->head;
        put("here", 4);
        cr_assert_eq(output_next(fd, &cursor, &record), 1);
        cr_expect(is("here"));
        cr_expect_eq(record.lost, 4);
        put("on", 8);
        cr_assert_eq(output_next(fd, &cursor, &record), 1);
        cr_expect_eq(record.lost, 0);
}

Test(output, nothing_is_believed)
{
        static const struct {
                uint64_t head, tail;
                uint32_t length, stream;
                uint64_t offset;
        } bad[] = {
                {64,           128, 1,          RING_STDOUT, 9},
                { SIZE + 1024, 0,   1,          RING_STDOUT, 9},
                { 64,          0,   UINT32_MAX, RING_STDOUT, 9},
                { 64,          0,   64,         RING_STDOUT, 9},
                { 8,           0,   0,          RING_STDOUT, 9},
                { 64,          0,   8,          0,           9},
                { 64,          0,   8,          4,           9},
                { 64,          0,   8,          RING_STDOUT, 3},
                { SIZE,        0,   SIZE - 8,   RING_STDOUT, 9},
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const RingRecord r = { .length = bad[i].length,
                                       .stream = bad[i].stream,
                                       .offset = bad[i].offset };
                OutputCursor cursor = { .offset = 5 };

                put_bytes(0, &r, sizeof(r));
                header->tail = bad[i].tail;
                header->head = bad[i].head;
                cr_expect_eq(output_next(fd, &cursor, &record), -EBADMSG, "%zu", i);
        }
        header->head = header->tail = 0;
        header->size = SIZE * 2;
        cr_expect_eq(output_next(fd, &(OutputCursor){ 0 }, &record), -EBADMSG, "the size is the file's");
        header->size = SIZE;
        header->version++;
        cr_expect_eq(output_next(fd, &(OutputCursor){ 0 }, &record), -EBADMSG);
}

Test(output, a_reader_before_the_head_of_nobody)
{
        cr_expect_eq(output_next(fd, &(OutputCursor){ .position = 8 }, &record), -EBADMSG);
}

Test(output, results)
{
        RingResult r;

        header->results[0] = (RingResult){ .command = 1, .flags = RING_STARTED };
        header->results[3] =
                (RingResult){ .command = 77, .flags = RING_STARTED | RING_ENDED, .status = 256 };
        header->results[4] = (RingResult){ .command = 78, .flags = RING_STARTED };
        header->results[5] = (RingResult){ .command = 79 }; /* being written */
        cr_assert_eq(output_result(fd, 77, &r), 0);
        cr_expect_eq(r.status, 256);
        cr_expect_eq(output_result(fd, 1, &r), 0);
        cr_expect_eq(output_result(fd, 79, &r), -ENOENT);
        cr_expect_eq(output_result(fd, 2, &r), -ENOENT);
        cr_expect_eq(output_running(fd), 2);
        cr_expect_eq(output_commands(fd), 3);
}

/* Of a session in the foreground only results are kept. */
Test(output, without_room)
{
        int none;
        RingResult r;

        cr_assert_eq(output_new(0, &none), 0);
        cr_expect_eq(output_next(none, &(OutputCursor){ 0 }, &record), 0);
        cr_expect_eq(output_result(none, 1, &r), -ENOENT);
        close(none);
}
