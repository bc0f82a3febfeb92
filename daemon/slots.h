/* Low numbers of descriptors, which a client's never get. A child that shares the daemon's table takes one
 * of its own by close_range(slots_end(), ~0U, CLOSE_RANGE_UNSHARE): what is above is not copied, so that
 * ending the child, or its exec, closes nothing of a client's; such a close may wait for a filesystem in
 * user space. What the child is to have is put into slots for so long. Knows nothing of who uses them. */
#pragma once

#include "base.h"

typedef enum Slot {
        SLOT_HELPER_INPUT, /* helper.c: what the program gets as 0, 1 and 2 */
        SLOT_HELPER_OUTPUT,
        SLOT_HELPER_ERROR,
        SLOT_HELPER_PROGRAM,
        SLOT_HELPER_REPORT,
        SLOT_FORKER_CONTROL, /* launcher.c */
        SLOT_FORKER_PROGRAM,
        SLOT_EMPTY, /* what is in those that nobody uses */
        SLOTS,
} Slot;

/* Takes every number below slots_end() that is free: before there is any client. */
int slots_reserve(void);
int slots_end(void);

int slot_fd(Slot slot);          /* its number, always the same */
int slot_put(Slot slot, int fd); /* a copy of fd, with CLOEXEC */
void slot_clear(Slot slot);
