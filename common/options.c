/* Options by table, by options.h. */
#include "options.h"

#include <ctype.h>
#include <getopt.h>

#define LONG_BASE   256 /* getopt's values for long options begin above every letter */
#define HELP_COLUMN 28  /* where the explanations begin */

/* An option and the struct it is written to. */
typedef struct Slot {
        const Option *option;
        char *data;
} Slot;

/* A table in the forms that getopt_long wants. */
typedef struct Parser {
        Slot slots[OPTIONS_MAX];
        size_t n;
        struct option longs[OPTIONS_MAX + 1];
        char letters[2 + 2 * OPTIONS_MAX + 1];
} Parser;

static bool takes_argument(const Option *o)
{
        return o->kind == OPTION_TEXT || o->kind == OPTION_LIST;
}

static void parser_add_letter(Parser *p, const Option *o)
{
        size_t n = strlen(p->letters);

        if (o->letter == 0)
                return;
        p->letters[n] = o->letter;
        p->letters[n + 1] = takes_argument(o) ? ':' : '\0';
}

static void parser_add(Parser *p, const Option *options, void *data)
{
        size_t n_longs = 0;

        while (p->longs[n_longs].name)
                n_longs++;
        for (const Option *o = options; o && o->kind != OPTION_END && p->n < OPTIONS_MAX; o++) {
                if (o->name)
                        p->longs[n_longs++] = (struct option){
                                .name = o->name,
                                .has_arg = takes_argument(o) ? required_argument : no_argument,
                                .val = LONG_BASE + (int)p->n,
                        };
                parser_add_letter(p, o);
                p->slots[p->n++] = (Slot){ o, data };
        }
}

/* The slot of what getopt_long returned or left in optopt; NULL for a letter nobody knows. */
static const Slot *parser_find(const Parser *p, int value)
{
        if (value >= LONG_BASE)
                return &p->slots[value - LONG_BASE];
        for (size_t i = 0; i < p->n; i++)
                if (value != 0 && p->slots[i].option->letter == value)
                        return &p->slots[i];
        return NULL;
}

static int list_append(OptionList *list, const char *item)
{
        const char **items = reallocarray(list->items, list->n + 2, sizeof(*items));

        if (!items)
                return -ENOMEM;
        items[list->n++] = item;
        items[list->n] = NULL;
        list->items = items;
        return 0;
}

/* 1 where it was the option for help. */
static int store(const Slot *slot, const char *argument)
{
        void *value = slot->data + slot->option->offset;

        switch (slot->option->kind) {
        case OPTION_FLAG:
                *(bool *)value = true;
                return 0;
        case OPTION_CHOICE:
                *(int *)value = slot->option->value;
                return 0;
        case OPTION_TEXT:
                *(const char **)value = argument;
                return 0;
        case OPTION_LIST:
                return list_append(value, argument);
        case OPTION_HELP:
                return 1;
        case OPTION_END:
                break;
        }
        return -EINVAL;
}

/* Words for what getopt_long has just refused (`result` is '?' or ':'). */
static int describe_fault(const Parser *p, int result, char **argv, char **ret)
{
        const Slot *slot = parser_find(p, optopt);
        int r;

        if (optopt == 0)
                r = asprintf(ret, "unknown or ambiguous option '%s'", argv[optind - 1]);
        else if (!slot && isprint(optopt))
                r = asprintf(ret, "unknown option '-%c'", optopt);
        else if (!slot)
                r = asprintf(ret, "unknown option '-\\x%02x'", (unsigned char)optopt);
        else if (optopt < LONG_BASE)
                r = asprintf(ret, "option '-%c' needs an argument", optopt);
        else
                r = asprintf(ret, "option '--%s' %s", slot->option->name,
                             result == ':' ? "needs an argument" : "takes no argument");
        return r < 0 ? -ENOMEM : -EINVAL;
}

int options_parse(const OptionTable *table, int argc, char **argv, void *own, void *shared, int *ret_first,
                  char **ret_fault)
{
        Parser p = {};
        int result, r;

        strcpy(p.letters, table->ends_at_operand ? "+:" : ":");
        parser_add(&p, table->options, own);
        parser_add(&p, table->shared, shared);

        optind = 0; /* starts it anew */
        opterr = 0;
        while ((result = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
                if (result == '?' || result == ':')
                        return describe_fault(&p, result, argv, ret_fault);
                r = store(parser_find(&p, result), optarg);
                if (r != 0)
                        return r;
        }
        *ret_first = optind;
        return 0;
}

static void free_lists(const Option *options, char *data)
{
        for (const Option *o = options; o && o->kind != OPTION_END; o++) {
                if (o->kind != OPTION_LIST)
                        continue;
                OptionList *list = (OptionList *)(data + o->offset);
                free(list->items);
                *list = (OptionList){};
        }
}

void options_done(const OptionTable *table, void *own, void *shared)
{
        free_lists(table->options, own);
        free_lists(table->shared, shared);
}

static void print_option(const Option *o, FILE *stream)
{
        int width = fprintf(stream, "  ");

        width += o->letter ? fprintf(stream, "-%c", o->letter) : fprintf(stream, "  ");
        if (o->name)
                width += fprintf(stream, "%s --%s", o->letter ? "," : " ", o->name);
        if (takes_argument(o))
                width += fprintf(stream, " %s", o->argument);
        if (width >= HELP_COLUMN) {
                fputc('\n', stream);
                width = 0;
        }
        fprintf(stream, "%*s%s\n", HELP_COLUMN - width, "", o->help);
}

void options_help(const OptionTable *table, FILE *stream)
{
        fprintf(stream, "Usage: %s [OPTION...]%s%s\n%s.\n\n", table->name, table->arguments ? " " : "",
                table->arguments ?: "", table->summary);
        for (const Option *o = table->options; o && o->kind != OPTION_END; o++)
                print_option(o, stream);
        for (const Option *o = table->shared; o && o->kind != OPTION_END; o++)
                print_option(o, stream);
        if (table->details)
                fprintf(stream, "\n%s", table->details);
}
