/* The words every file of the project shares: ownership by attribute, TAKE_*, and small helpers that are
 * pure or make one system call. Knows nothing of JSON, sockets, sessions or configuration.
 *
 * Conventions (HACKING.md): functions return 0 or positive for success and a negative errno for failure,
 * outputs are untouched on failure, and an Error is filled only where the fault is the caller's. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define _cleanup_(f)                  __attribute__((cleanup(f)))
#define _printf_(a, b)                __attribute__((format(printf, a, b)))
#define _noreturn_                    __attribute__((noreturn))
#define _unused_                      __attribute__((unused))
#define _must_check_                  __attribute__((warn_unused_result))

#define ELEMENTSOF(a)                 (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                     ((a) < (b) ? (a) : (b))
#define MAX(a, b)                     ((a) > (b) ? (a) : (b))
#define streq(a, b)                   (strcmp((a), (b)) == 0)

/* The struct that has `member` at address p. */
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* Hand a resource on: the variable loses it, so its cleanup does nothing. */
#define TAKE_GENERIC(v, nil)                                                                                \
        ({                                                                                                  \
                typeof(v) *_pv = &(v);                                                                      \
                typeof(v) _v = *_pv;                                                                        \
                *_pv = (nil);                                                                               \
                _v;                                                                                         \
        })
#define TAKE_PTR(p)     TAKE_GENERIC(p, NULL)
#define TAKE_FD(fd)     TAKE_GENERIC(fd, -EBADF)

#define _cleanup_free_  _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Defines `func##p`, the form _cleanup_() wants, for a destructor that takes a pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, func)                                                                          \
        static inline void func##p(type *p)                                                                 \
        {                                                                                                   \
                if (*p)                                                                                     \
                        func(*p);                                                                           \
        }                                                                                                   \
        struct base_swallow_semicolon

#define USEC_PER_SEC  ((uint64_t)1000000)
#define USEC_PER_MSEC ((uint64_t)1000)
#define KIB           ((uint64_t)1024)
#define MIB           (KIB * 1024)
#define GIB           (MIB * 1024)
#define USEC_INFINITY UINT64_MAX

static inline void freep(void *p)
{
        free(*(void **)p);
}

/* Closes fd if it is one, keeps errno, returns -EBADF (so that `fd = close_fd(fd)` reads well). */
int close_fd(int fd);

static inline void closep(int *fd)
{
        close_fd(*fd);
}

/* What a system call said, as our functions say it. */
static inline int result_of(long r)
{
        return r < 0 ? -errno : 0;
}

/* A set of descriptors with one owner: those that came or go with one message. */
#define FDS_MAX 64
typedef struct Fds {
        int fd[FDS_MAX];
        size_t n;
} Fds;

/* Closes all that are left and empties the set; also its _cleanup_. */
void fds_close(Fds *fds);
/* The descriptor at index, now the caller's; -EBADF if there is none or it was taken. */
int fds_take(Fds *fds, size_t index);

/* "EPERM" for EPERM (either sign); "E?" for a number that has no name. Static, never NULL. */
const char *errno_name(int e);
/* "Operation not permitted" (either sign). Static, never NULL. */
const char *errno_text(int e);

/* Sizes are bytes, with an optional suffix K, M, G or T (powers of 1024). -EINVAL, -ERANGE. */
int parse_size(const char *text, uint64_t *ret_bytes);
/* Times as systemd writes them: "1s", "2min 30s", "500ms", a bare number is seconds; microseconds out.
 * "infinity" is USEC_INFINITY. (systemd.time(7), without years and months.) -EINVAL, -ERANGE. */
int parse_time(const char *text, uint64_t *ret_usec);
/* Decimal, the whole string, no sign, no blanks. -EINVAL, -ERANGE. */
int parse_u64(const char *text, uint64_t max, uint64_t *ret);
/* yes/no, true/false, on/off, 1/0. -EINVAL. */
int parse_bool(const char *text);

/* "SIGTERM", "TERM" or "15" to 15. -EINVAL. */
int parse_signal(const char *text);
/* 15 to "SIGTERM"; NULL for a number that has no name. Static. */
const char *signal_name(int sig);

uint64_t now_usec(int clock_id);

/* Writes a whole string to a file below dir_fd (AT_FDCWD for a path); for kernel files, hence one write(2),
 * no creation. */
int write_file_at(int dir_fd, const char *path, const char *text);
/* Reads a file of at most max bytes (without its NUL) as a NUL-terminated string. -E2BIG: there is more.
 * ret_len may be NULL. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
