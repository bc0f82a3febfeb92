/* scan.c: the hard cases of RFC 8259, what is refused beyond it, and the limits. */
#include "scan.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define DEPTH  8
#define VALUES 100

static const ScanLimits limits = { .depth_max = DEPTH, .values_max = VALUES };

/* Texts may hold NULs, so they carry their length. */
typedef struct Case {
        const char *text;
        size_t length;
} Case;
#define CASE(literal)                                                                                       \
        {                                                                                                   \
                literal, sizeof(literal) - 1                                                                \
        }

/* From memory of just that length, so that a sanitizer sees a read beyond it. */
static int scan_exactly(const char *text, size_t length, size_t *ret_offset)
{
        _cleanup_free_ char *copy = malloc(length);

        memcpy(copy, text, length);
        return scan_object(copy, length, &limits, ret_offset);
}

static int scan(const char *text)
{
        return scan_exactly(text, strlen(text), NULL);
}

static int scan_as_value(const Case *c)
{
        char text[512];
        size_t n;

        n = (size_t)snprintf(text, sizeof(text), "{\"k\":");
        memcpy(text + n, c->text, c->length);
        n += c->length;
        text[n++] = '}';
        return scan_exactly(text, n, NULL);
}

static const Case good_values[] = {
        /* words */
        CASE("null"),
        CASE("true"),
        CASE("false"),
        CASE(" \t\r\n null \t\r\n "),
        /* numbers */
        CASE("0"),
        CASE("-0"),
        CASE("1"),
        CASE("-1"),
        CASE("1234567890"),
        CASE("0.0"),
        CASE("-0.1"),
        CASE("1.25"),
        CASE("1e5"),
        CASE("1E5"),
        CASE("1e+5"),
        CASE("1e-5"),
        CASE("0e0"),
        CASE("0e+01"),
        CASE("1.5e300"),
        CASE("1e999999"),
        CASE("123456789012345678901234567890"),
        CASE("-9223372036854775809"),
        /* strings */
        CASE("\"\""),
        CASE("\"a\""),
        CASE("\" \""),
        CASE("\"\x7f\""),
        CASE("\"/\""),
        CASE("\"'\""),
        CASE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
        CASE("\"\\u0001\""),
        CASE("\"\\u001f\""),
        CASE("\"\\u0020\""),
        CASE("\"\\uABCD\\uabcd\""),
        CASE("\"\\uFFFF\""),
        CASE("\"\\uFDD0\""),
        CASE("\"\\ud83d\\ude00\""),
        CASE("\"\\uD800\\uDC00\""),
        CASE("\"\\uDBFF\\uDFFF\""),
        CASE("\"\\\\u0000\""),
        CASE("\"\\ud7ff\\ue000\""),
        /* UTF-8 of each length, first and last */
        CASE("\"\xc2\x80\""),
        CASE("\"\xdf\xbf\""),
        CASE("\"\xe0\xa0\x80\""),
        CASE("\"\xed\x9f\xbf\""),
        CASE("\"\xee\x80\x80\""),
        CASE("\"\xef\xbf\xbf\""),
        CASE("\"\xf0\x90\x80\x80\""),
        CASE("\"\xf4\x8f\xbf\xbf\""),
        CASE("\"\xe2\x80\xa8\""),
        CASE("\"\xef\xbb\xbf\""),
        /* containers */
        CASE("[]"),
        CASE("[ ]"),
        CASE("{}"),
        CASE("{ }"),
        CASE("[1]"),
        CASE("[1,2]"),
        CASE("[ 1 , 2 ]"),
        CASE("[[]]"),
        CASE("[{}]"),
        CASE("{\"a\":1,\"b\":2}"),
        CASE("{ \"a\" : 1 , \"b\" : [ ] }"),
        CASE("{\"\":0}"),
        CASE("{\"k\":1}"),
        CASE("[{\"a\":1,\"b\":{\"c\":[null]}}]"),
};

