/* See terminal.h. The master is opened by the name that only the kernel makes (the link /dev/ptmx is the
 * session's). */
#include "terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "number.h"

/* /dev/console is the first command's terminal, as login shells and loggers expect of a machine's. */
static void link_console(int master)
{
        char target[sizeof("pts/") + NUMBER_MAX];
        unsigned number;

        if (ioctl(master, TIOCGPTN, &number) < 0)
                return;
        put_number(stpcpy(target, "pts/"), number);
        (void)!symlink(target, "/dev/console"); /* kept where it is there: it is an earlier command's */
}

static int open_slave(const Job *job, int master, int *ret)
{
        struct winsize size = { .ws_col = job->order.columns, .ws_row = job->order.rows };
        int unlock = 0;
        _cleanup_close_ int slave = -EBADF;

        if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
                return -errno;
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0 || fchown(slave, job->user.uid, (gid_t)-1) < 0) /* the group is the mount's */
                return -errno;
        *ret = TAKE_FD(slave);
        return 0;
}

static int fill_stdio(Job *job, int slave)
{
        for (int i = 0; i < 3; i++) {
                if (job->stdio[i] >= 0)
                        continue;
                job->stdio[i] = fcntl(slave, F_DUPFD_CLOEXEC, 0);
                if (job->stdio[i] < 0)
                        return -errno;
        }
        return 0;
}

int terminal_open(Job *job, int *ret_master, int *ret_slave)
{
        _cleanup_close_ int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int slave = -EBADF;
        int r;

        if (master < 0)
                return -errno;
        r = open_slave(job, master, &slave);
        if (r >= 0)
                r = fill_stdio(job, slave);
        if (r < 0)
                return r;
        if (job->order.flags & SPAWN_MAIN)
                link_console(master);
        *ret_master = TAKE_FD(master);
        *ret_slave = TAKE_FD(slave);
        return 0;
}

int terminal_make_controlling(const int stdio[3])
{
        for (int i = 0; i < 3; i++)
                if (stdio[i] >= 0 && isatty(stdio[i]))
                        return result_of(ioctl(stdio[i], TIOCSCTTY, 0));
        return -ENOTTY;
}
