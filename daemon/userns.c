/* See userns.h. */
#include "userns.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_USER_NAMESPACES "/proc/sys/user/max_user_namespaces"

bool userns_are_switched_off(void)
{
        _cleanup_free_ char *text = NULL;

        return read_file_at(AT_FDCWD, MAX_USER_NAMESPACES, 32, &text, NULL) >= 0 &&
               strtoull(text, NULL, 10) == 0;
}

/* The errno. The process shares the descriptors, so that its end closes no copy of what a client lent. */
static int try_one(void)
{
        struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_FILES, .exit_signal = SIGCHLD };
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

        if (pid < 0)
                return errno;
        if (pid == 0)
                _exit(EXIT_SUCCESS);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}

UsernsObstacle userns_judge(int error, bool switched_off)
{
        switch (error) {
        case ENOSPC:
                return switched_off ? USERNS_SYSCTL : USERNS_NO_OBSTACLE;
        case EINVAL:
                return USERNS_KERNEL;
        case EPERM:
        case EACCES:
                return USERNS_FORBIDDEN;
        default:
                return USERNS_NO_OBSTACLE;
        }
}

UsernsObstacle userns_obstacle(void)
{
        return userns_judge(try_one(), userns_are_switched_off());
}

const char *userns_obstacle_name(UsernsObstacle o)
{
        static const char *const names[] = {
#define X(id, name, words) [USERNS_##id] = name,
                USERNS_OBSTACLES(X)
#undef X
        };

        return names[o];
}

const char *userns_obstacle_words(UsernsObstacle o)
{
        static const char *const texts[] = {
#define X(id, name, words) [USERNS_##id] = words,
                USERNS_OBSTACLES(X)
#undef X
        };

        return texts[o];
}
