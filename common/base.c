/* The helpers of base.h. Knows libc and nothing else. */
#include "base.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int close_fd(int fd)
{
        if (fd >= 0) {
                int saved = errno;

                close(fd);
                errno = saved;
        }
        return -EBADF;
}

void fds_close(Fds *fds)
{
        for (size_t i = 0; i < fds->n; i++)
                close_fd(fds->fd[i]);
        fds->n = 0;
}

int fds_take(Fds *fds, size_t index)
{
        if (index >= fds->n)
                return -EBADF;
        return TAKE_FD(fds->fd[index]);
}

/* INT_MIN has no positive counterpart and no name, so it may stay what it is. */
static int errno_magnitude(int e)
{
        return e < 0 && e != INT_MIN ? -e : e;
}

const char *errno_name(int e)
{
        static const struct {
                int number;
                const char *name;
        } names[] = {
#include "errno-names.h"
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (names[i].number == errno_magnitude(e))
                        return names[i].name;
        return "E?";
}

const char *errno_text(int e)
{
        return e && streq(errno_name(e), "E?") ? "Unknown error" : strerror(errno_magnitude(e));
}

/* strtoull(3) takes signs, blanks and bases: none of them is wanted anywhere here. */
static int parse_digits(const char **text, uint64_t *ret)
{
        const char *p = *text;
        uint64_t n = 0;

        if (!isdigit((unsigned char)*p))
                return -EINVAL;
        for (; isdigit((unsigned char)*p); p++)
                if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
                        return -ERANGE;
        *text = p;
        *ret = n;
        return 0;
}

int parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
        uint64_t n;
        int r;

        r = parse_digits(&text, &n);
        if (r < 0)
                return r;
        if (*text != '\0')
                return -EINVAL;
        if (n > max)
                return -ERANGE;
        *ret = n;
        return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
        static const char suffixes[] = "KMGT";
        uint64_t n;
        int r;

        r = parse_digits(&text, &n);
        if (r < 0)
                return r;
        if (*text != '\0') {
                const char *suffix = strchr(suffixes, *text);

                if (!suffix || text[1] != '\0')
                        return -EINVAL;
                for (const char *s = suffixes; s <= suffix; s++)
                        if (__builtin_mul_overflow(n, KIB, &n))
                                return -ERANGE;
        }
        *ret_bytes = n;
        return 0;
}

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)
#define USEC_PER_WEEK   (7 * USEC_PER_DAY)

/* systemd.time(7), "Parsing Time Spans". */
static const struct {
        const char *name;
        uint64_t usec;
} time_units[] = {
        {"",         USEC_PER_SEC   },
        { "us",      1              },
        { "usec",    1              },
        { "µs",     1              },
        { "ms",      USEC_PER_MSEC  },
        { "msec",    USEC_PER_MSEC  },
        { "s",       USEC_PER_SEC   },
        { "sec",     USEC_PER_SEC   },
        { "second",  USEC_PER_SEC   },
        { "seconds", USEC_PER_SEC   },
        { "m",       USEC_PER_MINUTE},
        { "min",     USEC_PER_MINUTE},
        { "minute",  USEC_PER_MINUTE},
        { "minutes", USEC_PER_MINUTE},
        { "h",       USEC_PER_HOUR  },
        { "hr",      USEC_PER_HOUR  },
        { "hour",    USEC_PER_HOUR  },
        { "hours",   USEC_PER_HOUR  },
        { "d",       USEC_PER_DAY   },
        { "day",     USEC_PER_DAY   },
        { "days",    USEC_PER_DAY   },
        { "w",       USEC_PER_WEEK  },
        { "week",    USEC_PER_WEEK  },
        { "weeks",   USEC_PER_WEEK  },
};

#define BLANKS " \t"

/* Reads a unit, none being seconds; 0 if it is not one. */
static uint64_t parse_time_unit(const char **text)
{
        size_t length = strcspn(*text, BLANKS "0123456789");

        for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
                if (strlen(time_units[i].name) == length && memcmp(time_units[i].name, *text, length) == 0) {
                        *text += length;
                        return time_units[i].usec;
                }
        return 0;
}

