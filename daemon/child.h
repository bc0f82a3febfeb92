/* What runs between the clone and nsroot-init: a table of steps that make system calls, and nothing else. */
#pragma once

#include "plan.h"

/* Walks the steps and becomes nsroot-init. The working directory is the stage (stage.h). A step that fails
 * is sent as EVENT_FAILED, and the process exits. */
_noreturn_ void child_run(const ChildPlan *plan);
