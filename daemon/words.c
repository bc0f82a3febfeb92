/* Words and quoting; see words.h. */
#include "words.h"

#define BLANKS " \t"

char **words_free(char **list)
{
        for (char **word = list; word && *word; word++)
                free(*word);
        free(list);
        return NULL;
}

size_t words_count(char *const *list)
{
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

/* One word from *text on, unquoted into `word`, which has room for all of *text; moves *text behind it. */
static int read_word(const char **text, char *word)
{
        const char *at = *text;
        char quote = '\0';

        for (; *at && (quote || !strchr(BLANKS, *at)); at++) {
                if (*at == quote) {
                        quote = '\0';
                } else if (!quote && (*at == '"' || *at == '\'')) {
                        quote = *at;
                } else {
                        if (*at == '\\' && quote != '\'' && *++at == '\0')
                                return -EINVAL;
                        *word++ = *at;
                }
        }
        *word = '\0';
        *text = at;
        return quote ? -EINVAL : 0;
}

/* The list has room for all the words a text can have. */
static int split(const char *text, char **list)
{
        for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
                _cleanup_free_ char *word = malloc(strlen(text) + 1);
                int r;

                if (!word)
                        return -ENOMEM;
                r = read_word(&text, word);
                if (r < 0)
                        return r;
                *list++ = TAKE_PTR(word);
        }
        return 0;
}

/* The words of `more` have a new owner, where this succeeds. */
static int extend(char ***list, char *const *more)
{
        size_t n_before = words_count(*list), n_more = words_count(more);
        char **grown = reallocarray(*list, n_before + n_more + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        memcpy(grown + n_before, more, (n_more + 1) * sizeof(*grown));
        *list = grown;
        return 0;
}

int words_append(const char *text, char ***list)
{
        _cleanup_(words_freep) char **more = calloc(strlen(text) / 2 + 2, sizeof(*more));
        int r;

        if (!more)
                return -ENOMEM;
        r = split(text, more);
        if (r < 0)
                return r;
        r = extend(list, more);
        if (r < 0)
                return r;
        more[0] = NULL;
        return 0;
}

int words_take(char ***list, char *word)
{
        int r = extend(list, (char *const[]){ word, NULL });

        if (r < 0)
                free(word);
        return r;
}

static void print_word(const char *word, FILE *to)
{
        if (*word && !strpbrk(word, BLANKS "\"'\\;")) {
                fputs(word, to);
                return;
        }
        fputc('"', to);
        for (; *word; word++) {
                if (strchr("\"\\;", *word))
                        fputc('\\', to); /* of ';' because inih takes " ;" for the start of a comment */
                fputc(*word, to);
        }
        fputc('"', to);
}

void words_print(char *const *list, FILE *to)
{
        for (size_t i = 0; list && list[i]; i++) {
                if (i > 0)
                        fputc(' ', to);
                print_word(list[i], to);
        }
}
