/* field.c: every kind of field, there and absent, right and wrong, and which parameter the error names. */
#include "field.h"

#include <criterion/criterion.h>
#include <json-c/json.h>

#include "protocol.h"

typedef struct Inner {
        int64_t size;
        char *name;
} Inner;

typedef struct Sample {
        int flag;
        int64_t number, any, fd;
        char *text, *line;
        char **list;
        Inner inner;
} Sample;

static const Field inner_table[] = {
        {"size",            FIELD_INT, offsetof(Inner, size), .required = true, .min = 0, .max = INT64_MAX },
        { "name",   FIELD_STRING, offsetof(Inner, name) },
        {}
};

static const Field sample_table[] = {
        {"flag",            FIELD_BOOL, offsetof(Sample, flag) },
        { "number",  FIELD_INT, offsetof(Sample, number), .min = -5, .max = 100 },
        { "any",                FIELD_INT, offsetof(Sample, any), .min = INT64_MIN, .max = INT64_MAX },
        { "fd",       FIELD_FD, offsetof(Sample, fd) },
        { "text",          FIELD_STRING, offsetof(Sample, text) },
        { "line",       FIELD_STRING, offsetof(Sample, line), .min = 2, .max = 4 },
        { "list",            FIELD_STRINGS, offsetof(Sample, list), .min = 0, .max = 3 },
        { "inner",  FIELD_OBJECT, offsetof(Sample, inner), .sub = inner_table },
        {               }
};

static int parse_with(const Field *table, const char *text, void *ret, Error *e)
{
        struct json_object *params = json_tokener_parse(text);
        int r;

        cr_assert_not_null(params, "%s", text);
        r = fields_parse(params, table, ret, e);
        json_object_put(params);
        return r;
}

static int parse(const char *text, Sample *ret, Error *e)
{
        memset(ret, 0xa5, sizeof(*ret)); /* it need not be initialised */
        return parse_with(sample_table, text, ret, e);
}

static void expect_absent(const Sample *s)
{
        cr_expect_eq(s->flag, -1);
        cr_expect_eq(s->number, FIELD_ABSENT);
        cr_expect_eq(s->any, FIELD_ABSENT);
        cr_expect_eq(s->fd, FIELD_ABSENT);
        cr_expect_null(s->text);
        cr_expect_null(s->line);
        cr_expect_null(s->list);
        cr_expect_eq(s->inner.size, FIELD_ABSENT);
        cr_expect_null(s->inner.name);
}

Test(field, nothing_is_there)
{
        _cleanup_error_ Error e = {};
        Sample s;

        cr_assert_eq(parse("{}", &s, &e), 0);
        expect_absent(&s);
        cr_assert_eq(fields_parse(NULL, sample_table, &s, &e), 0);
        expect_absent(&s);
        cr_assert_eq(
                parse("{\"flag\":null,\"number\":null,\"any\":null,\"fd\":null,\"text\":null,\"line\":null,"
                      "\"list\":null,\"inner\":null}",
                      &s, &e),
                0);
        expect_absent(&s);
        cr_expect_null(e.name);
}

Test(field, everything_is_there)
{
        _cleanup_error_ Error e = {};
        Sample s;

        cr_assert_eq(
                parse("{\"flag\":true,\"number\":-5,\"any\":9223372036854775807,\"fd\":63,\"text\":\"\","
                      "\"line\":\"\xc3\xa9\xc3\xa9\",\"list\":[\"a\",\"\",\"c\"],"
                      "\"inner\":{\"size\":0,\"name\":\"in\"}}",
                      &s, &e),
                0);
        cr_expect_eq(s.flag, 1);
        cr_expect_eq(s.number, -5);
        cr_expect_eq(s.any, INT64_MAX);
        cr_expect_eq(s.fd, 63);
        cr_expect_str_empty(s.text);
        cr_expect_str_eq(s.line, "éé");
        cr_expect_str_eq(s.list[0], "a");
        cr_expect_str_empty(s.list[1]);
        cr_expect_str_eq(s.list[2], "c");
        cr_expect_null(s.list[3]);
        cr_expect_eq(s.inner.size, 0);
        cr_expect_str_eq(s.inner.name, "in");
        fields_done(sample_table, &s);
        expect_absent(&s);
}

Test(field, good_values)
{
        static const char *const texts[] = {
                "{\"flag\":false}",
                "{\"number\":100}",
                "{\"number\":-0}",
                "{\"any\":-9223372036854775807}",
                "{\"fd\":0}",
                "{\"line\":\"ab\"}",
                "{\"line\":\"abcd\"}",
                "{\"list\":[]}",
                "{\"inner\":{\"size\":9223372036854775807,\"name\":null}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_error_ Error e = {};
                Sample s;

                cr_expect_eq(parse(texts[i], &s, &e), 0, "%s", texts[i]);
                fields_done(sample_table, &s);
        }
}

