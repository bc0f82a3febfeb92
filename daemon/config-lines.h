/* A file of sections and entries, line by line. Knows inih, and how long a line may be; knows no section, no
 * key and no directory. */
#pragma once

#include <stdio.h>

#include "base.h"
#include "log.h"

/* One file being read. Whoever reads it embeds this, with the first four set. */
typedef struct Lines {
        const char *path; /* what messages call it */
        FILE *file;
        void (*on_section)(struct Lines *l,
                           const char *title); /* all between [ and ], without blanks around */
        void (*on_entry)(struct Lines *l, const char *name, const char *value);
        unsigned number; /* of the line that is being read, from 1 */
        /* the module's own: */
        char *text; /* getline(3)'s */
        size_t text_size;
        bool awaits_entry; /* the last line should have been an entry, and inih has not said so yet */
        int error;         /* ends the reading; why says it in words */
        char *why;
} Lines;

/* To the end of the file, or to the first lines_fail: its error, with "FILE:LINE: what, and what to do" in
 * *ret_why (NULL where memory is out). Lines that are nothing are logged as warnings. */
int lines_read(Lines *l, char **ret_why);

/* For the two handlers: ends the reading; the first fault counts. */
void lines_fail(Lines *l, int error, const char *format, ...) _printf_(3, 4);
#define lines_warn(l, format, ...) log_warning("%s:%u: " format, (l)->path, (l)->number, __VA_ARGS__)
