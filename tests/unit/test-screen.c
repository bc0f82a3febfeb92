/* A screen's text: from the top left, each line erased to its end, no more than there is room for. */
#include <criterion/criterion.h>

#include "screen.h"

static void check(const char *text, size_t lines, const char *expected)
{
        _cleanup_free_ char *screen = screen_text(text, lines);

        cr_expect_str_eq(screen, expected);
}

Test(screen, lines)
{
        check("a\nb\n", 10, "\033[Ha\033[K\r\nb\033[K\r\n\033[J");
        check("a\nb", 10, "\033[Ha\033[K\r\nb\033[K\r\n\033[J");
        check("a\nb\nc\n", 2, "\033[Ha\033[K\r\nb\033[K\r\n\033[J");
        check("", 2, "\033[H\r\n\033[J");
}
