/* See child.h. */
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"

/* Its parent is ours. clone3(2) is the plain system call here, and copies a process without threads or
 * locks. */
static int clone_child(const OrderFork *order, const OrderMessage *m, int *ret_pidfd)
{
        struct clone_args args = { .flags = order->namespaces | CLONE_PARENT | CLONE_PIDFD,
                                   .pidfd = (uint64_t)(uintptr_t)ret_pidfd };
        long pid;

        if (order->into_cgroup) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)m->fds[1];
        }
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
                child_run(&order->plan, m->fds[0]);
        return pid < 0 ? -errno : (int)pid;
}

static int fork_child(const OrderMessage *m, int *ret_pidfd)
{
        OrderFork order;

        if (m->header->type != ORDER_FORK)
                return -EPROTO;
        order_copy(m, &order, sizeof(order));
        if (order.version != ORDER_VERSION || m->n_fds != (order.into_cgroup ? 2 : 1))
                return -EPROTO;
        return clone_child(&order, m, ret_pidfd);
}

/* Where there is no child, the kernel may have written a pidfd all the same, and taken it back. */
static void answer(int pid, int pidfd)
{
        EventForked e = { .header = ORDER_INIT(EVENT_FORKED, 0), .pid = pid };

        (void)order_send(INIT_CONTROL_FD, &e, sizeof(e), NULL, 0, &pidfd, pid > 0);
        if (pid > 0)
                close_fd(pidfd);
}

/* Each child gets a copy of our mounts, one by one: here are only the stage, our working directory
 * (daemon/stage.h), and a /proc and a /sys, without which the kernel lets no user namespace mount its own
 * (mount_namespaces(7)). Where that cannot be had there is more to copy, and nothing else is different. */
static void leave_host(void)
{
        const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

        if (unshare(CLONE_NEWNS) >= 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0 &&
            mount("proc", "proc", "proc", flags, NULL) >= 0 &&
            mount("sysfs", "sys", "sysfs", flags, NULL) >= 0 && syscall(SYS_pivot_root, ".", ".") >= 0 &&
            umount2(".", MNT_DETACH) >= 0)
                (void)!chdir("/");
}

/* What is ignored would be so in every session; the two that cannot be changed fail. */
static void reset_signals(void)
{
        struct sigaction reset = { .sa_handler = SIG_DFL };

        for (int s = 1; s < _NSIG; s++)
                (void)sigaction(s, &reset, NULL);
}

void forker_run(void)
{
        static _Alignas(OrderHeader) char buffer[sizeof(OrderFork)];
        sigset_t all;

        (void)prctl(PR_SET_NAME, FORKER_NAME, 0, 0, 0);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        reset_signals();
        leave_host();
        for (;;) {
                OrderMessage m;
                int r = order_receive(INIT_CONTROL_FD, 0, buffer, sizeof(buffer), &m), pidfd = -EBADF;

                if (r <= 0) /* the daemon is gone, or is none of ours */
                        _exit(EXIT_SUCCESS);
                r = fork_child(&m, &pidfd);
                order_message_done(&m);
                answer(r, pidfd);
        }
}
