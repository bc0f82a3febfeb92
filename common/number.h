/* Numbers as text, without stdio, for what runs where there is none. Knows libc and nothing else. */
#pragma once

#include "base.h"

#define NUMBER_MAX 21 /* a number's digits and its NUL */

/* Writes n in decimal; returns where its NUL is, as stpcpy(3) does. */
char *put_number(char *to, uint64_t n);
