/* What goes up to the daemon. */
#include <unistd.h>

#include "init.h"

int event_send(const Init *init, void *event, size_t size, const int *fds, size_t n_fds)
{
        struct pollfd p = { .fd = init->control, .events = POLLOUT };
        int r;

        while ((r = order_send(init->control, event, size, NULL, 0, fds, n_fds)) == -EAGAIN)
                (void)poll(&p, 1, -1);
        return r;
}

void event_send_failed(const Init *init, uint64_t command, const Failure *f)
{
        EventFailed e = { .header = ORDER_INIT(EVENT_FAILED, command),
                          .step = f->step,
                          .index = f->index,
                          .error = f->error };

        (void)event_send(init, &e, sizeof(e), NULL, 0);
}

/* The daemon may be stopped and the socket full: nobody waits for the last words, for they are in the ring.
 */
_noreturn_ void event_end(Init *init, EndReason reason)
{
        EventEnding e = { .header = ORDER_INIT(EVENT_ENDING, 0), .reason = reason };

        ring_ending(&init->ring, reason);
        (void)order_send(init->control, &e, sizeof(e), NULL, 0, NULL, 0);
        _exit(EXIT_SUCCESS);
}
