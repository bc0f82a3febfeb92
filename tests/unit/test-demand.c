/* demand.c: as many as were started at once are wanted, within bounds, and the next is made when it disturbs
 * nobody. */
#include <criterion/criterion.h>

#include "demand.h"

#define MAX_READY 8
#define LONG_AGO  (1000 * USEC_PER_SEC)

static Demand demand;
static uint64_t now;

static void set_up(void)
{
        demand = (Demand){ 0 };
        now = LONG_AGO;
}

static void start(unsigned n, uint64_t every_usec)
{
        for (; n > 0; n--) {
                now += every_usec;
                demand_count(&demand, now, MAX_READY);
        }
}

TestSuite(demand, .init = set_up);

Test(demand, of_one_is_for_one_more_than_that)
{
        start(1, 0);
        cr_expect_eq(demand.wanted, 2);
        cr_expect_eq(demand.used_usec, now);
}

Test(demand, is_for_as_many_as_came_at_once)
{
        start(5, 1000);
        cr_expect_eq(demand.wanted, 4, "the first has begun to fade");
        set_up();
        start(5, 0);
        cr_expect_eq(demand.wanted, 5);
}

Test(demand, stays)
{
        start(5, 0);
        start(3, USEC_PER_SEC);
        cr_expect_eq(demand.wanted, 5);
}

Test(demand, of_few_that_are_far_apart_does_not_grow)
{
        start(1000, 150 * USEC_PER_MSEC);
        cr_expect_eq(demand.wanted, 2);
}

Test(demand, is_never_for_more_than_there_can_be)
{
        start(1000, 0);
        cr_expect_eq(demand.wanted, MAX_READY);
        set_up();
        demand_count(&demand, now, 1);
        cr_expect_eq(demand.wanted, 1);
}

/* The next would be made in the middle of the run that one was just taken for. */
Test(demand, is_met_later_where_enough_are_ready_however_many_came_before)
{
        uint64_t lazy, eager;

        start(1, 0);
        lazy = demand_patience(&demand, 2, 0);
        eager = demand_patience(&demand, 0, 2);
        cr_expect_lt(eager, lazy);
        cr_expect_eq(demand_patience(&demand, 1, 7), lazy);
        start(1000, 50 * USEC_PER_MSEC);
        cr_expect_eq(demand_patience(&demand, MAX_READY - 1, 1), lazy);
        cr_expect_eq(demand_patience(&demand, MAX_READY / 2 - 1, MAX_READY), eager);
        cr_expect_eq(demand_patience(&demand, 1, 1), lazy, "all but one are another root's");
}
