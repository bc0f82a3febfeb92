/* Starts a program that is not to be trusted: as an ordinary uid without capabilities, in namespaces of its
 * own, with three descriptors and a read-only view of a few of the host's directories. Knows namespaces and
 * ids; knows nothing of what the program does. The child makes system calls and nothing else. */
#pragma once

#include <sys/resource.h>

#include "base.h"

typedef struct HelperLimit {
        int resource; /* RLIMIT_* */
        rlim_t value; /* soft and hard */
} HelperLimit;

#define HELPER_LIMITS_MAX 8

typedef struct HelperSpec {
        int program_fd;          /* what is run (O_PATH will do); the caller's */
        const char *const *argv; /* its environment is empty */
        int fds[3];              /* become 0, 1 and 2; the caller's */
        uid_t uid;               /* both real ids of the host, and no other groups */
        gid_t gid;
        bool network; /* the host's network; else one without even a loopback */
        const char *const
                *view; /* absolute paths it sees, read-only; those not there are left out; NULL: none */
        HelperLimit limits[HELPER_LIMITS_MAX];
        size_t n_limits;
} HelperSpec;

/* Whom helpers run as: the system user nsrootd, or nobody where there is no such user. Reads /etc/passwd and
 * loads no plug-in into the daemon for it: system users are there. */
void helper_user(uid_t *ret_uid, gid_t *ret_gid);

/* Returns when the program runs, or did not: then *ret_step (static) is what failed, for a log line. The
 * process is PID 1 of its namespace, so that nothing of it outlives it, and dies with this daemon.
 * *ret_pidfd becomes readable when it ends; it is given to helper_wait or helper_kill. */
int helper_start(const HelperSpec *spec, int *ret_pidfd, const char **ret_step);

/* Of one that has ended: 0 and how in *ret_exit (a status as of exit(3), or 128 and a signal); takes
 * nothing, close the pidfd afterwards. */
int helper_wait(int pidfd, int *ret_exit);
/* Tells it to end, without waiting: the pidfd becomes readable soon. */
void helper_signal_end(int pidfd);
/* Ends it, waits for that and closes pidfd. Returns -EBADF. Does nothing if pidfd is negative. */
int helper_kill(int pidfd);
