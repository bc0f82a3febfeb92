/* What bounds a session, as one table: what each limit is called in nsrootd.conf and in the interface, what
 * may be asked for, and what has to be there for it. Pure data, and the loops over it. */
#pragma once

#include "base.h"

typedef enum Limit {
        /* by the session's cgroup */
        LIMIT_MEMORY, /* bytes */
        LIMIT_TASKS,
        LIMIT_CPU_QUOTA, /* percent of one processor */
        LIMIT_CPU_WEIGHT,
        LIMIT_IO_WEIGHT,
        /* by the daemon's clock */
        LIMIT_CPU_TIME, /* microseconds */
        LIMIT_RUNTIME,
        /* by its filesystems */
        LIMIT_STORAGE, /* bytes */
        LIMIT_STORAGE_INODES,
        LIMIT_SHARED_MEMORY,
        /* of each of its processes (setrlimit(2)) */
        LIMIT_FILE_SIZE,
        LIMIT_OPEN_FILES,
        LIMIT_PROCESSES,
        LIMIT_LOCKED_MEMORY,
        /* by its init */
        LIMIT_OUTPUT_KEPT,
        LIMITS,
} Limit;

#define LIMIT_NONE UINT64_MAX /* a limit that does not limit */

typedef struct Limits {
        uint64_t of[LIMITS];
} Limits;

/* What a cgroup enforces: a session's, or that of all sessions of a user. LIMIT_NONE: nothing. */
typedef struct GroupLimits {
        uint64_t memory_max; /* bytes */
        uint64_t tasks_max;
        uint64_t cpu_percent;           /* of one processor */
        uint64_t cpu_weight, io_weight; /* 1 to 10000, among its neighbours */
} GroupLimits;

/* What of a host enforces limits. Bits. */
typedef enum Enforcer {
        ENFORCER_CGROUP = 1 << 0, /* cgroup v2, with or without controllers */
        ENFORCER_MEMORY = 1 << 1, /* the controllers */
        ENFORCER_PIDS = 1 << 2,
        ENFORCER_CPU = 1 << 3,
        ENFORCER_IO = 1 << 4,
} Enforcer;

typedef struct LimitKind {
        const char *name;  /* of its key in nsrootd.conf, by which messages call it, too */
        const char *field; /* of the interface's Limits; NULL: it cannot be asked for */
        int64_t min, max;  /* of what is asked for; INT64_MAX, where that is the maximum, is LIMIT_NONE */
        unsigned needs;    /* an Enforcer; 0: none */
} LimitKind;

extern const LimitKind limit_kinds[LIMITS];

/* Why a host that has only these enforcers cannot enforce it, in words for people; NULL: it can. */
const char *limit_why_not(Limit limit, unsigned enforcers);
