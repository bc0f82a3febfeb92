/* The cgroup v2 tree of the sessions: user-UID/SESSION below one node that is ours. Knows the cgroup file
 * interface (Documentation/admin-guide/cgroup-v2.rst) and that some hosts have no v2, or v2 without
 * controllers; knows no session. */
#pragma once

#include "limit.h"

typedef struct Cgroups Cgroups;
typedef struct Cgroup Cgroup;

typedef enum CgroupController {
        CGROUP_MEMORY = 1 << 0,
        CGROUP_PIDS = 1 << 1,
        CGROUP_CPU = 1 << 2,
        CGROUP_IO = 1 << 3,
} CgroupController;

/* Finds the node: `configured` (a path below the cgroup2 mount), or nsrootd-sessions.service beside our own
 * unit when systemd started us (from /proc/self/cgroup), or `fallback_name` made below our own cgroup.
 * -EOPNOTSUPP: this host has no cgroup v2 (sessions run
 * without one). */
int cgroups_new(const char *configured, const char *fallback_name, Cgroups **ret);
Cgroups *cgroups_free(Cgroups *c); /* removes what is empty of its own making */
DEFINE_CLEANUP(Cgroups *, cgroups_free);
unsigned cgroups_controllers(const Cgroups *c); /* CgroupController bits that sessions' limits can use */
unsigned cgroups_enforcers(const Cgroups *c);   /* the same as Enforcer bits; c may be NULL */
const char *cgroups_path(const Cgroups *c);     /* below the mount, for people */

/* Removes what an earlier daemon left empty below the node: after what it left alive was found again. */
void cgroups_tidy(Cgroups *c);

/* Makes user-UID/ID with the limits that the controllers at hand can enforce, those of the user's node
 * (together) among them: they hold for whatever of that user's is below it. */
int cgroup_new(Cgroups *c, uid_t uid, const GroupLimits *together, const char *id, const GroupLimits *limits,
               Cgroup **ret);
/* The one that an earlier daemon made. -ENOENT: it is not there. */
int cgroup_find(Cgroups *c, uid_t uid, const char *id, Cgroup **ret);
Cgroup *cgroup_leave(Cgroup *g); /* frees it, and leaves the directory to the next daemon; returns NULL */
/* Removes the directory (again a little later if it is still busy: cgroups_sweep), and the user's when it
 * was the last. */
Cgroup *cgroup_free(Cgroup *g);
DEFINE_CLEANUP(Cgroup *, cgroup_free);
int cgroup_fd(const Cgroup *g);            /* O_DIRECTORY, for CLONE_INTO_CGROUP; the cgroup's */
const char *cgroup_path(const Cgroup *g);  /* below the mount: "/system.slice/…/user-1000/abc…" */
int cgroup_kill(Cgroup *g);                /* cgroup.kill; -EOPNOTSUPP before 5.14 */
int cgroup_freeze(Cgroup *g, bool frozen); /* cgroup.freeze; -EOPNOTSUPP before 5.2 */
/* cgroup-usage.c: -ENODATA where it is not to be had. */
int cgroup_cpu_time(const Cgroup *g, uint64_t *ret_user_usec, uint64_t *ret_system_usec);
int cgroup_memory_peak(const Cgroup *g, uint64_t *ret);
int cgroup_tasks_peak(const Cgroup *g, uint64_t *ret);
int cgroup_oom_kills(const Cgroup *g, uint64_t *ret); /* memory.events' oom_kill */

/* What it uses now and has used; UINT64_MAX where this host does not say. */
typedef struct CgroupUsage {
        uint64_t cpu_usec, memory, memory_peak, tasks, io_read, io_write;
} CgroupUsage;
void cgroup_usage(const Cgroup *g, CgroupUsage *ret);
/* Tries again to remove what was busy. How many are left. */
size_t cgroups_sweep(Cgroups *c);

/* The holder's part (nsrootd --hold-sessions, the one process of nsrootd-sessions.service): moves itself
 * into a leaf below its own cgroup, then enables the controllers for the sessions beside it. */
int cgroup_hold(void);

/* The pure parts, which are here to be tested. */

/* 1: the line of /proc/PID/mountinfo (proc(5)) is a whole cgroup2 hierarchy, mounted at *ret (the caller's);
 * 0: it is something else. */
int cgroup_parse_mount(const char *line, char **ret);
/* The cgroup in v2 that /proc/PID/cgroup names (cgroups(7)), without a slash at its end: the root is "". The
 * caller's. -EOPNOTSUPP: there is none. */
int cgroup_parse_own(const char *text, char **ret);
/* "memory pids" to CgroupController bits; those we do not use are left out. */
unsigned cgroup_parse_controllers(const char *text);
