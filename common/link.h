/* One Varlink connection's framing: NUL-terminated messages with descriptors over an AF_UNIX stream socket,
 * in both directions, by both the daemon and the client. Knows neither JSON nor what a message means, and
 * makes no policy: limits are given to it. (Varlink: https://varlink.org/Method-Call; descriptors as
 * sd-varlink sends them: with the first byte of the message they belong to.)
 *
 * Never sets O_NONBLOCK (it would be the peer's too if the socket was inherited): calls use MSG_DONTWAIT. */
#pragma once

#include "base.h"

typedef struct Link Link;

typedef struct LinkLimits {
        size_t read_max, write_max; /* the largest message in either direction, without its NUL */
        size_t queue_max;           /* how many bytes may wait to be sent; one message alone may always be */
} LinkLimits;

/* Takes fd, also on failure. */
int link_new(int fd, const LinkLimits *limits, Link **ret);
Link *link_free(Link *l); /* closes the socket and every descriptor still queued; returns NULL */
DEFINE_CLEANUP(Link *, link_free);

int link_fd(const Link *l);

/* For who must not wait for a close, before link_free: hands out, up to FDS_MAX at a time, what of the
 * peer's link_free would close, until there is none. Those are descriptors of a message that was not read
 * whole or broke the rules, and at last the socket itself if something in it was not received. */
void link_take_fds(Link *l, Fds *ret);
/* Somebody else goes on with a copy of the socket: link_take_fds hands it out, and does not shut it down. */
void link_set_shared(Link *l);

/* Reads one message, without blocking. 1: *ret_message (owned by the caller, NUL-terminated, *ret_length
 * without the NUL) and *ret_fds (what came with it, CLOEXEC) are set. -EAGAIN: not whole yet
 * (link_is_partial says whether it began). -ENOTCONN: the peer closed between messages; -ECONNRESET: in the
 * middle of one; -E2BIG: longer than read_max or more than FDS_MAX descriptors; -EPROTO: descriptors that
 * do not come with a message's first byte; other errors of recvmsg(2). After anything but 1 and -EAGAIN the
 * link is of no more use. */
int link_read(Link *l, char **ret_message, size_t *ret_length, Fds *ret_fds);
/* Whether the first bytes of a message are there and its end is not. */
bool link_is_partial(const Link *l);

/* Queues one message (length without NUL; the NUL is added). Takes the descriptors in *fds (may be NULL) if
 * it succeeds. -ENOBUFS: others wait already, and it would be too much; -E2BIG: longer than
 * write_max. Does not send: link_flush does. */
int link_queue(Link *l, const char *message, size_t length, Fds *fds);
/* Sends what it can without blocking. 0: all is sent; 1: some is left, wait for EPOLLOUT; or negative. */
int link_flush(Link *l);
size_t link_queued(const Link *l); /* bytes not sent yet */
