/* Reads nsrootd.conf: which files, which lines, which section is meant, and what to say about a line that is
 * wrong. Knows inih and the table of keys; knows no single key but those that must fit one another. */
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>

#include "build-config.h"
#include "config-table.h"
#include "config.h"
#include "log.h"

/* inih is built with a buffer of 200 bytes for a line with its end, and 50 for a section's name; it would
 * divide the one and cut the other off without a word. */
#define LINE_LENGTH_MAX    197
#define SECTION_LENGTH_MAX 48

static const char *const search_path[] = {
        SYSCONFDIR "/nsrootd/nsrootd.conf",
        "/run/nsrootd/nsrootd.conf",
        "/usr/lib/nsrootd/nsrootd.conf",
};

/* One file being read. */
typedef struct Reading {
        Config *config;
        const char *path;
        FILE *file;
        char *text; /* getline(3)'s */
        size_t text_size;
        unsigned line;
        bool awaits_entry; /* the last line should have been an entry, and inih has not said so yet */
        int error;         /* ends the reading; why says it in words */
        char *why;
} Reading;

static void root_done(RootConfig *root)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (streq(key->section, SECTION_ROOT))
                        value_free(key, root);
        free(root->name);
}

Config *config_free(Config *c)
{
        for (size_t i = 0; i < c->n_roots; i++)
                root_done(&c->roots[i]);
        free(c->roots);
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (!streq(key->section, SECTION_ROOT))
                        value_free(key, c);
        free(c);
        return NULL;
}

static const ConfigKey *find_key(const char *section, const char *name)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (streq(key->section, section) && streq(key->name, name))
                        return key;
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

