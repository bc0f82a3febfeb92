#include "root.h"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

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

int root_load(const Store *s, const RootConfig *config, Root **ret)
{
        _cleanup_(metadata_done) Metadata m = {};
        int k;

        k = metadata_read(s->names_fd, config->name, &m);
        if (k == -EBADMSG || k == -E2BIG) {
                log_warning("Root %s: its metadata is damaged; it will be made again", config->name);
                return 0;
        }
        if (k >= 0)
                k = root_open(s, config, &m, ret);
        if (k < 0 && k != -ENOENT && k != -ENOMEM)
                log_warning("Root %s: cannot be read: %s; it will be made again", config->name,
                            errno_text(k));
        return k == -ENOMEM ? k : 0;
}

bool root_is_vouched_for(const Root *root, const RootConfig *config)
{
        const Metadata *m = &root->metadata;

        for (size_t i = 0; i < config->n_sources; i++) {
                const RootSource *s = &config->sources[i];

                if (s->digest ? strcasecmp(s->digest, m->binary_digest) == 0 : streq(s->url, m->source))
                        return true;
        }
        return false;
}

/* The tree first and then its name: a crash in between leaves a tree without a name, which the next start
 * removes. */
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
