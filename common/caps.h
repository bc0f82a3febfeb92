/* Capabilities of the calling process, by plain system calls: capabilities(7). */
#pragma once

#include "base.h"

/* Exactly these become permitted and effective; inheritable and ambient become empty. */
int caps_set(uint64_t set);
/* Takes these out of the bounding set; those the kernel does not know are passed over. */
int caps_drop_bounding(uint64_t set);
