/* The seccomp filter of every session, compiled by libseccomp once, as the program that nsroot-init installs
 * for itself and all that it starts: an allowlist of calls, everything else ENOSYS; and before it, ioctls
 * that reach out of a terminal. Knows the profile (SECURITY.md); knows nothing of sessions. */
#pragma once

#include <linux/filter.h>

#include "base.h"

/* The compiled program (malloc'ed; *ret_count instructions). */
int seccomp_compile(struct sock_filter **ret, size_t *ret_count);
