/* The list of applets, believed only so far, and the tree that is made of it. */
#include "busybox.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"

static int parse(const char *text, Applets *ret, const char **ret_reason)
{
        return applets_parse(text, strlen(text), ret, ret_reason);
}

Test(busybox, applets)
{
        static const struct {
                const char *text, *name;
                bool system;
        } good[] = {
                {"sh\n",                 "sh",            false},
                { "sh",                  "sh",            false},
                { "bin/sh\n",            "sh",            false},
                { "usr/bin/[\n",         "[",             false},
                { "usr/bin/[[\n",        "[[",            false},
                { "sbin/init\n",         "init",          true },
                { "usr/sbin/chroot\n",   "chroot",        true },
                { "linuxrc\n",           "linuxrc",       false},
                { "sbin/mkfs.ext2\n",    "mkfs.ext2",     true },
                { "xsbin/a\n",           "a",             false},
                { "sbin/x/a\n",          "a",             false},
                { "bin/start-stop_1+\n", "start-stop_1+", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_(applets_done) Applets a = {};
                const char *reason = "";

                cr_assert_eq(parse(good[i].text, &a, &reason), 0, "%s: %s", good[i].text, reason);
                cr_assert_eq(a.n, 1);
                cr_expect_str_eq(a.items[0].name, good[i].name);
                cr_expect_eq(a.items[0].system, good[i].system, "%s", good[i].text);
        }
}

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 64 */

Test(busybox, names_that_are_not_plain)
{
        static const char *const bad[] = {
                "..\n",       "bin/..\n", ".\n",    ".hidden\n",  "bin/\n",  "/\n",
                "sh\n\nls\n", "a b\n",    "a\tb\n", "a\033[2J\n", "sh\r\n",  "-x\n",
                "a;b\n",      "a\\b\n",   "\xff\n", "ä\n",        LONG "\n", "sh\nbin/../../etc/..\n",
                "*\n",        "$(x)\n",
        };
        Applets a = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const char *reason = NULL;

                cr_expect_eq(parse(bad[i], &a, &reason), -EBADMSG, "%s", bad[i]);
                cr_expect_str_eq(reason, "lists an applet whose name is not a plain file name");
        }
        cr_expect_null(a.items);
}

Test(busybox, a_nul_in_a_name)
{
        const char *reason = NULL;
        Applets a = {};

        cr_expect_eq(applets_parse("a\0b\n", 4, &a, &reason), -EBADMSG);
}

Test(busybox, none_and_too_many)
{
        _cleanup_free_ char *text = calloc(APPLETS_MAX + 1, 2);
        _cleanup_(applets_done) Applets a = {};
        const char *reason = NULL;

        cr_expect_eq(applets_parse("", 0, &a, &reason), -EBADMSG);
        cr_expect_str_eq(reason, "lists no applets");
        for (size_t i = 0; i <= APPLETS_MAX; i++)
                memcpy(text + 2 * i, "a\n", 2);
        cr_expect_eq(applets_parse(text, 2 * (APPLETS_MAX + 1), &a, &reason), -EBADMSG);
        cr_expect_str_eq(reason, "lists too many applets");
        cr_expect_eq(applets_parse(text, (size_t)2 * APPLETS_MAX, &a, &reason), 0);
        cr_expect_eq(a.n, APPLETS_MAX);
}

static char directory[] = "/tmp/test-busybox-XXXXXX";
static int root = -1;

static void build(void)
{
        static const char list[] = "bin/sh\nsbin/init\nbin/busybox\nusr/bin/sh\nusr/sbin/init\nlinuxrc\n";
        _cleanup_close_ int binary = memfd_create("binary", MFD_CLOEXEC);
        _cleanup_(applets_done) Applets a = {};
        const char *reason;

        cr_assert_not_null(mkdtemp(directory));
        root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (geteuid() != 0)
                cr_skip_test("only root can give files to root");
        umask(077);
        cr_assert_eq(write(binary, "binary", 6), 6);
        cr_assert_eq(parse(list, &a, &reason), 0);
        cr_assert_eq(busybox_build(root, binary, &a), 0);
}

static void tear_down(void)
{
        cr_expect_eq(tree_remove(AT_FDCWD, directory), 0);
}

TestSuite(busybox_tree, .init = build, .fini = tear_down);

static void expect_mode(const char *path, mode_t type, mode_t mode)
{
        struct stat st;

        cr_assert_eq(fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW), 0, "%s", path);
        cr_expect_eq(st.st_mode & S_IFMT, type, "%s", path);
        cr_expect_eq(st.st_mode & 07777, mode, "%s: %o", path, st.st_mode);
        cr_expect_eq(st.st_uid, 0);
        cr_expect_eq(st.st_gid, 0);
}

Test(busybox_tree, the_twelve)
{
        static const char *const names[] = { "bin",  "dev", "etc",  "lib", "lib64", "proc",
                                             "root", "run", "sbin", "sys", "tmp",   "var" };
        struct dirent **found;
        int n = scandir(directory, &found, NULL, alphasort);

        cr_assert_eq(n, (int)ELEMENTSOF(names) + 2);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                cr_expect_str_eq(found[i + 2]->d_name, names[i]);
        for (int i = 0; i < n; i++)
                free(found[i]);
        free(found);
}

Test(busybox_tree, modes_whatever_the_umask)
{
        expect_mode(".", S_IFDIR, 0755);
        expect_mode("bin", S_IFDIR, 0755);
        expect_mode("root", S_IFDIR, 0700);
        expect_mode("tmp", S_IFDIR, 01777);
        expect_mode("var/tmp", S_IFDIR, 01777);
        expect_mode("etc/passwd", S_IFREG, 0644);
        expect_mode("bin/busybox", S_IFREG, 0755);
        expect_mode("bin/sh", S_IFLNK, 0777);
}

static void expect_link(const char *path, const char *target)
{
        char found[64] = "";

        cr_expect_gt(readlinkat(root, path, found, sizeof(found) - 1), 0, "%s", path);
        cr_expect_str_eq(found, target);
}

Test(busybox_tree, links)
{
        expect_link("bin/sh", "busybox");
        expect_link("sbin/init", "../bin/busybox");
        expect_link("bin/linuxrc", "busybox");
}

Test(busybox_tree, files)
{
        _cleanup_free_ char *binary = NULL, *passwd = NULL, *group = NULL;

        cr_assert_eq(read_file_at(root, "bin/busybox", 100, &binary, NULL), 0);
        cr_expect_str_eq(binary, "binary");
        cr_assert_eq(read_file_at(root, "etc/passwd", 10000, &passwd, NULL), 0);
        cr_expect_eq(strncmp(passwd, "root:x:0:0:root:/root:/bin/sh\n", 30), 0);
        cr_expect_not_null(strstr(passwd, "\nnobody:x:65534:65534:"));
        cr_assert_eq(read_file_at(root, "etc/group", 10000, &group, NULL), 0);
        cr_expect_not_null(strstr(group, "\ntty:x:5:\n"));
}

Test(busybox_tree, is_the_same_everywhere)
{
        char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];
        uint64_t bytes;

        cr_assert_eq(tree_digest(root, one, &bytes), 0);
        cr_assert_eq(tree_remove(AT_FDCWD, directory), 0);
        strcpy(directory + strlen(directory) - 6, "XXXXXX");
        build();
        cr_assert_eq(tree_digest(root, two, &bytes), 0);
        cr_expect_str_eq(one, two);
}
