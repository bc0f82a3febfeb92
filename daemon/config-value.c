/* The kinds of values: one row each of how it is set, printed and explained. */
#include <ctype.h>
#include <inttypes.h>
#include <unistd.h>

#include "config-table.h"
#include "config.h"
#include "log.h"
#include "words.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_LENGTH 64
#define MEMORY_PART   (UINT64_C(1) << 63) /* what is beside it is a percentage */

typedef struct Unit {
        const char *suffix;
        uint64_t factor;
} Unit;

static const Unit size_units[] = {
        {"T",  GIB * 1024},
        { "G", GIB       },
        { "M", MIB       },
        { "K", KIB       },
        { "",  1         }
};
static const Unit time_units[] = {
        {"h",    3600 * USEC_PER_SEC},
        { "min", 60 * USEC_PER_SEC  },
        { "s",   USEC_PER_SEC       },
        { "ms",  USEC_PER_MSEC      },
        { "us",  1                  }
};
static const Unit percent_units[] = {
        {"%", 1}
};
static const Unit count_units[] = {
        {"", 1}
};

typedef struct Kind {
        int (*set)(const ConfigKey *key, void *value, const char *text);
        void (*print)(const ConfigKey *key, const void *value, FILE *to);
        void (*free)(void *value);
        const char *expects;
        int (*parse_number)(const char *text, uint64_t *ret); /* of the kinds that are a number */
        const Unit *units; /* largest first; the last divides everything */
        size_t size;       /* of those that can be copied */
} Kind;

static const Kind kinds[];

static int parse_count(const char *text, uint64_t *ret)
{
        return parse_u64(text, UINT64_MAX - 1, ret);
}

static int parse_percent(const char *text, uint64_t *ret)
{
        size_t length = strlen(text);
        char digits[24];

        if (length == 0 || length >= sizeof(digits) || text[length - 1] != '%')
                return -EINVAL;
        memcpy(digits, text, length - 1);
        digits[length - 1] = '\0';
        return parse_count(digits, ret);
}

/* A part is kept as one, so that it is printed as it was written. */
static int parse_memory(const char *text, uint64_t *ret)
{
        uint64_t number;
        int r;

        if (parse_percent(text, &number) >= 0) {
                *ret = MEMORY_PART | number;
                return number < 1 || number > 100 ? -ERANGE : 0;
        }
        r = parse_size(text, &number);
        if (r < 0)
                return r;
        *ret = number;
        return number & MEMORY_PART ? -ERANGE : 0;
}

static bool is_part(uint64_t value)
{
        return (value & MEMORY_PART) && value != UINT64_MAX;
}

uint64_t value_memory(uint64_t value)
{
        static uint64_t all; /* asked for once: several limits of every start are parts of it */

        if (!all)
                all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
        return is_part(value) ? all / 100 * (value & ~MEMORY_PART) : value;
}

static int set_number(const ConfigKey *key, void *value, const char *text)
{
        uint64_t number;
        int r;

        if (key->optional && !*text) {
                *(uint64_t *)value = VALUE_UNSET;
                return 0;
        }
        if (key->max == UINT64_MAX && streq(text, "infinity")) {
                *(uint64_t *)value = UINT64_MAX;
                return 0;
        }
        r = kinds[key->kind].parse_number(text, &number);
        if (r < 0)
                return r;
        if (number < key->min || number > key->max)
                return -ERANGE;
        *(uint64_t *)value = number;
        return 0;
}

/* With the largest unit that divides it; nothing is the same in all units. */
static void print_as_unit(const ConfigKey *key, uint64_t number, FILE *to)
{
        const Unit *unit = kinds[key->kind].units;

        if (number == UINT64_MAX) {
                fputs("infinity", to);
                return;
        }
        while (number % unit->factor != 0)
                unit++;
        fprintf(to, "%" PRIu64 "%s", number / unit->factor,
                number == 0 && unit->factor != 1 ? "" : unit->suffix);
}

