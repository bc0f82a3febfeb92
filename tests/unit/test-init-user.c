/* user.c, on files that the users of a session wrote: the exact ids, or an error, and that soon. Each test
 * has an /etc of its own, in a mount namespace of its own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define MARK 0xabcdef01 /* in what should not be touched */

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "daemon:x:1:1::/usr/sbin:/bin/false\n"
                             "alice:x:1000:1001:Alice,,,:/home/alice:/bin/sh\n"
                             "bob:x:1002:100:Bob:/home/bob\n"
                             "nogecos:x:7:8\n"
                             "relative:x:9:9::home:\n"
                             "nohome:x:10:10:::\n"
                             "\n"
                             ":x:0:0::/:\n"
                             ":x:2001:0::/:\n"
                             "zeroes:x:00:0::/:\n"
                             "leading:x:01005:0::/:\n"
                             "empty:x::0::/:\n"
                             "negative:x:-1:0::/:\n"
                             "plus:x:+0:0::/:\n"
                             "blank:x: 0:0::/:\n"
                             "trailing:x:0 :0::/:\n"
                             "hex:x:0x0:0::/:\n"
                             "word:x:root:0::/:\n"
                             "wraps:x:4294967296:0::/:\n"
                             "wraps64:x:18446744073709551616:0::/:\n"
                             "maximum:x:4294967295:0::/:\n"
                             "outside:x:65536:0::/:\n"
                             "last:x:65535:65535::/:\n"
                             "badgid:x:1003:x::/:\n"
                             "nogid:x:1004:::/:\n"
                             "zerogid:x:1005:00::/:\n"
                             "hugegid:x:1006:65536::/:\n"
                             "space name:x:1007:1007::/:\n"
                             "tab\tname:x:1008:1008::/:\n"
                             "caf\303\251:x:1009:1009::/:\n"
                             "\033[31m:x:1010:1010::/:\n"
                             "-dash:x:1011:1011::/:\n"
                             "#comment:x:1012:1012::/:\n"
                             "a/b:x:1013:1013::/:\n"
                             "+:x:1014:1014::/:\n"
                             "+nis::::::\n"
                             "alice:x:0:0::/:\n"
                             "2000:x:0:0::/:\n"
                             "0700:x:0:0::/:\n"
                             "more:x:1015:1015:a:/home/more:/bin/sh:and:more:fields\n"
                             "cr:x:1016:1016::/:\r\n"
                             "crid:x:1017\r:0::/:\n"
                             "ghost:x:1018:1018::/:";
static const char group[] = "root:x:0:\n"
                            "wheel:x:10:root,alice\n"
                            "users:x:100\n"
                            "short:x\n"
                            "bad:x:abc:\n"
                            "zeroes:x:000:\n"
                            "huge:x:65536:\n"
                            "last:x:65535:\n"
                            "wheel:x:0:\n"
                            "odd name:x:11:\n"
                            "55:x:0:\n";

static void write_bytes(const char *path, const char *bytes, size_t size)
{
        FILE *f = fopen(path, "we");

        cr_assert_not_null(f, "%s: %s", path, strerror(errno));
        cr_assert_eq(fwrite(bytes, 1, size, f), size);
        cr_assert_eq(fclose(f), 0);
}

static void write_text(const char *path, const char *text)
{
        write_bytes(path, text, strlen(text));
}

static void own_etc(void)
{
        if (geteuid() != 0)
                cr_skip_test("only root can have an /etc of its own");
        if (unshare(CLONE_NEWNS) < 0)
                cr_skip_test("no mount namespace to be had: %s", strerror(errno));
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mount("etc", "/etc", "tmpfs", 0, NULL), 0);
        write_text("/etc/passwd", passwd);
        write_text("/etc/group", group);
}

TestSuite(user, .init = own_etc, .timeout = 10);

typedef struct Row {
        const char *spec;
        int r;
        uint32_t uid, gid;
        const char *name, *home; /* NULL: not looked at */
} Row;

