/* What the downloader takes from itself before it reads its first byte from anyone. Knows seccomp and
 * resource limits; knows nothing of HTTP. */
#pragma once

#include "base.h"

/* Closes every descriptor but the first three, limits the address space, and from then on refuses all system
 * calls but those that a download over TLS, with threads that resolve names, needs: no exec, no process, no
 * mount, no ptrace. -EPERM: it runs as root, or could gain privileges; that is for who starts it to see to.
 */
int sandbox_enter(void);
