/* What this machine shows to an ordinary user of what nsrootd needs: files below /proc, /sys and
 * /lib/modules. Knows the kernel's files; changes nothing, asks nobody, and judges nothing. */
#pragma once

#include "base.h"

typedef enum MachineOverlay {
        OVERLAY_NONE,
        OVERLAY_MODULE, /* there to be loaded, which the first mount does */
        OVERLAY_THERE,
} MachineOverlay;

typedef enum MachineCgroups {
        CGROUPS_NONE,
        CGROUPS_V1,
        CGROUPS_HYBRID, /* v2 beside v1 */
        CGROUPS_V2,
} MachineCgroups;

typedef struct Machine {
        char *release; /* of the kernel; NULL: not known */
        unsigned major, minor;
        int tmpfs_attributes; /* 1: a tmpfs keeps user.* attributes; 0: not; -1: could not be tried */
        int64_t memfd_noexec; /* vm.memfd_noexec; -1: there is none (before 6.3) */
        bool seccomp;         /* filters, and the actions that ours take */
        const char
                *missing_namespace;  /* static: the first kind, but for user, that cannot be made; or NULL */
        bool user_namespaces;        /* the kernel has them */
        int64_t max_user_namespaces; /* -1: not known */
        MachineOverlay overlay;
        MachineCgroups cgroups;
        char *controllers; /* of cgroup v2, at its root: "memory pids"; NULL: there is no v2 */
        bool systemd;      /* is the init system (sd_booted(3)) */
} Machine;

/* root_fd: where proc, sys, lib and run are looked for. What cannot be read is as if it was not there. */
void machine_probe(int root_fd, Machine *ret);
void machine_done(Machine *m);
