#include "root.h"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

#include "busybox.h"
#include "idmap.h"
#include "log.h"
#include "tree.h"

static bool try_idmap(const Root *root)
{
        int r = idmap_try(root->tree_fd);

        if (r < 0)
                log_warning("Root %s: cannot find out whether it can be mounted with mapped ids: %s",
                            root->metadata.name, errno_text(r));
        return r > 0;
}

/* Takes what *m owns if it succeeds. -ENOENT: its tree is not there. */
static int root_open(const Store *s, const RootConfig *config, Metadata *m, Root **ret)
{
        _cleanup_close_ int fd =
                openat(s->roots_fd, m->digest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        Root *root;

        if (fd < 0)
                return -errno;
        root = malloc(sizeof(Root));
        if (!root)
                return -ENOMEM;
        *root = (Root){
                .n_ref = 1, .config = config, .metadata = *m, .tree_fd = TAKE_FD(fd), .dead_dir_fd = -EBADF
        };
        *m = (Metadata){};
        root->can_idmap = try_idmap(root);
        *ret = root;
        return 0;
}

Root *root_ref(Root *root)
{
        root->n_ref++;
        return root;
}

void root_count_idle(Root *root, int by)
{
        root->n_idle += (unsigned)by;
}

Root *root_unref(Root *root)
{
        if (!root || --root->n_ref > 0)
                return NULL;
        if (root->dead_dir_fd >= 0)
                (void)tree_remove(root->dead_dir_fd, root->dead_name); /* else the next start does */
        close_fd(root->dead_dir_fd);
        close_fd(root->tree_fd);
        metadata_done(&root->metadata);
        free(root);
        return NULL;
}

int root_tree_fd(const Root *root)
{
        return root->tree_fd;
}

bool root_can_idmap(const Root *root)
{
        return root->can_idmap;
}

const RootConfig *root_config(const Root *root)
{
        return root->config;
}

const char *root_name(const Root *root)
{
        return root->metadata.name;
}

/* The pin by which a binary is known; NULL: nobody pinned it. */
static const RootSource *find_pin(const RootConfig *config, const char *binary_digest)
{
        for (size_t i = 0; i < config->n_sources; i++)
                if (config->sources[i].digest && strcasecmp(config->sources[i].digest, binary_digest) == 0)
                        return &config->sources[i];
        return NULL;
}

bool root_is_vouched_for(const Root *root, const RootConfig *config)
{
        const Metadata *m = &root->metadata;

        if (find_pin(config, m->binary_digest))
                return true;
        for (size_t i = 0; i < config->n_sources; i++)
                if (!config->sources[i].digest && streq(config->sources[i].url, m->source))
                        return true;
        return false;
}

/* ---- A tree whose metadata is lost
 * ---------------------------------------------------------------------------- */

typedef struct Search {
        const Store *store;
        const RootConfig *config;
        Metadata found;
} Search;

static int remember(Search *search, const RootSource *source, const Metadata *m)
{
        search->found = *m;
        search->found.name = strdup(search->config->name);
        search->found.source = strdup(source->url);
        return search->found.name && search->found.source ? STORE_FOUND : -ENOMEM;
}

/* Two digests tell what a tree is: one of its sources pins that of the binary, and its own name is that of
 * all that is in it. */
static int look_at_tree(const char *name, void *data)
{
        Search *search = data;
        _cleanup_close_ int fd =
                openat(search->store->roots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        const RootSource *source;
        uint64_t bytes;
        Metadata m = {};

        if (fd < 0 || busybox_digest(fd, m.binary_digest) < 0)
                return 0;
        source = find_pin(search->config, m.binary_digest);
        if (!source || tree_digest(fd, m.digest, &bytes) < 0 || !streq(m.digest, name))
                return 0;
        m.size_bytes = (int64_t)bytes;
        return remember(search, source, &m);
}

/* 1: it is found; 0: there is none. */
static int recover(const Store *s, const RootConfig *config, Root **ret)
{
        Search search = { .store = s, .config = config };
        int r = store_each_tree(s, look_at_tree, &search);

        if (r == STORE_FOUND) {
                (void)metadata_write(s->names_fd, &search.found); /* else the next start finds it */
                r = root_open(s, config, &search.found, ret);
                r = r < 0 ? r : 1;
        }
        metadata_done(&search.found);
        return r;
}

static const char *describe_loss(int r)
{
        return r == -ENOENT                   ? "nothing is known of it"
               : r == -EBADMSG || r == -E2BIG ? "its metadata is damaged"
                                              : errno_text(r);
}

int root_load(const Store *s, const RootConfig *config, Root **ret)
{
        _cleanup_(metadata_done) Metadata m = {};
        int r, found;

        r = metadata_read(s->names_fd, config->name, &m);
        if (r >= 0)
                r = root_open(s, config, &m, ret);
        if (r >= 0 || r == -ENOMEM)
                return r;
        found = recover(s, config, ret);
        if (found > 0)
                log_notice("Root %s: %s, but its tree is there: it is known by its digest", config->name,
                           describe_loss(r));
        else if (r != -ENOENT)
                log_warning("Root %s: %s; it will be made again", config->name, describe_loss(r));
        return found == -ENOMEM ? found : 0;
}

/* The tree first and then its name: a crash in between leaves a tree without a name, which the next start
 * knows by its digest, or removes. */
int root_commit(const Store *s, const RootConfig *config, Metadata *built, const char *build, Root **ret)
{
        int r, placed;

        placed = store_place(s, build, built->digest);
        if (placed < 0)
                return placed;
        r = metadata_write(s->names_fd, built);
        if (r < 0 && placed > 0)
                (void)tree_remove(s->roots_fd, built->digest); /* else the next start does */
        return r < 0 ? r : root_open(s, config, built, ret);
}

int root_bury(const Store *s, Root *root)
{
        _cleanup_close_ int dir_fd = fcntl(s->roots_fd, F_DUPFD_CLOEXEC, 3);
        int r;

        if (dir_fd < 0)
                return -errno;
        r = store_bury(s, root->metadata.digest, root->dead_name);
        if (r >= 0)
                root->dead_dir_fd = TAKE_FD(dir_fd);
        return r == -ENOENT ? 0 : r;
}
