/* job.c: orders as they should be, and as only a client's strings or a broken daemon could make them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "init.h"

/* In user.c's place: knows root, in two groups, and one user, who is meant where none is named. */
int user_resolve(const char *spec, User *ret)
{
        if (streq(spec, "nobody"))
                return -ENOENT;
        if (strncmp(spec, "root", 4) == 0) {
                *ret = (User){ .gid = spec[4] ? 6 : 0, .name = "root", .home = "/root" };
                return 0;
        }
        *ret = (User){ .uid = 5, .gid = 6, .name = "five", .home = "/home/five" };
        return 0;
}

static struct {
        OrderSpawn order;
        char blob[256 * 1024];
} sent;
static Job job;
static OrderMessage message;
static Failure failure;

/* A message with that blob, a string's last NUL not counted, and n copies of the null device. */
static void make(uint32_t argc, uint32_t envc, const char *blob, size_t size, size_t n_fds)
{
        sent.order = (OrderSpawn){
                .header = {.type = ORDER_SPAWN, .size = sizeof(OrderSpawn), .command = 1},
                .argc = argc,
                .envc = envc,
                .blob_size = (uint32_t)size
        };
        memcpy(sent.blob, blob, size);
        memset(sent.blob + size, 'x', 64); /* what a reader that goes too far finds */
        message = (OrderMessage){
                .header = &sent.order.header, .blob = sent.blob, .blob_size = size, .n_fds = n_fds
        };
        for (size_t i = 0; i < n_fds; i++)
                message.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        failure = (Failure){ .step = 99 };
        memset(&job, 0, sizeof(job)); /* as it is at first: its descriptors are 0, which is another's */
}

#define MAKE(argc, envc, blob) make(argc, envc, blob, sizeof(blob) - 1, 0)

static void expect_refused(const char *what, Step step, uint32_t error)
{
        cr_expect_not(job_parse(&message, 0, NULL, &job, &failure), "%s", what);
        cr_expect_eq(failure.step, step, "%s: step %u", what, failure.step);
        cr_expect_eq(failure.error, error, "%s: %u", what, failure.error);
        job_done(&job);
        order_message_done(&message);
        cr_expect_geq(fcntl(0, F_GETFD), 0, "%s: closed what it was not given", what);
}

static void expect_environment(const char *const *expected)
{
        size_t i = 0;

        for (; expected[i]; i++)
                cr_expect_str_eq(job.envp[i] ?: "nothing", expected[i]);
        cr_expect_null(job.envp[i]);
}

#define EXPECT_ENVIRONMENT(...) expect_environment((const char *const[]){ __VA_ARGS__, NULL })

Test(job, everything)
{
        MAKE(3, 2, "ls\0-l\0\0PATH=/x\0A=b\0bin\0/tmp\0");
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        cr_expect_str_eq(job.argv[0], "ls");
        cr_expect_str_eq(job.argv[1], "-l");
        cr_expect_str_eq(job.argv[2], "");
        cr_expect_null(job.argv[3]);
        EXPECT_ENVIRONMENT("PATH=/x", "A=b", "HOME=/home/five", "USER=five");
        cr_expect_str_eq(job.path, "/x");
        cr_expect_str_eq(job.directory, "/tmp");
        cr_expect_eq(job.user.uid, 5);
        cr_expect_eq(job.user.gid, 6);
        for (int i = 0; i < 3; i++)
                cr_expect_eq(job.stdio[i], -EBADF);
        cr_expect_eq(job.lifeline, -EBADF);
        cr_expect_eq(job.ring, -EBADF);
}

Test(job, whose_home_and_name)
{
        MAKE(1, 1, "a\0HOME=/x\0\0/\0");
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        EXPECT_ENVIRONMENT("HOME=/x", "USER=five");

        MAKE(1, 2, "a\0USER=\0HOME=\0\0/\0");
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        EXPECT_ENVIRONMENT("USER=", "HOME=");

        MAKE(1, 3, "a\0USERS=1\0HOM=2\0PATHS=3\0\0/\0");
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        EXPECT_ENVIRONMENT("USERS=1", "HOM=2", "PATHS=3", "HOME=/home/five", "USER=five");
        cr_expect_null(job.path);

        MAKE(1, 0, "a\0\0/\0");
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        EXPECT_ENVIRONMENT("HOME=/home/five", "USER=five");
}

