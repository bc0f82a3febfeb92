/* The two seccomp filters of every session, compiled by libseccomp once, as programs that nsroot-init
 * installs before each exec. Knows the profile (SECURITY.md); knows nothing of sessions. */
#pragma once

#include <linux/filter.h>

#include "base.h"

typedef enum SeccompFilter {
        SECCOMP_TERMINAL, /* default allow: ioctls that reach out of a terminal */
        SECCOMP_CALLS,    /* default ENOSYS: the allowlist */
        SECCOMP_FILTERS,
} SeccompFilter;

/* The compiled program (malloc'ed; *ret_count instructions). Install TERMINAL first or second: they stack.
 */
int seccomp_compile(SeccompFilter which, struct sock_filter **ret, size_t *ret_count);
