/* Connections, by connection.h. */
#include "connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"
#include "text.h"

#define CONNECT_SECONDS 5 /* how long a connect waits for its turn in a full queue */

/* patience: how long a connect waits for its turn in a full queue; with none it does not wait. */
static int connect_to(const char *path, const struct timeval *patience, Link **ret)
{
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static const LinkLimits limits = { REPLY_SIZE_MAX, MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX + 1 };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (patience ? 0 : SOCK_NONBLOCK), 0);
        if (fd < 0)
                return -errno;
        if (patience && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, sizeof(*patience)) < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return link_new(TAKE_FD(fd), &limits, ret);
}

int connection_open(const char *path, Link **ret)
{
        static const struct timeval patience = { .tv_sec = CONNECT_SECONDS };

        return connect_to(path, &patience, ret);
}

int connection_try(const char *path, Link **ret)
{
        return connect_to(path, NULL, ret);
}

/* 0; -ETIMEDOUT. A signal's handler may run in between; it does not cut the wait short. */
static int wait_for(int fd, short events, int timeout_ms)
{
        struct pollfd p = { .fd = fd, .events = events };
        int n;

        do
                n = poll(&p, 1, timeout_ms);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 0 ? -ETIMEDOUT : 0;
}

int connection_send(Link *l, const char *method, struct json_object *parameters, bool more, Fds *fds)
{
        _cleanup_free_ char *message = NULL;
        size_t length;
        int r;

        r = call_message_format(method, parameters, more, &message, &length);
        if (r < 0)
                return r;
        if (!text_is_utf8(message))
                return -EILSEQ;
        r = link_queue(l, message, length, fds);
        if (r < 0)
                return r;
        while ((r = link_flush(l)) > 0) {
                r = wait_for(link_fd(l), POLLOUT, CONNECTION_FOREVER);
                if (r < 0)
                        return r;
        }
        return r;
}

int connection_receive(Link *l, int timeout_ms, ReplyMessage *ret, Fds *ret_fds)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_(fds_close) Fds fds = {};
        size_t length;
        int r;

        while ((r = link_read(l, &text, &length, &fds)) == -EAGAIN) {
                r = timeout_ms == 0 ? -ETIMEDOUT : wait_for(link_fd(l), POLLIN, timeout_ms);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = reply_message_parse(text, length, ret);
        if (r < 0)
                return r;
        *ret_fds = fds;
        fds.n = 0;
        return 0;
}
