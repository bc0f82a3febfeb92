/* A strict RFC 8259 scanner: says whether a text is JSON that json-c may be trusted with, and nothing about
 * what it means. It runs before json-c because json-c takes much that is not JSON, and spends 264 bytes of
 * heap on a byte of "[{},{},…". Allocates nothing, keeps nothing; time is linear in the length. */
#pragma once

#include "base.h"

typedef struct ScanLimits {
        size_t depth_max;  /* containers inside one another; the outermost counts as 1 */
        size_t values_max; /* all values, keys not counted */
} ScanLimits;

#define SCAN_KEYS_MAX 64 /* in each object whose keys are compared: what keeps that linear */

/* Accepts exactly one JSON object, with only white space around it, in valid UTF-8, without control
 * characters in strings, without the escape \u0000, without lone surrogates, and without the same key twice
 * in the outermost object or in the objects directly below it (compared after unescaping). 0, -EBADMSG (not
 * that), -E2BIG (a limit of `limits`, or SCAN_KEYS_MAX). ret_offset, if not NULL, is where it went wrong. */
int scan_object(const char *text, size_t length, const ScanLimits *limits, size_t *ret_offset);
