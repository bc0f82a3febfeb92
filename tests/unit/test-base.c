/* base.c: the texts people type, errno and signals in words, descriptors with one owner, kernel files. */
#include "base.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define UNTOUCHED 4711

typedef struct ParseCase {
        const char *text;
        int r;
        uint64_t value;
} ParseCase;

static void check_parser(int (*parse)(const char *text, uint64_t *ret), const ParseCase *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t value = UNTOUCHED;
                int r = parse(cases[i].text, &value);

                cr_expect_eq(r, cases[i].r, "\"%s\" gave %d", cases[i].text, r);
                cr_expect_eq(value, r < 0 ? UNTOUCHED : cases[i].value, "\"%s\" is %ju", cases[i].text,
                             (uintmax_t)value);
        }
}

Test(base, sizes)
{
        static const ParseCase cases[] = {
                {"0",                     0,       0                      },
                { "1",                    0,       1                      },
                { "4096",                 0,       4096                   },
                { "1K",                   0,       1024                   },
                { "3M",                   0,       3 * MIB                },
                { "2G",                   0,       2 * GIB                },
                { "5T",                   0,       5 * 1024 * GIB         },
                { "007",                  0,       7                      },
                { "18446744073709551615", 0,       UINT64_MAX             },
                { "18446744073709551616", -ERANGE, 0                      },
                { "99999999999999999999", -ERANGE, 0                      },
                { "16777216T",            -ERANGE, 0                      },
                { "16777215T",            0,       16777215 * (1024 * GIB)},
                { "",                     -EINVAL, 0                      },
                { "K",                    -EINVAL, 0                      },
                { "1k",                   -EINVAL, 0                      },
                { "1KB",                  -EINVAL, 0                      },
                { "1 K",                  -EINVAL, 0                      },
                { " 1",                   -EINVAL, 0                      },
                { "+1",                   -EINVAL, 0                      },
                { "-1",                   -EINVAL, 0                      },
                { "1.5G",                 -EINVAL, 0                      },
                { "0x10",                 -EINVAL, 0                      },
        };

        check_parser(parse_size, cases, ELEMENTSOF(cases));
}

Test(base, times)
{
        static const ParseCase cases[] = {
                {"0",                          0,       0                        },
                { "5",                         0,       5 * USEC_PER_SEC         },
                { "1s",                        0,       USEC_PER_SEC             },
                { "500ms",                     0,       500 * USEC_PER_MSEC      },
                { "7us",                       0,       7                        },
                { "7usec",                     0,       7                        },
                { "7µs",                      0,       7                        },
                { "2min 30s",                  0,       150 * USEC_PER_SEC       },
                { "2min30s",                   0,       150 * USEC_PER_SEC       },
                { "2 min 30 sec",              0,       150 * USEC_PER_SEC       },
                { "  1m  ",                    0,       60 * USEC_PER_SEC        },
                { "1h 1hr 1hour",              0,       3 * 3600 * USEC_PER_SEC  },
                { "1d",                        0,       86400 * USEC_PER_SEC     },
                { "2weeks",                    0,       14 * 86400 * USEC_PER_SEC},
                { "55s500ms",                  0,       55500 * USEC_PER_MSEC    },
                { "1 2",                       0,       3 * USEC_PER_SEC         },
                { "infinity",                  0,       USEC_INFINITY            },
                { "18446744073709551614us",    0,       UINT64_MAX - 1           },
                { "18446744073709551615us",    -ERANGE, 0                        },
                { "18446744073709551615s",     -ERANGE, 0                        },
                { "18446744073709551614us 1s", -ERANGE, 0                        },
                { "",                          -EINVAL, 0                        },
                { " ",                         -EINVAL, 0                        },
                { "s",                         -EINVAL, 0                        },
                { "1y",                        -EINVAL, 0                        },
                { "1M",                        -EINVAL, 0                        },
                { "1sx",                       -EINVAL, 0                        },
                { "1s x",                      -EINVAL, 0                        },
                { "-1s",                       -EINVAL, 0                        },
                { "1.5s",                      -EINVAL, 0                        },
                { "infinity s",                -EINVAL, 0                        },
        };

        check_parser(parse_time, cases, ELEMENTSOF(cases));
}

