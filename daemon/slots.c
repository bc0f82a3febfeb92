/* See slots.h. */
#include "slots.h"

#include <fcntl.h>
#include <unistd.h>

/* Nothing else may be at the numbers that have a name. */
static int fill_slots(int fd)
{
        for (int slot = SLOTS_FIRST; slot < SLOTS_END; slot++) {
                int copy = fcntl(fd, F_DUPFD_CLOEXEC, slot);

                if (copy < 0)
                        return -errno;
                if (copy != slot) {
                        close_fd(copy);
                        return -EBUSY;
                }
        }
        return 0;
}

/* Each copy has the lowest number that is free. */
static int fill_holes(int fd)
{
        int copy;

        do
                copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        while (copy >= 0 && copy < SLOTS_END);
        if (copy < 0)
                return -errno;
        close_fd(copy);
        return 0;
}

int slots_reserve(void)
{
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return -errno;
        r = fill_slots(fd);
        if (r < 0)
                return r;
        r = fill_holes(fd);
        if (r >= 0 && fd < SLOTS_FIRST)
                TAKE_FD(fd); /* it is in a hole itself */
        return r;
}

int slot_put(int slot, int fd)
{
        return dup3(fd, slot, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Where none are reserved there is nothing to put in its place. */
void slot_clear(int slot)
{
        if (slot_put(slot, SLOT_EMPTY) < 0)
                close_fd(slot);
}
