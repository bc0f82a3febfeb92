/* See limit.h. */
#include "limit.h"

#define ANY        INT64_MAX
#define WEIGHT_MAX 10000 /* cgroup-v2.rst: cpu.weight, io.weight */

/* clang-format off */
const LimitKind limit_kinds[LIMITS] = {
        [LIMIT_MEMORY]         = { "MemoryMax",       "memoryMaxBytes",       MIB,        ANY,           ENFORCER_MEMORY },
        [LIMIT_TASKS]          = { "TasksMax",        "tasksMax",             2,          ANY, ENFORCER_PIDS },
        [LIMIT_CPU_QUOTA]      = { "CpuQuota",        "cpuQuotaPercent",      1,          ANY,   ENFORCER_CPU },
        [LIMIT_CPU_WEIGHT]     = { "CpuWeight",       "cpuWeight",            1,          WEIGHT_MAX,    ENFORCER_CPU },
        [LIMIT_IO_WEIGHT]      = { "IoWeight",        "ioWeight",             1,          WEIGHT_MAX,    ENFORCER_IO },
        [LIMIT_CPU_TIME]       = { "CpuTimeMax",      "cpuTimeMaxUSec",       1000,       ANY,           ENFORCER_CGROUP },
        [LIMIT_RUNTIME]        = { "RuntimeMax",      "runtimeMaxUSec",       1000,       ANY,           0 },
        [LIMIT_STORAGE]        = { "StorageMax",      "storageMaxBytes",      MIB,        ANY,           0 },
        [LIMIT_STORAGE_INODES] = { "StorageInodes",   "storageMaxInodes",     1024,       ANY,           0 },
        [LIMIT_SHARED_MEMORY]  = { "SharedMemoryMax", "sharedMemoryMaxBytes", 64 * KIB,   ANY,           0 },
        [LIMIT_FILE_SIZE]      = { "FileSizeMax",     "fileSizeMaxBytes",     4 * KIB,    ANY,           0 },
        [LIMIT_OPEN_FILES]     = { "OpenFilesMax",    "openFilesMax",         16,         ANY,     0 },
        [LIMIT_PROCESSES]      = { "ProcessesMax",    "processesMax",         2,          ANY, 0 },
        [LIMIT_LOCKED_MEMORY]  = { "LockedMemoryMax", "lockedMemoryMaxBytes", 0,          ANY,           0 },
        [LIMIT_OUTPUT_KEPT]    = { "OutputKept",      NULL,                   0,          0,             0 },
};
/* clang-format on */

const char *limit_why_not(Limit limit, unsigned enforcers)
{
        static const struct {
                unsigned enforcer;
                const char *why;
        } reasons[] = {
                {ENFORCER_MEMORY,  "nsrootd has no memory controller of cgroup v2 here" },
                { ENFORCER_PIDS,   "nsrootd has no pids controller of cgroup v2 here"   },
                { ENFORCER_CPU,    "nsrootd has no cpu controller of cgroup v2 here"    },
                { ENFORCER_IO,     "no io controller of cgroup v2 here shares by weight"},
                { ENFORCER_CGROUP, "nsrootd has no cgroup v2 here"                      },
        };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (limit_kinds[limit].needs & ~enforcers & reasons[i].enforcer)
                        return reasons[i].why;
        return NULL;
}
