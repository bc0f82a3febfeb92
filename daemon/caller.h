/* From whoever is at the other end of a connection to who asks, as policy knows it. */
#pragma once

#include "policy.h"
#include "server.h"

/* Asks the kernel each time: who may be in 65,536 groups, which no connection is to keep in memory. -ENOMEM,
 * or what the kernel says. */
int caller_of(const Peer *peer, Caller *ret);
void caller_done(Caller *caller);
