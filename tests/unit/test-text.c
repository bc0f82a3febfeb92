/* What of other people's text may reach a terminal. */
#include <criterion/criterion.h>

#include "text.h"

static void check(char *(*escape)(const char *), const char *text, const char *expected)
{
        _cleanup_free_ char *safe = escape(text);

        cr_expect_str_eq(safe, expected);
}

Test(text, harmless_text_stays)
{
        check(text_escape, "", "");
        check(text_escape, "sh -c 'echo \\n'", "sh -c 'echo \\n'");
        check(text_escape, "gr\u00fc\u00df \u6f22\u5b57 \U0001f600",
              "gr\u00fc\u00df \u6f22\u5b57 \U0001f600");
}

Test(text, control_characters)
{
        check(text_escape, "a\033[31mb", "a\\x1b[31mb");
        check(text_escape, "a\r\n\tb\a\x7f", "a\\x0d\\x0a\\x09b\\x07\\x7f");
        check(text_escape,
              "\xc2\x9b"
              "31m",
              "\\u009b31m");
}

Test(text, characters_that_turn_the_line_around)
{
        check(text_escape, "\u202egpj.exe", "\\u202egpj.exe");
        check(text_escape, "\u2066\u2069\u200f\u061c\u2028\ufeff",
              "\\u2066\\u2069\\u200f\\u061c\\u2028\\ufeff");
        check(text_escape, "\U000e0041", "\\ue0041");
}

Test(text, what_is_not_utf8)
{
        check(text_escape, "\xff\xfe", "\\xff\\xfe");
        check(text_escape,
              "\x9b"
              "31m",
              "\\x9b31m");
        check(text_escape, "\xc0\xaf", "\\xc0\\xaf");                   /* too long a form of / */
        check(text_escape, "\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
        check(text_escape, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
        check(text_escape, "a\xe2\x82", "a\\xe2\\x82");                 /* cut short */
}

Test(text, validity)
{
        cr_expect(text_is_utf8(""));
        cr_expect(text_is_utf8("a\u00e9\u20ac\U0001f600\033"));
        cr_expect_not(text_is_utf8("a\xe9"));
        cr_expect_not(text_is_utf8("\xe2\x82"));
}

Test(text, json_says_the_same)
{
        check(text_escape_json, "{\n  \"a\": \"\\u001b\"\n}", "{\n  \"a\": \"\\u001b\"\n}");
        check(text_escape_json, "\"\u202e\x7f\xc2\x9b\"", "\"\\u202e\\u007f\\u009b\"");
        check(text_escape_json, "\"\U000e0041\"", "\"\\udb40\\udc41\"");
        check(text_escape_json, "\"\xff\"", "\"\\ufffd\"");
}

Test(text, columns)
{
        cr_expect_eq(text_width("abc"), 3);
        cr_expect_eq(text_width("\u00e4\u20ac"), 2);
        cr_expect_eq(text_prefix("\u00e4bc", 2), 3);
        cr_expect_eq(text_prefix("ab", 5), 2);
        cr_expect_eq(text_prefix("ab", 0), 0);
}

static void check_made(char *made, const char *expected)
{
        cr_expect_str_eq(made, expected);
        free(made);
}

Test(text, ages)
{
        check_made(text_age(0), "0s");
        check_made(text_age(119 * USEC_PER_SEC), "119s");
        check_made(text_age(120 * USEC_PER_SEC), "2min");
        check_made(text_age(119 * 60 * USEC_PER_SEC), "119min");
        check_made(text_age(120 * 60 * USEC_PER_SEC), "2h");
        check_made(text_age((uint64_t)50 * 3600 * USEC_PER_SEC), "2d");
}

Test(text, sizes)
{
        check_made(text_size(0), "0B");
        check_made(text_size(1023), "1023B");
        check_made(text_size(1024), "1.0K");
        check_made(text_size(1131168), "1.1M");
        check_made(text_size(3 * GIB), "3.0G");
        check_made(text_size(UINT64_MAX), "16777216.0T");
}
