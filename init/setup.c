/* nsroot-init from its exec to its first order: makes itself unreachable for what it will run, agrees with
 * the daemon on the protocol, and checks that the session is what it should be. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "init.h"

/* Before anything else: not to be traced, and nothing of it to be read, by anyone in the session. */
static bool protect(Failure *f)
{
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NAME, "nsroot-init", 0, 0, 0) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return fail(f, STEP_INIT_CAPS, 0, errno);
        return true;
}

/* Without a user namespace there has been nothing since the exec, and nothing could be changed; either way
 * it is read back. */
static bool reduce_capabilities(Init *init, Failure *f)
{
        int r = init->only_id ? 0 : caps_drop_bounding(~PROFILE_CAPS);

        if (r >= 0)
                r = caps_set(init->only_id ? 0 : PROFILE_INIT_CAPS);
        return r >= 0 ? profile_check_init(init, f) : fail(f, STEP_INIT_CAPS, 0, r);
}

/* 0, 1 and 2 are the session's null device: what a command gets that was given nothing. */
static bool open_descriptors(Init *init, Failure *f)
{
        sigset_t all, handled;

        for (int i = 0; i < 3; i++)
                if (open("/dev/null", O_RDWR | O_NOCTTY) != i)
                        return fail(f, STEP_STDIO, 0, errno ? errno : EBADF);
        sigfillset(&all);
        sigemptyset(&handled);
        sigaddset(&handled, SIGCHLD);
        sigaddset(&handled, SIGTERM);
        sigprocmask(SIG_SETMASK, &all, NULL);
        init->signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
        if (init->signals < 0 || fcntl(init->control, F_SETFD, FD_CLOEXEC) < 0)
                return fail(f, STEP_STDIO, 0, errno);
        return true;
}

/* As many events as there may be have to wait there for a daemon that is stopped. The kernel takes as much
 * as it gives (socket(7), wmem_max). */
static void enlarge_buffer(const Init *init)
{
        int size = INT32_MAX / 2;

        (void)setsockopt(init->control, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static bool read_limits(Init *init, Failure *f)
{
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (getrlimit(i, &init->limits[i]) < 0)
                        return fail(f, STEP_LIMITS, (uint32_t)i, errno);
        return true;
}

bool setup_process(Init *init, Failure *f)
{
        if (!protect(f) || !open_descriptors(init, f) || !read_limits(init, f))
                return false;
        enlarge_buffer(init);
        return true;
}

/* From a sealed memfd, which is the same for all sessions. It takes the kernel a tenth of a millisecond, so
 * it is not installed for each command, which inherits it. nsroot-init makes no call itself that it refuses.
 */
static bool install_filter(const OrderHello *hello, int fd, Failure *f)
{
        size_t size = hello->filter_count * sizeof(struct sock_filter);
        struct sock_fprog filter = { .len = (unsigned short)hello->filter_count };
        struct stat st;
        long r;

        if (fstat(fd, &st) < 0)
                return fail(f, STEP_FILTER, 0, errno);
        if (!size || (size_t)st.st_size != size)
                return fail(f, STEP_FILTER, 0, EBADMSG);
        filter.filter = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (filter.filter == MAP_FAILED)
                return fail(f, STEP_FILTER, 0, errno);
        r = result_of(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
        (void)munmap(filter.filter, size);
        return r >= 0 || fail(f, STEP_SECCOMP, 0, (int)r);
}

static bool accept_hello(Init *init, const OrderMessage *m, Failure *f)
{
        EventHello reply = { .header = ORDER_INIT(EVENT_HELLO, 0), .version = ORDER_VERSION };
        OrderHello hello;

        if (m->header->type != ORDER_HELLO || m->n_fds != 1)
                return fail(f, STEP_HELLO, 0, EPROTO);
        order_copy(m, &hello, sizeof(hello));
        if (hello.version != ORDER_VERSION)
                return fail(f, STEP_HELLO, 0, EPROTO);
        init->only_id = hello.only_id;
        if (!reduce_capabilities(init, f) || !check_session(init, &hello, f) ||
            !install_filter(&hello, m->fds[0], f))
                return false;
        init->has_root = user_resolve("", &init->root) >= 0;
        (void)event_send(init, &reply, sizeof(reply), NULL, 0);
        return true;
}

bool setup_hello(Init *init, Failure *f)
{
        _Alignas(OrderHeader) char buffer[1024]; /* a later release's may be larger than ours */
        OrderMessage m;
        int r = order_receive(init->control, 0, buffer, sizeof(buffer), &m);

        if (r == 0) /* the daemon is gone: nobody to be told */
                _exit(EXIT_FAILURE);
        if (r < 0)
                return fail(f, STEP_HELLO, 0, r);
        bool ok = accept_hello(init, &m, f);
        order_message_done(&m);
        return ok;
}
