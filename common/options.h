/* One table says what options a program or a verb takes: getopt_long(3) parses by it and --help is printed
 * from it (and completions can be). Knows nothing of what any option means, and prints no errors: it words
 * them. */
#pragma once

#include <stdio.h>

#include "base.h"

#define OPTIONS_MAX 64 /* own and shared together; more are a bug */

typedef enum OptionKind {
        OPTION_END,    /* ends a table */
        OPTION_FLAG,   /* bool: becomes true */
        OPTION_CHOICE, /* int: becomes `value` */
        OPTION_TEXT,   /* const char *: the argument, of the last that was given; points into argv */
        OPTION_LIST,   /* OptionList: the arguments of all that were given */
        OPTION_HELP,   /* ends the parsing, whatever follows */
} OptionKind;

typedef struct Option {
        OptionKind kind;
        char letter;          /* 0: it has none */
        const char *name;     /* without the dashes; NULL: it has none */
        const char *argument; /* what --help calls the argument of a TEXT or LIST */
        const char *help;     /* a line, no full stop */
        size_t offset;        /* offsetof() in the struct that is filled */
        int value;            /* of a CHOICE */
} Option;

typedef struct OptionList {
        const char **items; /* ended by NULL, or NULL where nothing was given; the strings point into argv */
        size_t n;
} OptionList;

/* Rows of a table, each checked against the type of the member that it fills. */
#define OPTION_MEMBER(type, member, wanted)                                                                 \
        (offsetof(type, member) +                                                                           \
         0 * sizeof(char[__builtin_types_compatible_p(typeof(((type *)0)->member), wanted) ? 1 : -1]))
#define OPTION_ROW_FLAG(letter, name, type, member, help)                                                   \
        {                                                                                                   \
                OPTION_FLAG, letter, name, NULL, help, OPTION_MEMBER(type, member, bool), 0                 \
        }
#define OPTION_ROW_CHOICE(letter, name, value, type, member, help)                                          \
        {                                                                                                   \
                OPTION_CHOICE, letter, name, NULL, help, OPTION_MEMBER(type, member, int), value            \
        }
#define OPTION_ROW_TEXT(letter, name, argument, type, member, help)                                         \
        {                                                                                                   \
                OPTION_TEXT, letter, name, argument, help, OPTION_MEMBER(type, member, const char *), 0     \
        }
#define OPTION_ROW_LIST(letter, name, argument, type, member, help)                                         \
        {                                                                                                   \
                OPTION_LIST, letter, name, argument, help, OPTION_MEMBER(type, member, OptionList), 0       \
        }
#define OPTION_ROW_HELP                                                                                     \
        {                                                                                                   \
                OPTION_HELP, 'h', "help", NULL, "print this help", 0, 0                                     \
        }
#define OPTION_ROW_END                                                                                      \
        {                                                                                                   \
                OPTION_END, 0, NULL, NULL, NULL, 0, 0                                                       \
        }

typedef struct OptionTable {
        const char *name;      /* "nsrootctl run" */
        const char *arguments; /* what follows the options, as --help writes it; NULL: nothing */
        const char *summary;   /* a line, no full stop */
        const char *details;   /* what --help says last, in whole lines; NULL: nothing */
        const Option *options;
        const Option
                *shared; /* what several tables have in common, filling a struct of its own; NULL: nothing */
        bool ends_at_operand; /* options end at the first operand (it is a command with options of its own)
                               */
} OptionTable;

/* Fills *own and *shared (all zero before, but for defaults) from argv[1] on. argv is permuted unless
 * ends_at_operand. 0: *ret_first is the index of the first operand. 1: help was asked for. -EINVAL:
 * *ret_fault says in words what is wrong (owned by the caller). -ENOMEM. options_done() frees what was
 * filled in, after any of them. Not for two threads at once: getopt(3) keeps its state in globals. */
int options_parse(const OptionTable *table, int argc, char **argv, void *own, void *shared, int *ret_first,
                  char **ret_fault);
void options_done(const OptionTable *table, void *own, void *shared);

/* Usage, summary, every option with its line, details. Errors stay in the stream (ferror(3)). */
void options_help(const OptionTable *table, FILE *stream);
