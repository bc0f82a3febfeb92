/* See config-read.h. Which section and key is meant, and what to say about one that is none. */
#include "config-read.h"

#include "accounts.h"
#include "config-lines.h"
#include "config-table.h"
#include "nearest.h"
#include "words.h"

/* The section that lines stand in. */
typedef struct Section {
        char *title; /* all between [ and ]; NULL before the first */
        bool ignored;
        RootConfig *root; /* of a [Root NAME] */
        Rule *rule;       /* of a [User NAME] or [Group NAME] */
} Section;

typedef struct Reading {
        Lines lines;
        Config *config;
        Section section;
} Reading;

/* -- messages */

/* "" or "; did you mean WORD?", with what stands around it in a file. */
static void suggest(const Nearest *nearest, const char *before, const char *after, char **ret)
{
        if (!nearest->found || asprintf(ret, "; did you mean %s%s%s?", before, nearest->found, after) < 0)
                *ret = NULL;
}

/* The line that is being read, for later messages; kept where there is none yet. */
static int note_place(const Reading *reading, char **place)
{
        if (*place)
                return 0;
        return asprintf(place, "%s:%u", reading->lines.path, reading->lines.number) < 0 ? -ENOMEM : 0;
}

/* -- sections */

typedef struct SectionKind {
        const char *name; /* [NAME ARGUMENT] */
        void (*begin)(Reading *reading, const char *argument);
} SectionKind;

static void begin_root(Reading *reading, const char *name)
{
        int r;

        if (!root_name_is_good(name)) {
                lines_fail(&reading->lines, -EINVAL,
                           "[Root %s]: a name has at most 63 of a-z 0-9 _ . - and begins with a letter"
                           " or digit; choose another",
                           name);
                return;
        }
        r = config_need_root(reading->config, name, &reading->section.root);
        if (r >= 0)
                r = note_place(reading, &reading->section.root->place);
        if (r < 0)
                lines_fail(&reading->lines, r, "[Root %s]: %s", name, errno_text(r));
}

/* Logs why a user or group is none, and what that means. */
static void warn_of_account(const Reading *reading, bool is_group, const char *name, int error,
                            const char *consequence)
{
        const char *what = is_group ? "group" : "user";

        if (error == -ESRCH)
                lines_warn(&reading->lines, "there is no %s %s on this machine; %s", what, name,
                           consequence);
        else
                lines_warn(&reading->lines, "the %s %s cannot be looked up (%s); %s", what, name,
                           errno_text(error), consequence);
}

static void begin_rule(Reading *reading, const char *name, bool of_group)
{
        Rule *rule;
        int r = config_need_rule(reading->config, name, of_group, &rule);

        if (r < 0) {
                lines_fail(&reading->lines, r, "[%s]: %s", reading->section.title, errno_text(r));
                return;
        }
        reading->section.rule = rule;
        r = of_group ? account_group(name, &rule->id) : account_user(name, &rule->id);
        rule->known = r >= 0;
        if (r < 0)
                warn_of_account(reading, of_group, name, r, "what stands here is not in force");
}

static void begin_user(Reading *reading, const char *name)
{
        begin_rule(reading, name, false);
}

static void begin_group(Reading *reading, const char *name)
{
        begin_rule(reading, name, true);
}

static const SectionKind section_kinds[] = {
        {SECTION_ROOT,   begin_root },
        { SECTION_USER,  begin_user },
        { SECTION_GROUP, begin_group},
};

static bool is_general_section(const char *title)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (streq(key->section, title))
                        return true;
        return false;
}

static void warn_of_section(Reading *reading)
{
        const char *title = reading->section.title;
        Nearest nearest = { .word = title };
        _cleanup_free_ char *suggestion = NULL;

        for (const ConfigKey *key = config_keys; key->name; key++)
                nearest_try(&nearest, key->section);
        for (size_t i = 0; i < ELEMENTSOF(section_kinds); i++)
                nearest_try(&nearest, section_kinds[i].name);
        suggest(&nearest, "[", "]", &suggestion);
        lines_warn(&reading->lines, "there is no section [%s]%s What stands in it is ignored", title,
                   suggestion ? suggestion : ".");
        reading->section.ignored = true;
}

/* [KIND NAME]: whether it is one, begun. */
static bool begin_named(Reading *reading)
{
        const char *title = reading->section.title;
        size_t length = strcspn(title, " \t");
        const char *name = title + length + strspn(title + length, " \t");

        for (size_t i = 0; i < ELEMENTSOF(section_kinds); i++) {
                const SectionKind *kind = &section_kinds[i];

                if (strlen(kind->name) != length || strncmp(kind->name, title, length) != 0)
                        continue;
                if (*name) {
                        kind->begin(reading, name);
                        return true;
                }
                lines_warn(&reading->lines,
                           "[%s] lacks a name, as in [%s NAME]; what stands in it is ignored", title, title);
                return reading->section.ignored = true;
        }
        return false;
}

