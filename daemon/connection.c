/* A connection is always in one phase, and a table says what a phase reads and how long it may last. Every
 * way in (the event loop, an answer) ends in watch(), which makes the event sources agree with the phase. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "link.h"
#include "protocol.h"

#define REFUSAL_USEC USEC_PER_SEC

typedef enum Phase {
        PHASE_IDLE,    /* between messages; earlier answers may still be on their way */
        PHASE_PARTIAL, /* the beginning of a message is there */
        PHASE_CALL,    /* a message is being dealt with: nothing is read, but a hang-up ends it */
        PHASE_ONEWAY,  /* the same, and there is nobody to hang up */
        PHASE_REFUSED, /* waits for anything, to answer it with the refusal */
        PHASE_DOOMED,  /* to be closed by the event loop */
        PHASE_CLOSED,
} Phase;

static const bool phase_reads[] = {
        [PHASE_IDLE] = true,
        [PHASE_PARTIAL] = true,
        [PHASE_REFUSED] = true,
        [PHASE_CLOSED] = false,
};

struct Connection {
        unsigned refs; /* the one of being open, and one of each handler that runs */
        Phase phase;
        bool in_handler;   /* our own, which watches at its end */
        bool is_handed_on; /* the socket has another owner */
        Peer peer;
        Link *link;
        char *refusal;
        size_t refusal_length;
        sd_event *event;
        sd_event_source *io, *timer;
        uint64_t idle_usec, message_usec;
        uint64_t deadline; /* CLOCK_MONOTONIC: when the phase is over */
        uint64_t armed;    /* when the timer looks: never later than that */
        const ConnectionHandlers *handlers;
        void *userdata;
};

static Connection *connection_unref(Connection *c)
{
        if (--c->refs > 0)
                return NULL;

        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        sd_event_unref(c->event);
        link_free(c->link);
        free(c->refusal);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Connection *, connection_unref);

static Connection *connection_ref(Connection *c)
{
        c->refs++;
        return c;
}

/* How long a phase may last; 0 in the configuration means for ever. */
static uint64_t phase_usec(const Connection *c, Phase phase)
{
        switch (phase) {
        case PHASE_IDLE:
                return c->idle_usec ?: USEC_INFINITY;
        case PHASE_PARTIAL:
                return c->message_usec ?: USEC_INFINITY;
        case PHASE_REFUSED:
                return REFUSAL_USEC;
        case PHASE_DOOMED:
                return 0;
        default:
                return USEC_INFINITY;
        }
}

static void set_phase(Connection *c, Phase phase)
{
        uint64_t now = 0, usec = phase_usec(c, phase);

        sd_event_now(c->event, CLOCK_MONOTONIC, &now);
        c->phase = phase;
        c->deadline = usec < USEC_INFINITY - now ? now + usec : USEC_INFINITY;
}

/* The timer is only ever moved to an earlier time: when it fires too early it looks again. So a connection
 * that is busy costs one timer event an idle time, not two system calls a message. */
static int arm(Connection *c)
{
        if (c->deadline >= c->armed)
                return 0;

        int r = sd_event_source_set_time(c->timer, c->deadline);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
        if (r >= 0)
                c->armed = c->deadline;
        return r;
}

/* No new message is read while answers wait to be sent: a peer that does not read its answers is not served
 * more of them. A hang-up is always reported, whatever is watched; a oneway call must not see it, so its
 * source is off. */
static void watch(Connection *c)
{
        uint32_t events = link_queued(c->link) > 0 ? EPOLLOUT : phase_reads[c->phase] ? EPOLLIN : 0;
        bool deaf = c->phase == PHASE_ONEWAY || c->phase == PHASE_DOOMED;

        int r = sd_event_source_set_io_events(c->io, events);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->io, deaf ? SD_EVENT_OFF : SD_EVENT_ON);
        if (r >= 0)
                r = arm(c);
        if (r < 0 && c->phase != PHASE_DOOMED)
                connection_doom(c);
}

static int read_message(Connection *c)
{
        _cleanup_free_ char *text = NULL;
        size_t length;
        Fds fds;

        int r = link_read(c->link, &text, &length, &fds);
        if (r == -EAGAIN) {
                if (link_is_partial(c->link) && c->phase == PHASE_IDLE)
                        set_phase(c, PHASE_PARTIAL);
                return 0;
        }
        if (r < 0)
                return r;

        set_phase(c, PHASE_CALL);
        return c->handlers->message(text, length, &fds, c->userdata);
}

/* What came is thrown away, only so that the close that follows does not look like an error to a peer that
 * has sent a little. Not so where it would throw away descriptors, which may take its time. */
static int discard(int fd)
{
        char unread[16 * KIB];
        struct iovec iov = { .iov_base = unread, .iov_len = sizeof(unread) };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 }; /* no room for descriptors */
        ssize_t n = recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT);

        if (n > 0 && !(header.msg_flags & MSG_CTRUNC))
                n = recv(fd, unread, (size_t)n, MSG_DONTWAIT);
        return n < 0 ? -errno : n > 0;
}

static int refuse(Connection *c)
{
        int r = discard(link_fd(c->link));
        if (r == -EAGAIN || r == -EINTR)
                return 0;
        if (r > 0 && link_queue(c->link, c->refusal, c->refusal_length, NULL) >= 0)
                link_flush(c->link);
        return -ECONNREFUSED;
}

