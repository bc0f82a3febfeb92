/* The descriptor store of the service manager (sd_notify(3), FDSTORE=1): what is in it outlives this
 * process, and comes back to the next one by its name. Without a service manager there is none, and nothing
 * happens here. Knows libsystemd; knows nothing of what is stored. */
#pragma once

#include "base.h"

/* Keeps copies of the descriptors under a name, several under one. What was kept under it stays. */
int fdstore_push(const char *name, const int *fds, size_t n);
/* Gives up all that is kept under that name. */
void fdstore_remove(const char *name);
/* Whether there is somebody to keep anything. */
bool fdstore_exists(void);

/* What the service manager passed us at our start, sockets to listen on as well. */
typedef struct PassedFds {
        char **names;
        int *fds; /* CLOEXEC; in the order of the names; who takes one leaves -EBADF */
        size_t n;
} PassedFds;

/* Once, before anything else opens descriptors for good: those passed are moved out of the way of them, for
 * children are given the low numbers (slots.h). */
int fdstore_receive(PassedFds *ret);
void passed_fds_done(PassedFds *p); /* closes what nobody took */
