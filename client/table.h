/* A table for people: cells in, aligned columns out. Knows nothing of what is in them; escapes all of it
 * (text.h). */
#pragma once

#include <stdio.h>

#include "base.h"

#define TABLE_COLUMNS_MAX 16

typedef struct Table {
        size_t columns; /* at most TABLE_COLUMNS_MAX */
        char **cells;   /* row by row; owned */
        size_t n;
} Table;

#define _cleanup_table_ _cleanup_(table_done)

void table_done(Table *t);
/* Adds the next cell; the first `columns` of them are the head. "" and NULL are shown as "-". -ENOMEM. */
int table_add(Table *t, const char *text);
/* width: lines are cut to so many columns; 0: they are not. Errors stay in the stream. */
void table_print(const Table *t, FILE *stream, size_t width);
