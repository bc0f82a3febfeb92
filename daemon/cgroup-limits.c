/* See cgroup-limits.h. */
#include "cgroup-limits.h"

#include <inttypes.h>
#include <stdio.h>

#define CPU_PERIOD_USEC 100000
#define WEIGHT_DEFAULT  100
#define PERCENT_MAX     (100 * 8192) /* more processors than that a kernel does not have */
#define TASKS_MAX       4194304      /* the largest that pids.max takes */

const GroupLimits group_limits_fresh = { LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, WEIGHT_DEFAULT,
                                         WEIGHT_DEFAULT };
const GroupLimits group_limits_unknown = { 0 };

static int write_number(int fd, const char *file, uint64_t value, const char *suffix)
{
        char text[48];

        if (value == LIMIT_NONE)
                snprintf(text, sizeof text, "max%s", suffix);
        else
                snprintf(text, sizeof text, "%" PRIu64 "%s", value, suffix);
        return write_file_at(fd, file, text);
}

static int write_memory(int fd, uint64_t bytes)
{
        return write_number(fd, "memory.max", bytes, "");
}

static int write_tasks(int fd, uint64_t n)
{
        return write_number(fd, "pids.max", n > TASKS_MAX ? LIMIT_NONE : n, "");
}

static int write_cpu(int fd, uint64_t percent)
{
        char period[16];

        if (percent != LIMIT_NONE && percent > UINT64_MAX / (CPU_PERIOD_USEC / 100))
                return -ERANGE;
        snprintf(period, sizeof period, " %d", CPU_PERIOD_USEC);
        return write_number(fd, "cpu.max",
                            percent == LIMIT_NONE ? percent : percent * (CPU_PERIOD_USEC / 100), period);
}

static int write_cpu_weight(int fd, uint64_t weight)
{
        return write_number(fd, "cpu.weight", weight, "");
}

static int write_io_weight(int fd, uint64_t weight)
{
        int r = write_number(fd, "io.weight", weight, "");

        return r == -ENOENT ? 0 : r; /* no policy of disks here goes by it */
}

int group_limits_write(int fd, unsigned controllers, const GroupLimits *was, const GroupLimits *limits)
{
        const struct {
                CgroupController needs;
                uint64_t was, value;
                int (*write)(int fd, uint64_t value);
        } table[] = {
                {CGROUP_MEMORY, was->memory_max,  limits->memory_max,  write_memory    },
                { CGROUP_PIDS,  was->tasks_max,   limits->tasks_max,   write_tasks     },
                { CGROUP_CPU,   was->cpu_percent, limits->cpu_percent, write_cpu       },
                { CGROUP_CPU,   was->cpu_weight,  limits->cpu_weight,  write_cpu_weight},
                { CGROUP_IO,    was->io_weight,   limits->io_weight,   write_io_weight },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(table); i++)
                if ((controllers & table[i].needs) && table[i].value != table[i].was)
                        r = table[i].write(fd, table[i].value);
        return r;
}

int group_limits_write_rules(int fd)
{
        int r = write_file_at(fd, "memory.oom.group", "1");

        if (r >= 0)
                r = write_file_at(fd, "memory.swap.max", "0");
        return r == -ENOENT ? 0 : r; /* a kernel without swap has no such file */
}
