/* spec.c: what each method takes, and which parameter is named when a value breaks a rule. */
#include "spec.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>

#include "protocol.h"

static struct json_object *json(const char *text)
{
        struct json_object *o = json_tokener_parse(text);

        cr_assert_not_null(o, "%s", text);
        return o;
}

static int parse(const char *text, Spec *ret, Error *e)
{
        struct json_object *o = json(text);
        int r;

        memset(ret, 0xa5, sizeof(*ret)); /* it need not be initialised */
        r = spec_parse(o, ret, e);
        json_object_put(o);
        return r;
}

static void expect_good(const char *text)
{
        _cleanup_error_ Error e = { 0 };
        Spec s;
        int r = parse(text, &s, &e);

        cr_expect_eq(r, 0, "%s: %s", text, error_text(&e, "parameter") ?: "?");
        if (r >= 0)
                spec_done(&s);
}

static void expect_bad(const char *text, const char *parameter)
{
        _cleanup_error_ Error e = { 0 };
        Spec s;

        cr_assert_eq(parse(text, &s, &e), -EREMOTEIO, "%s", text);
        cr_expect_str_eq(e.name, ERROR_INVALID_PARAMETER);
        cr_expect_str_eq(error_text(&e, "parameter") ?: "", parameter, "%s", text);
}

/* {"key":"…"} with n characters. */
static const char *long_value(const char *key, char c, int n)
{
        static char text[8192];
        char value[6000];

        memset(value, c, sizeof(value));
        value[0] = c == '/' ? '/' : value[0];
        snprintf(text, sizeof(text), "{\"%s\":\"%.*s\"}", key, n, value);
        return text;
}

static void expect_lengths(const char *key, char c, int max)
{
        expect_bad(long_value(key, c, 0), key);
        expect_good(long_value(key, c, 1));
        expect_good(long_value(key, c, max));
        expect_bad(long_value(key, c, max + 1), key);
}

Test(spec, nothing_was_said)
{
        _cleanup_error_ Error e = { 0 };
        Spec s;

        cr_assert_eq(spec_parse(NULL, &s, &e), 0);
        cr_expect_null(s.root);
        cr_expect_null(s.arguments);
        cr_expect_null(s.environment);
        cr_expect_null(s.user);
        cr_expect_eq(s.read_only, -1);
        cr_expect_eq(s.progress, -1);
        cr_expect_eq(s.detached, -1);
        cr_expect_eq(s.terminal, -1);
        cr_expect_eq(s.columns, FIELD_ABSENT);
        cr_expect_eq(s.lifeline, FIELD_ABSENT);
        for (int i = 0; i < 3; i++)
                cr_expect_eq(s.stdio[i], FIELD_ABSENT);
        spec_done(&s);
}

Test(spec, everything_was_said)
{
        _cleanup_error_ Error e = { 0 };
        Spec s;

        cr_assert_eq(
                parse("{\"root\":\"busybox\",\"arguments\":[\"sh\",\"-c\",\"\"],\"name\":\"a-b\","
                      "\"environment\":[\"A=\",\"B=c=d\"],\"workingDirectory\":\"/tmp\",\"user\":\"bin\","
                      "\"hostname\":\"h\",\"network\":\"none\",\"readOnly\":true,\"progress\":true,"
                      "\"detached\":false,"
                      "\"terminal\":true,\"columns\":80,\"rows\":24,\"lifelineFileDescriptor\":3,"
                      "\"standardInputFileDescriptor\":0,\"standardOutputFileDescriptor\":1,"
                      "\"standardErrorFileDescriptor\":2}",
                      &s, &e),
                0);
        cr_expect_str_eq(s.root, "busybox");
        cr_expect_str_eq(s.arguments[0], "sh");
        cr_expect_str_eq(s.arguments[2], "");
        cr_expect_null(s.arguments[3]);
        cr_expect_str_eq(s.name, "a-b");
        cr_expect_str_eq(s.environment[1], "B=c=d");
        cr_expect_null(s.environment[2]);
        cr_expect_str_eq(s.working_directory, "/tmp");
        cr_expect_str_eq(s.user, "bin");
        cr_expect_str_eq(s.hostname, "h");
        cr_expect_str_eq(s.network, "none");
        cr_expect_eq(s.read_only, 1);
        cr_expect_eq(s.progress, 1);
        cr_expect_eq(s.detached, 0);
        cr_expect_eq(s.terminal, 1);
        cr_expect_eq(s.columns, 80);
        cr_expect_eq(s.rows, 24);
        cr_expect_eq(s.stdio[0], 0);
        cr_expect_eq(s.stdio[1], 1);
        cr_expect_eq(s.stdio[2], 2);
        cr_expect_eq(s.lifeline, 3);
        spec_done(&s);
        cr_expect_null(s.root, "and may be done with twice");
        spec_done(&s);
}

