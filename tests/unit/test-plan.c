/* plan.c: what is decided before the clone: the order's strings, flags and limits, and the child's options.
 */
#include "plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "config.h"
#include "spec.h"

#define STRINGS(...)                                                                                        \
        (char *[])                                                                                          \
        {                                                                                                   \
                __VA_ARGS__, NULL                                                                           \
        }
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const Limits limits = {
        .of = {[LIMIT_OPEN_FILES] = 4096,
               [LIMIT_PROCESSES] = 512,
               [LIMIT_LOCKED_MEMORY] = 64 * KIB,
               [LIMIT_FILE_SIZE] = UINT64_MAX,
               [LIMIT_STORAGE] = 512 * MIB,
               [LIMIT_STORAGE_INODES] = 65536,
               [LIMIT_SHARED_MEMORY] = 16 * MIB}
};
static const RootConfig bare = { .name = (char *)"busybox" };
static const Spec nothing_said = {
        .read_only = -1,
        .detached = -1,
        .terminal = -1,
        .columns = FIELD_ABSENT,
        .rows = FIELD_ABSENT,
        .lifeline = FIELD_ABSENT,
        .stdio = {FIELD_ABSENT, FIELD_ABSENT, FIELD_ABSENT}
};

static ChildPlan child;
static SpawnPlan plan;

static void build(const Spec *spec, const RootConfig *root)
{
        plan_child(&limits, spec->read_only == 1, spec->hostname ?: root->name, &child);
        cr_assert_eq(plan_command(&limits, spec, root, ORDER_MAIN_COMMAND, &plan), 0);
}

/* The blob's strings, each followed by a bar; and that its size and counts are what they should be. */
static const char *blob(void)
{
        static char text[4096];
        uint32_t n = 0;

        cr_assert_lt(plan.order.blob_size, sizeof(text));
        memcpy(text, plan.blob, plan.order.blob_size);
        for (uint32_t i = 0; i < plan.order.blob_size; i++)
                if (!text[i]) {
                        text[i] = '|';
                        n++;
                }
        text[plan.order.blob_size] = '\0';
        cr_expect_eq(n, plan.order.argc + plan.order.envc + 2);
        return text;
}

static void done(void)
{
        plan_done(&plan);
}

TestSuite(plan, .fini = done, .timeout = 20);

Test(plan, nothing_was_said)
{
        build(&nothing_said, &bare);
        cr_expect_str_eq(blob(), "/bin/sh|" DEFAULT_PATH "|container=nsrootd||/|");
        cr_expect_eq(plan.order.argc, 1);
        cr_expect_eq(plan.order.envc, 2);
        cr_expect_eq(plan.order.header.type, ORDER_SPAWN);
        cr_expect_eq(plan.order.header.command, 1);
        cr_expect_eq(plan.order.flags, SPAWN_MAIN | SPAWN_RING);
        cr_expect_eq(plan.order.columns, 80);
        cr_expect_eq(plan.order.rows, 24);
        cr_expect_str_eq(child.hostname, "busybox");
        cr_expect_not(child.read_only);
        cr_expect_str_eq(child.storage, "mode=0755,size=536870912,nr_inodes=65536");
        cr_expect_str_eq(child.shm, "mode=1777,size=16777216,nr_inodes=65536");
}

Test(plan, the_roots_own_defaults)
{
        RootConfig root = { .name = (char *)"host",
                            .default_arguments = STRINGS((char *)"/bin/bash", (char *)"-l"),
                            .default_environment = STRINGS((char *)"LANG=C", (char *)"PATH=/bin") };

        build(&nothing_said, &root);
        cr_expect_str_eq(blob(), "/bin/bash|-l|PATH=/bin|container=nsrootd|LANG=C||/|");
        plan_done(&plan);
        cr_expect_null(plan.blob);

        Spec asked = nothing_said;
        asked.arguments = STRINGS((char *)"ls", (char *)"");
        asked.environment = STRINGS((char *)"LANG=de", (char *)"X=1", (char *)"X=2=3", (char *)"XY=");
        asked.user = (char *)"bin:5";
        asked.working_directory = (char *)"/tmp";
        build(&asked, &root);
        cr_expect_str_eq(blob(), "ls||PATH=/bin|container=nsrootd|LANG=de|X=2=3|XY=|bin:5|/tmp|");
        cr_expect_eq(plan.order.argc, 2);
        cr_expect_eq(plan.order.envc, 5);
}

