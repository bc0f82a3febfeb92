/* Asks a binary for its applets, by running it as a helper without a network or a file. Knows helpers and
 * time limits; what the answer means is busybox.h's. */
#pragma once

#include <systemd/sd-event.h>

#include "base.h"
#include "busybox.h"

typedef struct Lister Lister;

/* r is 0 and applets the callee's; or -ENOEXEC and reason (static) says what is wrong with the binary; or
 * another error of the machine's. Called once, never from inside lister_start; the callee may free the
 * Lister. */
typedef void (*ListerFinished)(int r, Applets *applets, const char *reason, void *userdata);

/* binary_fd: opened for reading, by nobody for writing, executable by uid; the caller's, outlives the
 * Lister. */
int lister_start(sd_event *event, int binary_fd, uid_t uid, gid_t gid, ListerFinished finished,
                 void *userdata, Lister **ret);
Lister *lister_free(Lister *l); /* ends the process */
DEFINE_CLEANUP(Lister *, lister_free);
