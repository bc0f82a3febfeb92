/* check.c, on texts like /proc/self/mountinfo: what the profile asks for is let through, and each single
 * thing that is otherwise is named. What is there to be covered is what this machine has. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "init.h"

#define CPU_DIRECTORY "/sys/devices/system/cpu/cpu"
#define CPUS_TEST     2000
#define STRICT        (PROFILE_RO | PROFILE_NOSUID | PROFILE_NODEV | PROFILE_NOEXEC)

typedef enum Kind { MOUNT, NODE, MASK, READ_ONLY_COVER } Kind;

typedef struct Line {
        Kind kind;
        uint32_t index;
        const char *path, *type;
        char options[64];
} Line;

static const Step steps[] = { STEP_CHECK_MOUNTS, STEP_NODES, STEP_MASKS, STEP_READ_ONLY };
static const OrderHello usual;

enum {
#define X(path, type, flags) +1
        mounts_count = 0 PROFILE_MOUNTS(X)
#undef X
};

static void put_options(Line *l, unsigned flags)
{
        snprintf(l->options, sizeof(l->options), "%s%s%s%s,relatime", flags & PROFILE_RO ? "ro" : "rw",
                 flags & PROFILE_NOSUID ? ",nosuid" : "", flags & PROFILE_NODEV ? ",nodev" : "",
                 flags & PROFILE_NOEXEC ? ",noexec" : "");
}

/* A session's mounts, all that the profile knows of. */
static size_t all_lines(Line *ret)
{
        static const struct {
                Kind kind;
                const char *path, *type;
                unsigned flags;
        } all[] = {
#define M(path, type, flags) { MOUNT, path, type, flags },
#define N(name)              { NODE, "/dev/" name, "devtmpfs", PROFILE_RO | PROFILE_NOSUID | PROFILE_NOEXEC },
#define C(path)              { MASK, path, "tmpfs", STRICT },
#define R(path)              { READ_ONLY_COVER, path, "proc", STRICT },
                PROFILE_MOUNTS(M) PROFILE_NODES(N) PROFILE_MASKS(C) PROFILE_READ_ONLY(R)
        };
        uint32_t index = 0;

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                index = i && all[i].kind == all[i - 1].kind ? index + 1 : 0;
                ret[i] = (Line){
                        .kind = all[i].kind, .index = index, .path = all[i].path, .type = all[i].type
                };
                put_options(&ret[i], all[i].flags);
        }
        return ELEMENTSOF(all);
}

/* A file of these lines, those without a path left out, and of what is added. */
static int file_of(const Line *lines, size_t n, const char *more)
{
        FILE *file = tmpfile();

        cr_assert(file);
        for (size_t i = 0; i < n; i++)
                if (lines[i].path)
                        fprintf(file, "%zu 1 0:%zu / %s %s shared:7 - %s source rw,mode=755\n", i + 30, i,
                                lines[i].path, lines[i].options, lines[i].type);
        fputs(more, file);
        cr_assert(fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0);
        int fd = dup(fileno(file));
        fclose(file);
        return fd;
}

/* Whether it is let through; *ret says why not. */
static bool check(const Line *lines, size_t n, const char *more, const OrderHello *hello, Failure *ret)
{
        _cleanup_close_ int fd = file_of(lines, n, more);

        return check_mounts(fd, hello, ret);
}

static void expect_refused(const Line *lines, size_t n, const char *more, const OrderHello *hello, Step step,
                           uint32_t index, int error)
{
        Failure f = {};

        cr_expect_not(check(lines, n, more, hello, &f), "step %d index %u: let through", (int)step, index);
        cr_expect(f.step == (uint32_t)step && f.index == index && f.error == (uint32_t)error,
                  "step %u index %u error %u instead of %d, %u, %d", f.step, f.index, f.error, (int)step,
                  index, error);
}

Test(init_check, what_the_profile_asks_for)
{
        Line lines[128];
        size_t n = all_lines(lines);
        Failure f;

        cr_expect(check(lines, n, "", &usual, &f));
}

Test(init_check, each_is_missed)
{
        Line lines[128];
        size_t n = all_lines(lines), missed = 0, passed_over = 0;
        Failure f;

        for (size_t i = 0; i < n; i++) {
                Line *l = &lines[i];
                const char *path = l->path;

                l->path = NULL;
                if (l->kind != MOUNT && access(path, F_OK) < 0) {
                        cr_expect(check(lines, n, "", &usual, &f), "%s is not there to be covered", path);
                        passed_over++;
                } else {
                        expect_refused(lines, n, "", &usual, steps[l->kind], l->index,
                                       l->kind == MOUNT ? ENOENT : EPERM);
                        missed++;
                }
                l->path = path;
        }
        cr_expect(missed > 20 && passed_over > 0, "%zu, %zu", missed, passed_over);
}

