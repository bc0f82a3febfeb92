/* One connection on the event loop: whole messages in, one at a time, answers out, and when it must be
 * closed (idle, half a message, unread output, hang-up). Knows framing (link.h) and time; knows neither JSON
 * nor calls, admission or other connections.
 *
 * A peer that shuts down only its sending side is still there: it gets its answers. One is gone when it can
 * no longer read either. */
#pragma once

#include "server.h"

typedef struct Connection Connection;

typedef struct ConnectionHandlers {
        /* A whole message, NUL-terminated; takes *fds. Nothing more is read until connection_answered.
         * Negative: close. */
        int (*message)(const char *text, size_t length, Fds *fds, void *userdata);
        /* Before `closed`: takes what of the peer's is to be closed with it, descriptors of half a message
         * and maybe the socket. May be called several times. */
        void (*leftover)(Fds *fds, void *userdata);
        /* All that waited for the peer to read is read, while a message is in hand. */
        void (*drained)(void *userdata);
        /* Once, whoever closes it, also from within connection_close. The Connection is not to be used
         * after. */
        void (*closed)(void *userdata);
} ConnectionHandlers;

/* fd is taken, also on failure. Of the limits, those of time and of output matter. */
int connection_new(sd_event *event, int fd, const Peer *peer, const ServerLimits *limits,
                   const ConnectionHandlers *handlers, void *userdata, Connection **ret);
/* Closes it now; NULL is fine. Safe also from within its own handlers. */
void connection_close(Connection *c);
/* Closes it from the event loop, soon: for those who are called by others that still use what would go away.
 */
void connection_doom(Connection *c);

const Peer *connection_peer(const Connection *c);

/* Sends one message and its descriptors (may be NULL; what is left in *fds was not sent). -E2BIG: longer
 * than a message may be, and nothing else happened. Every other failure dooms the connection. */
int connection_send(Connection *c, const char *text, size_t length, Fds *fds);
/* Whether some of what was sent waits for the peer to read. */
bool connection_has_backlog(const Connection *c);
/* Somebody goes on with the socket, by another protocol: *ret is the caller's copy of it, and nothing
 * happens to it when the connection is closed, which will be soon. -EAGAIN: the peer has not read all that
 * was sent; this and other failures only close the connection. */
int connection_hand_on(Connection *c, int *ret);
/* The message in hand gets no answer, so that nobody waits: what is done about it survives a hang-up. */
void connection_expects_no_answer(Connection *c);
/* The message in hand is dealt with; the next may be read. */
void connection_answered(Connection *c);
/* Whatever the peer sends first is not read but answered with text, and then, or after a second of nothing,
 * the connection is closed. */
int connection_refuse(Connection *c, const char *text, size_t length);
