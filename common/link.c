/* One connection's framing, by link.h. Knows stream sockets and SCM_RIGHTS, and not what a message says.
 *
 * Reading never takes more from the socket than the end of the message being read. So there is no buffer of
 * what comes after it, the new bytes are the only ones that are ever searched, and the descriptors of a
 * following message, which the kernel would hand out together with this one's bytes, stay where they belong.
 */
#include "link.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* How far to look for the end of a message at once: most are shorter. On the stack, so that it costs a
 * waiting client nothing. */
#define PEEK_SIZE    (4 * KIB)

/* SCM_MAX_FD of the kernel: how many descriptors can come at once (unix(7)). */
#define RECEIVED_MAX 253

typedef struct Outgoing {
        struct Outgoing *next;
        Fds fds; /* until the first byte is sent */
        size_t sent, size;
        char data[]; /* with the NUL */
} Outgoing;

struct Link {
        int fd;
        LinkLimits limits;

        char *message; /* the part of the message that is here: in proportion to what the peer sent */
        size_t length, size;
        int fds[FDS_MAX + RECEIVED_MAX]; /* its descriptors, and once more what should not have come */
        size_t n_fds;

        Outgoing *first, **tail;
        size_t queued;
};

union control {
        struct cmsghdr header; /* for its alignment */
        char space[CMSG_SPACE(sizeof(int) * RECEIVED_MAX)];
};

int link_new(int fd, const LinkLimits *limits, Link **ret)
{
        Link *l;

        l = calloc(1, sizeof(*l));
        if (!l) {
                close_fd(fd);
                return -ENOMEM;
        }
        l->fd = fd;
        l->limits = *limits;
        l->tail = &l->first;
        *ret = l;
        return 0;
}

static void drop_first(Link *l)
{
        Outgoing *o = l->first;

        l->queued -= o->size - o->sent;
        l->first = o->next;
        if (!l->first)
                l->tail = &l->first;
        fds_close(&o->fds);
        free(o);
}

Link *link_free(Link *l)
{
        if (!l)
                return NULL;
        while (l->first)
                drop_first(l);
        while (l->n_fds > 0)
                close_fd(l->fds[--l->n_fds]);
        free(l->message);
        close_fd(l->fd);
        free(l);
        return NULL;
}

int link_fd(const Link *l)
{
        return l->fd;
}

bool link_is_partial(const Link *l)
{
        return l->length > 0;
}

size_t link_queued(const Link *l)
{
        return l->queued;
}

/* Takes over every descriptor of a message, the ones it should not have too: what is not looked at leaks. */
static void collect_fds(Link *l, struct msghdr *header)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                size_t size = c->cmsg_len - CMSG_LEN(0);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                memcpy(&l->fds[l->n_fds], CMSG_DATA(c), size);
                l->n_fds += size / sizeof(int);
        }
}

/* Takes up to length bytes from the socket to the end of the message, which has room for them. There is room
 * for the descriptors while there are no more than FDS_MAX. */
