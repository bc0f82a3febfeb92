/* starts.c: everybody has a turn, and nobody more than so many in so long. */
#include "starts.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <unistd.h>

static sd_event *event;
static Starts *starts;
static char order[64];

static uid_t held_up; /* nothing of this user's may begin */

static bool may_begin(uid_t uid, void *userdata)
{
        return uid != *(uid_t *)userdata;
}

static void set_up(void)
{
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(starts_new(event, may_begin, &held_up, &starts), 0);
}

static void tear_down(void)
{
        starts_free(starts);
        sd_event_unref(event);
}

TestSuite(starts, .init = set_up, .fini = tear_down);

typedef struct Waiting {
        Start start;
        char name;
} Waiting;

static void note(Start *start)
{
        size_t n = strlen(order);

        order[n] = container_of(start, Waiting, start)->name;
        order[n + 1] = '\0';
}

static void queue(uid_t uid, Waiting *waiting, size_t n, char first_name)
{
        for (size_t i = 0; i < n; i++) {
                waiting[i] = (Waiting){ .start.begin = note, .name = (char)(first_name + (char)i) };
                cr_assert_geq(starts_queue(starts, uid, &waiting[i].start), 0);
        }
}

static const char *run_all(void)
{
        while (sd_event_run(event, 0) > 0)
                ;
        return order;
}

Test(starts, each_user_has_a_turn)
{
        Waiting many[5], few[2], one[1];

        queue(1000, many, 5, 'a');
        queue(1001, few, 2, 'A');
        queue(1002, one, 1, '1');
        cr_expect_str_eq(run_all(), "aA1bBcde");
}

/* Not before them: those who come again and again would shut out who waits with many. */
Test(starts, who_comes_is_after_one_of_each)
{
        Waiting a[4], b[3], c[1];

        queue(1000, a, 4, 'a');
        queue(1001, b, 3, 'A');
        cr_assert_gt(sd_event_run(event, 0), 0);
        queue(1002, c, 1, '1');
        cr_expect_str_eq(run_all(), "aAb1BcCd");
}

/* What has come is looked at before more than one of it begins: here, who asks over a pipe each. */
#define ASKING 40

typedef struct Asking {
        uid_t uid;
        Waiting waiting;
        sd_event_source *source;
} Asking;

static int on_asked(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Asking *asking = userdata;

        cr_assert_eq(read(fd, &(char){ 0 }, 1), 1);
        cr_assert_geq(starts_queue(starts, asking->uid, &asking->waiting.start), 0);
        return 0;
}

/* In which place one is begun that is another user's, and asks as the other-th. */
static size_t place_of(size_t other)
{
        static Asking asking[ASKING];
        int ends[ASKING][2];

        order[0] = '\0';
        for (size_t i = 0; i < ASKING; i++) {
                asking[i] = (Asking){
                        i == other ? 1001 : 1000,
                        {.start.begin = note, .name = i == other ? 'B' : 'a'},
                        NULL
                };
                cr_assert_eq(pipe(ends[i]), 0);
                cr_assert_geq(
                        sd_event_add_io(event, &asking[i].source, ends[i][0], EPOLLIN, on_asked, &asking[i]),
                        0);
        }
        for (size_t i = 0; i < ASKING; i++)
                cr_assert_eq(write(ends[i][1], "", 1), 1);
        cr_assert_eq(strlen(run_all()), ASKING);
        for (size_t i = 0; i < ASKING; i++) {
                sd_event_source_disable_unref(asking[i].source);
                close(ends[i][0]);
                close(ends[i][1]);
        }
        return strcspn(order, "B");
}

Test(starts, who_asks_among_many_waits_for_one_of_them)
{
        for (size_t i = 0; i < ASKING; i++)
                cr_expect_leq(place_of(i), 2, "the %zu-th: %s", i, order);
}

Test(starts, one_begins_at_a_time)
{
        Waiting a[3];

        queue(1000, a, 3, 'a');
        cr_expect_str_empty(order, "from the event loop, and not before");
        cr_assert_gt(sd_event_run(event, 0), 0);
        cr_expect_str_eq(order, "a");
        cr_expect_str_eq(run_all(), "abc");
}

Test(starts, who_is_held_up_holds_up_nobody_else)
{
        Waiting a[2], b[2];

        held_up = 1000;
        queue(1000, a, 2, 'a');
        queue(1001, b, 2, 'A');
        cr_expect_str_eq(run_all(), "AB");
        held_up = 0;
        for (int i = 0; i < 100 && strlen(order) < 4; i++)
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        cr_expect_str_eq(order, "ABab");
}

Test(starts, who_leaves_does_not_begin)
{
        Waiting a[3], never = { 0 };

        queue(1000, a, 3, 'a');
        starts_leave(starts, &a[1].start);
        starts_leave(starts, &a[2].start);
        starts_leave(starts, &a[2].start);
        starts_leave(starts, &never.start);
        queue(1000, &a[1], 1, 'x');
        cr_expect_str_eq(run_all(), "ax");
        starts_leave(starts, &a[0].start);
}

Test(starts, those_that_wait_at_the_end_are_forgotten)
{
        static Waiting a[2];

        queue(1000, a, 2, 'a');
}

Test(starts, so_many_and_no_more)
{
        for (int i = 0; i < 3; i++)
                cr_expect(starts_count(starts, 1000, 3, 3600 * USEC_PER_SEC), "%d", i);
        cr_expect_not(starts_count(starts, 1000, 3, 3600 * USEC_PER_SEC));
        cr_expect(starts_count(starts, 1001, 3, 3600 * USEC_PER_SEC), "another user");
        cr_expect(starts_count(starts, 1000, UINT64_MAX, 1));
        cr_expect(starts_count(starts, 1000, 4, 3600 * USEC_PER_SEC), "a greater number");
        cr_expect_not(starts_count(starts, 1000, 4, 3600 * USEC_PER_SEC));
}

Test(starts, there_is_one_again_after_a_while)
{
        cr_expect(starts_count(starts, 1000, 1, 50 * USEC_PER_MSEC));
        cr_expect_not(starts_count(starts, 1000, 1, 3600 * USEC_PER_SEC));
        usleep(60 * USEC_PER_MSEC);
        cr_expect(starts_count(starts, 1000, 1, 50 * USEC_PER_MSEC));
}
