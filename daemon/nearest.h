/* "Did you mean …?": the nearest of some words to one that is none of them. Pure. */
#pragma once

#include "base.h"

typedef struct Nearest {
        const char *word;  /* what was written; set by the caller, all else zero */
        const char *found; /* one of those tried, or NULL: none is near enough */
        unsigned distance; /* its */
} Nearest;

/* Compares one more; it must outlive n. Upper and lower case are the same. */
void nearest_try(Nearest *n, const char *candidate);
