/* Lines of words: blanks, quotations, and back. */
#include <criterion/criterion.h>

#include "words.h"

static char *join(char *const *list)
{
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        for (size_t i = 0; list && list[i]; i++)
                fprintf(to, "<%s>", list[i]);
        fclose(to);
        return text;
}

static void check(const char *text, const char *expected)
{
        _cleanup_(words_freep) char **list = NULL;
        _cleanup_free_ char *joined = NULL;

        cr_assert_eq(words_append(text, &list), 0, "%s", text);
        joined = join(list);
        cr_expect_str_eq(joined, expected, "%s: %s", text, joined);
}

Test(words, split)
{
        check("", "");
        check(" \t ", "");
        check("a", "<a>");
        check("  a\tb  c ", "<a><b><c>");
        check("\"a b\" 'c d'", "<a b><c d>");
        check("a\"b c\"d", "<ab cd>");
        check("\"\" ''", "<><>");
        check("a\\ b \\\"", "<a b><\">");
        check("\"a\\\"b\" 'a\\b'", "<a\"b><a\\b>");
        check("\"'\" '\"'", "<'><\">");
}

Test(words, what_does_not_end_changes_nothing)
{
        static const char *const bad[] = { "a \"b", "a 'b", "a b\\", "\"\\\"" };
        char **list = NULL;

        cr_assert_eq(words_append("x y", &list), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_expect_eq(words_append(bad[i], &list), -EINVAL, "%s", bad[i]);
        cr_expect_eq(words_count(list), 2);
        words_free(list);
}

Test(words, append)
{
        char **list = NULL;

        cr_assert_eq(words_append("a", &list), 0);
        cr_assert_eq(words_append("", &list), 0);
        cr_assert_eq(words_append("b c", &list), 0);
        cr_assert_eq(words_count(list), 3);
        cr_expect_str_eq(list[2], "c");
        words_free(list);
}

Test(words, printed_words_are_read_as_the_same)
{
        static const char *const words[] = { "a",   "",     "b c",           "\"", "'", "\\",
                                             " ;x", "t\tt", "a\\ \"b\" 'c'", NULL };
        _cleanup_(words_freep) char **list = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        words_print((char *const *)words, to);
        fclose(to);
        cr_assert_eq(words_append(text, &list), 0, "%s", text);
        cr_expect_null(strstr(text, " ;"), "inih would take it for a comment: %s", text);
        cr_assert_eq(words_count(list), words_count((char *const *)words));
        for (size_t i = 0; words[i]; i++)
                cr_expect_str_eq(list[i], words[i]);
}
