/* Ranges: disjoint, whole, aligned, in the window, and the one unused longest first. */
#include "daemon/idrange.h"

#include <criterion/criterion.h>

#define WINDOW_FIRST 524288u
#define WINDOW_LAST  1879048191u

static IdRanges *make(uint64_t first, uint64_t last)
{
        IdRanges *r = NULL;

        cr_assert_eq(idranges_new(first, last, &r), 0);
        return r;
}

/* A window of n ranges. */
static IdRanges *make_n(unsigned n)
{
        return make(WINDOW_FIRST, WINDOW_FIRST + (uint64_t)n * ID_RANGE_SIZE - 1);
}

static uint32_t take(IdRanges *r)
{
        uint32_t first = 0;

        cr_assert_eq(idranges_take(r, &first), 0);
        return first;
}

static uint32_t nth(unsigned i)
{
        return WINDOW_FIRST + i * ID_RANGE_SIZE;
}

Test(idrange, whole_window_disjoint_until_exhausted)
{
        const size_t n = (WINDOW_LAST + 1 - WINDOW_FIRST) / ID_RANGE_SIZE;
        _cleanup_(idranges_freep) IdRanges *r = make(WINDOW_FIRST, WINDOW_LAST);
        _cleanup_free_ bool *seen = calloc(n, sizeof *seen);
        uint32_t extra = 4711;

        for (size_t i = 0; i < n; i++) {
                uint32_t first = take(r);

                cr_assert(first >= WINDOW_FIRST && first + (ID_RANGE_SIZE - 1) <= WINDOW_LAST);
                cr_assert_eq(first % ID_RANGE_SIZE, 0);
                cr_assert_not(seen[(first - WINDOW_FIRST) / ID_RANGE_SIZE]);
                seen[(first - WINDOW_FIRST) / ID_RANGE_SIZE] = true;
                cr_assert_eq(idranges_used(r), i + 1);
        }
        cr_expect_eq(idranges_take(r, &extra), -EAGAIN);
        cr_expect_eq(extra, 4711, "an output is untouched on failure");
        idranges_give_back(r, nth(12345));
        cr_expect_eq(take(r), nth(12345));
        cr_expect_eq(idranges_take(r, &extra), -EAGAIN);
}

Test(idrange, least_recently_used_first)
{
        _cleanup_(idranges_freep) IdRanges *r = make_n(4);

        cr_expect_eq(take(r), nth(0));
        idranges_give_back(r, nth(0));
        cr_expect_eq(take(r), nth(1));
        cr_expect_eq(take(r), nth(2));
        idranges_give_back(r, nth(2));
        idranges_give_back(r, nth(1));
        cr_expect_eq(take(r), nth(3));
        cr_expect_eq(take(r), nth(0));
        cr_expect_eq(take(r), nth(2));
        cr_expect_eq(take(r), nth(1));
        cr_expect_eq(idranges_used(r), 4);
}

Test(idrange, claim)
{
        _cleanup_(idranges_freep) IdRanges *r = make_n(3);

        cr_expect_eq(idranges_claim(r, nth(1)), 0);
        cr_expect_eq(idranges_claim(r, nth(1)), -EBUSY);
        cr_expect_eq(idranges_used(r), 1);
        cr_expect_eq(take(r), nth(0));
        cr_expect_eq(take(r), nth(2));
        cr_expect_eq(idranges_take(r, &(uint32_t){ 0 }), -EAGAIN);
        cr_expect_eq(idranges_claim(r, nth(0)), -EBUSY);
        idranges_give_back(r, nth(1));
        cr_expect_eq(take(r), nth(1));
}

Test(idrange, claim_what_is_not_a_range_of_ours)
{
        const uint32_t bad[] = { 0,
                                 1,
                                 65536,
                                 WINDOW_FIRST - 1,
                                 WINDOW_FIRST + 1,
                                 WINDOW_FIRST - ID_RANGE_SIZE,
                                 WINDOW_FIRST + 3 * ID_RANGE_SIZE,
                                 UINT32_MAX,
                                 UINT32_MAX - 65535 };
        _cleanup_(idranges_freep) IdRanges *r = make_n(3);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_expect_eq(idranges_claim(r, bad[i]), -ERANGE, "%u", bad[i]);
        cr_expect_eq(idranges_used(r), 0);
}

