/* A terminal's screen that is drawn over and over, with no flicker: a table, from the top left. Knows the
 * control sequences of ECMA-48 that every terminal has; knows nothing of what is in the table. */
#pragma once

#include "base.h"
#include "table.h"

/* Columns of standard output; 0: it is no terminal. */
size_t screen_width(void);
/* Draws it over what is there, as much as has room. -ENOMEM; errors of writing stay in stdout. */
int screen_draw(const Table *t);
/* A screen's text for `lines` lines, each erased up to its end, and what is below erased, too. The caller's;
 * NULL: out of memory. */
char *screen_text(const char *text, size_t lines);
