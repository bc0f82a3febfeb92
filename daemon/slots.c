/* See slots.h. */
#include "slots.h"

#include <fcntl.h>
#include <unistd.h>

/* The kernel copies a table of descriptors by the word: all numbers of the last slot's word go along. */
#define WORD              64
#define AFTER_WORD_OF(fd) (((fd) / WORD + 1) * WORD)

/* Set once: numbers of descriptors are the process's. Where nothing is reserved, as in a test, any will do.
 */
static int first = WORD - SLOTS;

int slots_reserve(void)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), previous = fd;

        /* Each copy has the lowest number that is free. */
        for (int in_a_row = 1; fd >= 0 && in_a_row < SLOTS; previous = fd) {
                fd = fcntl(previous, F_DUPFD_CLOEXEC, 0);
                in_a_row = fd == previous + 1 ? in_a_row + 1 : 1;
        }
        first = fd - SLOTS + 1;
        while (fd >= 0 && fd < slots_end())
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        close_fd(fd);
        return 0;
}

int slots_end(void)
{
        return AFTER_WORD_OF(first + SLOTS - 1);
}

int slot_fd(Slot slot)
{
        return first + (int)slot;
}

int slot_put(Slot slot, int fd)
{
        return dup3(fd, slot_fd(slot), O_CLOEXEC) < 0 ? -errno : 0;
}

/* Where none are reserved there is nothing to put in its place. */
void slot_clear(Slot slot)
{
        if (slot_put(slot, slot_fd(SLOT_EMPTY)) < 0)
                close_fd(slot_fd(slot));
}