static void on_section(Lines *l, const char *title)
{
        Reading *reading = container_of(l, Reading, lines);

        free(reading->section.title);
        reading->section = (Section){ .title = strdup(title) };
        if (!reading->section.title)
                lines_fail(l, -ENOMEM, "out of memory");
        else if (!begin_named(reading) && !is_general_section(title))
                warn_of_section(reading);
}

/* -- keys */

static bool belongs(const Section *section, const ConfigKey *key)
{
        if (section->rule)
                return key->of == KEY_OF_USER;
        if (section->root)
                return key->of == KEY_OF_ROOT;
        return streq(key->section, section->title);
}

static const ConfigKey *find_key(const Section *section, const char *name)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (belongs(section, key) && streq(key->name, name))
                        return key;
        return NULL;
}

/* The key of another section: where it belongs. */
static void say_where(const char *name, FILE *to)
{
        const char *before = " belongs in ";

        for (const ConfigKey *key = config_keys; key->name; key++) {
                if (!streq(key->name, name))
                        continue;
                fprintf(to, "%s[%s%s]", before, key->section, key->of == KEY_OF_ROOT ? " NAME" : "");
                if (key->of == KEY_OF_USER)
                        fputs(", [User NAME] or [Group NAME]", to);
                before = ", or in ";
        }
}

static void warn_of_key(const Reading *reading, const char *name)
{
        const Section *section = &reading->section;
        _cleanup_free_ char *where = NULL, *suggestion = NULL;
        Nearest nearest = { .word = name };
        size_t size;
        FILE *to = open_memstream(&where, &size);

        if (to) {
                say_where(name, to);
                fclose(to);
        }
        if (where && *where) {
                lines_warn(&reading->lines, "%s=%s, not in [%s]; the line is ignored", name, where,
                           section->title);
                return;
        }
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (belongs(section, key))
                        nearest_try(&nearest, key->name);
        suggest(&nearest, "", "=", &suggestion);
        lines_warn(&reading->lines, "[%s] has no key %s=%s The line is ignored", section->title, name,
                   suggestion ? suggestion : ".");
}

static void fail_value(Reading *reading, const ConfigKey *key, const char *value, int error)
{
        _cleanup_free_ char *expects = NULL;
        size_t size;
        FILE *to;

        if (error == -ENOMEM) {
                lines_fail(&reading->lines, error, "out of memory");
                return;
        }
        to = open_memstream(&expects, &size);
        if (to) {
                value_explain(key, to);
                fclose(to);
        }
        lines_fail(&reading->lines, -EINVAL, "%s=%s: it takes %s; correct it or take the line out",
                   key->name, value, expects ? expects : "something else");
}

/* Finds out who the words are that a line has added. */
static int look_up(const Reading *reading, const ConfigKey *key, IdList *list, size_t n_before)
{
        bool is_group = key->kind == KEY_GROUPS;

        for (size_t i = n_before; i < words_count(list->words); i++) {
                const char *word = list->words[i];
                uint32_t id, *grown;
                int r = is_group ? account_group(word, &id) : account_user(word, &id);

                if (r < 0) {
                        warn_of_account(reading, is_group, word, r, "it is passed over");
                        continue;
                }
                grown = reallocarray(list->ids, list->n + 1, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                list->ids = grown;
                list->ids[list->n++] = id;
        }
        return 0;
}

static int set_ids(const Reading *reading, const ConfigKey *key, void *base, const char *value)
{
        IdList *list = (IdList *)((char *)base + key->offset);
        size_t n_before = words_count(list->words);
        int r = value_set(key, base, value);

        return r < 0 ? r : look_up(reading, key, list, n_before);
}

static int set_general(const Reading *reading, const ConfigKey *key, const char *value)
{
        char **place = &reading->config->places[key - config_keys];
        int r = value_set(key, config_base(reading->config, key), value);

        if (r < 0)
                return r;
        free(*place);
        *place = NULL;
        return note_place(reading, place);
}

static int set_key(const Reading *reading, const ConfigKey *key, const char *value)
{
        const Section *section = &reading->section;

        if (section->rule)
                return rule_set(section->rule, key, value);
        if (!section->root)
                return set_general(reading, key, value);
        if (key->kind == KEY_USERS || key->kind == KEY_GROUPS)
                return set_ids(reading, key, section->root, value);
        return value_set(key, section->root, value);
}

static void on_entry(Lines *l, const char *name, const char *value)
{
        Reading *reading = container_of(l, Reading, lines);
        const ConfigKey *key;
        int r;

        if (reading->section.ignored)
                return;
        if (!reading->section.title) {
                lines_warn(l, "%s= stands before the first [Section]; the line is ignored", name);
                return;
        }
        key = find_key(&reading->section, name);
        if (!key) {
                warn_of_key(reading, name);
                return;
        }
        r = set_key(reading, key, value);
        if (r < 0)
                fail_value(reading, key, value, r);
}

int config_read(Config *c, const char *path, FILE *file, char **ret_why)
{
        Reading reading = {
                .config = c,
                .lines = {.path = path, .file = file, .on_section = on_section, .on_entry = on_entry}
        };
        int r = lines_read(&reading.lines, ret_why);

        free(reading.section.title);
        return r;
}
