/* See fdstore.h. */
#include "fdstore.h"

#include <fcntl.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

bool fdstore_exists(void)
{
        return getenv("NOTIFY_SOCKET") != NULL;
}

/* FDPOLL=0: else the manager drops a descriptor whose other end is closed, and with it what waits to be read
 * from it. */
int fdstore_push(const char *name, const int *fds, size_t n)
{
        char text[128];
        int r;

        if (!fdstore_exists())
                return 0;
        snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
        r = sd_pid_notify_with_fds(0, false, text, fds, (unsigned)n);
        return r < 0 ? r : 0;
}

void fdstore_remove(const char *name)
{
        if (fdstore_exists())
                (void)sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void passed_fds_done(PassedFds *p)
{
        for (size_t i = 0; i < p->n; i++) {
                free(p->names[i]);
                close_fd(p->fds[i]);
        }
        free(p->names);
        free(p->fds);
        *p = (PassedFds){};
}

int fdstore_receive(PassedFds *ret)
{
        _cleanup_(passed_fds_done) PassedFds p = {};
        int n = sd_listen_fds_with_names(true, &p.names);

        if (n < 0)
                return n;
        p.fds = n > 0 ? malloc((size_t)n * sizeof(*p.fds)) : NULL;
        if (n > 0 && !p.fds)
                return -ENOMEM;
        for (p.n = 0; p.n < (size_t)n; p.n++) {
                int low = SD_LISTEN_FDS_START + (int)p.n;

                p.fds[p.n] = fcntl(low, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + n);
                if (p.fds[p.n] < 0)
                        return -errno;
                close_fd(low);
        }
        *ret = p;
        p = (PassedFds){};
        return 0;
}
