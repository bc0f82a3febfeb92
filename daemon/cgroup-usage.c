/* What a session's cgroup says of what was used, by cgroup.h. */
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"

#define FILE_SIZE_MAX (64 * KIB) /* of any file read here */

static int read_text(int fd, const char *file, char **ret)
{
        int r = fd < 0 ? -ENODATA : read_file_at(fd, file, FILE_SIZE_MAX, ret, NULL);

        return r == -ENOENT ? -ENODATA : r;
}

/* The number after a key at the beginning of a line; with an empty key, the first number. */
static int find_number(const char *text, const char *key, uint64_t *ret)
{
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, strlen(key)) == 0) {
                        _cleanup_free_ char *number =
                                strndup(line + strlen(key), strcspn(line + strlen(key), "\n"));

                        return number ? parse_u64(number, UINT64_MAX, ret) : -ENOMEM;
                }
        }
        return -ENODATA;
}

static int read_number(int fd, const char *file, const char *key, uint64_t *ret)
{
        _cleanup_free_ char *text = NULL;
        int r = read_text(fd, file, &text);

        return r < 0 ? r : find_number(text, key, ret);
}

/* Read once: each time, the kernel first adds up what all processors have counted. */
int cgroup_cpu_time(const Cgroup *g, uint64_t *ret_user_usec, uint64_t *ret_system_usec)
{
        _cleanup_free_ char *text = NULL;
        uint64_t user;
        int r = read_text(cgroup_fd(g), "cpu.stat", &text);

        if (r >= 0)
                r = find_number(text, "user_usec ", &user);
        if (r >= 0)
                r = find_number(text, "system_usec ", ret_system_usec);
        if (r >= 0)
                *ret_user_usec = user;
        return r;
}

int cgroup_memory_peak(const Cgroup *g, uint64_t *ret)
{
        return read_number(cgroup_fd(g), "memory.peak", "", ret);
}

int cgroup_tasks_peak(const Cgroup *g, uint64_t *ret)
{
        return read_number(cgroup_fd(g), "pids.peak", "", ret);
}

int cgroup_oom_kills(const Cgroup *g, uint64_t *ret)
{
        return read_number(cgroup_memory_fd(g), "memory.events", "oom_kill ", ret);
}

/* The sum of all numbers after a key such as "rbytes=", wherever it stands. */
static uint64_t read_sum(int fd, const char *file, const char *key)
{
        _cleanup_free_ char *text = NULL;
        uint64_t sum = 0;

        if (read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL) < 0)
                return UINT64_MAX;
        for (const char *at = text; (at = strstr(at, key));) {
                at += strlen(key);
                sum += strtoull(at, NULL, 10);
        }
        return sum;
}

static uint64_t count_lines(int fd, const char *file)
{
        _cleanup_free_ char *text = NULL;
        uint64_t n = 0;

        if (read_file_at(fd, file, FILE_SIZE_MAX, &text, NULL) < 0)
                return UINT64_MAX;
        for (const char *at = text; (at = strchr(at, '\n')); at++)
                n++;
        return n;
}

void cgroup_usage(const Cgroup *g, CgroupUsage *ret)
{
        const struct {
                const char *file, *key;
                uint64_t *at;
        } numbers[] = {
                {"cpu.stat",        "usage_usec ", &ret->cpu_usec   },
                { "memory.current", "",            &ret->memory     },
                { "memory.peak",    "",            &ret->memory_peak},
                { "pids.current",   "",            &ret->tasks      },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (read_number(cgroup_fd(g), numbers[i].file, numbers[i].key, numbers[i].at) < 0)
                        *numbers[i].at = UINT64_MAX;
        if (ret->tasks == UINT64_MAX) /* without the controller, those there are */
                ret->tasks = count_lines(cgroup_fd(g), "cgroup.threads");
        ret->io_read = read_sum(cgroup_fd(g), "io.stat", "rbytes=");
        ret->io_write = read_sum(cgroup_fd(g), "io.stat", "wbytes=");
}
