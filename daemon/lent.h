/* Descriptors that a client lends: which kinds a session may have, looked at without waiting for whoever
 * serves the file. Never changes one: it is the client's open file too. */
#pragma once

#include "base.h"

typedef enum LentUse { LENT_INPUT, LENT_OUTPUT, LENT_LIFELINE } LentUse;

/* NULL, or why it cannot be taken, in words; static. */
const char *lent_check(int fd, LentUse use);
