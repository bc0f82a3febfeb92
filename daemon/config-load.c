/* The configuration as a whole: its files one over the other, and what no single line can show. */
#include "build-config.h"
#include "config-files.h"
#include "config-read.h"
#include "config-table.h"
#include "log.h"
#include "words.h"

/* The highest first: the administrator's, this boot's, the machine's, the package's. */
static const char *const directories[] = {
        SYSCONFDIR "/nsrootd", "/run/nsrootd", "/usr/local/lib/nsrootd", PREFIX "/lib/nsrootd", NULL,
};

/* -- what no single line can show */

static bool lacks_default_root(const Config *c)
{
        return !config_root(c, c->default_root);
}

static bool lacks_ids(const Config *c)
{
        return c->id_range_last < c->id_range_first || c->id_range_last - c->id_range_first < 2 * 65536 - 1;
}

static bool keeps_all_for_root(const Config *c)
{
        return c->connections_kept_for_root >= c->connections_max;
}

typedef struct Contradiction {
        bool (*is_there)(const Config *c);
        const char *section, *keys[2]; /* the first that was set is where it is */
        const char *why;
} Contradiction;

/* clang-format off */
static const Contradiction contradictions[] = {
        { lacks_default_root, "Sessions", { "DefaultRoot" },
          "DefaultRoot= names a root that is not there; add a section [Root NAME] for it" },
        { lacks_ids, "Sessions", { "IdRangeLast", "IdRangeFirst" },
          "IdRangeFirst= to IdRangeLast= must be 131072 ids or more; widen it" },
        { keeps_all_for_root, "Daemon", { "ConnectionsMax", "ConnectionsKeptForRoot" },
          "ConnectionsKeptForRoot= leaves nothing of ConnectionsMax= to others; lower it" },
};
/* clang-format on */

/* FILE:LINE of what set it last; NULL: it is a default. */
static const char *find_place(const Config *c, const char *section, const char *name)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (streq(key->section, section) && streq(key->name, name))
                        return c->places[key - config_keys];
        return NULL;
}

static const char *place_of(const Config *c, const Contradiction *contradiction)
{
        const char *place = NULL;

        for (size_t i = 0; !place && i < ELEMENTSOF(contradiction->keys) && contradiction->keys[i]; i++)
                place = find_place(c, contradiction->section, contradiction->keys[i]);
        return place ? place : "the defaults";
}

static int refuse(const char *place, const char *why, char **ret_why)
{
        if (asprintf(ret_why, "%s: %s", place, why) < 0)
                *ret_why = NULL;
        return -EINVAL;
}

static int check(const Config *c, char **ret_why)
{
        for (size_t i = 0; i < ELEMENTSOF(contradictions); i++)
                if (contradictions[i].is_there(c))
                        return refuse(place_of(c, &contradictions[i]), contradictions[i].why, ret_why);
        for (size_t i = 0; i < c->n_roots; i++)
                if (c->roots[i].n_sources == 0)
                        return refuse(c->roots[i].place,
                                      "this section [Root NAME] has no Source= for this machine; add one or"
                                      " take the section out",
                                      ret_why);
        return 0;
}

/* -- its files */

static int read_file(Config *c, const char *path, char **ret_why)
{
        _cleanup_free_ char *copy = NULL;
        FILE *file;
        int r = config_file_open(path, &file, ret_why);

        if (r < 0 || !file)
                return r;
        r = config_read(c, path, file, ret_why);
        fclose(file);
        if (r < 0)
                return r;
        copy = strdup(path);
        return copy ? words_take(&c->files, TAKE_PTR(copy)) : -ENOMEM;
}

static int read_all(Config *c, char **ret_why)
{
        _cleanup_(words_freep) char **paths = NULL;
        int r = config_files_find(directories, &paths, ret_why);

        for (char **path = paths; r >= 0 && path && *path; path++)
                r = read_file(c, *path, ret_why);
        return r;
}

int config_load(const char *path, Config **ret, char **ret_why)
{
        _cleanup_(config_freep) Config *c = NULL;
        int r;

        *ret_why = NULL;
        r = config_new(&c);
        if (r < 0)
                return r;
        r = path ? read_file(c, path, ret_why) : read_all(c, ret_why);
        if (r < 0)
                return r;
        r = check(c, ret_why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