/* A key is all of what stands before the "=", no less and no more. */
Test(plan, keys_that_look_alike)
{
        Spec asked = nothing_said;

        asked.environment =
                STRINGS((char *)"PAT=a", (char *)"PATHS=b", (char *)"path=c", (char *)"container=");
        build(&asked, &bare);
        cr_expect_str_eq(blob(), "/bin/sh|" DEFAULT_PATH "|container=|PAT=a|PATHS=b|path=c||/|");
}

Test(plan, a_terminal)
{
        Spec asked = nothing_said;

        asked.terminal = 1;
        build(&asked, &bare);
        cr_expect_eq(plan.order.flags, SPAWN_MAIN | SPAWN_RING | SPAWN_TERMINAL);
        cr_expect_str_eq(blob(), "/bin/sh|" DEFAULT_PATH "|container=nsrootd|TERM=dumb||/|");
        plan_done(&plan);

        asked.environment = STRINGS((char *)"TERM=xterm");
        asked.columns = 132;
        asked.rows = 65535;
        build(&asked, &bare);
        cr_expect_str_eq(blob(), "/bin/sh|" DEFAULT_PATH "|container=nsrootd|TERM=xterm||/|");
        cr_expect_eq(plan.order.columns, 132);
        cr_expect_eq(plan.order.rows, 65535);
        plan_done(&plan);

        asked = nothing_said;
        asked.terminal = 0;
        build(&asked, &bare);
        cr_expect_eq(plan.order.flags, SPAWN_MAIN | SPAWN_RING);
}

Test(plan, what_was_lent)
{
        static const uint32_t flags[] = { SPAWN_STDIN, SPAWN_STDOUT, SPAWN_STDERR };

        for (int i = 0; i < 3; i++) {
                Spec asked = nothing_said;

                asked.stdio[i] = 0; /* an index: 0 is one as good as any */
                build(&asked, &bare);
                cr_expect_eq(plan.order.flags, SPAWN_MAIN | SPAWN_RING | flags[i]);
                plan_done(&plan);
        }
        Spec asked = nothing_said;
        asked.lifeline = 0;
        build(&asked, &bare);
        cr_expect_eq(plan.order.flags, SPAWN_MAIN | SPAWN_RING | SPAWN_LIFELINE);
}

Test(plan, the_child)
{
        Spec asked = nothing_said;

        asked.read_only = 1;
        asked.hostname = (char *)"here";
        build(&asked, &bare);
        cr_expect(child.read_only);
        cr_expect_str_eq(child.hostname, "here");
        plan_done(&plan);
        asked.read_only = 0;
        build(&asked, &bare);
        cr_expect_not(child.read_only);
}

