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
        /* An old kernel has none, and there is none of a process that is gone: both are served without. */
        int pidfd;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &(socklen_t){ sizeof(pidfd) }) < 0)
                pidfd = -EBADF;

        *ret_peer = (Peer){ .uid = who.uid, .gid = who.gid, .pid = who.pid, .pidfd = pidfd, .socket = fd };
        return TAKE_FD(fd);
}

/* With room for one more. */
static int supplementary_groups(int fd, gid_t **ret, size_t *ret_n)
{
        socklen_t size = 0;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
                return -errno;

        _cleanup_free_ gid_t *groups = malloc(size + sizeof(gid_t));
        if (!groups)
                return -ENOMEM;
        if (size > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return -errno;
        *ret = TAKE_PTR(groups);
        *ret_n = size / sizeof(gid_t);
        return 0;
}

static int compare_groups(const void *a, const void *b)
{
        gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;
        return (x > y) - (x < y);
}

/* The kernel sorts them, by what they are outside of all user namespaces: so nearly always there is nothing
 * to do, which matters where there are many. */
static void sort_groups(gid_t *groups, size_t n)
{
        for (size_t i = 1; i < n; i++)
                if (groups[i - 1] > groups[i]) {
                        qsort(groups, n, sizeof(*groups), compare_groups);
                        return;
                }
}

static void insert_group(gid_t *groups, size_t n, gid_t group)
{
        for (; n > 0 && groups[n - 1] > group; n--)
                groups[n] = groups[n - 1];
        groups[n] = group;
}

int socket_peer_groups(const Peer *peer, gid_t **ret, size_t *ret_n)
{
        gid_t *groups = NULL;
        size_t n = 0;
        int r = supplementary_groups(peer->socket, &groups, &n);

        if (r < 0)
                return r;
        sort_groups(groups, n);
        insert_group(groups, n, peer->gid);
        *ret = groups;
        *ret_n = n + 1;
        return 0;
}