static const Case bad_values[] = {
        /* words */
        CASE(""),
        CASE(" "),
        CASE("nul"),
        CASE("nulll"),
        CASE("True"),
        CASE("TRUE"),
        CASE("tru"),
        CASE("fals"),
        CASE("NaN"),
        CASE("nan"),
        CASE("Infinity"),
        CASE("-Infinity"),
        CASE("inf"),
        CASE("undefined"),
        CASE("a"),
        /* numbers */
        CASE("-"),
        CASE("+1"),
        CASE("01"),
        CASE("-01"),
        CASE("00"),
        CASE("1."),
        CASE(".1"),
        CASE("-.1"),
        CASE("1.e1"),
        CASE("1e"),
        CASE("1e+"),
        CASE("1e-"),
        CASE("1E"),
        CASE("1e1.5"),
        CASE("1e+-1"),
        CASE("--1"),
        CASE("0x10"),
        CASE("1_000"),
        CASE("1 000"),
        CASE("1,000"),
        CASE("- 1"),
        CASE("1f"),
        CASE("1.2.3"),
        CASE("\xef\xbc\x91"),
        /* strings */
        CASE("\""),
        CASE("\"a"),
        CASE("'a'"),
        CASE("\"\\\""),
        CASE("\"\\x41\""),
        CASE("\"\\a\""),
        CASE("\"\\v\""),
        CASE("\"\\0\""),
        CASE("\"\\'\""),
        CASE("\"\\U0041\""),
        CASE("\"\\"),
        CASE("\"\\u\""),
        CASE("\"\\u1\""),
        CASE("\"\\u12\""),
        CASE("\"\\u123\""),
        CASE("\"\\u123g\""),
        CASE("\"\\u 123\""),
        CASE("\"\\u+123\""),
        CASE("\"\\u0000\""),
        CASE("\"a\\u0000b\""),
        CASE("\"\0\""),
        CASE("\"\n\""),
        CASE("\"\t\""),
        CASE("\"\r\""),
        CASE("\"\x01\""),
        CASE("\"\x1f\""),
        CASE("\"a\" \"b\""),
        CASE("\"a\"b"),
        /* surrogates as escapes */
        CASE("\"\\ud800\""),
        CASE("\"\\udbff\""),
        CASE("\"\\udc00\""),
        CASE("\"\\udfff\""),
        CASE("\"\\ud800a\""),
        CASE("\"\\ud800\\n\""),
        CASE("\"\\ud800\\u0041\""),
        CASE("\"\\ud800\\ud800\""),
        CASE("\"\\udc00\\ud800\""),
        CASE("\"\\ud800\\udbff\""),
        CASE("\"\\ud800\\ue000\""),
        CASE("\"\\ud800\\udc0\""),
        CASE("\"\\ud800\\\""),
        CASE("\"\\ud800\\"),
        /* surrogates, overlong forms and what is beyond Unicode as bytes */
        CASE("\"\xed\xa0\x80\""),
        CASE("\"\xed\xaf\xbf\""),
        CASE("\"\xed\xb0\x80\""),
        CASE("\"\xed\xbf\xbf\""),
        CASE("\"\xc0\x80\""),
        CASE("\"\xc0\xaf\""),
        CASE("\"\xc1\xbf\""),
        CASE("\"\xe0\x80\x80\""),
        CASE("\"\xe0\x9f\xbf\""),
        CASE("\"\xf0\x80\x80\x80\""),
        CASE("\"\xf0\x8f\xbf\xbf\""),
        CASE("\"\xf4\x90\x80\x80\""),
        CASE("\"\xf5\x80\x80\x80\""),
        CASE("\"\xf8\x88\x80\x80\x80\""),
        CASE("\"\xfe\""),
        CASE("\"\xff\""),
        /* broken UTF-8 */
        CASE("\"\x80\""),
        CASE("\"\xbf\""),
        CASE("\"\xc2\""),
        CASE("\"\xc2"),
        CASE("\"\xc2z\""),
        CASE("\"\xe0\xa0\""),
        CASE("\"\xe0\xa0"),
        CASE("\"\xf0\x90\x80\""),
        CASE("\"\xf0\x90\x80"),
        CASE("\"\xe2\xc0\x80\""),
        CASE("\"\xe9\""),
        /* containers */
        CASE("["),
        CASE("[1"),
        CASE("[1,"),
        CASE("[1,]"),
        CASE("[,1]"),
        CASE("[,]"),
        CASE("[1,,2]"),
        CASE("[1 2]"),
        CASE("[1}"),
        CASE("]"),
        CASE("[1]]"),
        CASE("[a]"),
        CASE("[\""),
        CASE("{"),
        CASE("{\"a\""),
        CASE("{\"a\":"),
        CASE("{\"a\":1"),
        CASE("{\"a\":1,"),
        CASE("{\"a\":1,}"),
        CASE("{,}"),
        CASE("{\"a\"}"),
        CASE("{\"a\" 1}"),
        CASE("{\"a\"::1}"),
        CASE("{\"a\":}"),
        CASE("{:1}"),
        CASE("{a:1}"),
        CASE("{1:1}"),
        CASE("{'a':1}"),
        CASE("{null:1}"),
        CASE("{[]:1}"),
        CASE("{\"a\":1 \"b\":2}"),
        CASE("{\"a\":1]"),
        CASE("{\"a\":1,,\"b\":2}"),
        CASE("{\"\\ud800\":1}"),
        CASE("{\"\xff\":1}"),
        /* not JSON */
        CASE("/**/1"),
        CASE("1//"),
        CASE("1#"),
        CASE("\f1"),
        CASE("\v1"),
        CASE("\302\2401"),
        CASE("\357\273\2771"),
        CASE("1\0"),
        CASE("\0001"),
};