int parse_time(const char *text, uint64_t *ret_usec)
{
        uint64_t total = 0;

        if (streq(text, "infinity")) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }
        text += strspn(text, BLANKS);
        do {
                uint64_t n, unit;
                int r;

                r = parse_digits(&text, &n);
                if (r < 0)
                        return r;
                text += strspn(text, BLANKS);
                unit = parse_time_unit(&text);
                if (unit == 0)
                        return -EINVAL;
                if (__builtin_mul_overflow(n, unit, &n) || __builtin_add_overflow(total, n, &total))
                        return -ERANGE;
                text += strspn(text, BLANKS);
        } while (*text != '\0');
        if (total == USEC_INFINITY)
                return -ERANGE;
        *ret_usec = total;
        return 0;
}

int parse_bool(const char *text)
{
        static const char *const words[][2] = {
                {"no",     "yes" },
                { "false", "true"},
                { "off",   "on"  },
                { "0",     "1"   },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (int value = 0; value < 2; value++)
                        if (streq(text, words[i][value]))
                                return value;
        return -EINVAL;
}

/* sigabbrev_np(3) leaves out the SIG that both users and systemd write, and a static name has to have it. */
#define SIGNAL(s) [s] = #s
static const char *const signal_names[] = {
        SIGNAL(SIGHUP),    SIGNAL(SIGINT),  SIGNAL(SIGQUIT),  SIGNAL(SIGILL),  SIGNAL(SIGTRAP),
        SIGNAL(SIGABRT),   SIGNAL(SIGBUS),  SIGNAL(SIGFPE),   SIGNAL(SIGKILL), SIGNAL(SIGUSR1),
        SIGNAL(SIGSEGV),   SIGNAL(SIGUSR2), SIGNAL(SIGPIPE),  SIGNAL(SIGALRM), SIGNAL(SIGTERM),
        SIGNAL(SIGSTKFLT), SIGNAL(SIGCHLD), SIGNAL(SIGCONT),  SIGNAL(SIGSTOP), SIGNAL(SIGTSTP),
        SIGNAL(SIGTTIN),   SIGNAL(SIGTTOU), SIGNAL(SIGURG),   SIGNAL(SIGXCPU), SIGNAL(SIGXFSZ),
        SIGNAL(SIGVTALRM), SIGNAL(SIGPROF), SIGNAL(SIGWINCH), SIGNAL(SIGPOLL), SIGNAL(SIGPWR),
        SIGNAL(SIGSYS),
};

int parse_signal(const char *text)
{
        uint64_t number;

        if (parse_u64(text, NSIG - 1, &number) == 0)
                return number > 0 ? (int)number : -EINVAL;
        for (size_t i = 1; i < ELEMENTSOF(signal_names); i++)
                if (streq(text, signal_names[i]) || streq(text, signal_names[i] + strlen("SIG")))
                        return (int)i;
        return -EINVAL;
}

const char *signal_name(int sig)
{
        return sig > 0 && (size_t)sig < ELEMENTSOF(signal_names) ? signal_names[sig] : NULL;
}

/* The vDSO (vdso(7)) saves who asks often a system call, and costs who asks once, as what is linked with
 * musl here does, three page faults. */
#ifdef __GLIBC__
#define read_clock(id, ret) clock_gettime(id, ret)
#else
#define read_clock(id, ret) syscall(SYS_clock_gettime, id, ret)
#endif

uint64_t now_usec(int clock_id)
{
        struct timespec t;

        read_clock(clock_id, &t);
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

int write_file_at(int dir_fd, const char *path, const char *text)
{
        _cleanup_close_ int fd = -EBADF;
        size_t length = strlen(text);
        ssize_t n;

        fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        n = write(fd, text, length);
        if (n < 0)
                return -errno;
        return (size_t)n == length ? 0 : -EIO;
}

/* Room for more than is there, so that the caller sees the end or that there is too much. */
static int grow(char **buffer, size_t *size, size_t max)
{
        size_t wanted = MIN(MAX(*size * 2, (size_t)4096), max + 2);
        char *bigger;

        bigger = realloc(*buffer, wanted);
        if (!bigger)
                return -ENOMEM;
        *buffer = bigger;
        *size = wanted;
        return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len)
{
        _cleanup_free_ char *buffer = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size = 0, length = 0;
        ssize_t n;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        do {
                if (length + 1 >= size && grow(&buffer, &size, max) < 0)
                        return -ENOMEM;
                n = read(fd, buffer + length, size - length - 1);
                if (n < 0)
                        return -errno;
                length += (size_t)n;
                if (length > max)
                        return -E2BIG;
        } while (n > 0);
        buffer[length] = '\0';
        *ret = TAKE_PTR(buffer);
        if (ret_len)
                *ret_len = length;
        return 0;
}
