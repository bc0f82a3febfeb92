/* Text without stdio. */
#pragma once

#include "base.h"

#define NUMBER_MAX 21 /* a number's digits and its NUL */

/* Writes n in decimal; returns where its NUL is, as stpcpy(3) does. */
char *put_number(char *to, uint64_t n);
