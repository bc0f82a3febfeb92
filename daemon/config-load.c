/* The configuration as a whole: its files one over the other, and what no single line can show. */
#include "build-config.h"
#include "config-read.h"
#include "config-table.h"
#include "log.h"

static const char *const search_path[] = {
        SYSCONFDIR "/nsrootd/nsrootd.conf",
        "/run/nsrootd/nsrootd.conf",
        "/usr/lib/nsrootd/nsrootd.conf",
};

static int read_file(Config *c, const char *path, char **ret_why)
{
        FILE *file = fopen(path, "re");
        int r;

        if (!file)
                return -errno;
        r = config_read(c, path, file, ret_why);
        fclose(file);
        return r;
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