static void print_number(const ConfigKey *key, const void *value, FILE *to)
{
        uint64_t number = *(const uint64_t *)value;

        fprintf(to, "%s=", key->name);
        if (!(key->optional && number == VALUE_UNSET))
                print_as_unit(key, number, to);
        fputc('\n', to);
}

static void print_memory(const ConfigKey *key, const void *value, FILE *to)
{
        uint64_t number = *(const uint64_t *)value;

        if (is_part(number))
                fprintf(to, "%s=%" PRIu64 "%%\n", key->name, number & ~MEMORY_PART);
        else
                print_number(key, value, to);
}

static int set_bool(const ConfigKey *key, void *value, const char *text)
{
        int r = parse_bool(text);

        if (r < 0)
                return r;
        *(bool *)value = r > 0;
        return 0;
}

static void print_bool(const ConfigKey *key, const void *value, FILE *to)
{
        fprintf(to, "%s=%s\n", key->name, *(const bool *)value ? "yes" : "no");
}

static int set_level(const ConfigKey *key, void *value, const char *text)
{
        int r = log_level_parse(text);

        if (r < 0)
                return r;
        *(int *)value = r;
        return 0;
}

static void print_level(const ConfigKey *key, const void *value, FILE *to)
{
        fprintf(to, "%s=%s\n", key->name, log_level_name(*(const int *)value));
}

static int set_choice(const ConfigKey *key, void *value, const char *text)
{
        for (int i = 0; key->choices[i]; i++)
                if (streq(key->choices[i], text)) {
                        *(int *)value = i;
                        return 0;
                }
        return -EINVAL;
}

static void print_choice(const ConfigKey *key, const void *value, FILE *to)
{
        fprintf(to, "%s=%s\n", key->name, key->choices[*(const int *)value]);
}

/* It can be empty where that is the default. */
static int set_string(const ConfigKey *key, void *value, const char *text)
{
        char *copy = NULL;

        if (!*text && *key->default_text)
                return -EINVAL;
        if (*text) {
                if (key->good && !key->good(text))
                        return -EINVAL;
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
        }
        free(*(char **)value);
        *(char **)value = copy;
        return 0;
}

static void print_string(const ConfigKey *key, const void *value, FILE *to)
{
        const char *text = *(char *const *)value;

        fprintf(to, "%s=%s\n", key->name, text ? text : "");
}

static void free_string(void *value)
{
        free(*(char **)value);
}

static int set_command(const ConfigKey *key, void *value, const char *text)
{
        _cleanup_(words_freep) char **words = NULL;
        int r = words_append(text, &words);

        if (r < 0)
                return r;
        words_free(*(char ***)value);
        *(char ***)value = words_count(words) > 0 ? TAKE_PTR(words) : NULL;
        return 0;
}

static int set_environment(const ConfigKey *key, void *value, const char *text)
{
        _cleanup_(words_freep) char **words = NULL;
        int r = words_append(text, &words);

        if (r < 0)
                return r;
        for (char **word = words; *word; word++)
                if (**word == '=' || !strchr(*word, '='))
                        return -EINVAL;
        if (words_count(words) > 0)
                return words_append(text, value);
        *(char ***)value = words_free(*(char ***)value);
        return 0;
}

static void print_command(const ConfigKey *key, const void *value, FILE *to)
{
        fprintf(to, "%s=", key->name);
        words_print(*(char **const *)value, to);
        fputc('\n', to);
}

static void free_words(void *value)
{
        words_free(*(char ***)value);
}

static void print_environment(const ConfigKey *key, const void *value, FILE *to)
{
        if (*(char **const *)value)
                fprintf(to, "%s=\n", key->name);
        print_command(key, value, to);
}

static void free_ids(void *value)
{
        IdList *list = value;

        words_free(list->words);
        free(list->ids);
        *list = (IdList){ 0 };
}

static void source_done(RootSource *source)
{
        free(source->url);
        free(source->digest);
}

