/* The system calls about listening AF_UNIX sockets and who is at their other end. Knows unix(7) and
 * socket(7); keeps nothing. */
#pragma once

#include "server.h"

/* Makes a stream socket that listens at path, for everybody to connect to (mode 0666), in place of a stale
 * one. -EADDRINUSE: somebody listens there; -EEXIST: there is something else there; -ENAMETOOLONG. */
int socket_listen(const char *path);
/* Accepts one connection and says who made it. */
int socket_accept(int listener, Peer *ret_peer);
/* The supplementary groups and the primary one that whoever made the connection had when it did: the kernel
 * keeps them with the socket (SO_PEERGROUPS, socket(7)). *ret is the caller's. -E2BIG: there are too many.
 *
 * There may be 65,536, which take the kernel 3 ms to copy: a user who owns a range of group ids (subgid(5))
 * could keep everybody waiting at next to no cost. Directories of users do not come near this number. */
#define PEER_GROUPS_MAX 2048 /* supplementary ones */
int socket_peer_groups(const Peer *peer, gid_t **ret, size_t *ret_n);
/* A pidfd of whoever made the connection; the caller's. -ENOPROTOOPT: the kernel has no SO_PEERPIDFD (6.5);
 * -ESRCH: that process is gone. */
int socket_peer_pidfd(const Peer *peer);
