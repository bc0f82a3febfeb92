/* Tables: aligned, escaped, cut to a width. */
#include <criterion/criterion.h>

#include "table.h"

static void check(const char *const *cells, size_t columns, size_t width, const char *expected)
{
        _cleanup_table_ Table t = { .columns = columns };
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        for (; *cells; cells++)
                cr_assert_eq(table_add(&t, *cells), 0);
        table_print(&t, stream, width);
        fclose(stream);
        cr_expect_str_eq(text, expected);
}
#define CELLS(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(table, aligns_all_but_the_last)
{
        check(CELLS("ID", "COMMAND", "abcdef", "sleep 100", "x", "sh"), 2, 0,
              "ID      COMMAND\nabcdef  sleep 100\nx       sh\n");
}

Test(table, shows_that_there_is_nothing)
{
        check(CELLS("A", "B", "", ""), 2, 0, "A  B\n-  -\n");
}

Test(table, nothing_at_all)
{
        _cleanup_table_ Table t = { .columns = 1 };

        cr_assert_eq(table_add(&t, NULL), 0);
        cr_expect_str_eq(t.cells[0], "-");
}

Test(table, counts_characters_not_bytes)
{
        check(CELLS("\u00e4\u00f6", "1", "abc", "2"), 2, 0, "\u00e4\u00f6   1\nabc  2\n");
}

Test(table, escapes)
{
        check(CELLS("a\nb", "\033[2J"), 2, 0, "a\\x0ab  \\x1b[2J\n");
}

Test(table, cuts_to_the_width)
{
        check(CELLS("abcd", "efghij", "k", "lm"), 2, 8, "abcd  ef\nk     lm\n");
        check(CELLS("abcd", "ef"), 2, 5, "abcd \n");
        check(CELLS("abcd", "ef"), 2, 3, "abc\n");
}
