/* An order to spawn, taken apart: strings, environment, user, descriptors. The daemon made it, but what is
 * in it came from a client: nothing is believed that is not within the message. */
#include "init.h"
#include "number.h"

/* The string at *cursor, which moves behind its NUL; NULL where there is none within the blob. */
static char *next_string(const char **cursor, const char *end)
{
        const char *s = *cursor;
        const char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

        if (!nul)
                return NULL;
        *cursor = nul + 1;
        return (char *)s;
}

static bool parse_list(const char **cursor, const char *end, uint32_t n, char **ret)
{
        for (uint32_t i = 0; i < n; i++)
                if (!(ret[i] = next_string(cursor, end)))
                        return false;
        ret[n] = NULL;
        return true;
}

static bool parse_lists(const char **cursor, const char *end, Job *job)
{
        if (job->order.argc > STRINGS_MAX || job->order.envc > STRINGS_MAX)
                return false;
        job->argv = job->strings;
        job->envp = job->strings + job->order.argc + 1;
        return parse_list(cursor, end, job->order.argc, job->argv) &&
               parse_list(cursor, end, job->order.envc, job->envp);
}

static const char *environment_get(char *const *envp, const char *key)
{
        size_t n = strlen(key);

        for (; *envp; envp++)
                if (strncmp(*envp, key, n) == 0 && (*envp)[n] == '=')
                        return *envp + n + 1;
        return NULL;
}

/* HOME and USER are the user's, unless the caller named other ones; the daemon sent all else. */
static bool complete_environment(Job *job)
{
        struct {
                const char *key;
                char *entry;
                const char *value;
        } own[] = {
                {"HOME",  job->home,       job->user.home},
                { "USER", job->user_entry, job->user.name},
        };
        uint32_t n = job->order.envc;

        for (size_t i = 0; i < ELEMENTSOF(own); i++) {
                if (environment_get(job->envp, own[i].key))
                        continue;
                if (n >= STRINGS_MAX)
                        return false;
                stpcpy(stpcpy(stpcpy(own[i].entry, own[i].key), "="), own[i].value);
                job->envp[n++] = own[i].entry;
                job->envp[n] = NULL;
        }
        job->path = environment_get(job->envp, "PATH");
        return true;
}

/* Descriptors come in the order of their flags. */
static bool take_descriptors(OrderMessage *m, Job *job)
{
        static const uint32_t flags[] = { SPAWN_STDIN, SPAWN_STDOUT, SPAWN_STDERR, SPAWN_LIFELINE,
                                          SPAWN_RING };
        int *const places[] = { &job->stdio[0], &job->stdio[1], &job->stdio[2], &job->lifeline, &job->ring };
        size_t next = 0;

        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                *places[i] = -EBADF;
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                if (!(job->order.flags & flags[i]))
                        continue;
                if (next >= m->n_fds)
                        return false;
                *places[i] = TAKE_FD(m->fds[next++]);
        }
        return true;
}

/* Where there is one id only, it is whoever is root elsewhere, with root's home; nobody else can be had. It
 * has no name in the root's files. */
static int resolve(const char *user, uint32_t only_id, const User *root, User *ret)
{
        User u;
        int r = 0;

        if (root && !user[0])
                u = *root;
        else
                r = user_resolve(user, &u);
        if (r < 0)
                return r;
        if (only_id && (u.uid != 0 || u.gid != 0))
                return -EOPNOTSUPP;
        if (only_id) {
                u.uid = u.gid = only_id;
                put_number(u.name, only_id);
        }
        *ret = u;
        return 0;
}

bool job_parse(OrderMessage *m, uint32_t only_id, const User *root, Job *ret, Failure *f)
{
        const char *cursor = m->blob, *end = m->blob + m->blob_size, *user;
        int r;

        order_copy(m, &ret->order, sizeof(ret->order));
        if (!take_descriptors(m, ret) || !ret->order.argc || ret->order.blob_size != m->blob_size ||
            !parse_lists(&cursor, end, ret) || !(user = next_string(&cursor, end)) ||
            !(ret->directory = next_string(&cursor, end)))
                return fail(f, STEP_ORDER, 0, EBADMSG);
        r = resolve(user, only_id, root, &ret->user);
        if (r < 0)
                return fail(f, STEP_USER, 0, r);
        return complete_environment(ret) || fail(f, STEP_ORDER, 0, E2BIG);
}

void job_done(Job *job)
{
        for (size_t i = 0; i < ELEMENTSOF(job->stdio); i++)
                job->stdio[i] = close_fd(job->stdio[i]);
        job->lifeline = close_fd(job->lifeline);
        job->ring = close_fd(job->ring);
}
