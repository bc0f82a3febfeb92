/* Pieces of output: base64, what is readable, and that nothing is seen twice. */
#include <criterion/criterion.h>

#include "record.h"
#include "value.h"

static struct json_object *make(const char *base64, int64_t lost)
{
        struct json_object *o = value_new_text("stream", "stdout");

        value_add_text(o, "dataBase64", base64);
        if (lost != 0)
                value_add_number(o, "lost", lost);
        return o;
}

static void expect_data(const char *base64, const char *data, size_t length)
{
        _cleanup_value_ struct json_object *o = make(base64, 0), *built = NULL;
        _cleanup_record_ Record r = {};

        cr_assert_eq(record_parse(o, &r), 0, "%s", base64);
        cr_assert_eq(r.length, length, "%s", base64);
        cr_expect_arr_eq(r.data, data, length);
        built = record_build(o, &r);
        cr_expect_str_eq(value_text(built, "dataBase64"), base64);
}

Test(record, base64)
{
        expect_data("", "", 0);
        expect_data("Zg==", "f", 1);
        expect_data("Zm8=", "fo", 2);
        expect_data("Zm9v", "foo", 3);
        expect_data("Zm9vYmFy", "foobar", 6);
        expect_data("AP/+", "\0\xff\xfe", 3);
        expect_data("+/A=", "\xfb\xf0", 2);
}

Test(record, what_is_none)
{
        static const char *const bad[] = { "Z", "Zg=", "Z===", "====", "Zm9*", "Zg==Zg==", "Zm9v\n" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_value_ struct json_object *o = make(bad[i], 0);
                Record r;

                cr_expect_eq(record_parse(o, &r), -EBADMSG, "%s", bad[i]);
        }
        _cleanup_value_ struct json_object *negative = make("", -1), *empty = json_object_new_object();
        Record r;
        cr_expect_eq(record_parse(negative, &r), -EBADMSG);
        cr_expect_eq(record_parse(empty, &r), -EBADMSG);
}

static bool is_readable(const char *base64)
{
        _cleanup_value_ struct json_object *o = make(base64, 0), *built = NULL;
        _cleanup_record_ Record r = {};

        cr_assert_eq(record_parse(o, &r), 0);
        built = record_build(o, &r);
        return value_text(built, "data");
}

Test(record, data_is_there_where_it_is_text)
{
        cr_expect(is_readable("Zm9v"));
        cr_expect(is_readable("w7w="));     /* ü */
        cr_expect_not(is_readable("/w==")); /* \xff */
        cr_expect_not(is_readable("AGE=")); /* \0a */
}

/* Passes a record; what is left of it as "lost:data", or "" where nothing is. */
static char *pass(Place *p, const char *base64, int64_t lost)
{
        _cleanup_value_ struct json_object *o = make(base64, lost);
        _cleanup_record_ Record r = {};
        char *text;

        cr_assert_eq(record_parse(o, &r), 0);
        if (!place_pass(p, &r))
                return strdup("");
        cr_assert_geq(asprintf(&text, "%llu:%s", (unsigned long long)r.lost, r.data), 0);
        return text;
}

#define EXPECT_PASS(p, base64, lost, expected)                                                              \
        do {                                                                                                \
                _cleanup_free_ char *_left = pass(p, base64, lost);                                         \
                cr_expect_str_eq(_left, expected);                                                          \
        } while (0)

Test(record, nothing_is_seen_twice)
{
        Place p = {};

        EXPECT_PASS(&p, "Zm9v", 10, "10:foo");
        EXPECT_PASS(&p, "YmFy", 0, "0:bar");
        p.at = 0;                            /* asked once more, and cut in other places */
        EXPECT_PASS(&p, "Zm9vYg==", 10, ""); /* foob */
        EXPECT_PASS(&p, "YXIh", 0, "0:!");   /* ar! */
        EXPECT_PASS(&p, "Zm9v", 2, "2:foo");
        p.at = 0;                           /* what was seen has been dropped in the meantime */
        EXPECT_PASS(&p, "b29v", 20, "0:o"); /* ooo, of which two were seen */
}
