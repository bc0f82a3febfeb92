/* Digests of files and trees, and the removal of trees. */
#include "tree.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test-tree-XXXXXX";
static int base = -1, tree = -1;

static void write_file(const char *path, const char *text)
{
        _cleanup_close_ int fd = openat(tree, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        cr_assert_geq(fd, 0, "%s", path);
        cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void set_up(void)
{
        umask(022);
        cr_assert_not_null(mkdtemp(directory));
        base = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_eq(mkdirat(base, "tree", 0755), 0);
        tree = openat(base, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_eq(mkdirat(tree, "bin", 0755), 0);
        write_file("bin/sh", "one");
        write_file("etc", "two");
        cr_assert_eq(symlinkat("sh", tree, "bin/ls"), 0);
}

static void tear_down(void)
{
        cr_expect_eq(tree_remove(AT_FDCWD, directory), 0);
        close(base);
        close(tree);
}

TestSuite(tree, .init = set_up, .fini = tear_down);

static void digest(char ret[static DIGEST_HEX_SIZE])
{
        uint64_t bytes;

        cr_assert_eq(tree_digest(tree, ret, &bytes), 0);
}

/* FIPS 180-4's own examples, through a file. */
Test(tree, file_digest)
{
        static const struct {
                const char *text, *hex;
        } known[] = {
                {"",     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        };

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                char hex[DIGEST_HEX_SIZE];

                write_file("file", known[i].text);
                _cleanup_close_ int fd = openat(tree, "file", O_RDONLY | O_CLOEXEC);
                cr_assert_eq(digest_file(fd, hex), 0);
                cr_expect_str_eq(hex, known[i].hex);
        }
}

Test(tree, slices_make_the_same_digest)
{
        char whole[DIGEST_HEX_SIZE], sliced[DIGEST_HEX_SIZE], text[100000];
        _cleanup_(digest_freep) Digest *d = NULL;
        uint64_t offset = 0;
        unsigned n = 0;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        write_file("file", text);
        _cleanup_close_ int fd = openat(tree, "file", O_RDONLY | O_CLOEXEC);
        cr_assert_eq(digest_file(fd, whole), 0);
        cr_assert_eq(digest_new(&d), 0);
        while (digest_add_file(d, fd, &offset, 999) > 0)
                n++;
        cr_expect_eq(n, 100);
        cr_assert_eq(digest_finish(d, sliced), 0);
        cr_expect_str_eq(whole, sliced);
}

Test(tree, bytes_are_the_files)
{
        char hex[DIGEST_HEX_SIZE];
        uint64_t bytes;

        cr_assert_eq(tree_digest(tree, hex, &bytes), 0);
        cr_expect_eq(bytes, 6);
        cr_expect_eq(strspn(hex, "0123456789abcdef"), 64);
}

static void change_contents(void)
{
        write_file("bin/sh", "onf");
}
static void change_mode(void)
{
        cr_assert_eq(fchmodat(tree, "bin/sh", 0600, 0), 0);
}
static void change_directory_mode(void)
{
        cr_assert_eq(fchmodat(tree, "bin", 0700, 0), 0);
}
static void change_top_mode(void)
{
        cr_assert_eq(fchmod(tree, 0700), 0);
}
static void change_name(void)
{
        cr_assert_eq(renameat(tree, "bin/sh", tree, "bin/sg"), 0);
}
static void change_target(void)
{
        unlinkat(tree, "bin/ls", 0);
        cr_assert_eq(symlinkat("etc", tree, "bin/ls"), 0);
}
static void link_to_file(void)
{
        unlinkat(tree, "bin/ls", 0);
        write_file("bin/ls", "sh");
}
static void remove_file(void)
{
        cr_assert_eq(unlinkat(tree, "etc", 0), 0);
}
static void add_file(void)
{
        write_file("bin/zz", "");
}
static void add_directory(void)
{
        cr_assert_eq(mkdirat(tree, "x", 0755), 0);
}
static void add_fifo(void)
{
        cr_assert_eq(mkfifoat(tree, "bin/fifo", 0644), 0);
}
static void change_owner(void)
{
        if (geteuid() != 0)
                change_mode();
        else
                cr_assert_eq(fchownat(tree, "bin/ls", 1, 0, AT_SYMLINK_NOFOLLOW), 0);
}

Test(tree, each_difference_counts)
{
        static void (*const changes[])(void) = {
                change_contents, change_mode,  change_directory_mode, change_top_mode, change_name,
                change_target,   link_to_file, remove_file,           add_file,        add_directory,
                add_fifo,        change_owner,
        };
        char before[DIGEST_HEX_SIZE], after[DIGEST_HEX_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                digest(before);
                changes[i]();
                digest(after);
                cr_expect_str_neq(before, after, "change %zu", i);
                cr_assert_eq(tree_remove(base, "tree"), 0);
                close(tree);
                close(base);
                rmdir(directory);
                strcpy(directory + strlen(directory) - 6, "XXXXXX");
                set_up();
        }
}

Test(tree, times_do_not_count)
{
        const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
        char before[DIGEST_HEX_SIZE], after[DIGEST_HEX_SIZE];

        digest(before);
        cr_assert_eq(utimensat(tree, "bin/sh", times, 0), 0);
        digest(after);
        cr_expect_str_eq(before, after);
}

Test(tree, path_descriptor_will_do)
{
        _cleanup_close_ int fd = openat(base, "tree", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];
        uint64_t bytes;

        digest(one);
        cr_assert_eq(tree_digest(fd, two, &bytes), 0);
        cr_expect_str_eq(one, two);
}

Test(tree, too_deep)
{
        char path[200] = "d", hex[DIGEST_HEX_SIZE];
        uint64_t bytes;

        for (int i = 0; i < 30; i++) {
                cr_assert_eq(mkdirat(tree, path, 0755), 0);
                strcat(path, "/d");
        }
        cr_expect_eq(tree_digest(tree, hex, &bytes), -ELOOP);
}

Test(tree, removal_follows_no_link)
{
        write_file("../outside", "stays");
        cr_assert_eq(symlinkat("../../outside", tree, "bin/out"), 0);
        cr_assert_eq(symlinkat("..", tree, "up"), 0);
        cr_expect_eq(tree_remove(base, "tree"), 0);
        cr_expect_eq(faccessat(base, "tree", F_OK, 0), -1);
        cr_expect_eq(faccessat(base, "outside", F_OK, 0), 0);
        cr_expect_eq(tree_remove(base, "tree"), 0, "not there: nothing to do");
        cr_expect_eq(tree_remove(base, "outside"), 0, "a file is removed too");
}

Test(tree, names_differ)
{
        char one[TREE_NAME_SIZE], two[TREE_NAME_SIZE];

        cr_assert_eq(tree_name(".x-", one), 0);
        cr_assert_eq(tree_name(".x-", two), 0);
        cr_expect_str_neq(one, two);
        cr_expect_eq(strncmp(one, ".x-", 3), 0);
}