Test(spec, names)
{
        static const char *const good[] = { "a", "0", "a.b", "a_b", "a-", "9-_." };
        static const char *const bad[] = { "-a",  ".a", "_a", "A",        "a b",
                                           "a/b", "..", "aB", "a\\u00e9", "a\\n" };
        char text[64];

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                snprintf(text, sizeof(text), "{\"name\":\"%s\"}", good[i]);
                expect_good(text);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                snprintf(text, sizeof(text), "{\"name\":\"%s\"}", bad[i]);
                expect_bad(text, "name");
        }
        expect_lengths("name", 'a', 63);
}

Test(spec, host_names)
{
        static const char *const good[] = { "a", "A9", "a-b", "a.b", "a--b.c", "1.2.3" };
        static const char *const bad[] = { "-a",   "a-",  ".a",  "a.", "a..b", "a.-b",
                                           "a-.b", "a_b", "a b", ".",  "a/b" };
        char text[64];

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                snprintf(text, sizeof(text), "{\"hostname\":\"%s\"}", good[i]);
                expect_good(text);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                snprintf(text, sizeof(text), "{\"hostname\":\"%s\"}", bad[i]);
                expect_bad(text, "hostname");
        }
        expect_lengths("hostname", 'a', 64);
}

Test(spec, other_lengths)
{
        expect_lengths("root", 'r', 63);
        expect_lengths("user", 'u', 255);
        expect_lengths("workingDirectory", '/', 4095);
}

Test(spec, rules)
{
        const struct {
                const char *text, *parameter; /* NULL: good */
        } rows[] = {
                {"{\"arguments\":[]}",                                "arguments"                  },
                { "{\"arguments\":[\"\"]}",                           "arguments"                  },
                { "{\"arguments\":[\"\",\"a\"]}",                     "arguments"                  },
                { "{\"arguments\":[\"a\",\"\"]}",                     NULL                         },
                { "{\"arguments\":[1]}",                              "arguments"                  },
                { "{\"arguments\":\"sh\"}",                           "arguments"                  },
                { "{\"arguments\":null}",                             NULL                         },
                { "{\"environment\":[]}",                             NULL                         },
                { "{\"environment\":[\"A=b\",\"C\"]}",                "environment"                },
                { "{\"environment\":[\"\"]}",                         "environment"                },
                { "{\"environment\":[\"=b\"]}",                       "environment"                },
                { "{\"environment\":[\"A=\",\"=\"]}",                 "environment"                },
                { "{\"environment\":[\"A=b\\u0000c\"]}",              "environment"                },
                { "{\"workingDirectory\":\"tmp\"}",                   "workingDirectory"           },
                { "{\"workingDirectory\":\"./\"}",                    "workingDirectory"           },
                { "{\"workingDirectory\":\"/\"}",                     NULL                         },
                { "{\"network\":\"none\"}",                           NULL                         },
                { "{\"network\":\"host\"}",                           "network"                    },
                { "{\"network\":\"\"}",                               "network"                    },
                { "{\"network\":\"nonesuch\"}",                       "network"                    },
                { "{\"detached\":true}",                              NULL                         },
                { "{\"detached\":true,\"lifelineFileDescriptor\":0}", "lifelineFileDescriptor"     },
                { "{\"detached\":false}",                             NULL                         },
                { "{\"columns\":80}",                                 "columns"                    },
                { "{\"rows\":24}",                                    "rows"                       },
                { "{\"rows\":24,\"terminal\":false}",                 "rows"                       },
                { "{\"columns\":0,\"terminal\":true}",                NULL                         },
                { "{\"columns\":65535,\"terminal\":true}",            NULL                         },
                { "{\"columns\":65536,\"terminal\":true}",            "columns"                    },
                { "{\"rows\":65536,\"terminal\":true}",               "rows"                       },
                { "{\"rows\":-1,\"terminal\":true}",                  "rows"                       },
                { "{\"rows\":1.5,\"terminal\":true}",                 "rows"                       },
                { "{\"readOnly\":1}",                                 "readOnly"                   },
                { "{\"progress\":1}",                                 "progress"                   },
                { "{\"terminal\":\"yes\"}",                           "terminal"                   },
                { "{\"lifelineFileDescriptor\":64}",                  "lifelineFileDescriptor"     },
                { "{\"standardInputFileDescriptor\":-1}",             "standardInputFileDescriptor"},
                { "{\"binds\":[]}",                                   "binds"                      },
                { "{\"nosuch\":null}",                                "nosuch"                     },
                { "{\"name\":\"-\",\"arguments\":[]}",                "arguments"                  },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].parameter)
                        expect_bad(rows[i].text, rows[i].parameter);
                else
                        expect_good(rows[i].text);
}

