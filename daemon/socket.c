/* Making and accepting AF_UNIX sockets, by socket.h: system calls in their order, and nothing kept. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "socket.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since 6.5, newer than the oldest headers we build with */
#endif

static int new_socket(void)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd < 0 ? -errno : fd;
}

/* 0: there is a socket at the address that nobody listens on, or nothing by now. */
static int check_stale(const struct sockaddr_un *address)
{
        struct stat st;
        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;

        _cleanup_close_ int probe = new_socket();
        if (probe < 0)
                return probe;
        if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) >= 0)
                return -EADDRINUSE;
        if (errno == EAGAIN) /* its backlog is full, but it is there */
                return -EADDRINUSE;
        return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/* The mode is right from the first moment: between bind and a chmod nobody could connect. */
static int bind_for_all(int fd, const struct sockaddr_un *address)
{
        mode_t before = umask(0111);
        int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
        umask(before);
        return r;
}

int socket_listen(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);

        _cleanup_close_ int fd = new_socket();
        if (fd < 0)
                return fd;
        int r = bind_for_all(fd, &address);
        if (r == -EADDRINUSE) {
                r = check_stale(&address);
                if (r < 0)
                        return r;
                if (unlink(path) < 0 && errno != ENOENT)
                        return -errno;
                r = bind_for_all(fd, &address);
        }
        if (r < 0)
                return r;
        if (listen(fd, SOMAXCONN) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int socket_accept(int listener, Peer *ret_peer)
{
        _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return -errno;

        struct ucred who;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &(socklen_t){ sizeof(who) }) < 0)
                return -errno;
        *ret_peer = (Peer){ .uid = who.uid, .gid = who.gid, .pid = who.pid, .socket = fd };
        return TAKE_FD(fd);
}

int socket_peer_pidfd(const Peer *peer)
{
        int fd;

        if (getsockopt(peer->socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &(socklen_t){ sizeof(fd) }) >= 0)
                return fd;
        return errno == EINVAL || errno == ENODATA ? -ESRCH : -errno; /* as kernels before 6.16 call it */
}

int socket_peer_groups(const Peer *peer, gid_t **ret, size_t *ret_n)
{
        socklen_t size = 0;
        if (getsockopt(peer->socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
                return -errno;

        size_t n = size / sizeof(gid_t);
        if (n > PEER_GROUPS_MAX)
                return -E2BIG;
        _cleanup_free_ gid_t *groups = calloc(n + 1, sizeof(*groups));
        if (!groups)
                return -ENOMEM;
        if (n > 0 && getsockopt(peer->socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return -errno;
        groups[n++] = peer->gid;
        *ret = TAKE_PTR(groups);
        *ret_n = n;
        return 0;
}