/* The parameter that is wrong is the one that is named, and nothing is left to free. */
Test(field, bad_values)
{
        static const struct {
                const char *text, *parameter;
        } cases[] = {
                {"{\"unknown\":1}",                                               "unknown"   },
                { "{\"unknown\":null}",                                           "unknown"   },
                { "{\"Flag\":true}",                                              "Flag"      },
                { "{\"\":1}",                                                     ""          },
                { "{\"flag\":1}",                                                 "flag"      },
                { "{\"flag\":\"true\"}",                                          "flag"      },
                { "{\"flag\":[]}",                                                "flag"      },
                { "{\"number\":101}",                                             "number"    },
                { "{\"number\":-6}",                                              "number"    },
                { "{\"number\":1.0}",                                             "number"    },
                { "{\"number\":1e1}",                                             "number"    },
                { "{\"number\":\"1\"}",                                           "number"    },
                { "{\"number\":true}",                                            "number"    },
                { "{\"number\":{}}",                                              "number"    },
                { "{\"any\":9223372036854775808}",                                "any"       },
                { "{\"any\":18446744073709551615}",                               "any"       },
                { "{\"any\":99999999999999999999999}",                            "any"       },
                { "{\"any\":-9223372036854775808}",                               "any"       },
                { "{\"any\":-9223372036854775809}",                               "any"       },
                { "{\"any\":-99999999999999999999999}",                           "any"       },
                { "{\"fd\":64}",                                                  "fd"        },
                { "{\"fd\":-1}",                                                  "fd"        },
                { "{\"fd\":4294967296}",                                          "fd"        },
                { "{\"text\":1}",                                                 "text"      },
                { "{\"text\":[\"a\"]}",                                           "text"      },
                { "{\"line\":\"a\"}",                                             "line"      },
                { "{\"line\":\"abcde\"}",                                         "line"      },
                { "{\"line\":\"\xc3\xa9\xc3\xa9\xc3\xa9\"}",                      "line"      },
                { "{\"list\":\"a\"}",                                             "list"      },
                { "{\"list\":{}}",                                                "list"      },
                { "{\"list\":[\"a\",1]}",                                         "list"      },
                { "{\"list\":[\"a\",null]}",                                      "list"      },
                { "{\"list\":[\"a\",[\"b\"]]}",                                   "list"      },
                { "{\"list\":[\"a\",\"b\",\"c\",\"d\"]}",                         "list"      },
                { "{\"inner\":[]}",                                               "inner"     },
                { "{\"inner\":true}",                                             "inner"     },
                { "{\"inner\":{}}",                                               "inner.size"},
                { "{\"inner\":{\"size\":null}}",                                  "inner.size"},
                { "{\"inner\":{\"size\":\"1\"}}",                                 "inner.size"},
                { "{\"inner\":{\"size\":1,\"more\":2}}",                          "inner.more"},
                { "{\"inner\":{\"size\":1,\"name\":2}}",                          "inner.name"},
                { "{\"text\":\"x\",\"list\":[\"y\"],\"inner\":{\"name\":\"z\"}}", "inner.size"},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ Error e = {};
                Sample s;

                cr_expect_eq(parse(cases[i].text, &s, &e), -EREMOTEIO, "%s", cases[i].text);
                cr_assert_not_null(e.name, "%s", cases[i].text);
                cr_expect_str_eq(e.name, ERROR_INVALID_PARAMETER);
                cr_expect_str_eq(error_text(&e, "parameter"), cases[i].parameter, "%s", cases[i].text);
                expect_absent(&s);
        }
}

/* The table below asks for one more than the tables above. */
Test(field, required)
{
        static const Field table[] = {
                {"text",            FIELD_STRING, 0, .required = true },
                {}
        };
        _cleanup_error_ Error e = {};
        char *text;

        cr_expect_eq(parse_with(table, "{}", &text, &e), -EREMOTEIO);
        cr_expect_eq(parse_with(table, "{\"text\":null}", &text, &e), -EREMOTEIO);
        cr_expect_eq(fields_parse(NULL, table, &text, &e), -EREMOTEIO);
        cr_expect_str_eq(error_text(&e, "parameter"), "text");
        cr_assert_eq(parse_with(table, "{\"text\":\"x\"}", &text, &e), 0);
        cr_expect_str_eq(text, "x");
        fields_done(table, &text);
        cr_expect_null(text);
}

static int parse_made(const char *name, struct json_object *value, Sample *s, Error *e)
{
        struct json_object *params = json_object_new_object();
        int r;

        json_object_object_add(params, name, value);
        r = fields_parse(params, sample_table, s, e);
        json_object_put(params);
        return r;
}

/* The scanner refuses them earlier, and this one does not rely on it. */
Test(field, a_nul_does_not_cut_a_string_short)
{
        _cleanup_error_ Error e = {};
        struct json_object *list = json_object_new_array();
        Sample s;

        cr_expect_eq(parse_made("text", json_object_new_string_len("a\0b", 3), &s, &e), -EREMOTEIO);
        cr_expect_str_eq(error_text(&e, "parameter"), "text");
        json_object_array_add(list, json_object_new_string_len("\0", 1));
        cr_expect_eq(parse_made("list", list, &s, &e), -EREMOTEIO);
        cr_expect_str_eq(error_text(&e, "parameter"), "list");
}

/* What was parsed is formatted as the same, absent or not. */
Test(field, format)
{
        static const char *const texts[] = {
                "{}",
                "{\"text\":\"\"}",
                "{\"text\":\"x\\n\",\"list\":[\"a\",\"\"]}",
                "{\"list\":[]}",
                "{\"flag\":true,\"number\":-5,\"inner\":{\"size\":9}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_error_ Error e = {};
                struct json_object *formatted;
                Sample s;

                cr_assert_eq(parse_with(sample_table, texts[i], &s, &e), 0, "%s", texts[i]);
                formatted = fields_format(sample_table, &s);
                Sample again;
                cr_assert_eq(fields_parse(formatted, sample_table, &again, &e), 0);
                struct json_object *twice = fields_format(sample_table, &again);
                cr_expect(json_object_equal(formatted, twice));
                cr_expect_eq(strlen(json_object_to_json_string(formatted)) > 3, i > 0, "%s",
                             json_object_to_json_string(formatted));
                json_object_put(twice);
                json_object_put(formatted);
                fields_done(sample_table, &s);
                fields_done(sample_table, &again);
        }
}
