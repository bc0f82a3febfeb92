/* See host.h. */
#include "host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

#include "idmap.h"

struct Host {
        int state_fd;
        struct utsname kernel;
        char *filesystem;
        bool overlay, tried_mounts;
        UsernsObstacle obstacle;
        int idmapped_mounts;
        int64_t descriptor_store_max;
};

char *host_parse_mount(const char *line, uint64_t mount_id)
{
        const char *rest = strstr(line, " - ");
        char *type = NULL;
        uint64_t id;

        if (!rest || sscanf(line, "%" SCNu64, &id) != 1 || id != mount_id)
                return NULL;
        return sscanf(rest, " - %ms", &type) == 1 ? type : NULL;
}

static void fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

/* By the mount and not by a number of the filesystem's, which several share. */
static char *find_filesystem(int fd)
{
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/mountinfo", "re");
        _cleanup_free_ char *line = NULL;
        char *type = NULL;
        struct statx st;
        size_t size = 0;

        if (!f || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
                return NULL;
        while (!type && getline(&line, &size, f) > 0)
                type = host_parse_mount(line, st.stx_mnt_id);
        return type;
}

/* The kernel loads the module for who asks. */
static bool try_overlay(void)
{
        _cleanup_close_ int context = fsopen("overlay", FSOPEN_CLOEXEC);

        return context >= 0;
}

/* systemd says how many since 254, and before that only that it is there. */
static int64_t find_descriptor_store(void)
{
        const char *max = getenv("FDSTORE");
        uint64_t n;

        if (!getenv("NOTIFY_SOCKET"))
                return 0;
        return max && parse_u64(max, INT64_MAX, &n) >= 0 ? (int64_t)n : HOST_UNKNOWN;
}

int host_new(int state_fd, Host **ret)
{
        _cleanup_(host_freep) Host *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        *h = (Host){ .state_fd = state_fd,
                     .filesystem = find_filesystem(state_fd),
                     .overlay = try_overlay(),
                     .obstacle = userns_obstacle(),
                     .idmapped_mounts = HOST_UNKNOWN,
                     .descriptor_store_max = find_descriptor_store() };
        if (uname(&h->kernel) < 0)
                return -errno;
        *ret = TAKE_PTR(h);
        return 0;
}

Host *host_free(Host *h)
{
        free(h->filesystem);
        free(h);
        return NULL;
}

/* The number that is allowed may change at any time. What else is in the way stays as it is; and to try
 * takes a process, while anybody may ask. */
static UsernsObstacle look_for_obstacle(Host *h)
{
        if (userns_are_switched_off())
                return USERNS_SYSCTL;
        if (h->obstacle == USERNS_SYSCTL)
                h->obstacle = userns_obstacle();
        return h->obstacle;
}

static uint64_t free_bytes(int fd)
{
        struct statfs s;

        return fstatfs(fd, &s) < 0 ? UINT64_MAX : (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
}

/* Once: it takes a process, and anybody may ask. */
static void try_mounts(Host *h)
{
        if (h->tried_mounts)
                return;
        h->tried_mounts = true;
        h->idmapped_mounts = MAX(idmap_try(h->state_fd), HOST_UNKNOWN);
}

void host_look(Host *h, HostFacts *ret)
{
        UsernsObstacle obstacle = look_for_obstacle(h);

        if (obstacle == USERNS_NO_OBSTACLE)
                try_mounts(h);
        *ret = (HostFacts){ .kernel = h->kernel.release,
                            .obstacle = obstacle,
                            .overlay = h->overlay,
                            .idmapped_mounts = h->idmapped_mounts,
                            .state_filesystem = h->filesystem ?: "filesystem of no known type",
                            .state_free = free_bytes(h->state_fd),
                            .descriptor_store_max = h->descriptor_store_max };
}

void host_limits(Limits *ret)
{
        static const struct {
                Limit limit;
                int resource;
        } inherited[] = {
                {LIMIT_FILE_SIZE,      RLIMIT_FSIZE  },
                { LIMIT_OPEN_FILES,    RLIMIT_NOFILE },
                { LIMIT_PROCESSES,     RLIMIT_NPROC  },
                { LIMIT_LOCKED_MEMORY, RLIMIT_MEMLOCK},
        };
        struct rlimit own;

        for (Limit i = 0; i < LIMITS; i++)
                ret->of[i] = LIMIT_NONE;
        for (size_t i = 0; i < ELEMENTSOF(inherited); i++)
                if (getrlimit((__rlimit_resource_t)inherited[i].resource, &own) >= 0)
                        ret->of[inherited[i].limit] = own.rlim_max;
}