static void expect_most(const char *key, const char *string, int max)
{
        static char text[128 * 1024];

        for (int n = max; n <= max + 1; n++) {
                char *at = text + sprintf(text, "{\"%s\":[", key);

                for (int i = 0; i < n; i++)
                        at += sprintf(at, "%s\"%s\"", i ? "," : "", string);
                stpcpy(at, "]}");
                if (n == max)
                        expect_good(text);
                else
                        expect_bad(text, key);
        }
}

Test(spec, many_strings)
{
        expect_most("arguments", "a", 4096);
        expect_most("environment", "A=", 4096);
}

/* The other methods are tables only. */
static void expect_table(const Field *table, void *ret, const char *text, const char *parameter)
{
        _cleanup_error_ Error e = { 0 };
        struct json_object *o = json(text);
        int r = fields_parse(o, table, ret, &e);

        json_object_put(o);
        cr_expect_eq(r, parameter ? -EREMOTEIO : 0, "%s", text);
        if (parameter)
                cr_expect_str_eq(error_text(&e, "parameter") ?: "", parameter, "%s", text);
}

Test(spec, list)
{
        ListSpec s;

        expect_table(list_fields, &s, "{}", NULL);
        cr_expect_null(s.id);
        cr_expect_eq(s.all, -1);
        expect_table(list_fields, &s, "{\"id\":\"x\",\"all\":true}", NULL);
        cr_expect_str_eq(s.id, "x");
        cr_expect_eq(s.all, 1);
        fields_done(list_fields, &s);
        expect_table(list_fields, &s, long_value("id", 'a', 64), "id");
}

Test(spec, signal)
{
        SignalSpec s;

        expect_table(signal_fields, &s, "{\"signal\":\"TERM\"}", "id");
        expect_table(signal_fields, &s, "{\"id\":\"x\"}", "signal");
        expect_table(signal_fields, &s, "{\"id\":\"x\",\"signal\":15}", "signal");
        expect_table(signal_fields, &s, "{\"id\":\"x\",\"signal\":\"a-name-too-long-x\"}", "signal");
        expect_table(signal_fields, &s,
                     "{\"id\":\"x\",\"signal\":\"TERM\",\"everyone\":true,\"command\":\"c\"}", NULL);
        cr_expect_str_eq(s.id, "x");
        cr_expect_str_eq(s.signal, "TERM");
        cr_expect_str_eq(s.command, "c");
        cr_expect_eq(s.everyone, 1);
        fields_done(signal_fields, &s);
}

Test(spec, stop_and_wait)
{
        StopSpec stop;
        WaitSpec wait;

        expect_table(stop_fields, &stop, "{}", "id");
        expect_table(stop_fields, &stop, "{\"id\":\"x\",\"timeoutUSec\":-1}", "timeoutUSec");
        expect_table(stop_fields, &stop, "{\"id\":\"x\",\"timeoutUSec\":86400000001}", "timeoutUSec");
        expect_table(stop_fields, &stop, "{\"id\":\"x\",\"timeoutUSec\":86400000000}", NULL);
        cr_expect_eq(stop.timeout_usec, 86400000000);
        fields_done(stop_fields, &stop);
        expect_table(stop_fields, &stop, "{\"id\":\"x\"}", NULL);
        cr_expect_eq(stop.timeout_usec, FIELD_ABSENT);
        fields_done(stop_fields, &stop);

        expect_table(wait_fields, &wait, "{\"command\":\"c\"}", "id");
        expect_table(wait_fields, &wait, "{\"id\":\"x\",\"command\":\"c\"}", NULL);
        cr_expect_str_eq(wait.id, "x");
        cr_expect_str_eq(wait.command, "c");
        fields_done(wait_fields, &wait);
}

Test(spec, roots)
{
        NameSpec s;

        expect_table(name_fields, &s, "{}", "name");
        expect_table(name_fields, &s, "{\"name\":\"busybox\"}", NULL);
        cr_expect_str_eq(s.name, "busybox");
        fields_done(name_fields, &s);
        expect_table(name_fields, &s, long_value("name", 'a', 64), "name");
        expect_table(optional_name_fields, &s, "{}", NULL);
        cr_expect_null(s.name);
        expect_table(optional_name_fields, &s, "{\"name\":\"x\"}", NULL);
        fields_done(optional_name_fields, &s);
        expect_table(optional_name_fields, &s, "{\"name\":true}", "name");
}