/* The defaults of one kind of section: base is what its keys' offsets count from. */
static int set_defaults(bool of_root, void *base)
{
        for (const ConfigKey *key = config_keys; key->name; key++) {
                int r;

                if (streq(key->section, SECTION_ROOT) != of_root)
                        continue;
                r = value_set(key, base, key->default_text);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_root(Config *c, const char *name, RootConfig **ret)
{
        RootConfig *grown, *root;
        int r;

        grown = reallocarray(c->roots, c->n_roots + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        c->roots = grown;
        root = &c->roots[c->n_roots];
        *root = (RootConfig){ .name = strdup(name) };
        if (!root->name)
                return -ENOMEM;
        c->n_roots++;
        r = set_defaults(true, root);
        if (r < 0)
                return r;
        *ret = root;
        return 0;
}

static int add_builtin_root(Config *c)
{
        const ConfigKey *source = find_key(SECTION_ROOT, "Source");
        RootConfig *root;
        int r = add_root(c, root_builtin_name, &root);

        for (size_t i = 0; r >= 0 && root_builtin_sources[i]; i++)
                r = value_set(source, root, root_builtin_sources[i]);
        return r;
}

static int config_new(Config **ret)
{
        _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        r = set_defaults(false, c);
        if (r < 0)
                return r;
        r = add_builtin_root(c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

/* The first fault counts. */
_printf_(3, 4) static void fail(Reading *reading, int error, const char *format, ...)
{
        _cleanup_free_ char *what = NULL;
        va_list arguments;

        if (reading->error < 0)
                return;
        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);
        reading->error = error;
        if (!what || asprintf(&reading->why, "%s:%u: %s", reading->path, reading->line, what) < 0)
                reading->why = NULL;
}

static void warn_about_line(const Reading *reading)
{
        log_warning("%s:%u: neither [Section] nor Key=value nor a comment; the line is ignored",
                    reading->path, reading->line);
}

static bool is_comment(const char *text)
{
        return *text == '#' || *text == ';';
}

static bool is_entry(const char *text)
{
        return *text && !is_comment(text) && !(*text == '[' && strchr(text, ']'));
}

/* NULL: inih can take it. */
static const char *find_fault(const char *text, size_t length)
{
        if (strlen(text) != length)
                return "there is a NUL in it; take it out";
        for (const char *c = text; *c; c++)
                if ((unsigned char)*c < ' ' && *c != '\t')
                        return "there is a control character in it; take it out";
        return length > LINE_LENGTH_MAX ? "longer than 197 characters; make it shorter" : NULL;
}

static size_t without_line_end(const char *text, size_t length)
{
        while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
                length--;
        return length;
}

/* Gives inih a line as it can take it: without its indentation, for inih would make a second line of the
 * value above out of it. Whether inih understood it shows when the next is asked for. */
static char *read_line(char *buffer, int size, void *userdata)
{
        Reading *reading = userdata;
        const char *text, *fault;
        ssize_t length;

        if (reading->awaits_entry)
                warn_about_line(reading);
        reading->awaits_entry = false;
        if (reading->error < 0)
                return NULL;
        length = getline(&reading->text, &reading->text_size, reading->file);
        if (length < 0)
                return NULL;
        reading->line++;
        length = (ssize_t)without_line_end(reading->text, (size_t)length);
        reading->text[length] = '\0';
        text = reading->text + strspn(reading->text, " \t");
        if (is_comment(text))
                text = "";
        else if ((fault = find_fault(reading->text, (size_t)length)))
                fail(reading, -EINVAL, "%s", fault);
        reading->awaits_entry = is_entry(text);
        snprintf(buffer, (size_t)size, "%s", text);
        return buffer;
}

static void fail_value(Reading *reading, const ConfigKey *key, const char *value, int error)
{
        _cleanup_free_ char *expects = NULL;
        size_t size;
        FILE *to;

        if (error == -ENOMEM) {
                fail(reading, error, "out of memory");
                return;
        }
        to = open_memstream(&expects, &size);
        if (to) {
                value_explain(key, to);
                fclose(to);
        }
        fail(reading, -EINVAL, "%s=%s: it takes %s; correct it or take the line out", key->name, value,
             expects ? expects : "something else");
}

static void set_key(Reading *reading, const ConfigKey *key, void *base, const char *value)
{
        int r = value_set(key, base, value);

        if (r < 0)
                fail_value(reading, key, value, r);
}

/* The root a [Root NAME] is about, made when it is its first line. */
static RootConfig *need_root(Reading *reading, const char *name)
{
        RootConfig *root = find_root(reading->config, name);
        int r;

        if (root)
                return root;
        if (!root_name_is_good(name) || strlen(name) + strlen(SECTION_ROOT " ") > SECTION_LENGTH_MAX) {
                fail(reading, -EINVAL,
                     "[Root %s]: a name has at most %zu of a-z 0-9 _ . - and begins with a letter"
                     " or digit; choose another",
                     name, SECTION_LENGTH_MAX - strlen(SECTION_ROOT " "));
                return NULL;
        }
        r = add_root(reading->config, name, &root);
        if (r < 0)
                fail(reading, r, "[Root %s]: %s", name, errno_text(r));
        return r < 0 ? NULL : root;
}

/* inih's handler. Whatever is wrong is kept in `reading`; to inih it was always good. */
static int on_entry(void *userdata, const char *section, const char *name, const char *value)
{
        Reading *reading = userdata;
        bool of_root = strncmp(section, SECTION_ROOT " ", strlen(SECTION_ROOT " ")) == 0;
        const ConfigKey *key = find_key(of_root ? SECTION_ROOT : section, name);
        void *base = reading->config;

        reading->awaits_entry = false;
        if (!key || (!of_root && streq(section, SECTION_ROOT))) {
                log_warning("%s:%u: [%s] has no key %s; the line is ignored", reading->path, reading->line,
                            section, name);
                return 1;
        }
        if (of_root)
                base = need_root(reading, section + strlen(SECTION_ROOT " "));
        if (base)
                set_key(reading, key, base, value);
        return 1;
}

/* Reads one file over what the configuration is already. */
static int read_file(Config *c, const char *path, char **ret_why)
{
        Reading reading = { .config = c, .path = path, .file = fopen(path, "re") };

        if (!reading.file)
                return -errno;
        ini_parse_stream(read_line, &reading, on_entry, &reading);
        if (ferror(reading.file))
                fail(&reading, -EIO, "cannot be read");
        fclose(reading.file);
        free(reading.text);
        if (reading.error < 0)
                *ret_why = reading.why;
        return reading.error;
}

/* What no single line can show. NULL: all is well. */
static const char *find_contradiction(const Config *c)
{
        if (!c->default_root || !config_root(c, c->default_root))
                return "DefaultRoot= names a root that is not there; add a section [Root NAME] for it";
        if (c->id_range_last < c->id_range_first || c->id_range_last - c->id_range_first < 2 * 65536 - 1)
                return "IdRangeFirst= to IdRangeLast= must be 131072 ids or more; widen it";
        if (c->connections_kept_for_root >= c->connections_max)
                return "ConnectionsKeptForRoot= leaves nothing of ConnectionsMax= to others; lower it";
        for (size_t i = 0; i < c->n_roots; i++)
                if (c->roots[i].n_sources == 0)
                        return "a section [Root NAME] has no Source=; add one or take the section out";
        return NULL;
}

static int check(const Config *c, const char *path, char **ret_why)
{
        const char *why = find_contradiction(c);

        if (!why)
                return 0;
        if (asprintf(ret_why, "%s: %s", path, why) < 0)
                *ret_why = NULL;
        return -EINVAL;
}

static int read_first_of(const char *const *paths, size_t n, Config *c, const char **ret_path,
                         char **ret_why)
{
        for (size_t i = 0; i < n; i++) {
                int r = read_file(c, paths[i], ret_why);

                if (r == -ENOENT)
                        continue;
                *ret_path = paths[i];
                return r;
        }
        *ret_path = "the compiled-in defaults";
        return 0;
}

int config_load(const char *path, Config **ret, char **ret_why)
{
        _cleanup_(config_freep) Config *c = NULL;
        int r;

        *ret_why = NULL;
        r = config_new(&c);
        if (r < 0)
                return r;
        if (path)
                r = read_file(c, path, ret_why);
        else
                r = read_first_of(search_path, ELEMENTSOF(search_path), c, &path, ret_why);
        if (r < 0)
                return r;
        r = check(c, path, ret_why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

static void dump_section(const char *section, const void *base, FILE *to)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (streq(key->section, section))
                        value_print(key, base, to);
}

int config_dump(const Config *c, FILE *to)
{
        const char *last = "";

        for (const ConfigKey *key = config_keys; key->name; key++) {
                if (streq(key->section, last) || streq(key->section, SECTION_ROOT))
                        continue;
                fprintf(to, "%s[%s]\n", *last ? "\n" : "", key->section);
                dump_section(key->section, c, to);
                last = key->section;
        }
        for (size_t i = 0; i < c->n_roots; i++) {
                fprintf(to, "\n[" SECTION_ROOT " %s]\n", c->roots[i].name);
                dump_section(SECTION_ROOT, &c->roots[i], to);
        }
        return ferror(to) ? -EIO : 0;
}
