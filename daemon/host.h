/* What this machine can do for sessions, seen with the daemon's rights. Knows the kernel's interfaces and
 * what a service manager puts into the environment (sd_notify(3), systemd.exec(5)); knows no session and no
 * configuration, and judges nothing. */
#pragma once

#include "limit.h"
#include "userns.h"

typedef struct Host Host;

#define HOST_UNKNOWN (-1)

typedef struct HostFacts {
        const char *kernel;           /* its release; the Host's */
        UsernsObstacle obstacle;      /* to user namespaces */
        bool overlay;                 /* the kernel has it, or has loaded it when it was asked */
        int idmapped_mounts;          /* of the state directory's filesystem: 1, 0 or HOST_UNKNOWN */
        const char *state_filesystem; /* "ext4"; the Host's */
        uint64_t state_free;          /* bytes; UINT64_MAX: not known */
        int64_t descriptor_store_max; /* 0: there is no service manager; HOST_UNKNOWN: it does not say
                                         (before systemd 254) */
} HostFacts;

/* state_fd: the state directory; stays the caller's and outlives the Host. Looks at once at what does not
 * change. Before the stage hides nothing of it: by the descriptor. */
int host_new(int state_fd, Host **ret);
Host *host_free(Host *h);
DEFINE_CLEANUP(Host *, host_free);

/* What changes is looked at anew, at the cost of two system calls; mapped mounts are tried once, when they
 * first can be. */
void host_look(Host *h, HostFacts *ret);

/* What sessions inherit from us, and no process can raise: of those limits (limit.h) the most there can be,
 * of all others LIMIT_NONE. */
void host_limits(Limits *ret);

/* The filesystem type of a line of mountinfo (proc(5)) that is about the mount of that id; the caller's.
 * NULL: it is about another one, or memory is out. Here to be tested. */
char *host_parse_mount(const char *line, uint64_t mount_id);
