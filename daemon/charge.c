/* See charge.h. */
#include "charge.h"

#include <sys/socket.h>

#include "process.h"
#include "protocol.h"
#include "socket.h"

const char *charge_why_never(bool has_cgroups)
{
        int ends[2], fd;

        if (!has_cgroups)
                return "nsrootd has no cgroup v2 here";
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return NULL; /* then it is found out with each run */
        fd = socket_peer_pidfd(&(Peer){ .socket = ends[0] });
        close_fd(ends[0]);
        close_fd(ends[1]);
        close_fd(fd);
        return fd == -ENOPROTOOPT ? "this kernel does not say for certain which process asks; Linux 6.5 does"
                                  : NULL;
}

static const char *reason_of(int r)
{
        static const struct {
                int r;
                const char *words;
        } reasons[] = {
                {-ESRCH,         "the process that made the connection has ended"                         },
                { -ENOENT,       "the control group of the process that made the connection is gone"      },
                { -EXDEV,        "the process that made the connection is outside of what nsrootd can see"},
                { -EOPNOTSUPP,
                 "the control group of the process that made the connection is threaded, or invalid"      },
                { -EAGAIN,
                 "the control group of the process that made the connection may have no more below it"    },
                { -ENAMETOOLONG,
                 "the path of the control group of the process that made the connection is too long"      },
                { -EILSEQ,       "the path of the control group of the process that made the connection is no "
                 "plain ASCII"                                                                                },
        };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].r == r)
                        return reasons[i].words;
        return errno_text(r);
}

int charge_failed(int r, Error *e)
{
        error_setf(e, ERROR_LIMIT_UNAVAILABLE, "limit", "Charge");
        return error_addf(e, "reason", "%s", reason_of(r));
}

int charge_find(int proc_fd, const Peer *peer, char **ret, Error *e)
{
        _cleanup_close_ int pidfd = socket_peer_pidfd(peer);
        int r = pidfd < 0 ? pidfd : process_cgroup(proc_fd, pidfd, ret);

        return r < 0 ? charge_failed(r, e) : 0;
}
