/* One file of the configuration into a Config. Knows inih and the table of keys; knows no directory. */
#pragma once

#include "config.h"

/* Reads file, which messages call path, over what *c says already. Lines that mean nothing are logged as
 * warnings with file and line. A value that is wrong ends the reading: -EINVAL with "FILE:LINE: what, and
 * what to do" in *ret_why, which is NULL where memory is out. */
int config_read(Config *c, const char *path, FILE *file, char **ret_why);
