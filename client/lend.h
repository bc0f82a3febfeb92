/* Lends the three standard descriptors to a session: as they are where nsrootd takes them, else through a
 * pipe and a relay. Knows what may be lent (files, pipes, sockets, memory devices, opened the right way
 * round) and the names of the parameters that say so. */
#pragma once

#include "base.h"
#include "relay.h"

struct json_object;

/* Opens the null device in the place of those of 0, 1 and 2 that are closed, so that nothing of ours lands
 * there. */
int lend_fill_standard(void);

/* Puts the null device in the place of fd, which was lent. */
int lend_release(int fd);

/* Whether nsrootd takes fd as it is, for reading or for writing. */
bool lend_is_lendable(int fd, bool for_reading);

/* Puts fd into fds and its index into parameters; for one that cannot be lent, *relay (ended otherwise)
 * copies to or from a pipe. fd: STDIN_FILENO, STDOUT_FILENO or STDERR_FILENO. */
int lend_standard(int fd, struct json_object *parameters, Fds *fds, Relay *relay);

/* Puts fd, which is taken, into fds and its index into parameters under key. */
int lend(int fd, const char *key, struct json_object *parameters, Fds *fds);
