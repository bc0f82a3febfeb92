/* See nearest.h. */
#include "nearest.h"

#include <ctype.h>

#define WORD_MAX 40 /* longer words are nobody's slip */

static bool is_same(char a, char b)
{
        return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Levenshtein's distance, a row of its matrix at a time. */
static unsigned distance(const char *a, const char *b)
{
        unsigned row[WORD_MAX + 1];
        size_t n = strlen(b);

        for (size_t j = 0; j <= n; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; a[i - 1]; i++) {
                unsigned diagonal = row[0];

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= n; j++) {
                        unsigned changed = diagonal + !is_same(a[i - 1], b[j - 1]);

                        diagonal = row[j];
                        row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
                }
        }
        return row[n];
}

/* A third of the word may be wrong. */
void nearest_try(Nearest *n, const char *candidate)
{
        size_t length = strlen(n->word);
        unsigned d;

        if (length > WORD_MAX || strlen(candidate) > WORD_MAX)
                return;
        d = distance(n->word, candidate);
        if (d > length / 3 || (n->found && d >= n->distance))
                return;
        n->found = candidate;
        n->distance = d;
}
