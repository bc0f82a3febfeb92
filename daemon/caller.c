/* See caller.h. */
#include "caller.h"

#include "socket.h"

int caller_of(const Peer *peer, Caller *ret)
{
        gid_t *groups;
        size_t n;
        int r = socket_peer_groups(peer, &groups, &n);

        if (r < 0)
                return r;
        *ret = (Caller){ .uid = peer->uid, .groups = groups, .n_groups = n };
        return 0;
}

void caller_done(Caller *caller)
{
        free((gid_t *)caller->groups);
}