static int receive(Link *l, size_t length)
{
        struct iovec iov = { .iov_base = l->message + l->length, .iov_len = length };
        union control control;
        struct msghdr header = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        if (l->n_fds > FDS_MAX)
                return -E2BIG;
        n = recvmsg(l->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        l->length += (size_t)n;
        collect_fds(l, &header);
        return l->n_fds > FDS_MAX ? -E2BIG : 0;
}

/* Doubles, so that a message that comes byte by byte is not copied as often. */
static int reserve(Link *l, size_t more)
{
        size_t size = MAX(l->length + more, MIN(l->size * 2, l->limits.read_max + 1));
        char *bigger;

        if (l->length + more <= l->size)
                return 0;
        bigger = realloc(l->message, size);
        if (!bigger)
                return -ENOMEM;
        l->message = bigger;
        l->size = size;
        return 0;
}

/* The first byte is received alone: then it is certain that the descriptors that come with it are the
 * message's and that those that come with any other byte are not. */
static int receive_part(Link *l, size_t length)
{
        size_t n_fds;
        int r;

        r = reserve(l, length);
        if (r < 0)
                return r;
        if (l->length == 0) {
                r = receive(l, 1);
                if (r < 0 || --length == 0)
                        return r;
        }
        n_fds = l->n_fds;
        r = receive(l, length);
        return l->n_fds > n_fds ? -EPROTO : r;
}

/* Reads on to the end of the message or of what there is. 1: it is whole. */
static int read_part(Link *l)
{
        char ahead[PEEK_SIZE];
        const char *end;
        size_t length;
        ssize_t n;
        int r;

        n = recv(l->fd, ahead, sizeof(ahead), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0)
                return -errno;
        if (n == 0)
                return link_is_partial(l) ? -ECONNRESET : -ENOTCONN;
        end = memchr(ahead, '\0', (size_t)n);
        length = end ? (size_t)(end - ahead) : (size_t)n;
        if (length > l->limits.read_max - l->length)
                return -E2BIG;
        r = receive_part(l, length + (end ? 1 : 0));
        if (r < 0)
                return r;
        return l->message[l->length - 1] == '\0';
}

static void take_received(Link *l, Fds *ret)
{
        ret->n = MIN(l->n_fds, (size_t)FDS_MAX);
        l->n_fds -= ret->n;
        memcpy(ret->fd, &l->fds[l->n_fds], ret->n * sizeof(*ret->fd));
}

int link_read(Link *l, char **ret_message, size_t *ret_length, Fds *ret_fds)
{
        int r;

        do {
                r = read_part(l);
                if (r < 0)
                        return r;
        } while (r == 0);
        *ret_message = TAKE_PTR(l->message);
        *ret_length = l->length - 1;
        take_received(l, ret_fds);
        l->length = l->size = 0;
        return 1;
}

/* Nothing more can come after the shutdown, so that the answer does not change any more. */
static bool has_unreceived(const Link *l)
{
        int n;

        shutdown(l->fd, SHUT_RDWR);
        return ioctl(l->fd, FIONREAD, &n) < 0 || n > 0;
}

void link_take_fds(Link *l, Fds *ret)
{
        take_received(l, ret);
        if (ret->n == 0 && l->fd >= 0 && has_unreceived(l))
                ret->fd[ret->n++] = TAKE_FD(l->fd);
}

int link_queue(Link *l, const char *message, size_t length, Fds *fds)
{
        Outgoing *o;

        if (length > l->limits.write_max)
                return -E2BIG;
        if (l->queued && l->queued + length + 1 > l->limits.queue_max)
                return -ENOBUFS;
        o = malloc(sizeof(*o) + length + 1);
        if (!o)
                return -ENOMEM;
        *o = (Outgoing){ .size = length + 1 };
        memcpy(o->data, message, length);
        o->data[length] = '\0';
        if (fds) {
                o->fds = *fds;
                fds->n = 0;
        }
        *l->tail = o;
        l->tail = &o->next;
        l->queued += o->size;
        return 0;
}

static void attach_fds(struct msghdr *header, union control *control, const Fds *fds)
{
        struct cmsghdr *c = &control->header;

        *control = (union control){};
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds->n);
        memcpy(CMSG_DATA(c), fds->fd, sizeof(int) * fds->n);
        header->msg_control = control;
        header->msg_controllen = CMSG_SPACE(sizeof(int) * fds->n);
}

/* Once a part is sent the descriptors are too: the rest goes without them. */
static int send_part(Link *l, Outgoing *o)
{
        struct iovec iov = { .iov_base = o->data + o->sent, .iov_len = o->size - o->sent };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
        union control control;
        ssize_t n;

        if (o->fds.n > 0)
                attach_fds(&header, &control, &o->fds);
        n = sendmsg(l->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return -errno;
        fds_close(&o->fds);
        o->sent += (size_t)n;
        l->queued -= (size_t)n;
        return 0;
}

int link_flush(Link *l)
{
        while (l->first) {
                int r;

                r = send_part(l, l->first);
                if (r == -EAGAIN)
                        return 1;
                if (r < 0)
                        return r;
                if (l->first->sent == l->first->size)
                        drop_first(l);
        }
        return 0;
}
