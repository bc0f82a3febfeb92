/* What is remembered of a root: written, read back, and refused when it is not what was written. */
#include "metadata.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"

#define HEX   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static char directory[] = "/tmp/test-metadata-XXXXXX";
static int dir_fd = -1;

static void set_up(void)
{
        cr_assert_not_null(mkdtemp(directory));
        dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void tear_down(void)
{
        cr_expect_eq(tree_remove(AT_FDCWD, directory), 0);
}

TestSuite(metadata, .init = set_up, .fini = tear_down);

static Metadata example(void)
{
        return (Metadata){ .name = (char *)"busybox",
                           .source = (char *)"https://example.org/a?b=\"c\\d",
                           .digest = HEX,
                           .binary_digest = OTHER,
                           .size_bytes = 123456789012 };
}

static void expect_example(const Metadata *m)
{
        Metadata e = example();

        cr_expect_str_eq(m->name, e.name);
        cr_expect_str_eq(m->source, e.source);
        cr_expect_str_eq(m->digest, e.digest);
        cr_expect_str_eq(m->binary_digest, e.binary_digest);
        cr_expect_eq(m->size_bytes, e.size_bytes);
}

Test(metadata, round_trip)
{
        _cleanup_(metadata_done) Metadata read = {};
        Metadata m = example();

        cr_assert_eq(metadata_write(dir_fd, &m), 0);
        cr_assert_eq(metadata_read(dir_fd, "busybox", &read), 0);
        expect_example(&read);
}

Test(metadata, replaces_and_leaves_nothing_beside)
{
        _cleanup_(metadata_done) Metadata read = {};
        Metadata m = example();
        int n = 0;

        cr_assert_eq(metadata_write(dir_fd, &m), 0);
        m.size_bytes = 5;
        cr_assert_eq(metadata_write(dir_fd, &m), 0);
        cr_assert_eq(metadata_read(dir_fd, "busybox", &read), 0);
        cr_expect_eq(read.size_bytes, 5);
        cr_assert_eq(unlinkat(dir_fd, "busybox.json", 0), 0);
        n = rmdir(directory);
        cr_expect_eq(n, 0, "something else was left: %s", errno_name(errno));
        mkdir(directory, 0700);
}

Test(metadata, absent_and_removed)
{
        Metadata m = example(), read;

        cr_expect_eq(metadata_read(dir_fd, "busybox", &read), -ENOENT);
        cr_expect_eq(metadata_remove(dir_fd, "busybox"), 0);
        cr_assert_eq(metadata_write(dir_fd, &m), 0);
        cr_expect_eq(metadata_remove(dir_fd, "busybox"), 0);
        cr_expect_eq(metadata_read(dir_fd, "busybox", &read), -ENOENT);
}

Test(metadata, of_another_name)
{
        Metadata m = example(), read;

        cr_assert_eq(metadata_write(dir_fd, &m), 0);
        cr_assert_eq(renameat(dir_fd, "busybox.json", dir_fd, "other.json"), 0);
        cr_expect_eq(metadata_read(dir_fd, "other", &read), -EBADMSG);
}

#define REST ",\"source\":\"s\",\"digest\":\"" HEX "\",\"binaryDigest\":\"" HEX "\",\"sizeBytes\":1}"

Test(metadata, what_is_not_ours)
{
        static const char *const bad[] = {
                "",
                "{",
                "{}",
                "[]",
                "{\"format\":2,\"name\":\"n\"" REST,
                "{\"format\":0,\"name\":\"n\"" REST,
                "{\"format\":1" REST,
                "{\"format\":1,\"name\":\"\"" REST,
                "{\"format\":1,\"name\":1" REST,
                "{\"format\":1,\"name\":\"n\",\"more\":1" REST,
                "{\"format\":1,\"name\":\"n\",\"source\":\"s\",\"digest\":\"../../../../../../../../../../"
                "../../../"
                "../../../../../../etc/../\",\"binaryDigest\":\"" HEX "\",\"sizeBytes\":1}",
                "{\"format\":1,\"name\":\"n\",\"source\":\"s\",\"digest\":\"" HEX
                "0\",\"binaryDigest\":\"" HEX "\",\"sizeBytes\":1}",
                "{\"format\":1,\"name\":\"n\",\"source\":\"s\",\"digest\":\"" HEX
                "\",\"binaryDigest\":\"" HEX "\",\"sizeBytes\":-1}",
        };
        static const char good[] = "{\"format\":1,\"name\":\"n\"" REST;
        Metadata m = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_expect_eq(metadata_parse(bad[i], strlen(bad[i]), &m), -EBADMSG, "%s", bad[i]);
        cr_expect_null(m.name);
        cr_assert_eq(metadata_parse(good, strlen(good), &m), 0);
        metadata_done(&m);
}
