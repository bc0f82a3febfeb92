/* reply.c: what a call and a reply may look like, and what ours do. */
#include "reply.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>

#include "protocol.h"

static int parse_call(const char *text, CallMessage *ret)
{
        return call_message_parse(text, strlen(text), ret);
}

static struct json_object *json(const char *text)
{
        struct json_object *o = json_tokener_parse(text);

        cr_assert_not_null(o, "%s", text);
        return o;
}

Test(reply, a_whole_call)
{
        _cleanup_(call_message_done) CallMessage m = {};

        cr_assert_eq(
                parse_call("{\"method\":\"org.example.Do\",\"parameters\":{\"a\":1},\"more\":true}", &m), 0);
        cr_expect_str_eq(m.method, "org.example.Do");
        cr_expect_str_eq(json_object_to_json_string_ext(m.parameters, 0), "{\"a\":1}");
        cr_expect(m.more);
        cr_expect_not(m.oneway);
        cr_expect_not(m.upgrade);
}

Test(reply, flags_of_a_call)
{
        _cleanup_(call_message_done) CallMessage oneway = {}, upgrade = {};

        cr_assert_eq(parse_call("{\"oneway\":true,\"more\":false,\"method\":\"a.B\"}", &oneway), 0);
        cr_expect(oneway.oneway && !oneway.more && !oneway.upgrade);
        cr_assert_eq(parse_call("{\"method\":\"a.B\",\"upgrade\":true}", &upgrade), 0);
        cr_expect(upgrade.upgrade && !upgrade.more && !upgrade.oneway);
}

Test(reply, good_calls)
{
        static const struct {
                const char *text;
                bool has_parameters;
        } cases[] = {
                {"{\"method\":\"a.B\"}",                                                    false},
                { "{\"method\":\"a.B\",\"parameters\":null}",                               false},
                { "{\"method\":\"a.B\",\"parameters\":{}}",                                 true },
                { "{\"method\":\"a.B\",\"parameters\":{\"x\":null},\"more\":false}",        true },
                { "{\"method\":\"a.B\",\"more\":false,\"oneway\":false,\"upgrade\":false}", false},
                { " {\n\"method\" : \"org.varlink.service.GetInfo\" } ",                    false},
                { "{\"m\\u0065thod\":\"a\\u002eB\"}",                                       false},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(call_message_done) CallMessage m = {};

                cr_expect_eq(parse_call(cases[i].text, &m), 0, "%s", cases[i].text);
                cr_expect_eq(m.parameters != NULL, cases[i].has_parameters, "%s", cases[i].text);
        }
}

Test(reply, bad_calls)
{
        static const char *const texts[] = {
                "",
                "{}",
                "[]",
                "null",
                "\"a.B\"",
                "{\"method\":\"a.B\"",
                "{\"method\":\"a.B\"} x",
                "{\"method\":\"a.B\"}{\"method\":\"a.B\"}",
                "{\"method\":\"a.B\",\"method\":\"a.B\"}",
                "{\"method\":\"a.B\",\"m\\u0065thod\":\"a.B\"}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":1,\"x\":1}}",
                "{\"parameters\":{}}",
                "{\"method\":null}",
                "{\"method\":1}",
                "{\"method\":\"\"}",
                "{\"method\":\"a\"}",
                "{\"method\":\".B\"}",
                "{\"method\":\"a.\"}",
                "{\"method\":\".\"}",
                "{\"method\":\"a.B\\u0000\"}",
                "{\"method\":\"a.B\",\"parameters\":[]}",
                "{\"method\":\"a.B\",\"parameters\":\"\"}",
                "{\"method\":\"a.B\",\"parameters\":0}",
                "{\"method\":\"a.B\",\"parameters\":false}",
                "{\"method\":\"a.B\",\"more\":1}",
                "{\"method\":\"a.B\",\"more\":\"true\"}",
                "{\"method\":\"a.B\",\"more\":null}",
                "{\"method\":\"a.B\",\"oneway\":0}",
                "{\"method\":\"a.B\",\"upgrade\":{}}",
                "{\"method\":\"a.B\",\"more\":true,\"oneway\":true}",
                "{\"method\":\"a.B\",\"continues\":true}",
                "{\"method\":\"a.B\",\"unknown\":null}",
                "{\"method\":\"a.B\",\"\":0}",
                "{'method':'a.B'}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":NaN}}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":\"\xff\"}}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":\"\n\"}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                CallMessage m = { .method = NULL };

                cr_expect_eq(parse_call(texts[i], &m), -EBADMSG, "%s", texts[i]);
                cr_expect_null(m.method, "%s", texts[i]);
                cr_expect_null(m.parameters, "%s", texts[i]);
        }
}

/* {"method":"a.B","parameters":{"x":[[…]]}}, depth containers in all. */
static int parse_nested(size_t depth)
{
        _cleanup_(call_message_done) CallMessage m = {};
        char text[128] = "{\"method\":\"a.B\",\"parameters\":{\"x\":";

        for (size_t i = 2; i < depth; i++)
                strcat(text, "[");
        strcat(text, "1");
        for (size_t i = 2; i < depth; i++)
                strcat(text, "]");
        strcat(text, "}}");
        return parse_call(text, &m);
}

Test(reply, calls_are_limited_in_depth)
{
        for (size_t depth = 2; depth <= MESSAGE_DEPTH_MAX; depth++)
                cr_expect_eq(parse_nested(depth), 0, "%zu", depth);
        cr_expect_eq(parse_nested(MESSAGE_DEPTH_MAX + 1), -E2BIG);
}

