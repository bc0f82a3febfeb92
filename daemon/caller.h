/* From whoever is at the other end of a connection to who asks, as policy knows it. */
#pragma once

#include "policy.h"
#include "server.h"

/* Asks the kernel each time, so that no connection has its groups in memory. -E2BIG: they are too many
 * (socket_peer_groups); then nothing but a refusal is for this peer. -ENOMEM. */
int caller_of(const Peer *peer, Caller *ret);
void caller_done(Caller *caller);
