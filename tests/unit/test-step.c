/* step.c: every step has words, an index is named by the list it counts, and hints are for what they say. */
#include "step.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *describe(uint32_t step, uint32_t index)
{
        static char text[128];

        memset(text, '#', sizeof(text));
        step_describe(step, index, text, sizeof(text));
        return text;
}

Test(step, every_step_has_words)
{
        char unknown[32];

        for (uint32_t i = 0; i < STEPS; i++) {
                const char *text = describe(i, 0);

                cr_expect_gt(strlen(text), 3, "step %u", i);
                cr_expect_null(strstr(text, "(null)"), "step %u: %s", i, text);
                cr_expect_neq(text[strlen(text) - 1], ' ', "step %u: \"%s\" says of what", i, text);
        }
        snprintf(unknown, sizeof(unknown), "unknown step %d", STEPS);
        cr_expect_str_eq(describe(STEPS, 0), unknown);
        cr_expect_str_eq(describe(UINT32_MAX, 3), "unknown step 4294967295");
}

Test(step, an_index_has_a_name)
{
        const struct {
                uint32_t step, index;
                const char *words;
        } rows[] = {
                {STEP_LEAF,              0,           "create the session's cgroup"             },
                { STEP_LEAF,             9,           "create the session's cgroup"             },
                { STEP_PIVOT,            0,           "pivot_root"                              },
                { STEP_PROC,             0,           "mount /proc"                             },
                { STEP_NODES,            0,           "bind /dev/null"                          },
                { STEP_NODES,            5,           "bind /dev/tty"                           },
                { STEP_NODES,            6,           "bind /dev/6"                             },
                { STEP_LINKS,            4,           "link /dev/ptmx"                          },
                { STEP_SCRATCH,          0,           "mount /tmp"                              },
                { STEP_SCRATCH,          1,           "mount /run"                              },
                { STEP_MASKS,            0,           "mask /proc/bootconfig"                   },
                { STEP_USER_LIMITS,      0,           "write /proc/sys/user/max_user_namespaces"},
                { STEP_READ_ONLY,        3,           "make read-only: /proc/sys"               },
                { STEP_CPU_MASKS,        12,          "mask thermal_throttle of processor 12"   },
                { STEP_CHECK_NAMESPACES, 6,           "check the namespace net"                 },
                { STEP_CHECK_MOUNTS,     1,           "check the mount /proc"                   },
                { STEP_LIMITS,           7,           "set the resource limit 7"                },
                { STEP_CHECK,            CHECK_UMASK, "check the profile: umask"                },
                { STEP_CHECK,            UINT32_MAX,  "check the profile: 4294967295"           },
                { STEP_EXEC,             0,           "execute the command"                     },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                cr_expect_str_eq(describe(rows[i].step, rows[i].index), rows[i].words);
}

Test(step, a_small_buffer_is_not_overrun)
{
        char text[8] = "#######";

        step_describe(STEP_PIVOT, 0, text, 5);
        cr_expect_str_eq(text, "pivo");
        step_describe(STEP_MASKS, 0, text, 7);
        cr_expect_str_eq(text, "mask /");
        step_describe(STEPS, 0, text, 4);
        cr_expect_str_eq(text, "unk");
}

static void expect_hint(Step step, int error, const char *part)
{
        const char *hint = step_hint(step, error);

        cr_assert_not_null(hint, "%s in step %d", errno_name(error), step);
        cr_expect_not_null(strstr(hint, part), "%s in step %d: %s", errno_name(error), step, hint);
}

/* The same errno means another thing in each of these. */
Test(step, hints)
{
        expect_hint(STEP_PIVOT, EBUSY, "old root");
        expect_hint(STEP_PIVOT, EINVAL, "initramfs");
        expect_hint(STEP_PIVOT, EPERM, "security module");
        expect_hint(STEP_CLONE, EPERM, "namespaces");
        expect_hint(STEP_CLONE, ENOSPC, "user.max_user_namespaces");
        expect_hint(STEP_CGROUP, EPERM, "cgroup");
        expect_hint(STEP_PROC, EPERM, "/proc");
        expect_hint(STEP_SYS, EPERM, "/sys");
        expect_hint(STEP_OVERLAY, ENODEV, "overlay");
        expect_hint(STEP_FORK, EAGAIN, "tasks");
        expect_hint(STEP_LOOPBACK, EPERM, "CAP_NET_ADMIN");
        expect_hint(STEP_HOSTNAME, EPERM, "security module");
        expect_hint(STEP_USER, EOPNOTSUPP, "only the user");
        expect_hint(STEP_SHM, ENOMEM, "memory");
        cr_expect_null(step_hint(STEP_LOOPBACK, EBUSY), "the errno says it all");
        cr_expect_null(step_hint(STEP_FORK, ENODEV), "an overlay's");
        cr_expect_null(step_hint(STEP_PIVOT, 0));
}