Test(scan, good_values)
{
        for (size_t i = 0; i < ELEMENTSOF(good_values); i++)
                cr_expect_eq(scan_as_value(&good_values[i]), 0, "%zu: %s", i, good_values[i].text);
}

Test(scan, bad_values)
{
        for (size_t i = 0; i < ELEMENTSOF(bad_values); i++)
                cr_expect_eq(scan_as_value(&bad_values[i]), -EBADMSG, "%zu: %s", i, bad_values[i].text);
}

/* The top: exactly one object. */
static const Case good_texts[] = {
        CASE("{}"),
        CASE(" { } "),
        CASE("\t\r\n {\"a\":1}\t\r\n "),
        CASE("{\"a\":{\"a\":{\"a\":1}}}"),
        CASE("{\"a\":1,\"A\":2}"),
        CASE("{\"a\":1,\"ab\":2,\"\":3}"),
        CASE("{\"a\":{\"x\":1},\"b\":{\"x\":1}}"),
        CASE("{\"\\u00e9\":1,\"e\":2}"),
};

static const Case bad_texts[] = {
        CASE(""),       CASE(" "),
        CASE("\0"),     CASE("[]"),
        CASE("[{}]"),   CASE("1"),
        CASE("\"{}\""), CASE("null"),
        CASE("{}{}"),   CASE("{} x"),
        CASE("{},"),    CASE("{}\0"),
        CASE("x{}"),    CASE("\xef\xbb\xbf{}"),
        CASE("}"),      CASE("{"),
};

Test(scan, good_texts)
{
        for (size_t i = 0; i < ELEMENTSOF(good_texts); i++)
                cr_expect_eq(scan_exactly(good_texts[i].text, good_texts[i].length, NULL), 0, "%s",
                             good_texts[i].text);
}

Test(scan, bad_texts)
{
        for (size_t i = 0; i < ELEMENTSOF(bad_texts); i++)
                cr_expect_eq(scan_exactly(bad_texts[i].text, bad_texts[i].length, NULL), -EBADMSG, "%s",
                             bad_texts[i].text);
}

Test(scan, no_text_may_be_cut_anywhere)
{
        const char *text = "{\"a\\u00e9\xc3\xa9\\ud83d\\ude00\\n\":[true,false,null,-1.5e+3,{\"b\":\"\"}]}";

        cr_assert_eq(scan(text), 0);
        for (size_t length = 0; length < strlen(text); length++)
                cr_expect_eq(scan_exactly(text, length, NULL), -EBADMSG, "the first %zu", length);
}

