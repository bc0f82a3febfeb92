/* What the kernel says of a process of this machine that is no child of ours: which cgroup it is in, and how
 * likely it is to be killed for memory. Reads a /proc of its own, because the one that the daemon's unit
 * leaves it (ProtectProc=invisible) has no process of an ordinary user. Knows proc(5) and pidfd_open(2);
 * keeps nothing. */
#pragma once

#include "base.h"

/* *ret is a directory such as /proc, and the caller's: of a mount of our own, or the machine's where that is
 * refused. */
int process_open_proc(int *ret);

#define PROCESS_CGROUP_MAX 1024

/* The cgroup in v2 of the process that pidfd is of, below the root of our cgroup namespace, without a slash
 * at its end; the caller's. -ESRCH: it has ended; -EXDEV: it is outside of that namespace, or not to be seen
 * from our pid namespace; -EOPNOTSUPP: it is in no cgroup v2; -ENAMETOOLONG, -EILSEQ: process_check_cgroup.
 */
int process_cgroup(int proc_fd, int pidfd, char **ret);
/* 0 where it is not to be known. */
int process_oom_score_adj(int proc_fd, pid_t pid);

/* The pure parts, which are here to be tested. */

/* The number behind "Pid:" in /proc/self/fdinfo of a pidfd. -ESRCH: it has ended; -EXDEV: it has none in our
 * pid namespace; -EBADMSG. */
int process_parse_fdinfo(const char *text, pid_t *ret);
/* A path that is written down, in JSON too, and shown to others than those who may have chosen it: 0,
 * -ENAMETOOLONG (PROCESS_CGROUP_MAX) or -EILSEQ, where it is more than printable ASCII. */
int process_check_cgroup(const char *path);
