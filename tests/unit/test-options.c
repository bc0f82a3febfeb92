/* The option table: what it makes of command lines, the words for what is wrong with them, and --help. */
#include <criterion/criterion.h>

#include "options.h"

enum { ANY, ALWAYS, NEVER };

typedef struct Own {
        bool all;
        int when;
        const char *root;
        OptionList variables;
} Own;

typedef struct Shared {
        const char *socket;
        bool json;
} Shared;

static const Option own_options[] = {
        OPTION_ROW_FLAG('a', "all", Own, all, "all of them"),
        OPTION_ROW_CHOICE('t', "always", ALWAYS, Own, when, "always"),
        OPTION_ROW_CHOICE('T', NULL, NEVER, Own, when, "never"),
        OPTION_ROW_TEXT('r', "root", "ROOT", Own, root, "which root"),
        OPTION_ROW_LIST('e', "env", "NAME[=VALUE]", Own, variables, "a variable"),
        OPTION_ROW_END,
};

static const Option shared_options[] = {
        OPTION_ROW_TEXT(0, "socket", "A-RATHER-LONG-ARGUMENT", Shared, socket, "which socket"),
        OPTION_ROW_FLAG(0, "json", Shared, json, "print JSON"),
        OPTION_ROW_HELP,
        OPTION_ROW_END,
};

static const OptionTable list = {
        .name = "prog list",
        .arguments = "ID...",
        .summary = "List things",
        .details = "More of it.\n",
        .options = own_options,
        .shared = shared_options,
};

static const OptionTable command = {
        .name = "prog run",
        .summary = "Run things",
        .options = own_options,
        .shared = shared_options,
        .ends_at_operand = true,
};

/* One command line, parsed. */
typedef struct Parsed {
        char *argv[16];
        Own own;
        Shared shared;
        int first, r;
        char *fault;
} Parsed;

static Parsed parse(const OptionTable *table, const char *const *words)
{
        Parsed p = { .argv = { (char *)"prog" } };
        int argc = 1;

        for (; *words; words++)
                p.argv[argc++] = (char *)*words;
        p.r = options_parse(table, argc, p.argv, &p.own, &p.shared, &p.first, &p.fault);
        return p;
}
#define PARSE(table, ...) parse(table, (const char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void done(Parsed *p)
{
        options_done(&list, &p->own, &p->shared);
        free(p->fault);
}

Test(options, nothing)
{
        _cleanup_(done) Parsed p = PARSE(&list);

        cr_assert_eq(p.r, 0);
        cr_expect_eq(p.first, 1);
        cr_expect(!p.own.all && p.own.when == ANY && !p.own.root && !p.own.variables.items &&
                  !p.shared.json);
}

Test(options, every_kind)
{
        _cleanup_(done) Parsed p = PARSE(&list, "-a", "-T", "-r", "first", "--root=second", "-eA=1", "--env",
                                         "B", "--json", "--socket", "/s", "x");

        cr_assert_eq(p.r, 0);
        cr_expect(p.own.all);
        cr_expect_eq(p.own.when, NEVER);
        cr_expect_str_eq(p.own.root, "second");
        cr_assert_eq(p.own.variables.n, 2);
        cr_expect_str_eq(p.own.variables.items[0], "A=1");
        cr_expect_str_eq(p.own.variables.items[1], "B");
        cr_expect_null(p.own.variables.items[2]);
        cr_expect(p.shared.json);
        cr_expect_str_eq(p.shared.socket, "/s");
        cr_expect_str_eq(p.argv[p.first], "x");
}

Test(options, last_choice_wins)
{
        _cleanup_(done) Parsed p = PARSE(&list, "-T", "--always");

        cr_expect_eq(p.own.when, ALWAYS);
}

Test(options, letters_in_one_word)
{
        _cleanup_(done) Parsed p = PARSE(&list, "-aTr", "busybox");

        cr_assert_eq(p.r, 0);
        cr_expect(p.own.all && p.own.when == NEVER);
        cr_expect_str_eq(p.own.root, "busybox");
}

Test(options, after_operands)
{
        _cleanup_(done) Parsed p = PARSE(&list, "x", "-a", "y");

        cr_assert_eq(p.r, 0);
        cr_expect(p.own.all);
        cr_expect_str_eq(p.argv[p.first], "x");
        cr_expect_str_eq(p.argv[p.first + 1], "y");
}

Test(options, a_command_has_its_own)
{
        _cleanup_(done) Parsed p = PARSE(&command, "-T", "ls", "-a", "--help", "--nonsense");

        cr_assert_eq(p.r, 0);
        cr_expect(!p.own.all);
        cr_expect_eq(p.own.when, NEVER);
        cr_expect_eq(p.first, 2);
}

Test(options, two_dashes)
{
        _cleanup_(done) Parsed p = PARSE(&command, "-a", "--", "-a");

        cr_assert_eq(p.r, 0);
        cr_expect_eq(p.first, 3);
        cr_expect_str_eq(p.argv[p.first], "-a");
}

Test(options, help_ends_it)
{
        _cleanup_(done) Parsed p = PARSE(&list, "--help", "--nonsense");
        _cleanup_(done) Parsed q = PARSE(&list, "-ah");

        cr_expect_eq(p.r, 1);
        cr_expect_eq(q.r, 1);
}

Test(options, faults)
{
        static const struct {
                const char *words[3];
                const char *fault;
        } lines[] = {
                {{ "--nonsense" },   "unknown or ambiguous option '--nonsense'"},
                { { "-ax" },         "unknown option '-x'"                     },
                { { "-\xc3\xa4" },   "unknown option '-\\xc3'"                 },
                { { "-r" },          "option '-r' needs an argument"           },
                { { "x", "--root" }, "option '--root' needs an argument"       },
                { { "--json=yes" },  "option '--json' takes no argument"       },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(done) Parsed p = parse(&list, lines[i].words);

                cr_expect_eq(p.r, -EINVAL, "%s", lines[i].words[0]);
                cr_expect_str_eq(p.fault ?: "", lines[i].fault);
        }
}

Test(options, without_shared_ones)
{
        const OptionTable alone = { .name = "daemon", .summary = "Serve", .options = own_options };
        Own own = {};
        char *argv[] = { (char *)"daemon", (char *)"--root", (char *)"r", NULL }, *fault;
        int first;

        cr_assert_eq(options_parse(&alone, 3, argv, &own, NULL, &first, &fault), 0);
        cr_expect_str_eq(own.root, "r");
        options_done(&alone, &own, NULL);
}

static char *help(const OptionTable *table)
{
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        options_help(table, stream);
        fclose(stream);
        return text;
}

Test(options, help_says_all_of_the_table)
{
        _cleanup_free_ char *text = help(&list);

        cr_expect_str_eq(text, "Usage: prog list [OPTION...] ID...\n"
                               "List things.\n"
                               "\n"
                               "  -a, --all                 all of them\n"
                               "  -t, --always              always\n"
                               "  -T                        never\n"
                               "  -r, --root ROOT           which root\n"
                               "  -e, --env NAME[=VALUE]    a variable\n"
                               "      --socket A-RATHER-LONG-ARGUMENT\n"
                               "                            which socket\n"
                               "      --json                print JSON\n"
                               "  -h, --help                print this help\n"
                               "\n"
                               "More of it.\n");
}

Test(options, help_of_a_table_without_operands)
{
        _cleanup_free_ char *text = help(&command);

        const char *start = "Usage: prog run [OPTION...]\nRun things.\n\n  -a";

        cr_expect_eq(strncmp(text, start, strlen(start)), 0, "%s", text);
}