/* The same key twice, however it is written. */
Test(scan, duplicate_keys)
{
        static const char *const texts[] = {
                "{\"a\":1,\"a\":1}",
                "{\"a\":1,\"b\":2,\"a\":3}",
                "{\"\":1,\"\":1}",
                "{\"a\":1,\"\\u0061\":1}",
                "{\"\\u0061\":1,\"a\":1}",
                "{\"\xc3\xa9\":1,\"\\u00e9\":1}",
                "{\"\\u00E9\":1,\"\\u00e9\":1}",
                "{\"\xf0\x9f\x98\x80\":1,\"\\uD83D\\uDE00\":1}",
                "{\"/\":1,\"\\/\":1}",
                "{\"\\n\":1,\"\\u000a\":1}",
                "{\"\\\"\":1,\"\\u0022\":1}",
                "{\"p\":{\"a\":1,\"a\":2}}",
                "{\"p\":{},\"q\":{\"a\":1,\"a\":2}}",
                "{\"p\":{\"x\":{\"y\":1},\"x\":2}}",
                "{\"p\":{\"x\":{}},\"p\":1}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                cr_expect_eq(scan(texts[i]), -EBADMSG, "%s", texts[i]);
}

Test(scan, keys_further_down_are_not_compared)
{
        cr_expect_eq(scan("{\"p\":{\"x\":{\"a\":1,\"a\":1}}}"), 0);
        cr_expect_eq(scan("{\"p\":[{\"a\":1,\"a\":1}]}"), 0);
}

/* {"p":[[…]]}, depth containers in all. */
static int scan_nested(size_t depth, char opening, char closing)
{
        char text[256] = "{\"p\":";

        for (size_t i = 1; i < depth; i++)
                sprintf(text + strlen(text), opening == '{' && i + 1 < depth ? "{\"p\":" : "%c", opening);
        for (size_t i = 1; i < depth; i++)
                sprintf(text + strlen(text), "%c", closing);
        strcat(text, "}");
        return scan(text);
}

Test(scan, depth)
{
        cr_expect_eq(scan_nested(DEPTH, '[', ']'), 0);
        cr_expect_eq(scan_nested(DEPTH + 1, '[', ']'), -E2BIG);
        cr_expect_eq(scan_nested(DEPTH, '{', '}'), 0);
        cr_expect_eq(scan_nested(DEPTH + 1, '{', '}'), -E2BIG);
}

Test(scan, containers_side_by_side_are_not_deep)
{
        cr_expect_eq(scan("{\"p\":[[],[],[],[],[],[],[],[],[],[],{},{},{},{},{},{},{},{},{},{}]}"), 0);
}

/* {"p":[0,0,…]}: n values in all. */
static int scan_values(size_t n)
{
        char text[4 * VALUES] = "{\"p\":[0";

        for (size_t i = 3; i < n; i++)
                strcat(text, ",0");
        strcat(text, "]}");
        return scan(text);
}

Test(scan, values)
{
        cr_expect_eq(scan_values(VALUES), 0);
        cr_expect_eq(scan_values(VALUES + 1), -E2BIG);
}

static int scan_keys(size_t n, const char *before, const char *after)
{
        char text[32 * SCAN_KEYS_MAX];

        strcpy(text, before);
        for (size_t i = 0; i < n; i++)
                sprintf(text + strlen(text), "%s\"key%zu\":0", i > 0 ? "," : "", i);
        strcat(text, after);
        return scan(text);
}

Test(scan, keys)
{
        cr_expect_eq(scan_keys(SCAN_KEYS_MAX, "{", "}"), 0);
        cr_expect_eq(scan_keys(SCAN_KEYS_MAX + 1, "{", "}"), -E2BIG);
        cr_expect_eq(scan_keys(SCAN_KEYS_MAX, "{\"p\":{", "}}"), 0);
        cr_expect_eq(scan_keys(SCAN_KEYS_MAX + 1, "{\"p\":{", "}}"), -E2BIG);
        cr_expect_eq(scan_keys(SCAN_KEYS_MAX + 1, "{\"p\":{\"q\":{", "}}}"), 0);
}

Test(scan, offset)
{
        size_t offset = 4711;

        cr_expect_eq(scan_exactly("{\"a\":1}", 7, &offset), 0);
        cr_expect_eq(offset, 4711, "untouched by success");
        cr_expect_eq(scan_exactly("{\"a\":x}", 7, &offset), -EBADMSG);
        cr_expect_eq(offset, 5);
        cr_expect_eq(scan_exactly("{} x", 4, &offset), -EBADMSG);
        cr_expect_eq(offset, 3);
}

/* A quarter of a megabyte that would be slow if anything were looked at again and again. */
Test(scan, large, .timeout = 30)
{
        static char text[256 * 1024];
        const ScanLimits large = { .depth_max = 8, .values_max = SIZE_MAX };
        size_t key = sizeof(text) / SCAN_KEYS_MAX, n = 0;

        for (size_t i = 0; i + 1 < SCAN_KEYS_MAX; i++) {
                n += (size_t)sprintf(text + n, i > 0 ? ",\"" : "{\"");
                memset(text + n, 'x', key - 16);
                n += key - 16;
                n += (size_t)sprintf(text + n, "%02zu\":0", i);
        }
        text[n++] = '}';
        cr_expect_eq(scan_object(text, n, &large, NULL), 0);
}