/* Four values are not in the list: the message, its method, the parameters and the list. */
static int parse_list(size_t values, int (*parse)(const char *text))
{
        _cleanup_free_ char *text = malloc(64 + 2 * values);
        size_t n;

        n = (size_t)sprintf(text, "{\"parameters\":{\"x\":[0");
        for (size_t i = 5; i < values; i++, n += 2)
                memcpy(text + n, ",0", 2);
        strcpy(text + n, "]}");
        return parse(text);
}

static int parse_as_call(const char *start)
{
        _cleanup_(call_message_done) CallMessage m = {};
        _cleanup_free_ char *text = NULL;

        cr_assert_geq(asprintf(&text, "%s,\"method\":\"a.B\"}", start), 0);
        return parse_call(text, &m);
}

static int parse_as_reply(const char *start)
{
        _cleanup_(reply_message_done) ReplyMessage m = {};
        _cleanup_free_ char *text = NULL;

        cr_assert_geq(asprintf(&text, "%s,\"continues\":true}", start), 0);
        return reply_message_parse(text, strlen(text), &m);
}

Test(reply, calls_are_limited_in_values_and_replies_are_not)
{
        cr_expect_eq(parse_list(MESSAGE_VALUES_MAX, parse_as_call), 0);
        cr_expect_eq(parse_list(MESSAGE_VALUES_MAX + 1, parse_as_call), -E2BIG);
        cr_expect_eq(parse_list(MESSAGE_VALUES_MAX + 1, parse_as_reply), 0);
}

/* Checks a message that was made, and frees it. */
static void expect_text(int r, char *text, size_t length, const char *expected)
{
        cr_assert_eq(r, 0);
        cr_expect_str_eq(text, expected);
        cr_expect_eq(length, strlen(expected));
        free(text);
}

Test(reply, replies_always_have_parameters)
{
        char *text;
        size_t length;
        int r;

        r = reply_format(NULL, false, &text, &length);
        expect_text(r, text, length, "{\"parameters\":{}}");
        r = reply_format(json("{\"path\": \"/dev/null\", \"n\": [1, 2]}"), false, &text, &length);
        expect_text(r, text, length, "{\"parameters\":{\"path\":\"/dev/null\",\"n\":[1,2]}}");
        r = reply_format(json("{}"), true, &text, &length);
        expect_text(r, text, length, "{\"parameters\":{},\"continues\":true}");
}

Test(reply, errors_are_replies_too)
{
        _cleanup_error_ Error e = {};
        char *text;
        size_t length;
        int r;

        error_set(&e, "a.Bare");
        r = reply_format_error(&e, &text, &length);
        expect_text(r, text, length, "{\"error\":\"a.Bare\",\"parameters\":{}}");
        error_setf(&e, "a.Full", "path", "/x\"\n");
        error_add_number(&e, "errno", 1);
        r = reply_format_error(&e, &text, &length);
        expect_text(r, text, length,
                    "{\"error\":\"a.Full\",\"parameters\":{\"path\":\"/x\\\"\\n\",\"errno\":1}}");
}

Test(reply, calls_of_our_own)
{
        char *text;
        size_t length;
        int r;

        r = call_message_format("a.B", NULL, false, &text, &length);
        expect_text(r, text, length, "{\"method\":\"a.B\",\"parameters\":{}}");
        r = call_message_format("a.B", json("{\"x\": 1}"), true, &text, &length);
        expect_text(r, text, length, "{\"method\":\"a.B\",\"parameters\":{\"x\":1},\"more\":true}");
}

Test(reply, good_replies)
{
        static const struct {
                const char *text, *error, *parameters;
                bool continues;
        } cases[] = {
                {"{}",                                          NULL,  "{}",        false},
                { "{\"parameters\":null}",                      NULL,  "{}",        false},
                { "{\"parameters\":{\"a\":1}}",                 NULL,  "{\"a\":1}", false},
                { "{\"continues\":true}",                       NULL,  "{}",        true },
                { "{\"continues\":false,\"error\":\"a.B\"}",    "a.B", "{}",        false},
                { "{\"parameters\":{\"a\":1},\"error\":\"E\"}", "E",   "{\"a\":1}", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reply_message_done) ReplyMessage m = {};

                cr_assert_eq(reply_message_parse(cases[i].text, strlen(cases[i].text), &m), 0);
                cr_expect_str_eq(json_object_to_json_string_ext(m.parameters, 0), cases[i].parameters);
                cr_expect_eq(m.continues, cases[i].continues);
                if (cases[i].error)
                        cr_expect_str_eq(m.error, cases[i].error);
                else
                        cr_expect_null(m.error);
        }
}

Test(reply, bad_replies)
{
        static const char *const texts[] = {
                "",
                "[]",
                "{\"parameters\":[]}",
                "{\"parameters\":1}",
                "{\"error\":null}",
                "{\"error\":1}",
                "{\"continues\":1}",
                "{\"continues\":true,\"error\":\"a.B\"}",
                "{\"method\":\"a.B\"}",
                "{} ,",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                ReplyMessage m = { .error = NULL };

                cr_expect_eq(reply_message_parse(texts[i], strlen(texts[i]), &m), -EBADMSG, "%s", texts[i]);
                cr_expect_null(m.error);
                cr_expect_null(m.parameters);
        }
}
