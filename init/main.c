/* nsroot-init. When it ends, the kernel ends everything that is left in the session. */
#include "init.h"

#define CONTROL_FD 3 /* where the daemon's child leaves it (daemon/plan.h) */

int main(void)
{
        static Init init = { .control = CONTROL_FD };
        Failure f;

        relay_init(&init.relay);
        viewers_init(&init.viewers);
        if (!setup_process(&init, &f) || !setup_hello(&init, &f)) {
                event_send_failed(&init, 0, &f);
                return EXIT_FAILURE;
        }
        for (;;)
                loop_once(&init);
}
