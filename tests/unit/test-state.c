/* state.c: what a daemon writes of a session, its successor reads, of its own release or a later one. */
#include "state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "field.h"

static StateFacts sample(void)
{
        static char *arguments[] = { (char *)"sh", (char *)"-c", (char *)"\"\xc3\xa4\"\n", NULL };
        StateFacts f;

        memset(&f, 0, sizeof(f));
        f.id = (char *)"abcdefghijkl";
        f.name = (char *)"mine";
        f.root = (char *)"busybox";
        f.arguments = arguments;
        f.read_only = -1;
        f.detached = 1;
        f.owner = 1000;
        f.pid = 4711;
        f.first_id = 524288;
        f.order_version = 2;
        f.tree = FIELD_ABSENT;
        f.limits[LIMIT_MEMORY] = INT64_MAX;
        f.cgroup = (char *)"/a/nsrootd-b";
        f.oom_kills_before = 7;
        return f;
}

static int make(void)
{
        const StateFacts f = sample();
        const StateProgress p = { .state = 1, .status = -5, .tasks_peak = UINT64_MAX };
        int fd;

        cr_assert_eq(state_new(&f, &p, &fd), 0);
        return fd;
}

Test(state, is_read_as_it_was_written)
{
        int fd = make();
        StateFacts f;
        StateProgress p;

        cr_assert_eq(state_load(fd, &f, &p), 0);
        cr_expect_str_eq(f.id, "abcdefghijkl");
        cr_expect_str_eq(f.name, "mine");
        cr_expect_null(f.user);
        cr_expect_str_eq(f.arguments[2], "\"\xc3\xa4\"\n");
        cr_expect_null(f.arguments[3]);
        cr_expect_eq(f.read_only, -1);
        cr_expect_eq(f.detached, 1);
        cr_expect_eq(f.tree, FIELD_ABSENT);
        cr_expect_eq(f.limits[LIMIT_MEMORY], INT64_MAX);
        cr_expect_str_eq(f.cgroup, "/a/nsrootd-b");
        cr_expect_eq(f.oom_kills_before, 7);
        cr_expect_eq(p.status, -5);
        cr_expect_eq(p.tasks_peak, UINT64_MAX);
        state_facts_done(&f);
        cr_expect(state_is(fd));
        cr_expect_lt(ftruncate(fd, 0), 0);
        close(fd);
}

Test(state, progress_is_written_over)
{
        int fd = make();
        StateFacts f;
        StateProgress p;

        cr_assert_eq(state_save(fd, &(StateProgress){ .state = 2, .cause = 3 }), 0);
        cr_assert_eq(state_load(fd, &f, &p), 0);
        cr_expect_eq(p.state, 2);
        cr_expect_eq(p.cause, 3);
        cr_expect_eq(p.status, 0);
        cr_expect_str_eq(f.id, "abcdefghijkl");
        state_facts_done(&f);
        close(fd);
}

static void patch(int fd, size_t offset, uint32_t value)
{
        cr_assert_eq(pwrite(fd, &value, sizeof(value), (off_t)offset), sizeof(value));
}

Test(state, of_other_releases)
{
        int fd = make();
        StateFacts f;
        StateProgress p;

        patch(fd, offsetof(StateProgress, size), offsetof(StateProgress, was_started));
        cr_assert_eq(state_load(fd, &f, &p), 0, "an earlier one, which knew less");
        cr_expect_eq(p.state, 1);
        cr_expect_eq(p.status, 0);
        state_facts_done(&f);
        patch(fd, offsetof(StateProgress, version), STATE_VERSION + 1);
        cr_expect_eq(state_load(fd, &f, &p), -EOPNOTSUPP);
        close(fd);
}

Test(state, damaged)
{
        static const size_t offsets[] = { offsetof(StateProgress, magic), offsetof(StateProgress, size), 256,
                                          300 };
        StateFacts f;
        StateProgress p;
        int empty = memfd_create("empty", 0);

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                int fd = make();

                patch(fd, offsets[i], 0);
                cr_expect_eq(state_load(fd, &f, &p), -EBADMSG, "%zu", offsets[i]);
                close(fd);
        }
        cr_expect_eq(state_load(empty, &f, &p), -EBADMSG);
        cr_expect_not(state_is(empty));
        close(empty);
}
