/* remains.c: what is left of a session stays until its init is gone, and is counted as its user's. The inits
 * are children of the test; who starts and ends them otherwise is made up here. */
#include "remains.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sd_event *event;
static Remains *remains;
static size_t killed, ended, groups, ranges, told;

void launcher_kill(const Launched *child)
{
        killed++;
}

void launcher_end(Launched *child)
{
        siginfo_t info;

        if (child->pidfd < 0)
                return;
        cr_assert_eq(kill(child->pid, SIGKILL), 0);
        cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED), 0);
        child->pidfd = close_fd(child->pidfd);
        child->control = close_fd(child->control);
        ended++;
}

Cgroup *cgroup_free(Cgroup *g)
{
        groups++;
        return NULL;
}

void idranges_give_back(IdRanges *r, uint32_t first)
{
        cr_expect_eq(first, 65536);
        ranges++;
}

static void gone(void *userdata)
{
        told++;
}

static void set_up(void)
{
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(remains_new(event, NULL, gone, NULL, &remains), 0);
}

static void tear_down(void)
{
        if (remains)
                remains_free(remains);
        sd_event_unref(event);
}

TestSuite(remains, .init = set_up, .fini = tear_down);

/* With a cgroup and a range, and an init that lives until it is killed. */
static Remnant some(uid_t owner)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                pause();
                _exit(0);
        }
        return (Remnant){
                .owner = owner,
                .init = {pid, (int)syscall(SYS_pidfd_open, pid, 0), -EBADF},
                .cgroup = (Cgroup *)&groups,
                .has_range = true,
                .first_id = 65536
        };
}

static void run_events(void)
{
        while (sd_event_run(event, USEC_PER_SEC / 10) > 0)
                ;
}

Test(remains, stay_until_the_init_is_gone)
{
        Remnant r = some(1000);

        remains_add(remains, &r);
        cr_expect_eq(killed, 0, "who was told of the end has his time first");
        run_events();
        cr_expect_eq(killed, 1);
        cr_expect_eq(ended + groups + ranges + told, 0);
        cr_expect(remains_any(remains));
        kill(r.init.pid, SIGKILL);
        run_events();
        cr_expect_eq(ended, 1);
        cr_expect_eq(groups, 1);
        cr_expect_eq(ranges, 1);
        cr_expect_eq(told, 1);
        cr_expect_not(remains_any(remains));
}

Test(remains, are_counted_by_owner)
{
        Remnant a = some(1000), b = some(1001), c = some(1000);

        remains_add(remains, &a);
        remains_add(remains, &b);
        remains_add(remains, &c);
        cr_expect_eq(remains_of(remains, 1000), 2);
        cr_expect_eq(remains_of(remains, 1001), 1);
        cr_expect_eq(remains_of(remains, 1002), 0);
        run_events();
        cr_expect_eq(killed, 3);
        kill(a.init.pid, SIGKILL);
        run_events();
        cr_expect_eq(remains_of(remains, 1000), 1);
}

Test(remains, of_one_that_is_gone_already_are_given_back_at_once)
{
        Remnant r = {
                .init = LAUNCHED_NONE, .cgroup = (Cgroup *)&groups, .has_range = true, .first_id = 65536
        };

        remains_add(remains, &r);
        cr_expect_eq(killed, 0);
        cr_expect_eq(groups, 1);
        cr_expect_eq(ranges, 1);
        cr_expect_not(remains_any(remains));
}

Test(remains, of_nothing)
{
        Remnant r = { .init = LAUNCHED_NONE };

        remains_add(remains, &r);
        cr_expect_eq(killed + ended + groups + ranges, 0);
}

Test(remains, are_ended_with_all)
{
        Remnant a = some(1000), b = some(1001);

        remains_add(remains, &a);
        remains_add(remains, &b);
        remains = remains_free(remains);
        cr_expect_eq(ended, 2);
        cr_expect_eq(groups, 2);
        cr_expect_eq(ranges, 2);
}