static void expect(const Row *row)
{
        User u = { .uid = MARK, .gid = MARK, .name = "untouched" };
        int r = user_resolve(row->spec, &u);

        cr_expect_eq(r, row->r, "\"%s\": %s", row->spec, errno_name(r));
        cr_expect_eq(u.uid, row->r < 0 ? MARK : row->uid, "\"%s\": uid %u", row->spec, u.uid);
        cr_expect_eq(u.gid, row->r < 0 ? MARK : row->gid, "\"%s\": gid %u", row->spec, u.gid);
        if (row->r < 0)
                cr_expect_str_eq(u.name, "untouched", "\"%s\"", row->spec);
        if (row->name)
                cr_expect_str_eq(u.name, row->name, "\"%s\"", row->spec);
        if (row->home)
                cr_expect_str_eq(u.home, row->home, "\"%s\"", row->spec);
}

#define NO_SUCH(spec)                                                                                       \
        {                                                                                                   \
                spec, -ENOENT                                                                               \
        }
#define RANGE(spec)                                                                                         \
        {                                                                                                   \
                spec, -ERANGE                                                                               \
        }
#define INVALID(spec)                                                                                       \
        {                                                                                                   \
                spec, -EINVAL                                                                               \
        }

static const Row users[] = {
        {"",             0, 0,     0,     "root",       "/root"      },
        { "root",        0, 0,     0,     "root",       "/root"      },
        { "0",           0, 0,     0,     "root",       "/root"      },
        { "daemon",      0, 1,     1,     "daemon",     "/usr/sbin"  },
        { "1",           0, 1,     1,     "daemon",     "/usr/sbin"  },
        { "alice",       0, 1000,  1001,  "alice",      "/home/alice"},
        { "1000",        0, 1000,  1001,  "alice",      "/home/alice"},
        { "bob",         0, 1002,  100,   "bob",        "/home/bob"  },
        { "1002",        0, 1002,  100,   "bob",        "/home/bob"  },
        { "relative",    0, 9,     9,     NULL,         "/"          },
        { "nohome",      0, 10,    10,    NULL,         "/"          },
        { "last",        0, 65535, 65535, "last",       "/"          },
        { "65535",       0, 65535, 65535, "last",       "/"          },
        { "65534",       0, 65534, 65534, "65534",      "/"          },
        { "7",           0, 7,     7,     "7",          "/"          }, /* its line is not whole: no entry */
        { "1234",        0, 1234,  1234,  "1234",       "/"          },
        { "2000",        0, 2000,  2000,  "2000",       "/"          }, /* a number is an id, not a name */
        { "2001",        0, 2001,  2001,  "2001",       "/"          }, /* and a line without a name is none */
        { "space name",  0, 1007,  1007,  "space name", NULL         },
        { "tab\tname",   0, 1008,  1008,  NULL,         NULL         },
        { "caf\303\251", 0, 1009,  1009,  NULL,         NULL         },
        { "\033[31m",    0, 1010,  1010,  NULL,         NULL         },
        { "-dash",       0, 1011,  1011,  NULL,         NULL         },
        { "#comment",    0, 1012,  1012,  NULL,         NULL         },
        { "a/b",         0, 1013,  1013,  NULL,         NULL         },
        { "+",           0, 1014,  1014,  NULL,         NULL         },
        { "more",        0, 1015,  1015,  NULL,         "/home/more" },
        { "cr",          0, 1016,  1016,  NULL,         "/"          },
        { "ghost",       0, 1018,  1018,  NULL,         "/"          }, /* no newline at the end of the file */
        NO_SUCH("nogecos"),
        NO_SUCH("zeroes"),
        NO_SUCH("leading"),
        NO_SUCH("empty"),
        NO_SUCH("negative"),
        NO_SUCH("plus"),
        NO_SUCH("blank"),
        NO_SUCH("trailing"),
        NO_SUCH("hex"),
        NO_SUCH("word"),
        NO_SUCH("wraps"),
        NO_SUCH("wraps64"),
        NO_SUCH("maximum"),
        NO_SUCH("outside"),
        NO_SUCH("crid"),
        NO_SUCH("+nis"),
        NO_SUCH("nobody"),
        NO_SUCH("Root"),
        NO_SUCH("ROOT"),
        NO_SUCH("roo"),
        NO_SUCH("root "),
        NO_SUCH(" root"),
        NO_SUCH("root\n"),
        NO_SUCH("\nroot"),
        NO_SUCH("root\t"),
        NO_SUCH("roots"),
        NO_SUCH("alic"),
        NO_SUCH("alicee"),
        NO_SUCH("space"),
        NO_SUCH("name"),
        NO_SUCH("*"),
        NO_SUCH("?"),
        NO_SUCH("."),
        NO_SUCH(".."),
        NO_SUCH("/"),
        NO_SUCH("../root"),
        NO_SUCH("%s%n"),
        NO_SUCH("$USER"),
        NO_SUCH("~"),
        NO_SUCH("`id`"),
        NO_SUCH("root;id"),
        NO_SUCH("x"),
        NO_SUCH("/bin/sh"),
        NO_SUCH("/root"),
        NO_SUCH("r\303\266\303\266t"),
        NO_SUCH("\xff"),
        NO_SUCH("\x01"),
        NO_SUCH("\x7f"),
        NO_SUCH("(null)"),
        NO_SUCH("NULL"),
        NO_SUCH("-0"),
        NO_SUCH("+0"),
        NO_SUCH(" 0"),
        NO_SUCH("0 "),
        NO_SUCH("0\n"),
        NO_SUCH("0x0"),
        NO_SUCH("0X10"),
        NO_SUCH("0b0"),
        NO_SUCH("0o0"),
        NO_SUCH("0.0"),
        NO_SUCH("0e0"),
        NO_SUCH("1e3"),
        NO_SUCH("-1"),
        NO_SUCH("+1000"),
        NO_SUCH(" 1000"),
        NO_SUCH("1000 "),
        NO_SUCH("1,000"),
        NO_SUCH("1000.0"),
        NO_SUCH("1_000"),
        NO_SUCH("1000a"),
        NO_SUCH("a1000"),
        NO_SUCH("0a"),
        NO_SUCH("-2"),
        NO_SUCH("--1"),
        NO_SUCH("\xd9\xa0"),
        NO_SUCH("infinity"),
        NO_SUCH("nan"),
        NO_SUCH("true"),
        NO_SUCH("null"),
        NO_SUCH("0\r"),
        NO_SUCH("-4294967296"),
        NO_SUCH("-18446744073709551616"),
        NO_SUCH("root,daemon"),
        NO_SUCH("root|daemon"),
        RANGE("00"),
        RANGE("000"),
        RANGE("0700"),
        RANGE("01"),
        RANGE("01000"),
        RANGE("0000000000000000000000000000"),
        RANGE("65536"),
        RANGE("65537"),
        RANGE("66536"),
        RANGE("99999"),
        RANGE("131072"),
        RANGE("2147483647"),
        RANGE("2147483648"),
        RANGE("4294967294"),
        RANGE("4294967295"),
        RANGE("4294967296"),
        RANGE("4294968296"),
        RANGE("9223372036854775807"),
        RANGE("9223372036854775808"),
        RANGE("18446744073709551615"),
        RANGE("18446744073709551616"),
        RANGE("18446744073709552616"),
        RANGE("340282366920938463463374607431768211456"),
        RANGE("99999999999999999999999999999999999999999999999999999999999999999999999999999999"),
        INVALID("badgid"),
        INVALID("1003"),
        INVALID("nogid"),
        INVALID("1004"),
        INVALID("zerogid"),
        INVALID("1005"),
        INVALID("hugegid"),
        INVALID("1006"),
};

