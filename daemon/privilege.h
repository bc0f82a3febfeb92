/* The daemon's own power: checks that it has what it needs, and gives up all else. Knows capabilities(7). */
#pragma once

#include "base.h"

/* 0; -EPERM: *ret_missing (the caller's) names what is not there: "uid 0" or capabilities. */
int privilege_check(char **ret_missing);
/* Keeps exactly what is needed, also in the bounding set. */
int privilege_reduce(void);
