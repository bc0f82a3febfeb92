/* Low numbers of descriptors, which a client's never get. A child that shares the daemon's table takes one
 * of its own by close_range(SLOTS_END, ~0U, CLOSE_RANGE_UNSHARE): what is above is not copied, so that
 * ending the child, or its exec, closes nothing of a client's; such a close may wait for a filesystem in
 * user space. What the child is to have is put into slots for so long. Knows nothing of who uses them. */
#pragma once

#include "base.h"

/* The kernel copies a table of descriptors by the word: what is below this always goes along. */
#define SLOTS_END 64

enum {
        SLOTS_FIRST = 56,
        SLOT_HELPER = SLOTS_FIRST, /* helper.c: five of them */
        SLOT_EMPTY = 63,           /* what is in those that nobody uses */
};

/* Takes every number below SLOTS_END that is free: before there is any client, after everything is open that
 * others expect at a low number. -EBUSY: something is in
 * a slot. */
int slots_reserve(void);
/* Puts a copy of fd into a slot. */
int slot_put(int slot, int fd);
void slot_clear(int slot);