Test(plan, oom_score_adj)
{
        const struct {
                int callers, sessions;
        } rows[] = {
                {-1000, 500 },
                { 0,    500 },
                { 499,  500 },
                { 500,  500 },
                { 501,  501 },
                { 1000, 1000},
                { 5000, 1000},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_eq(plan_oom_score_adj(rows[i].callers), rows[i].sessions);
}

static void expect_limit(int resource, uint64_t soft, uint64_t hard)
{
        struct rlimit own;

        cr_assert_eq(getrlimit(resource, &own), 0);
        hard = MIN(hard, own.rlim_max);
        cr_expect_eq(plan.order.limits[resource].hard, hard, "limit %d: %lu", resource,
                     plan.order.limits[resource].hard);
        cr_expect_eq(plan.order.limits[resource].soft, MIN(soft, hard), "limit %d: %lu", resource,
                     plan.order.limits[resource].soft);
}

Test(plan, limits)
{
        Limits small = limits;

        small.of[LIMIT_FILE_SIZE] = 4096;
        cr_assert_eq(plan_command(&small, &nothing_said, &bare, ORDER_MAIN_COMMAND, &plan), 0);
        expect_limit(RLIMIT_CORE, 0, 0);
        expect_limit(RLIMIT_NOFILE, 4096, 4096);
        expect_limit(RLIMIT_NPROC, 512, 512);
        expect_limit(RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
        expect_limit(RLIMIT_FSIZE, 4096, 4096);
        expect_limit(RLIMIT_STACK, 8 * MIB, RLIM_INFINITY);
        expect_limit(RLIMIT_SIGPENDING, 4096, 4096);
        expect_limit(RLIMIT_MSGQUEUE, 819200, 819200);
        expect_limit(RLIMIT_RTPRIO, 0, 0);
        expect_limit(RLIMIT_NICE, 0, 0);
        expect_limit(RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY);
        expect_limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
}

/* Nobody can raise a hard limit inside: a plan that asked for it would fail in every session. */
Test(plan, no_more_than_the_daemon_has)
{
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 100, 200 }), 0);
        cr_assert_eq(setrlimit(RLIMIT_STACK, &(struct rlimit){ 4 * MIB, 6 * MIB }), 0);
        build(&nothing_said, &bare);
        cr_expect_eq(plan.order.limits[RLIMIT_NOFILE].hard, 200);
        cr_expect_eq(plan.order.limits[RLIMIT_NOFILE].soft, 200);
        cr_expect_eq(plan.order.limits[RLIMIT_STACK].hard, 6 * MIB);
        cr_expect_eq(plan.order.limits[RLIMIT_STACK].soft, 6 * MIB);
}

/* What fits is the largest order there is, and one byte more is said to be too large. */
Test(plan, the_largest_order)
{
        static char large[ORDER_SIZE_MAX + 1];
        size_t rest = sizeof(DEFAULT_PATH) + sizeof("container=nsrootd") + sizeof("") + sizeof("/");
        size_t room = ORDER_SIZE_MAX - sizeof(OrderSpawn) - rest - 1;
        Spec asked = nothing_said;

        memset(large, 'x', room);
        asked.arguments = STRINGS(large);
        build(&asked, &bare);
        cr_expect_eq(plan.order.blob_size + sizeof(OrderSpawn), ORDER_SIZE_MAX);
        plan_done(&plan);

        large[room] = 'x';
        plan.blob = NULL;
        cr_expect_eq(plan_command(&limits, &asked, &bare, ORDER_MAIN_COMMAND, &plan), -E2BIG);
        cr_expect_null(plan.blob, "nothing was set");
}

/* As many as an order holds, half of them given twice: nobody else is served meanwhile. */
Test(plan, a_large_environment_takes_no_time)
{
        static char text[40000][8];
        static char *environment[ELEMENTSOF(text) + 1];
        Spec asked = nothing_said;
        clock_t before = clock();

        for (size_t i = 0; i < ELEMENTSOF(text); i++) {
                snprintf(text[i], sizeof(text[i]), "%05zu=%zu", i / 2, i % 2);
                environment[i] = text[i];
        }
        asked.environment = environment;
        build(&asked, &bare);
        cr_expect_eq(plan.order.envc, 2 + ELEMENTSOF(text) / 2);
        cr_expect_null(memmem(plan.blob, plan.order.blob_size, "00007=0", 7), "the later of two wins");
        cr_expect_not_null(memmem(plan.blob, plan.order.blob_size, "00007=1", 7));
        cr_expect_lt(clock() - before, CLOCKS_PER_SEC,
                     "some 30 ms; seconds where each is compared with all");
}