/* Whoever is named is looked up all the same. */
Test(job, root_is_known_already)
{
        const User known = { .name = "known", .home = "/known" };

        MAKE(1, 0, "a\0\0/\0");
        cr_assert(job_parse(&message, 0, &known, &job, &failure));
        EXPECT_ENVIRONMENT("HOME=/known", "USER=known");

        MAKE(1, 0, "a\0root\0/\0");
        cr_assert(job_parse(&message, 0, &known, &job, &failure));
        EXPECT_ENVIRONMENT("HOME=/root", "USER=root");
}

Test(job, no_such_user)
{
        MAKE(1, 0, "a\0nobody\0/\0");
        expect_refused("a user that is not there", STEP_USER, ENOENT);
}

Test(job, where_there_is_one_id_only)
{
        MAKE(1, 0, "a\0root\0/\0");
        cr_assert(job_parse(&message, 700000, NULL, &job, &failure));
        EXPECT_ENVIRONMENT("HOME=/root", "USER=700000");
        cr_expect_eq(job.user.uid, 700000);
        cr_expect_eq(job.user.gid, 700000);

        static const struct {
                const char *what;
                const char *blob;
                size_t size;
                uint32_t error;
        } rows[] = {
                {"another user",           "a\0five\0/\0",     9,  EOPNOTSUPP},
                { "root of another group", "a\0root:six\0/\0", 13, EOPNOTSUPP},
                { "one that is not there", "a\0nobody\0/\0",   11, ENOENT    },
        };
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                make(1, 0, rows[i].blob, rows[i].size, 0);
                cr_expect_not(job_parse(&message, 700000, NULL, &job, &failure), "%s", rows[i].what);
                cr_expect_eq(failure.step, STEP_USER);
                cr_expect_eq(failure.error, rows[i].error, "%s: %u", rows[i].what, failure.error);
        }
}

