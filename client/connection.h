/* A connection to nsrootd: calls out, replies in. Knows the socket and the protocol's framing and top level
 * (link.h, reply.h); knows no method, and no words for what goes wrong. */
#pragma once

#include "base.h"
#include "link.h"
#include "reply.h"

struct json_object;

#define CONNECTION_FOREVER (-1)

/* Connects to the socket at path. Errors are those of connect(2): -EAGAIN if nobody accepts for some
 * seconds. */
int connection_open(const char *path, Link **ret);
/* The same without ever waiting: -EAGAIN if its turn does not come at once. */
int connection_try(const char *path, Link **ret);

/* Sends one call, waiting until all of it is gone. parameters are taken also on failure; fds (may be NULL)
 * on success. */
int connection_send(Link *l, const char *method, struct json_object *parameters, bool more, Fds *fds);

/* Reads one reply, waiting for at most timeout_ms (0: only if it is there; CONNECTION_FOREVER). What is in
 * *ret and *ret_fds is the caller's. -ETIMEDOUT; else as link_read and reply_message_parse. */
int connection_receive(Link *l, int timeout_ms, ReplyMessage *ret, Fds *ret_fds);
