/* What the service manager is about to do with our own unit. Knows sd-bus and systemd's D-Bus interface
 * (org.freedesktop.systemd1(5)). */
#pragma once

#include "base.h"

/* Whether it stops us, and does not start us again at once. false also where it cannot be asked: then what
 * we leave in the descriptor store ends with the store, if it ends. */
bool unit_job_is_stop(void);
