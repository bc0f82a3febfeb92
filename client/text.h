/* Text that others wrote, made fit to be printed: control characters, bidirectional overrides and what is
 * not UTF-8 must not reach a terminal. Knows UTF-8 (RFC 3629); knows nothing of what the text is about. */
#pragma once

#include "base.h"

bool text_is_utf8(const char *text);

/* A copy for people, each dangerous character as \x1b or \u202e. NULL: out of memory. */
char *text_escape(const char *text);
/* A copy of a JSON document that says the same, with those characters as JSON's own escapes. NULL: out of
 * memory. */
char *text_escape_json(const char *json);

/* How many columns the text takes, each character being taken for one wide. */
size_t text_width(const char *text);
/* How many bytes its first `columns` characters are. */
size_t text_prefix(const char *text, size_t columns);

/* "42s", "5min", "3h", "12d": a length of time by the largest unit that is in it twice. */
char *text_age(uint64_t usec);
/* "1.1M": a size with one digit after the point, in powers of 1024. */
char *text_size(uint64_t bytes);
