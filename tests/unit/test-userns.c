/* What is in the way of user namespaces, by what the kernel says to who makes one. */
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "userns.h"

Test(userns, an_obstacle_is_what_does_not_pass)
{
        static const struct {
                int error;
                bool switched_off;
                UsernsObstacle obstacle;
        } rows[] = {
                {0,       false, USERNS_NO_OBSTACLE},
                { ENOSPC, true,  USERNS_SYSCTL     },
                { ENOSPC, false, USERNS_NO_OBSTACLE}, /* used up */
                { EUSERS, false, USERNS_NO_OBSTACLE},
                { EINVAL, false, USERNS_KERNEL     },
                { EPERM,  false, USERNS_FORBIDDEN  },
                { EACCES, false, USERNS_FORBIDDEN  },
                { EAGAIN, false, USERNS_NO_OBSTACLE},
                { ENOMEM, true,  USERNS_NO_OBSTACLE},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_eq(userns_judge(rows[i].error, rows[i].switched_off), rows[i].obstacle, "%s",
                             errno_text(rows[i].error));
}

Test(userns, each_obstacle_has_a_name_and_words)
{
        cr_expect_null(userns_obstacle_name(USERNS_NO_OBSTACLE));
        cr_expect_null(userns_obstacle_words(USERNS_NO_OBSTACLE));
        cr_expect_str_eq(userns_obstacle_name(USERNS_SYSCTL), "sysctl");
        cr_expect_str_eq(userns_obstacle_name(USERNS_KERNEL), "kernel");
        cr_expect_str_eq(userns_obstacle_name(USERNS_FORBIDDEN), "forbidden");
        cr_expect_str_eq(userns_obstacle_words(USERNS_SYSCTL), "user.max_user_namespaces is 0");
}

Test(userns, trying_leaves_no_process)
{
        (void)userns_obstacle();
        cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
        cr_expect_eq(errno, ECHILD);
}