Test(job, what_is_not_within_the_message)
{
        const struct {
                const char *what;
                uint32_t argc, envc;
                const char *blob;
                size_t size;
        } rows[] = {
                {"no arguments",                      0,               0,               "\0/\0",        3 },
                { "nothing at all",                   1,               0,               "",             0 },
                { "an argument without its NUL",      1,               0,               "a",            1 },
                { "one argument too few",             2,               0,               "a\0",          2 },
                { "no user",                          1,               0,               "a\0",          2 },
                { "a user without its NUL",           1,               0,               "a\0bin",       5 },
                { "no directory",                     1,               0,               "a\0bin\0",     6 },
                { "a directory without its NUL",      1,               0,               "a\0bin\0/tmp", 10},
                { "one environment entry too few",    1,               3,               "a\0B=\0\0/\0", 8 },
                { "an environment that is not there", 1,               STRINGS_MAX,     "a\0B=\0\0/\0", 8 },
                { "more arguments than may be",       STRINGS_MAX + 1, 0,               "a\0B=\0\0/\0", 8 },
                { "more entries than may be",         1,               STRINGS_MAX + 1, "a\0B=\0\0/\0", 8 },
                { "arguments without end",            UINT32_MAX,      0,               "a\0B=\0\0/\0", 8 },
                { "entries without end",              1,               UINT32_MAX,      "a\0B=\0\0/\0", 8 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                make(rows[i].argc, rows[i].envc, rows[i].blob, rows[i].size, 0);
                expect_refused(rows[i].what, STEP_ORDER, EBADMSG);
        }
}

/* Every length that a good message can be cut to. */
Test(job, truncated)
{
        static const char good[] = "ls\0-l\0\0PATH=/x\0A=b\0bin\0/tmp";

        for (size_t n = 0; n < sizeof(good); n++) {
                make(3, 2, good, n, 0);
                expect_refused("a part of a message", STEP_ORDER, EBADMSG);
        }
        make(3, 2, good, sizeof(good), 0);
        cr_expect(job_parse(&message, 0, NULL, &job, &failure));
}

Test(job, sizes_that_disagree)
{
        MAKE(1, 0, "a\0\0/\0");
        sent.order.blob_size++;
        expect_refused("more said than sent", STEP_ORDER, EBADMSG);
        MAKE(1, 0, "a\0\0/\0");
        sent.order.blob_size--;
        expect_refused("less said than sent", STEP_ORDER, EBADMSG);
        MAKE(1, 0, "a\0\0/\0");
        sent.order.header.size = sizeof(OrderHeader);
        expect_refused("nothing but a header", STEP_ORDER, EBADMSG);
}

static void make_many(uint32_t argc, uint32_t envc)
{
        static char blob[128 * 1024];
        char *at = blob;

        for (uint32_t i = 0; i < argc; i++)
                at = stpcpy(at, "a") + 1;
        for (uint32_t i = 0; i < envc; i++)
                at = stpcpy(at, "B=") + 1;
        at = stpcpy(at, "") + 1;
        at = stpcpy(at, "/") + 1;
        make(argc, envc, blob, (size_t)(at - blob), 0);
}

Test(job, as_many_strings_as_may_be)
{
        make_many(STRINGS_MAX, STRINGS_MAX - 2);
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        cr_expect_str_eq(job.argv[STRINGS_MAX - 1], "a");
        cr_expect_null(job.argv[STRINGS_MAX]);
        cr_expect_str_eq(job.envp[STRINGS_MAX - 1], "USER=five");
        cr_expect_null(job.envp[STRINGS_MAX]);
        cr_expect_str_eq(job.directory, "/", "nothing was written beyond the lists");

        make_many(STRINGS_MAX + 1, 0);
        expect_refused("no room for an argument", STEP_ORDER, EBADMSG);
        make_many(1, STRINGS_MAX + 1);
        expect_refused("no room for an entry", STEP_ORDER, EBADMSG);
        make_many(1, STRINGS_MAX - 1);
        expect_refused("no room for USER", STEP_ORDER, E2BIG);
        make_many(1, STRINGS_MAX);
        expect_refused("no room for HOME", STEP_ORDER, E2BIG);
}

Test(job, descriptors)
{
        int kept;

        make(1, 0, "a\0\0/\0", 5, 4);
        sent.order.flags = SPAWN_STDIN | SPAWN_STDERR | SPAWN_LIFELINE;
        kept = message.fds[3];
        const int fds[] = { message.fds[0], message.fds[1], message.fds[2] };
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        cr_expect_eq(job.stdio[0], fds[0]);
        cr_expect_eq(job.stdio[1], -EBADF);
        cr_expect_eq(job.stdio[2], fds[1]);
        cr_expect_eq(job.lifeline, fds[2]);
        cr_expect_eq(message.fds[3], kept, "what no flag names is the message's");
        order_message_done(&message);
        cr_expect_lt(fcntl(kept, F_GETFD), 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                cr_expect_geq(fcntl(fds[i], F_GETFD), 0, "the job's");
        job_done(&job);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                cr_expect_lt(fcntl(fds[i], F_GETFD), 0, "none is left open");
        cr_expect_eq(job.stdio[0], -EBADF);
}

Test(job, the_ring_is_the_last)
{
        int fds[5];

        make(1, 0, "a\0\0/\0", 5, 5);
        memcpy(fds, message.fds, sizeof(fds));
        sent.order.flags = SPAWN_STDIN | SPAWN_STDOUT | SPAWN_STDERR | SPAWN_LIFELINE | SPAWN_RING;
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        cr_expect_eq(job.lifeline, fds[3]);
        cr_expect_eq(job.ring, fds[4]);
        job_done(&job);
        cr_expect_lt(fcntl(fds[4], F_GETFD), 0);
        cr_expect_eq(job.ring, -EBADF);

        make(1, 0, "a\0\0/\0", 5, 1);
        fds[0] = message.fds[0];
        sent.order.flags = SPAWN_RING | SPAWN_CAPTURE;
        cr_assert(job_parse(&message, 0, NULL, &job, &failure));
        cr_expect_eq(job.ring, fds[0]);
        cr_expect_eq(job.lifeline, -EBADF);
        job_done(&job);
}

Test(job, fewer_descriptors_than_flags)
{
        const uint32_t all = SPAWN_STDIN | SPAWN_STDOUT | SPAWN_STDERR | SPAWN_LIFELINE | SPAWN_RING;
        int last;

        for (size_t n = 0; n < 5; n++) {
                make(1, 0, "a\0\0/\0", 5, n);
                sent.order.flags = all;
                last = n ? message.fds[n - 1] : -1;
                expect_refused("too few", STEP_ORDER, EBADMSG);
                cr_expect_lt(fcntl(last, F_GETFD), 0, "what came is closed");
        }
}
