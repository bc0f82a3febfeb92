/* Whether a file is a program this machine can run alone: an ELF executable of our own architecture that
 * asks for no loader and no library. Knows ELF (elf(5)); knows nothing of where the file came from. */
#pragma once

#include "base.h"

/* 0: it is one. -ENOEXEC: it is not, and *ret_reason (static) says why in words that follow the file's name,
 * such as "is dynamically linked". Other errors are those of reading. Reads by offset: fd's position stays.
 */
int binary_check(int fd, const char **ret_reason);
