/* Prints a Config as a file. Goes by the table of keys. */
#include "config-table.h"
#include "config.h"

static void print_general(const Config *c, FILE *to)
{
        const char *last = "";

        for (const ConfigKey *key = config_keys; key->name; key++) {
                if (key->of == KEY_OF_ROOT)
                        continue;
                if (!streq(key->section, last))
                        fprintf(to, "%s[%s]\n", *last ? "\n" : "", key->section);
                value_print(key, config_base((Config *)(uintptr_t)c, key), to);
                last = key->section;
        }
}

static void print_rule(const Rule *rule, FILE *to)
{
        fprintf(to, "\n[%s %s]\n", rule->of_group ? SECTION_GROUP : SECTION_USER, rule->name);
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (rule_says(rule, key))
                        value_print(key, &rule->allowance, to);
}

static void print_root(const RootConfig *root, FILE *to)
{
        fprintf(to, "\n[" SECTION_ROOT " %s]\n", root->name);
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (key->of == KEY_OF_ROOT)
                        value_print(key, root, to);
}

int config_dump(const Config *c, FILE *to)
{
        print_general(c, to);
        for (size_t i = 0; i < c->n_rules; i++)
                print_rule(&c->rules[i], to);
        for (size_t i = 0; i < c->n_roots; i++)
                print_root(&c->roots[i], to);
        return fflush(to) == EOF || ferror(to) ? -EIO : 0;
}
