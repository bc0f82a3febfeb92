/* See step.h. Tables, and two look-ups. */
#include "step.h"

#include <stdio.h>

static const char *const words[STEPS] = {
#define X(id, function, text) [STEP_##id] = text,
        PARENT_STEPS(X) CHILD_STEPS(X) INIT_STEPS(X) SPAWN_STEPS(X)
#undef X
};

#define NAME(s, ...) s,
static const char *const node_names[] = { PROFILE_NODES(NAME) };
static const char *const link_names[] = { PROFILE_LINKS(NAME) };
static const char *const user_limit_names[] = { PROFILE_USER_LIMITS(NAME) };
static const char *const read_only_names[] = { PROFILE_READ_ONLY(NAME) };
static const char *const mask_names[] = { PROFILE_MASKS(NAME) };
static const char *const mount_names[] = { PROFILE_MOUNTS(NAME) };
static const char *const scratch_names[] = { "/tmp", "/run" };
static const char *const give_names[] = { PROFILE_GIVEN(NAME) };
static const char *const check_names[] = {
#define X(id, text) [CHECK_##id] = text,
        CHECKS(X)
#undef X
};
static const char *const namespace_names[] = {
#define X(kind) #kind,
        PROFILE_NAMESPACES(X)
#undef X
};

/* Which list a step's index is into; the number itself is shown where there is none. */
static const struct {
        Step step;
        const char *const *names;
        size_t n;
} lists[] = {
        {STEP_NODES,             node_names,       ELEMENTSOF(node_names)      },
        { STEP_LINKS,            link_names,       ELEMENTSOF(link_names)      },
        { STEP_SCRATCH,          scratch_names,    ELEMENTSOF(scratch_names)   },
        { STEP_USER_LIMITS,      user_limit_names, ELEMENTSOF(user_limit_names)},
        { STEP_GIVE,             give_names,       ELEMENTSOF(give_names)      },
        { STEP_READ_ONLY,        read_only_names,  ELEMENTSOF(read_only_names) },
        { STEP_MASKS,            mask_names,       ELEMENTSOF(mask_names)      },
        { STEP_CPU_MASKS,        NULL,             0                           },
        { STEP_CHECK_NAMESPACES, namespace_names,  ELEMENTSOF(namespace_names) },
        { STEP_CHECK_MOUNTS,     mount_names,      ELEMENTSOF(mount_names)     },
        { STEP_LIMITS,           NULL,             0                           },
        { STEP_CHECK,            check_names,      ELEMENTSOF(check_names)     },
};

void step_describe(uint32_t step, uint32_t index, char *ret, size_t size)
{
        if (step >= STEPS) {
                snprintf(ret, size, "unknown step %u", step);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                if (lists[i].step != step)
                        continue;
                if (index < lists[i].n)
                        snprintf(ret, size, "%s%s", words[step], lists[i].names[index]);
                else
                        snprintf(ret, size, "%s%u", words[step], index);
                return;
        }
        snprintf(ret, size, "%s", words[step]);
}

#define ANY_STEP STEPS

static const struct {
        uint32_t step;
        int error;
        const char *hint;
} hints[] = {
        {STEP_CGROUP,    EPERM,      "this kernel lets no user namespace unshare cgroups"                       },
        { STEP_CLONE,    EPERM,
         "nsrootd may not make namespaces here: a security module, a container, or its unit forbids it"         },
        { STEP_CLONE,    ENOSPC,
         "a limit on namespaces is reached: raise user.max_user_namespaces and its like with sysctl"            },
        { STEP_CLONE,    EUSERS,     "user namespaces are nested too deeply: start nsrootd outside of them"     },
        { STEP_CLONE,    EINVAL,     "this kernel lacks one of the namespaces: mount, pid, ipc, uts or net"     },
        { STEP_CLONE,    EBUSY,
         "the sessions' cgroup enables controllers for itself: processes must be in its leaves"                 },
        { STEP_CLONE,    EOPNOTSUPP, "the sessions' cgroup is threaded or invalid: see its cgroup.type"         },
        { STEP_CLONE,    EAGAIN,     "the host's, or nsrootd's own, limit on processes is reached"              },
        { STEP_MAPS,     EPERM,      "nsrootd lacks CAP_SETUID or CAP_SETGID over its own user namespace"       },
        { STEP_TREE,     EPERM,      "nsrootd lacks CAP_SYS_ADMIN over the state directory's filesystem"        },
        { STEP_CGROUP,   ENODEV,     "somebody has removed it meanwhile, as its owner may"                      },
        { STEP_CGROUP,   ENOSPC,     "user.max_cgroup_namespaces is reached: raise it with sysctl"              },
        { STEP_CGROUP,   EINVAL,     "this kernel has no cgroup namespaces (CONFIG_CGROUPS)"                    },
        { STEP_LOWER,    EINVAL,
         "the cached root's filesystem cannot be mounted into a session: put the state directory on ext4, "
          "xfs or btrfs"                                                                                        },
        { STEP_LOWER,    EPERM,      "nsrootd lacks CAP_SYS_ADMIN over the state directory's filesystem"        },
        { STEP_OVERLAY,  ENODEV,     "this kernel has no overlayfs: load the module 'overlay'"                  },
        { STEP_OVERLAY,  EPERM,
         "this kernel does not allow overlayfs in user namespaces (it takes 5.11 or newer)"                     },
        { STEP_OVERLAY,  EINVAL,     "overlayfs refuses these layers: see the kernel log (dmesg)"               },
        { STEP_PROC,     EPERM,
         "no fully visible /proc is in sight of nsrootd: something is mounted below /proc on this host "
          "(a container, or a unit with ProtectKernelTunables or ProtectProc)"                                  },
        { STEP_SYS,      EPERM,
         "no fully visible /sys is in sight of nsrootd: something is mounted below /sys on this host"           },
        { STEP_NODES,    ENOENT,     "the host has no such device node"                                         },
        { STEP_PIVOT,    EBUSY,      "the new root is the old root, or the old one is busy with it"             },
        { STEP_PIVOT,    EINVAL,
         "nsrootd's root is an initramfs or lies on a shared mount: start it from a real root filesystem"       },
        { STEP_PIVOT,    EPERM,
         "the child has no power over its mount namespace: a security module forbids it"                        },
        { STEP_LOOPBACK, EPERM,
         "nsrootd lacks CAP_NET_ADMIN, which it needs where there are no user namespaces"                       },
        { STEP_INIT,     ENOENT,     "nsroot-init is not a static program"                                      },
        { STEP_INIT,     EACCES,     "vm.memfd_noexec forbids programs in memory: set it to 0 or 1"             },
        { STEP_HELLO,    EPROTO,     "nsrootd and nsroot-init are of releases that do not understand each other"},
        { STEP_USER,     EOPNOTSUPP,
         "there are no user namespaces on this host, so that a session has only the user it starts with"        },
        { STEP_FORK,     EAGAIN,     "the limit on tasks is reached"                                            },
        { ANY_STEP,      EPERM,      "a security module or nsrootd's unit forbids it"                           },
        { ANY_STEP,      ENOSPC,     "a limit of this host is reached"                                          },
        { ANY_STEP,      ENOMEM,     "the host, or the session's memory limit, has no memory left"              },
};

const char *step_hint(uint32_t step, int error)
{
        for (size_t i = 0; i < ELEMENTSOF(hints); i++)
                if (hints[i].error == error && (hints[i].step == step || hints[i].step == ANY_STEP))
                        return hints[i].hint;
        return NULL;
}