static const Row groups[] = {
        {"root:root",       0, 0,     0,     "root",  "/root"      },
        { "0:0",            0, 0,     0,     "root",  "/root"      },
        { "root:wheel",     0, 0,     10,    "root",  NULL         },
        { "alice:wheel",    0, 1000,  10,    "alice", "/home/alice"},
        { "alice:0",        0, 1000,  0,     "alice", NULL         },
        { "alice:root",     0, 1000,  0,     "alice", NULL         },
        { "alice:100",      0, 1000,  100,   "alice", NULL         },
        { "alice:users",    0, 1000,  100,   "alice", NULL         },
        { "alice:12345",    0, 1000,  12345, "alice", NULL         },
        { "alice:last",     0, 1000,  65535, NULL,    NULL         },
        { "alice:65535",    0, 1000,  65535, NULL,    NULL         },
        { "alice:55",       0, 1000,  55,    NULL,    NULL         },
        { "1234:wheel",     0, 1234,  10,    "1234",  "/"          },
        { "1234:1",         0, 1234,  1,     "1234",  "/"          },
        { "65535:65535",    0, 65535, 65535, NULL,    NULL         },
        { "alice:odd name", 0, 1000,  11,    NULL,    NULL         },
        NO_SUCH("alice:nosuch"),
        NO_SUCH("alice:short"),
        NO_SUCH("alice:bad"),
        NO_SUCH("alice:zeroes"),
        NO_SUCH("alice:huge"),
        NO_SUCH("alice:-1"),
        NO_SUCH("alice:+0"),
        NO_SUCH("alice: 0"),
        NO_SUCH("alice:0 "),
        NO_SUCH("alice:0x0"),
        NO_SUCH("alice:wheel:"),
        NO_SUCH("alice:0:0"),
        NO_SUCH("alice:wheel:0"),
        NO_SUCH("alice:wheel,users"),
        NO_SUCH("alice::"),
        NO_SUCH("alice::0"),
        NO_SUCH("alice:Wheel"),
        NO_SUCH("alice:alice"),
        NO_SUCH("nosuch:wheel"),
        NO_SUCH("nosuch:0"),
        NO_SUCH("alice:\n"),
        NO_SUCH("alice:root "),
        NO_SUCH("alice:abc"),
        NO_SUCH("1000:nosuch"),
        RANGE("alice:00"),
        RANGE("alice:010"),
        RANGE("alice:65536"),
        RANGE("alice:4294967295"),
        RANGE("alice:4294967296"),
        RANGE("alice:18446744073709551616"),
        RANGE("00:0"),
        RANGE("65536:0"),
        RANGE("00:wheel"),
        INVALID("badgid:0"),
        INVALID(":"),
        INVALID(":0"),
        INVALID(":root"),
        INVALID("root:"),
        INVALID("0:"),
        INVALID("::"),
        INVALID(":wheel:"),
        INVALID("nosuch:"),
};
_Static_assert(ELEMENTSOF(users) + ELEMENTSOF(groups) >= 200, "as many as SECURITY.md promises");

