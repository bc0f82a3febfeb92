/* nsroot-init. When it ends, the kernel ends everything that is left in the session. By another name, the
 * process that sessions are cloned from. */
#include "child.h"
#include "init.h"

int main(int argc, char **argv)
{
        static Init init = { .control = INIT_CONTROL_FD };
        Failure f;

        if (argc > 0 && streq(argv[0], FORKER_NAME))
                forker_run();

        relay_init(&init.relay);
        viewers_init(&init.viewers);
        if (!setup_process(&init, &f) || !setup_hello(&init, &f)) {
                event_send_failed(&init, 0, &f);
                return EXIT_FAILURE;
        }
        for (;;)
                loop_once(&init);
}
