/* A line of words as a list and back: words are divided by blanks; within "…" or '…' a blank belongs to the
 * word; a backslash takes the next character as it is (not within '…'). Pure; knows no configuration. */
#pragma once

#include <stdio.h>

#include "base.h"

/* Appends the words of text to *list (NULL-terminated; NULL is the empty list), or leaves it as it was:
 * -EINVAL for a quotation or a backslash that does not end, -ENOMEM. */
int words_append(const char *text, char ***list);
/* Appends one word as it is. It is the list's from now on, or freed: -ENOMEM. */
int words_take(char ***list, char *word);
char **words_free(char **list); /* accepts NULL, returns NULL */
DEFINE_CLEANUP(char **, words_free);
size_t words_count(char *const *list);
/* As one line that words_append takes, without its end. */
void words_print(char *const *list, FILE *to);
