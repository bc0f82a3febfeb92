/* The cgroup v2 tree of the sessions: user-UID/SESSION below one node that is ours. Knows the cgroup file
 * interface (Documentation/admin-guide/cgroup-v2.rst) and that some hosts have no v2, or v2 without
 * controllers; knows no session. */
#pragma once

#include "cgroup-parse.h"
#include "limit.h"

typedef struct Cgroups Cgroups;
typedef struct Cgroup Cgroup;

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
/* Other limits than it was made with; of the user's node only what is not so yet. */
int cgroup_limit(Cgroup *g, uid_t uid, const GroupLimits *together, const GroupLimits *was,
                 const GroupLimits *limits);
/* The one that an earlier daemon made. -ENOENT: it is not there. */
int cgroup_find(Cgroups *c, uid_t uid, const char *id, Cgroup **ret);
/* Makes nsrootd-ID below a cgroup that is somebody else's, by its path below the mount; it has no
 * controllers and no limits there. Its owner may remove it, freeze it and take processes out of it at any
 * time, and all he loses is his. A child has to enter it by itself (cgroup_open_entry): if it were cloned
 * into it, whoever may freeze it could keep us waiting. -ENOENT: there is no such cgroup (any more);
 * -EAGAIN: it may have no more below it; -EOPNOTSUPP: no process can be below it (see cgroup.type). */
int cgroup_new_at(Cgroups *c, const char *parent, const char *id, Cgroup **ret);
/* The one of that path, which an earlier daemon made so. */
int cgroup_find_at(Cgroups *c, const char *path, Cgroup **ret);
bool cgroup_is_elsewhere(const Cgroup *g); /* made so */
int cgroup_open_entry(const Cgroup *g);    /* its cgroup.procs for writing; the caller's */
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
/* memory.events' oom_kill: its own, or, of one that is elsewhere, that of the nearest above it that has one,
 * which counts others too. */
int cgroup_oom_kills(const Cgroup *g, uint64_t *ret);
int cgroup_memory_fd(const Cgroup *g); /* whose memory.events that is; negative: nobody's */

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