Test(base, numbers)
{
        uint64_t n = UNTOUCHED;

        cr_assert_eq(parse_u64("65535", 65535, &n), 0);
        cr_assert_eq(n, 65535);
        cr_assert_eq(parse_u64("18446744073709551615", UINT64_MAX, &n), 0);
        cr_assert_eq(n, UINT64_MAX);
        n = UNTOUCHED;
        cr_assert_eq(parse_u64("65536", 65535, &n), -ERANGE);
        cr_assert_eq(parse_u64("18446744073709551616", UINT64_MAX, &n), -ERANGE);
        cr_assert_eq(parse_u64("", 9, &n), -EINVAL);
        cr_assert_eq(parse_u64("1 ", 9, &n), -EINVAL);
        cr_assert_eq(parse_u64("+1", 9, &n), -EINVAL);
        cr_assert_eq(n, UNTOUCHED);
}

Test(base, truth)
{
        static const struct {
                const char *text;
                int value;
        } cases[] = {
                {"yes",    1      },
                { "true",  1      },
                { "on",    1      },
                { "1",     1      },
                { "no",    0      },
                { "false", 0      },
                { "off",   0      },
                { "0",     0      },
                { "",      -EINVAL},
                { "Yes",   -EINVAL},
                { "2",     -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_expect_eq(parse_bool(cases[i].text), cases[i].value, "\"%s\"", cases[i].text);
}

Test(base, signals)
{
        static const struct {
                const char *text;
                int value;
        } cases[] = {
                {"SIGTERM",     SIGTERM},
                { "TERM",       SIGTERM},
                { "15",         SIGTERM},
                { "HUP",        SIGHUP },
                { "SIGSYS",     SIGSYS },
                { "64",         64     },
                { "65",         -EINVAL},
                { "0",          -EINVAL},
                { "",           -EINVAL},
                { "SIG",        -EINVAL},
                { "term",       -EINVAL},
                { "SIGSIGTERM", -EINVAL},
                { "-15",        -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_expect_eq(parse_signal(cases[i].text), cases[i].value, "\"%s\"", cases[i].text);
}

Test(base, every_signal_with_a_name_is_named_both_ways)
{
        for (int sig = 1; sig < NSIG; sig++) {
                const char *abbreviation = sigabbrev_np(sig), *name = signal_name(sig);

                if (!abbreviation) {
                        cr_expect_null(name, "%d", sig);
                        continue;
                }
                cr_assert_not_null(name, "%d", sig);
                cr_expect_str_eq(name + 3, abbreviation);
                cr_expect_eq(parse_signal(name), sig);
        }
        cr_expect_null(signal_name(0));
        cr_expect_null(signal_name(-1));
        cr_expect_null(signal_name(NSIG));
}

Test(base, errno_in_words)
{
        cr_expect_str_eq(errno_name(EPERM), "EPERM");
        cr_expect_str_eq(errno_name(-ENOENT), "ENOENT");
        cr_expect_str_eq(errno_name(99999), "E?");
        cr_expect_str_eq(errno_name(INT_MIN), "E?");
        cr_expect_str_eq(errno_text(-EPERM), "Operation not permitted");
        cr_expect_str_eq(errno_text(99999), "Unknown error");
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

Test(base, closing_keeps_errno)
{
        int fd = dup(STDERR_FILENO);

        errno = EXDEV;
        cr_expect_eq(close_fd(fd), -EBADF);
        cr_expect_eq(close_fd(-EBADF), -EBADF);
        cr_expect_eq(errno, EXDEV);
        cr_expect_not(is_open(fd));
}

Test(base, a_set_of_descriptors_owns_what_was_not_taken)
{
        int kept = dup(STDERR_FILENO), closed = dup(STDERR_FILENO);
        Fds fds = {
                .fd = {kept, closed},
                  .n = 2
        };

        cr_expect_eq(fds_take(&fds, 0), kept);
        cr_expect_eq(fds_take(&fds, 0), -EBADF);
        cr_expect_eq(fds_take(&fds, 2), -EBADF);
        fds_close(&fds);
        cr_expect_eq(fds.n, 0);
        cr_expect(is_open(kept));
        cr_expect_not(is_open(closed));
}

static int take_and_leave(void)
{
        _cleanup_free_ char *freed = strdup("freed"), *taken = strdup("taken");
        _cleanup_close_ int fd = dup(STDERR_FILENO);
        char *mine = TAKE_PTR(taken);

        cr_expect_null(taken);
        free(mine);
        return TAKE_FD(fd);
}

Test(base, taking)
{
        int fd = take_and_leave();

        cr_expect(is_open(fd));
        close(fd);
}

Test(base, time_passes)
{
        uint64_t before = now_usec(CLOCK_MONOTONIC), wall = now_usec(CLOCK_REALTIME);

        cr_expect_geq(now_usec(CLOCK_MONOTONIC), before);
        cr_expect_leq(wall / USEC_PER_SEC, (uint64_t)time(NULL) + 1); /* it is behind by up to a tick */
        cr_expect_geq(wall / USEC_PER_SEC + 5, (uint64_t)time(NULL));
}

/* A directory that is gone when the test is. */
typedef struct Scratch {
        char path[32];
        int fd;
} Scratch;

static void scratch_done(Scratch *s)
{
        unlinkat(s->fd, "file", 0);
        close(s->fd);
        rmdir(s->path);
}

static void scratch_init(Scratch *s)
{
        strcpy(s->path, "/tmp/test-base-XXXXXX");
        cr_assert_not_null(mkdtemp(s->path));
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(s->fd, 0);
}

static void make_file(int dir_fd, size_t length)
{
        _cleanup_close_ int fd = openat(dir_fd, "file", O_WRONLY | O_CREAT | O_TRUNC, 0600);

        for (size_t i = 0; i < length; i++)
                cr_assert_eq(write(fd, "x", 1), 1);
}

Test(base, files_are_written_but_not_made)
{
        _cleanup_(scratch_done) Scratch s;
        _cleanup_free_ char *text = NULL;

        scratch_init(&s);
        cr_expect_eq(write_file_at(s.fd, "file", "hello"), -ENOENT);
        make_file(s.fd, 0);
        cr_expect_eq(write_file_at(s.fd, "file", "hello"), 0);
        cr_expect_eq(read_file_at(s.fd, "file", 5, &text, NULL), 0);
        cr_expect_str_eq(text, "hello");
        cr_expect_eq(write_file_at(AT_FDCWD, "/dev/full", "hello"), -ENOSPC);
}

Test(base, files_are_read_up_to_a_limit)
{
        static const size_t lengths[] = { 0, 1, 4093, 4094, 4095, 4096, 4097, 10000 };
        _cleanup_(scratch_done) Scratch s;

        scratch_init(&s);
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                _cleanup_free_ char *text = NULL;
                size_t length = UNTOUCHED;

                make_file(s.fd, lengths[i]);
                if (lengths[i] > 0)
                        cr_expect_eq(read_file_at(s.fd, "file", lengths[i] - 1, &text, &length), -E2BIG);
                cr_expect_null(text);
                cr_expect_eq(length, UNTOUCHED);
                cr_assert_eq(read_file_at(s.fd, "file", lengths[i], &text, &length), 0, "%zu", lengths[i]);
                cr_expect_eq(length, lengths[i]);
                cr_expect_eq(strlen(text), lengths[i]);
        }
}

Test(base, what_cannot_be_read)
{
        char *text = NULL;

        cr_expect_eq(read_file_at(AT_FDCWD, "/nonexistent", 10, &text, NULL), -ENOENT);
        cr_expect_eq(read_file_at(AT_FDCWD, "/", 10, &text, NULL), -EISDIR);
        cr_expect_null(text);
}
