/* A Config: made with every default, grown by sections, freed. Goes by the table of keys; knows no file. */
#include "config.h"

#include "config-table.h"
#include "words.h"

static void free_values(KeyOf of, void *base)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (key->of == of)
                        value_free(key, base);
}

static void root_done(RootConfig *root)
{
        free_values(KEY_OF_ROOT, root);
        free(root->name);
        free(root->place);
}

static size_t n_keys(void)
{
        size_t n = 0;

        while (config_keys[n].name)
                n++;
        return n;
}

Config *config_free(Config *c)
{
        for (size_t i = 0; i < c->n_roots; i++)
                root_done(&c->roots[i]);
        for (size_t i = 0; i < c->n_rules; i++)
                free(c->rules[i].name);
        for (size_t i = 0; c->places && i < n_keys(); i++)
                free(c->places[i]);
        free_values(KEY_OF_DAEMON, c);
        free(c->roots);
        free(c->rules);
        free(c->places);
        words_free(c->files);
        free(c);
        return NULL;
}

static RootConfig *find_root(const Config *c, const char *name)
{
        for (size_t i = 0; i < c->n_roots; i++)
                if (streq(c->roots[i].name, name))
                        return &c->roots[i];
        return NULL;
}

const RootConfig *config_root(const Config *c, const char *name)
{
        return find_root(c, name);
}

void *config_base(Config *c, const ConfigKey *key)
{
        return key->of == KEY_OF_USER ? (void *)&c->everybody : c;
}

/* Of a root, or where there is none of everything else. */
static int set_defaults(Config *c, RootConfig *root)
{
        int r = 0;

        for (const ConfigKey *key = config_keys; key->name && r >= 0; key++)
                if ((key->of == KEY_OF_ROOT) == (root != NULL))
                        r = value_set(key, root ? root : config_base(c, key), key->default_text);
        return r;
}

static int add_root(Config *c, const char *name, RootConfig **ret)
{
        RootConfig *grown = reallocarray(c->roots, c->n_roots + 1, sizeof(*grown)), *root;
        int r;

        if (!grown)
                return -ENOMEM;
        c->roots = grown;
        root = &c->roots[c->n_roots];
        *root = (RootConfig){ .name = strdup(name) };
        if (!root->name)
                return -ENOMEM;
        c->n_roots++;
        r = set_defaults(c, root);
        if (r < 0)
                return r;
        *ret = root;
        return 0;
}

int config_need_root(Config *c, const char *name, RootConfig **ret)
{
        RootConfig *root = find_root(c, name);

        if (!root)
                return add_root(c, name, ret);
        *ret = root;
        return 0;
}

static int add_rule(Config *c, const char *name, bool of_group, Rule **ret)
{
        Rule *grown = reallocarray(c->rules, c->n_rules + 1, sizeof(*grown)), *rule;

        if (!grown)
                return -ENOMEM;
        c->rules = grown;
        rule = &c->rules[c->n_rules];
        *rule = (Rule){ .name = strdup(name), .of_group = of_group };
        if (!rule->name)
                return -ENOMEM;
        c->n_rules++;
        *ret = rule;
        return 0;
}

int config_need_rule(Config *c, const char *name, bool of_group, Rule **ret)
{
        for (size_t i = 0; i < c->n_rules; i++)
                if (c->rules[i].of_group == of_group && streq(c->rules[i].name, name)) {
                        *ret = &c->rules[i];
                        return 0;
                }
        return add_rule(c, name, of_group, ret);
}

static int add_builtin_root(Config *c)
{
        RootConfig *root;
        int r = add_root(c, root_builtin_name, &root);

        for (const ConfigKey *key = config_keys; key->name && r >= 0; key++)
                if (key->of == KEY_OF_ROOT && key->kind == KEY_SOURCES)
                        for (size_t i = 0; r >= 0 && root_builtin_sources[i]; i++)
                                r = value_set(key, root, root_builtin_sources[i]);
        return r;
}

int config_new(Config **ret)
{
        _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->places = calloc(n_keys(), sizeof(*c->places));
        if (!c->places)
                return -ENOMEM;
        r = set_defaults(c, NULL);
        if (r < 0)
                return r;
        r = add_builtin_root(c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
