/* The keys that leave a session: which bytes go in, when, and when it is them. */
#include <criterion/criterion.h>

#include "detach.h"

#define MS USEC_PER_MSEC

static Detach d;

static void begin(void)
{
        d = (Detach){};
}

TestSuite(detach, .init = begin);

static void expect_typed(uint64_t now, const char *in, const char *out)
{
        char buffer[64] = {};
        size_t n = detach_type(&d, now, in, strlen(in), buffer);

        cr_expect_str_eq(buffer, out, "at %llu ms", (unsigned long long)(now / MS));
        cr_expect_eq(n, strlen(out));
}

static void expect_expired(uint64_t now, const char *out)
{
        char buffer[64] = {};

        cr_expect_eq(detach_expire(&d, now, buffer), strlen(out));
        cr_expect_str_eq(buffer, out);
}

Test(detach, other_bytes_go_in_at_once)
{
        expect_typed(0, "abc", "abc");
        expect_typed(0, "\x1b[A\x03", "\x1b[A\x03");
        cr_expect_eq(detach_timeout(&d, 0), -1);
}

Test(detach, three_within_a_second_are_it)
{
        expect_typed(100 * MS, "\x1d", "");
        expect_typed(500 * MS, "\x1d", "");
        cr_expect_not(d.done);
        expect_typed(1099 * MS, "\x1d", "");
        cr_expect(d.done);
        expect_typed(1099 * MS, "more", "");
}

Test(detach, three_at_once_are_it_and_what_follows_goes_nowhere)
{
        expect_typed(0,
                     "ab\x1d\x1d\x1d"
                     "cd",
                     "ab");
        cr_expect(d.done);
}

Test(detach, two_and_something_else_go_in)
{
        expect_typed(0, "\x1d\x1dx", "\x1d\x1dx");
        expect_typed(0, "\x1dx\x1d", "\x1dx");
        expect_typed(0, "\x1d\x1d", "");
        cr_expect(d.done);
}

Test(detach, they_go_in_after_a_second)
{
        expect_typed(0, "\x1d", "");
        cr_expect_eq(detach_timeout(&d, 0), 1001);
        cr_expect_eq(detach_timeout(&d, 999500), 1);
        expect_expired(999 * MS, "");
        expect_expired(1000 * MS, "\x1d");
        cr_expect_eq(d.held, 0);
        cr_expect_eq(detach_timeout(&d, 1000 * MS), -1);
}

Test(detach, each_has_its_own_second)
{
        expect_typed(0, "\x1d", "");
        expect_typed(900 * MS, "\x1d", "");
        expect_typed(1100 * MS, "\x1d", "\x1d");
        cr_expect_not(d.done);
        expect_typed(1899 * MS, "\x1d", "");
        cr_expect(d.done);
}

Test(detach, a_third_that_is_late_is_the_first_of_others)
{
        expect_typed(0, "\x1d\x1d", "");
        expect_typed(1000 * MS, "\x1d", "\x1d\x1d");
        expect_typed(1000 * MS, "\x1d\x1d", "");
        cr_expect(d.done);
}
