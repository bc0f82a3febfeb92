/* Completes nsrootd.conf(5): reads the page on standard input and writes it to standard output with, for
 * each line "@KEYS SECTION@", the keys of that section as items of an mdoc list; for User, those that a
 * [User NAME] may have. So the manual's lists are made from the rows that the daemon reads by. Runs when
 * the page is built; knows the table of keys and no file. */
#include <stdio.h>

#include "config-table.h"

#define WIDTH 79 /* of the page's source */

/* Whether a line ends at this blank: each sentence begins a line of its own, and none is wider than WIDTH.
 */
static bool ends_line(const char *blank, size_t column)
{
        return blank[-1] == '.' || column + 1 + strcspn(blank + 1, " ") > WIDTH;
}

/* Text in mdoc(7): no line is a request, and there is no escape sequence. */
static void print_text(const char *text, FILE *to)
{
        size_t column = 0;

        for (; *text; text++) {
                if (column > 0 && *text == ' ' && ends_line(text, column)) {
                        fputc('\n', to);
                        column = 0;
                        continue;
                }
                if (column == 0 && (*text == '.' || *text == '\''))
                        fputs("\\&", to);
                if (*text == '\\')
                        fputs("\\e", to);
                else
                        fputc(*text, to);
                column++;
        }
        fputc('\n', to);
}

/* "a number, from 1 to 9": what the daemon says too when it does not take a value. */
static void print_range(const ConfigKey *key, FILE *to)
{
        _cleanup_free_ char *expects = NULL;
        size_t size;
        FILE *memory = open_memstream(&expects, &size);

        if (!memory)
                return;
        fputs("Takes ", memory);
        value_explain(key, memory);
        fputc('.', memory);
        if (fclose(memory) == 0)
                print_text(expects, to);
}

static void print_default(const ConfigKey *key, FILE *to)
{
        if (*key->default_text)
                fprintf(to, "Default:\n.Li %s .\n", key->default_text);
        else
                fputs("Default: empty.\n", to);
}

static void print_key(const ConfigKey *key, FILE *to)
{
        fprintf(to, ".It Va %s Ns =\n", key->name);
        print_text(key->help, to);
        print_range(key, to);
        print_default(key, to);
}

/* Where it is explained. */
static void print_reference(const ConfigKey *key, FILE *to)
{
        fprintf(to, ".It Va %s Ns = Pq see Bq %s\n", key->name, key->section);
}

/* How many keys there are in it. */
static unsigned print_section(const char *section, FILE *to)
{
        bool of_user = streq(section, SECTION_USER);
        unsigned n = 0;

        for (const ConfigKey *key = config_keys; key->name; key++) {
                if (of_user ? key->of != KEY_OF_USER : !streq(key->section, section))
                        continue;
                (of_user ? print_reference : print_key)(key, to);
                n++;
        }
        return n;
}

int main(void)
{
        char line[1024], section[32];
        int end;

        while (fgets(line, sizeof(line), stdin)) {
                end = 0;
                if (sscanf(line, "@KEYS %31[A-Za-z]@%n", section, &end) != 1 || end == 0)
                        fputs(line, stdout);
                else if (print_section(section, stdout) == 0) {
                        fprintf(stderr, "nsrootd.conf has no section [%s]\n", section);
                        return EXIT_FAILURE;
                }
        }
        return ferror(stdin) || fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
}