Test(user, users)
{
        for (size_t i = 0; i < ELEMENTSOF(users); i++)
                expect(&users[i]);
}

Test(user, users_with_groups)
{
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                expect(&groups[i]);
}

/* As they fit, and not cut to something else. */
Test(user, long_strings)
{
        char name[300], line[1024];

        memset(name, 'n', sizeof(name));
        name[255] = '\0';
        snprintf(line, sizeof(line), "%s:x:77:78::/h:\n", name);
        write_text("/etc/passwd", line);
        expect(&(Row){ name, 0, 77, 78, NULL, "/h" });
        name[255] = 'n';
        name[256] = '\0';
        expect(&(Row){ name, -ENAMETOOLONG });
        name[254] = '\0';
        expect(&(Row){ name, -ENOENT });
}

Test(user, long_homes)
{
        char home[300], line[1024];

        memset(home, 'h', sizeof(home));
        home[0] = '/';
        for (int n = 255; n <= 256; n++) {
                home[n] = '\0';
                snprintf(line, sizeof(line), "u:x:77:78::%s:\n", home);
                write_text("/etc/passwd", line);
                expect(&(Row){ "u", 0, 77, 78, "u", n == 255 ? home : "/" });
                home[n] = 'h';
        }
}

/* What stands where the file should be. By name that is an error; an id needs no file. */
static void expect_unusable(int error)
{
        expect(&(Row){ "alice", error });
        expect(&(Row){ "root", error });
        expect(&(Row){ "1000", 0, 1000, 1000, "1000", "/" });
        expect(&(Row){ "", 0, 0, 0, "0", "/" });
        expect(&(Row){ "1000:0", 0, 1000, 0, "1000", "/" });
        expect(&(Row){ "1000:wheel", error });
}