static int parse_digest(const char *text, char **ret)
{
        char *digest;

        text += strlen(DIGEST_PREFIX);
        if (strlen(text) != DIGEST_LENGTH || strspn(text, "0123456789abcdefABCDEF") != DIGEST_LENGTH)
                return -EINVAL;
        digest = strdup(text);
        if (!digest)
                return -ENOMEM;
        for (char *c = digest; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        *ret = digest;
        return 0;
}

/* NULL: there is none of that name. */
static const char *find_architecture(const char *name)
{
        for (const char *const *known = config_architectures; *known; known++)
                if (streq(*known, name))
                        return *known;
        return NULL;
}

static bool is_digest(const char *word)
{
        return word && strncmp(word, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0;
}

/* The words after the first: a digest, an architecture, or both. */
static int parse_source_words(char **words, RootSource *ret)
{
        _cleanup_free_ char *digest = NULL;
        const char *architecture = NULL;

        if (is_digest(*words)) {
                int r = parse_digest(*words++, &digest);

                if (r < 0)
                        return r;
        }
        if (*words) {
                architecture = find_architecture(*words++);
                if (!architecture || *words)
                        return -EINVAL;
        }
        ret->digest = TAKE_PTR(digest);
        ret->architecture = architecture;
        return 0;
}

/* What comes over a network needs a digest; a file of this machine has its administrator to vouch for it. */
static int parse_source(char **words, RootSource *ret)
{
        bool is_file = strncmp(words[0], "file:/", 6) == 0;
        bool is_web = strncmp(words[0], "http://", 7) == 0 || strncmp(words[0], "https://", 8) == 0;
        RootSource source = { .url = NULL };
        int r;

        if (!is_file && !(is_web && is_digest(words[1])))
                return -EINVAL;
        r = parse_source_words(words + 1, &source);
        if (r < 0)
                return r;
        source.url = strdup(words[0]);
        if (!source.url) {
                source_done(&source);
                return -ENOMEM;
        }
        *ret = source;
        return 0;
}

static RootConfig *root_of_sources(const void *value)
{
        return (RootConfig *)((char *)(uintptr_t)value - offsetof(RootConfig, sources));
}

static void free_sources(void *value)
{
        RootConfig *root = root_of_sources(value);

        for (size_t i = 0; i < root->n_sources; i++)
                source_done(&root->sources[i]);
        free(root->sources);
        root->sources = NULL;
        root->n_sources = 0;
}

/* Takes what source has, also on failure. */
static int add_source(RootConfig *root, RootSource *source)
{
        RootSource *grown = reallocarray(root->sources, root->n_sources + 1, sizeof(*grown));

        if (!grown) {
                source_done(source);
                return -ENOMEM;
        }
        root->sources = grown;
        root->sources[root->n_sources++] = *source;
        return 0;
}

static bool is_for_this_machine(const RootSource *source)
{
        return !source->architecture || streq(source->architecture, config_architecture);
}

/* A line for another architecture is as if it were not there, but for its faults. */
static int set_sources(const ConfigKey *key, void *value, const char *text)
{
        _cleanup_(words_freep) char **words = NULL;
        RootSource source;
        int r = words_append(text, &words);

        if (r < 0)
                return r;
        if (words_count(words) == 0) {
                free_sources(value);
                return 0;
        }
        r = parse_source(words, &source);
        if (r < 0)
                return r;
        if (is_for_this_machine(&source))
                return add_source(root_of_sources(value), &source);
        source_done(&source);
        return 0;
}

static void print_source(const RootSource *source, FILE *to)
{
        char digest[sizeof(DIGEST_PREFIX) + DIGEST_LENGTH];
        char *words[4] = { source->url };
        size_t n = 1;

        if (source->digest) {
                snprintf(digest, sizeof(digest), DIGEST_PREFIX "%s", source->digest);
                words[n++] = digest;
        }
        words[n] = (char *)(uintptr_t)source->architecture;
        words_print(words, to);
}

static void print_sources(const ConfigKey *key, const void *value, FILE *to)
{
        const RootConfig *root = root_of_sources(value);

        fprintf(to, "%s=\n", key->name);
        for (size_t i = 0; i < root->n_sources; i++) {
                fprintf(to, "%s=", key->name);
                print_source(&root->sources[i], to);
                fputc('\n', to);
        }
}

static int set_ids(const ConfigKey *key, void *value, const char *text)
{
        _cleanup_(words_freep) char **words = NULL;
        IdList *list = value;
        int r = words_append(text, &words);

        if (r < 0)
                return r;
        for (char **word = words; *word; word++)
                if (**word == '\0')
                        return -EINVAL;
        if (words_count(words) > 0)
                return words_append(text, &list->words);
        free_ids(list);
        return 0;
}

static void print_ids(const ConfigKey *key, const void *value, FILE *to)
{
        print_environment(key, &((const IdList *)value)->words, to);
}

#define NUMBER(words, parse, units_of_it)                                                                   \
        {                                                                                                   \
                .set = set_number, .print = print_number, .expects = words, .parse_number = parse,          \
                .units = units_of_it, .size = sizeof(uint64_t)                                              \
        }
#define WORDS(set_it, print_it, words)                                                                      \
        {                                                                                                   \
                .set = set_it, .print = print_it, .free = free_words, .expects = words                      \
        }

/* clang-format off */
static const Kind kinds[] = {
        [KEY_COUNT] = NUMBER("a number", parse_count, count_units),
        [KEY_SIZE] = NUMBER("a size such as 512M", parse_size, size_units),
        [KEY_MEMORY] = { .set = set_number, .print = print_memory, .parse_number = parse_memory, .units = size_units,
                         .size = sizeof(uint64_t),
                         .expects = "a part of the machine's memory such as 50%, or a size such as 4G" },
        [KEY_TIME] = NUMBER("a time such as 10s or 2min 30s", parse_time, time_units),
        [KEY_PERCENT] = NUMBER("a percentage such as 200%", parse_percent, percent_units),
        [KEY_BOOL] = { set_bool, print_bool, .expects = "yes or no", .size = sizeof(bool) },
        [KEY_LEVEL] = { set_level, print_level, .expects = "error, warning, notice, info or debug" },
        [KEY_CHOICE] = { set_choice, print_choice, .size = sizeof(int) },
        [KEY_STRING] = { set_string, print_string, free_string },
        [KEY_COMMAND] = WORDS(set_command, print_command, "words, with whole quotations"),
        [KEY_ENVIRONMENT] = WORDS(set_environment, print_environment, "words NAME=VALUE"),
        [KEY_SOURCES] = { set_sources, print_sources, free_sources,
                          "a URL of http or https and sha256: with 64 hexadecimal digits, or file:/PATH; and then, where"
                          " it is for one architecture only, that one's name such as x86-64 or arm64" },
        [KEY_USERS] = { set_ids, print_ids, free_ids, "names or numbers of users" },
        [KEY_GROUPS] = { set_ids, print_ids, free_ids, "names or numbers of groups" },
};
/* clang-format on */

int value_set(const ConfigKey *key, void *base, const char *text)
{
        return kinds[key->kind].set(key, (char *)base + key->offset, text);
}

void value_print(const ConfigKey *key, const void *base, FILE *to)
{
        kinds[key->kind].print(key, (const char *)base + key->offset, to);
}

void value_free(const ConfigKey *key, void *base)
{
        if (kinds[key->kind].free)
                kinds[key->kind].free((char *)base + key->offset);
}

void value_copy(const ConfigKey *key, void *to, const void *from)
{
        memcpy((char *)to + key->offset, (const char *)from + key->offset, kinds[key->kind].size);
}

void value_explain(const ConfigKey *key, FILE *to)
{
        const Kind *kind = &kinds[key->kind];

        fputs(key->expects ? key->expects : kind->expects, to);
        if (!kind->units)
                return;
        fputs(", from ", to);
        print_as_unit(key, key->min, to);
        fputs(" to ", to);
        print_as_unit(key, key->max, to);
        if (key->optional)
                fputs(", or nothing", to);
}
