/* Prints every key with its default and what it means, commented out: the file that is installed for whoever
 * wants to know what there is. Goes by the table of keys; knows no Config. */
#include "build-config.h"
#include "config-table.h"
#include "config.h"

#define WIDTH 80

/* Text in lines of a comment, none wider than the file. */
static void print_comment(const char *text, FILE *to)
{
        size_t column = 1;

        fputc('#', to);
        while (*text) {
                size_t length = strcspn(text, " ");

                if (column + 1 + length > WIDTH) {
                        fputs("\n#", to);
                        column = 1;
                }
                fprintf(to, " %.*s", (int)length, text);
                column += 1 + length;
                text += length + strspn(text + length, " ");
        }
        fputc('\n', to);
}

/* The same of text that is written piece by piece. */
static int print_written(void (*write)(const ConfigKey *key, FILE *to), const ConfigKey *key, FILE *to)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *memory = open_memstream(&text, &size);

        if (!memory)
                return -ENOMEM;
        write(key, memory);
        if (fclose(memory) != 0)
                return -ENOMEM;
        print_comment(text, to);
        return 0;
}

/* "Takes a size such as 512M, from 1M to infinity." */
static void write_kind(const ConfigKey *key, FILE *to)
{
        fputs("Takes ", to);
        value_explain(key, to);
        fputc('.', to);
}

/* Which keys sections for users and groups take. */
static void write_keys_of_user(const ConfigKey *key, FILE *to)
{
        fputs("The keys for that are", to);
        for (; key->name; key++)
                if (key->of == KEY_OF_USER)
                        fprintf(to, " %s=", key->name);
        fputc('.', to);
}

static void print_default(const ConfigKey *key, FILE *to)
{
        fprintf(to, "#%s=%s\n", key->name, key->default_text);
        if (key->kind == KEY_SOURCES)
                for (size_t i = 0; root_builtin_sources[i]; i++)
                        fprintf(to, "#%s=%s\n", key->name, root_builtin_sources[i]);
}

static int print_key(const ConfigKey *key, FILE *to)
{
        int r;

        fputc('\n', to);
        print_comment(key->help, to);
        r = print_written(write_kind, key, to);
        if (r < 0)
                return r;
        print_default(key, to);
        return 0;
}

static void print_section(const ConfigKey *key, FILE *to)
{
        if (key->of == KEY_OF_ROOT)
                fprintf(to, "\n[" SECTION_ROOT " %s]\n", root_builtin_name);
        else
                fprintf(to, "\n[%s]\n", key->section);
}

/* clang-format off */
static const char head[] =
        "# Every key of nsrootd.conf(5) with its default. This file changes nothing, and\n"
        "# an update replaces it. What is to be different, write into a file such as\n"
        "# " SYSCONFDIR "/nsrootd/nsrootd.conf.d/local.conf.\n"
        "# 'nsrootd --check-config' says whether it is good, and 'systemctl reload\n"
        "# nsrootd' makes the daemon read it.\n";
static const char example_of_root[] =
        "\n"
        "# Another root, for some:\n"
        "#\n"
        "# [Root lab]\n"
        "# Source=file:/srv/lab/busybox\n"
        "# Command=sh -l\n"
        "# Groups=students\n";
static const char of_users[] =
        "\n"
        "# What the sections above say for everybody, others can say for a user or for\n"
        "# the members of a group, by name or number.\n";
static const char examples_of_users[] =
        "#\n"
        "# [Group students]\n"
        "# MemoryMax=256M\n"
        "# SessionsPerUser=8\n"
        "#\n"
        "# [User alice]\n"
        "# MemoryMax=4G\n"
        "# ChangeRoots=yes\n";
/* clang-format on */

int config_print_defaults(FILE *to)
{
        const char *last = "";
        int r;

        fputs(head, to);
        for (const ConfigKey *key = config_keys; key->name; key++) {
                if (!streq(key->section, last))
                        print_section(key, to);
                last = key->section;
                r = print_key(key, to);
                if (r < 0)
                        return r;
        }
        fputs(example_of_root, to);
        fputs(of_users, to);
        r = print_written(write_keys_of_user, config_keys, to);
        if (r < 0)
                return r;
        fputs(examples_of_users, to);
        return fflush(to) == EOF || ferror(to) ? -EIO : 0;
}