static void replace(int (*make)(const char *path))
{
        static const char *const paths[] = { "/etc/passwd", "/etc/group" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                cr_assert_eq(unlink(paths[i]), 0);
                cr_assert_eq(make(paths[i]), 0, "%s", strerror(errno));
        }
}

static int make_nothing(const char *path)
{
        return 0;
}

static int make_directory(const char *path)
{
        return mkdir(path, 0755);
}

static int make_fifo(const char *path)
{
        return mkfifo(path, 0666);
}

static int make_device(const char *path)
{
        return mknod(path, S_IFCHR | 0666, makedev(1, 5)); /* zero: without an end */
}

static int make_link(const char *path)
{
        write_text("/etc/other", "root:x:0:0::/:\nalice:x:0:0::/:\nwheel:x:0:\n");
        return symlink("other", path);
}

static int make_empty(const char *path)
{
        write_text(path, "");
        return 0;
}

static int make_zeroes(const char *path)
{
        write_bytes(path, (char[4096]){ 0 }, 4096);
        return 0;
}

/* Its first line is good, and it has no other. */
static int make_sparse(const char *path)
{
        write_text(path, "alice:x:0:0::/:\nwheel:x:0:\n");
        return truncate(path, (off_t)GIB);
}

Test(user, no_files)
{
        replace(make_nothing);
        expect_unusable(-ENOENT);
}

Test(user, directories)
{
        replace(make_directory);
        expect_unusable(-EINVAL);
}

Test(user, a_fifo_that_nobody_writes)
{
        replace(make_fifo);
        expect_unusable(-EINVAL);
}

Test(user, devices)
{
        replace(make_device);
        expect_unusable(-EINVAL);
}

Test(user, links)
{
        replace(make_link);
        expect_unusable(-ELOOP);
}

Test(user, empty_files)
{
        replace(make_empty);
        expect_unusable(-ENOENT);
}

Test(user, nothing_but_zeroes)
{
        replace(make_zeroes);
        expect_unusable(-ENOENT);
}

Test(user, sparse_files_of_1_GiB)
{
        clock_t before = clock();

        replace(make_sparse);
        expect_unusable(-EFBIG);
        cr_expect_lt(clock() - before, CLOCKS_PER_SEC);
}

/* The entry's id lies across the place where reading ends: 5 would be somebody else. */
Test(user, a_large_file_is_not_read_in_part)
{
        static char text[MIB + 16];

        memset(text, '\n', sizeof(text));
        memcpy(text + MIB - 8, "wheel:x:55555:\n", 15);
        write_bytes("/etc/group", text, sizeof(text));
        expect(&(Row){ "0:wheel", -EFBIG });

        memset(text, '\n', sizeof(text));
        memcpy(text + MIB - 15, "wheel:x:5555:\n", 14);
        write_bytes("/etc/group", text, MIB - 1);
        expect(&(Row){ "0:wheel", 0, 0, 5555 });
}

/* The most lines that can be read. */
Test(user, many_lines)
{
        static char text[MIB - 1];
        clock_t before = clock();

        for (size_t i = 0; i < sizeof(text) - 20; i += 10)
                memcpy(text + i, "a:x:1:1:\n\n", 10);
        memcpy(text + sizeof(text) - 20, "\nz:x:1019:1019::/z:\n", 20);
        write_bytes("/etc/passwd", text, sizeof(text));
        expect(&(Row){ "z", 0, 1019, 1019, "z", "/z" });
        expect(&(Row){ "a", -ENOENT });
        cr_expect_lt(clock() - before, CLOCKS_PER_SEC);
}