Test(init_check, each_is_as_strict_as_it_must_be)
{
        static const char *const options[] = { "ro", "nosuid", "nodev", "noexec" };
        Line lines[128];
        size_t n = all_lines(lines);

        for (size_t i = 0; i < n; i++)
                for (size_t o = 0; o < ELEMENTSOF(options); o++) {
                        Line kept = lines[i];
                        char *at = strstr(lines[i].options, options[o]);

                        if (!at)
                                continue;
                        memset(at, 'x', strlen(options[o]));
                        expect_refused(lines, n, "", &usual, steps[kept.kind], kept.index, EPERM);
                        lines[i] = kept;
                }
}

Test(init_check, none_is_twice)
{
        Line lines[129];
        size_t n = all_lines(lines);

        for (size_t i = 0; i < n; i++) {
                lines[n] = lines[i];
                expect_refused(lines, n + 1, "", &usual, steps[lines[i].kind], lines[i].index, EPERM);
        }
}

Test(init_check, each_is_of_its_kind)
{
        Line lines[128];
        size_t n = all_lines(lines);

        for (size_t i = 0; i < n; i++) {
                const char *type = lines[i].type;

                if (lines[i].kind != MOUNT && lines[i].kind != MASK)
                        continue;
                lines[i].type = "ext4";
                expect_refused(lines, n, "", &usual, steps[lines[i].kind], lines[i].index, EPERM);
                lines[i].type = type;
        }
}

Test(init_check, the_root_is_what_was_asked_for)
{
        const OrderHello read_only = { .read_only = 1 }, plain = { .plain_root = 1 };
        Line lines[128];
        size_t n = all_lines(lines);
        Failure f;

        expect_refused(lines, n, "", &read_only, STEP_CHECK_MOUNTS, 0, EPERM);
        put_options(&lines[0], PROFILE_RO | PROFILE_NOSUID | PROFILE_NODEV);
        cr_expect(check(lines, n, "", &read_only, &f));
        expect_refused(lines, n, "", &plain, STEP_CHECK_MOUNTS, 0, EPERM);
        lines[0].type = "tmpfs";
        cr_expect(check(lines, n, "", &plain, &f));
        expect_refused(lines, n, "", &usual, STEP_CHECK_MOUNTS, 0, EPERM);
}

Test(init_check, nothing_else_is_there)
{
#define CPU CPU_DIRECTORY "3/"
        static const struct {
                const char *path, *type;
                unsigned flags;
                bool fits;
        } rows[] = {
                {"/mnt",                  "tmpfs", STRICT,                         false},
                { "/old",                 "ext4",  STRICT,                         false},
                { "/proc/kcore/",         "tmpfs", STRICT,                         false},
                { CPU "thermal_throttle", "tmpfs", STRICT,                         true },
                { CPU "thermal_throttle", "sysfs", STRICT,                         false},
                { CPU "thermal_throttle", "tmpfs", STRICT & ~(unsigned)PROFILE_RO, false},
                { CPU "cache",            "tmpfs", STRICT,                         false},
        };
        Line lines[129];
        size_t n = all_lines(lines);
        Failure f;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                lines[n] = (Line){ .path = rows[i].path, .type = rows[i].type };
                put_options(&lines[n], rows[i].flags);
                if (rows[i].fits)
                        cr_expect(check(lines, n + 1, "", &usual, &f));
                else
                        expect_refused(lines, n + 1, "", &usual, STEP_CHECK_MOUNTS, mounts_count, EPERM);
        }
}

/* Nothing of a text is passed over because of where a read of it ends. */
Test(init_check, a_text_of_any_length)
{
        static char text[4096 * CPUS_TEST];
        Line lines[128];
        size_t n = all_lines(lines), at = 0;
        Failure f;

        for (int i = 0; i < CPUS_TEST; i++)
                at += (size_t)sprintf(text + at,
                                      "%d 1 0:9 / " CPU_DIRECTORY "%d/thermal_throttle "
                                      "ro,nosuid,nodev,noexec%s - tmpfs t rw\n",
                                      i + 200, i, i % 7 ? "" : ",relatime");
        cr_expect(at > 100000 && check(lines, n, text, &usual, &f));
        strcpy(text + at, "9 1 0:9 / /mnt ro,nosuid,nodev,noexec - tmpfs t rw\n");
        expect_refused(lines, n, text, &usual, STEP_CHECK_MOUNTS, mounts_count, EPERM);
}

Test(init_check, what_is_no_mountinfo)
{
        static const char unfinished[] = "99 1 0:9 / /proc/kcore ro,nosuid,nodev,noexec - tmpfs t rw";
        static char long_line[4097];
        const struct {
                const char *text;
                int error;
        } rows[] = {
                {"no mount at all\n",          EBADMSG},
                { "99 1 0:9 / /mnt - tmpfs\n", EBADMSG},
                { "\n",                        EBADMSG},
                { unfinished,                  EBADMSG},
                { long_line,                   E2BIG  },
        };
        Line lines[128];
        size_t n = all_lines(lines);

        memset(long_line, 'x', sizeof(long_line) - 1);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                expect_refused(lines, n, rows[i].text, &usual, STEP_CHECK_MOUNTS, 0, rows[i].error);
}