/* One step of whatever there is to do; negative: close. */
static int serve(Connection *c, uint32_t revents)
{
        if (c->phase == PHASE_REFUSED)
                return refuse(c);
        if (c->phase == PHASE_CALL && (revents & (EPOLLHUP | EPOLLERR)))
                return -ECONNRESET;

        if (link_queued(c->link) > 0) {
                int r = link_flush(c->link);
                if (r != 0)
                        return MIN(r, 0);
                if (c->phase == PHASE_CALL) {
                        c->handlers->drained(c->userdata);
                        return 0;
                }
        }
        return phase_reads[c->phase] ? read_message(c) : 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        _cleanup_(connection_unrefp) Connection *c = connection_ref(userdata);

        c->in_handler = true;
        int r = serve(c, revents);
        c->in_handler = false;

        if (r < 0 || c->phase == PHASE_DOOMED)
                connection_close(c);
        else if (c->phase != PHASE_CLOSED)
                watch(c);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        _cleanup_(connection_unrefp) Connection *c = connection_ref(userdata);
        uint64_t now = 0;

        c->armed = USEC_INFINITY;
        sd_event_now(c->event, CLOCK_MONOTONIC, &now);
        if (c->deadline <= now || arm(c) < 0)
                connection_close(c);
        return 0;
}

static int add_sources(Connection *c)
{
        int r = sd_event_add_io(c->event, &c->io, link_fd(c->link), EPOLLIN, on_io, c);
        if (r >= 0)
                r = sd_event_add_time(c->event, &c->timer, CLOCK_MONOTONIC, USEC_INFINITY, 0, on_timer, c);
        if (r >= 0)
                r = arm(c);
        return r;
}

int connection_new(sd_event *event, int fd, const Peer *peer, const ServerLimits *limits,
                   const ConnectionHandlers *handlers, void *userdata, Connection **ret)
{
        _cleanup_close_ int socket_fd = fd;
        _cleanup_(connection_unrefp) Connection *c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Connection){
                .refs = 1,
                .peer = *peer,
                .event = sd_event_ref(event),
                .idle_usec = limits->idle_usec,
                .message_usec = limits->message_usec,
                .armed = USEC_INFINITY,
                .handlers = handlers,
                .userdata = userdata,
        };
        set_phase(c, PHASE_IDLE);

        const LinkLimits sizes = { MESSAGE_SIZE_MAX, REPLY_SIZE_MAX, limits->queue_max };
        int r = link_new(TAKE_FD(socket_fd), &sizes, &c->link);
        if (r >= 0)
                r = add_sources(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

static void hand_over_leftovers(Connection *c)
{
        Fds fds;

        for (link_take_fds(c->link, &fds); fds.n > 0; link_take_fds(c->link, &fds))
                c->handlers->leftover(&fds, c->userdata);
}

void connection_close(Connection *c)
{
        if (!c || c->phase == PHASE_CLOSED)
                return;

        c->phase = PHASE_CLOSED;
        c->io = sd_event_source_disable_unref(c->io);
        c->timer = sd_event_source_disable_unref(c->timer);
        if (!c->is_handed_on)
                hand_over_leftovers(c);
        c->link = link_free(c->link);
        c->handlers->closed(c->userdata);
        connection_unref(c);
}

void connection_doom(Connection *c)
{
        if (c->phase >= PHASE_DOOMED)
                return;

        set_phase(c, PHASE_DOOMED);
        if (!c->in_handler)
                watch(c);
}

const Peer *connection_peer(const Connection *c)
{
        return &c->peer;
}

bool connection_has_backlog(const Connection *c)
{
        return link_queued(c->link) > 0;
}

int connection_hand_on(Connection *c, int *ret)
{
        int fd = -EBADF, r = connection_has_backlog(c) || c->phase >= PHASE_DOOMED ? -EAGAIN : 0;

        if (r >= 0)
                fd = fcntl(link_fd(c->link), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (r >= 0 && fd < 0)
                r = -errno;
        connection_doom(c);
        if (r < 0)
                return r;
        c->is_handed_on = true;
        *ret = fd;
        return 0;
}

int connection_send(Connection *c, const char *text, size_t length, Fds *fds)
{
        if (c->phase >= PHASE_DOOMED)
                return 0;

        int r = link_queue(c->link, text, length, fds);
        if (r == -E2BIG)
                return r;
        if (r >= 0)
                r = link_flush(c->link);
        if (r < 0)
                connection_doom(c);
        else if (!c->in_handler)
                watch(c);
        return 0;
}

void connection_expects_no_answer(Connection *c)
{
        if (c->phase == PHASE_CALL)
                c->phase = PHASE_ONEWAY;
}

void connection_answered(Connection *c)
{
        if (c->phase != PHASE_CALL && c->phase != PHASE_ONEWAY)
                return;

        set_phase(c, PHASE_IDLE);
        if (!c->in_handler)
                watch(c);
}

int connection_refuse(Connection *c, const char *text, size_t length)
{
        c->refusal = strndup(text, length);
        if (!c->refusal)
                return -ENOMEM;
        c->refusal_length = length;
        set_phase(c, PHASE_REFUSED);
        return arm(c);
}