Test(idrange, give_back_twice_or_what_was_never_taken)
{
        _cleanup_(idranges_freep) IdRanges *r = make_n(2);

        idranges_give_back(r, nth(0));
        idranges_give_back(r, 12345);
        cr_expect_eq(idranges_used(r), 0);
        cr_expect_eq(take(r), nth(0));
        cr_expect_eq(take(r), nth(1));
        idranges_give_back(r, nth(0));
        idranges_give_back(r, nth(0));
        cr_expect_eq(idranges_used(r), 1);
        cr_expect_eq(take(r), nth(0));
        cr_expect_eq(idranges_take(r, &(uint32_t){ 0 }), -EAGAIN);
}

Test(idrange, windows)
{
        const struct {
                uint64_t first, last;
                int r;
                uint32_t lowest;
                size_t n;
        } table[] = {
                {524288,          524288 + 65535,         0,       524288,         1},
                { 524288,         524288 + 65534,         -ERANGE, 0,              0},
                { 524289,         524288 + 65535,         -ERANGE, 0,              0},
                { 524289,         524288 + 2 * 65536 - 1, 0,       524288 + 65536, 1},
                { 524287,         524288 + 2 * 65536,     0,       524288,         2},
                { 524288,         524287,                 -ERANGE, 0,              0},
                { 600000,         500000,                 -ERANGE, 0,              0},
                { 0,              65535,                  -ERANGE, 0,              0}, /* root's own */
                { 0,              131071,                 0,       65536,          1},
                { 4294770688,     UINT64_MAX,             0,       4294770688,     2}, /* not the one of (uid_t)-1 */
                { 4294901760,     4294967295,             -ERANGE, 0,              0},
                { 4294967296,     4294967296 + 65535,     -ERANGE, 0,              0},
                { UINT64_MAX - 1, UINT64_MAX,             -ERANGE, 0,              0},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(idranges_freep) IdRanges *r = NULL;

                cr_expect_eq(idranges_new(table[i].first, table[i].last, &r), table[i].r, "row %zu", i);
                cr_expect_eq(!r, table[i].r < 0);
                if (!r)
                        continue;
                cr_expect_eq(take(r), table[i].lowest, "row %zu", i);
                for (size_t k = 1; k < table[i].n; k++)
                        take(r);
                cr_expect_eq(idranges_take(r, &(uint32_t){ 0 }), -EAGAIN, "row %zu", i);
        }
}

/* Against a model that is slow and plainly right: a list of free ones in order. */
Test(idrange, random_walk)
{
        enum { N = 17 };
        _cleanup_(idranges_freep) IdRanges *r = make_n(N);
        unsigned free_list[N], n_free = N;
        bool used[N] = { 0 };

        for (unsigned i = 0; i < N; i++)
                free_list[i] = i;
        srand(1);
        for (unsigned step = 0; step < 100000; step++) {
                unsigned i = (unsigned)rand() % N, at = 0;
                uint32_t first;

                switch (rand() % 3) {
                case 0:
                        cr_assert_eq(idranges_take(r, &first), n_free ? 0 : -EAGAIN);
                        if (n_free == 0)
                                break;
                        cr_assert_eq(first, nth(free_list[0]));
                        used[free_list[0]] = true;
                        memmove(free_list, free_list + 1, --n_free * sizeof free_list[0]);
                        break;
                case 1:
                        cr_assert_eq(idranges_claim(r, nth(i)), used[i] ? -EBUSY : 0);
                        if (used[i])
                                break;
                        while (free_list[at] != i)
                                at++;
                        memmove(free_list + at, free_list + at + 1, (--n_free - at) * sizeof free_list[0]);
                        used[i] = true;
                        break;
                case 2:
                        idranges_give_back(r, nth(i));
                        if (used[i])
                                free_list[n_free++] = i;
                        used[i] = false;
                }
                cr_assert_eq(idranges_used(r), N - n_free);
        }
}
