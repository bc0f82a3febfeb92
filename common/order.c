/* See order.h. Sends and receives; knows no step and no meaning. */
#include "order.h"

#include <sys/socket.h>

int order_send(int fd, void *message, size_t size, const void *blob, size_t blob_size, const int *fds,
               size_t n_fds)
{
        struct iovec iov[] = {
                {message,       size     },
                { (void *)blob, blob_size}
        };
        union {
                char space[CMSG_SPACE(sizeof(int) * ORDER_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = blob_size ? 2 : 1 };

        if (n_fds > ORDER_FDS_MAX || size + blob_size > ORDER_SIZE_MAX)
                return -E2BIG;
        ((OrderHeader *)message)->size = (uint32_t)size;
        if (n_fds) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                memset(&control, 0, sizeof(control));
                struct cmsghdr *c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void collect_fds(struct msghdr *m, OrderMessage *ret)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                ret->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(ret->fds, CMSG_DATA(c), ret->n_fds * sizeof(int));
        }
}

int order_receive(int fd, int flags, void *buffer, size_t size, OrderMessage *ret)
{
        struct iovec iov = { buffer, size };
        union {
                char space[CMSG_SPACE(sizeof(int) * ORDER_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * ORDER_FDS_MAX) };
        OrderMessage message = { .header = buffer };
        ssize_t n;

        do
                n = recvmsg(fd, &m, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR && !(flags & MSG_DONTWAIT));
        if (n < 0)
                return -errno;
        if (n == 0)
                return 0;
        collect_fds(&m, &message);
        if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof(OrderHeader) ||
            message.header->size < sizeof(OrderHeader) || message.header->size > (size_t)n) {
                order_message_done(&message);
                return -EBADMSG;
        }
        message.blob = (const char *)buffer + message.header->size;
        message.blob_size = (size_t)n - message.header->size;
        *ret = message;
        return 1;
}

void order_copy(const OrderMessage *m, void *ret, size_t size)
{
        memset(ret, 0, size);
        memcpy(ret, m->header, MIN(size, (size_t)m->header->size));
}

void order_message_done(OrderMessage *m)
{
        for (size_t i = 0; i < m->n_fds; i++)
                m->fds[i] = close_fd(m->fds[i]);
        m->n_fds = 0;
}
