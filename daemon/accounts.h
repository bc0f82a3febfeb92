/* Names of users and groups to their numbers, by the machine's own databases (nsswitch.conf(5)). A number is
 * itself, whether or not anybody has it. Can wait for a name service: for the configuration, not for
 * requests. */
#pragma once

#include "base.h"

/* 0, -ESRCH: there is nobody of that name; or the error of the look-up. */
int account_user(const char *word, uint32_t *ret);
int account_group(const char *word, uint32_t *ret);
