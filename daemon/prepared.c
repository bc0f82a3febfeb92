/* See prepared.h. */
#include "prepared.h"

#include <poll.h>
#include <sys/random.h>

static int random_id(char ret[static SESSION_ID_LENGTH + 1])
{
        uint8_t bytes[SESSION_ID_LENGTH];

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return -errno;
        for (size_t i = 0; i < SESSION_ID_LENGTH; i++)
                ret[i] = SESSION_ID_ALPHABET[bytes[i] % 32];
        ret[SESSION_ID_LENGTH] = '\0';
        return 0;
}

/* Also its beginning is nobody else's: it is its name in the descriptor store. */
static int new_id(const SessionHost *host, char ret[static SESSION_ID_LENGTH + 1])
{
        int r;

        do
                r = random_id(ret);
        while (r >= 0 && host->has_prefix(ret, SESSION_STORE_NAME_LENGTH, host->userdata));
        return r;
}

static GroupLimits group_limits(const Limits *l)
{
        return (GroupLimits){ .memory_max = l->of[LIMIT_MEMORY],
                              .tasks_max = l->of[LIMIT_TASKS],
                              .cpu_percent = l->of[LIMIT_CPU_QUOTA],
                              .cpu_weight = l->of[LIMIT_CPU_WEIGHT],
                              .io_weight = l->of[LIMIT_IO_WEIGHT] };
}

static int make_cgroup(const SessionHost *host, const Wanted *wanted, Prepared *p)
{
        const GroupLimits limits = group_limits(wanted->limits);
        int r;

        if (!host->cgroups)
                return 0;
        if (wanted->charged_to)
                r = cgroup_new_at(host->cgroups, wanted->charged_to, p->id, &p->cgroup);
        else
                r = cgroup_new(host->cgroups, p->owner, wanted->together, p->id, &limits, &p->cgroup);
        if (r >= 0 && cgroup_oom_kills(p->cgroup, &p->oom_kills_before) < 0)
                p->oom_kills_before = 0;
        return r;
}

/* By the clone, or, where somebody else may do what he likes with it, by the child itself. */
static int choose_cgroup(const Prepared *p, Launch *l)
{
        if (!p->cgroup)
                return 0;
        if (!cgroup_is_elsewhere(p->cgroup)) {
                l->cgroup_fd = cgroup_fd(p->cgroup);
                return 0;
        }
        l->enter_fd = cgroup_open_entry(p->cgroup);
        return MIN(l->enter_fd, 0);
}

static int fail(LaunchFailure *f, Step step, int r)
{
        *f = (LaunchFailure){ .step = step, .error = -r };
        return -EREMOTEIO;
}

static int launch(const SessionHost *host, const Wanted *wanted, Prepared *p, LaunchFailure *f)
{
        Launch l = { .tree_fd = root_tree_fd(p->root),
                     .can_idmap = root_can_idmap(p->root),
                     .first_id = p->first_id,
                     .cgroup_fd = -EBADF,
                     .enter_fd = -EBADF,
                     .oom_score_adj = wanted->oom_score_adj,
                     .storage_max = plan_tmpfs_limit(p->limits.of[LIMIT_STORAGE]),
                     .storage_inodes = plan_tmpfs_limit(p->limits.of[LIMIT_STORAGE_INODES]) };
        int r = choose_cgroup(p, &l);

        if (r < 0)
                return fail(f, STEP_LEAF, r);
        plan_child(&p->limits, wanted->read_only, wanted->hostname ?: root_name(p->root), &l.child);
        r = launcher_start(host->launcher, &l, &p->init, f);
        p->is_copy = l.child.plain_root;
        close_fd(l.enter_fd);
        return r;
}

static int make(const SessionHost *host, const Wanted *wanted, Prepared *p, LaunchFailure *f)
{
        int r = new_id(host, p->id);

        if (r < 0)
                return fail(f, STEP_START, r);
        r = idranges_take(host->ranges, &p->first_id);
        if (r < 0)
                return fail(f, STEP_MAPS, r);
        p->has_range = true;
        r = make_cgroup(host, wanted, p);
        return r < 0 ? fail(f, STEP_LEAF, r) : launch(host, wanted, p, f);
}

int prepared_new(const SessionHost *host, const Wanted *wanted, Prepared **ret, LaunchFailure *f)
{
        Prepared *p = malloc(sizeof(*p));
        int r;

        if (!p)
                return fail(f, STEP_START, -ENOMEM);
        *p = (Prepared){ .root = root_ref(wanted->root),
                         .owner = wanted->owner,
                         .limits = *wanted->limits,
                         .oom_score_adj = wanted->oom_score_adj,
                         .init = LAUNCHED_NONE };
        r = make(host, wanted, p, f);
        if (r < 0) {
                prepared_free(host, p);
                return r;
        }
        *ret = p;
        return 0;
}

Prepared *prepared_free(const SessionHost *host, Prepared *p)
{
        const Remnant remnant = { .owner = p->owner,
                                  .init = p->init,
                                  .cgroup = p->cgroup,
                                  .has_range = p->has_range,
                                  .first_id = p->first_id };

        remains_add(host->remains, &remnant);
        if (p->root)
                root_unref(p->root);
        free(p);
        return NULL;
}

static int adapt_cgroup(Prepared *p, const Wanted *wanted)
{
        const GroupLimits was = group_limits(&p->limits), limits = group_limits(wanted->limits);

        return p->cgroup ? cgroup_limit(p->cgroup, p->owner, wanted->together, &was, &limits) : 0;
}

int prepared_adapt(Prepared *p, const Wanted *wanted)
{
        int r = adapt_cgroup(p, wanted);

        if (r >= 0 && p->oom_score_adj != wanted->oom_score_adj)
                r = launcher_write_oom_score_adj(&p->init, wanted->oom_score_adj);
        if (r < 0)
                return r;
        p->limits = *wanted->limits;
        p->oom_score_adj = wanted->oom_score_adj;
        return 0;
}

bool prepared_lives(const Prepared *p)
{
        struct pollfd end = { .fd = p->init.pidfd, .events = POLLIN };

        return poll(&end, 1, 0) == 0;
}
