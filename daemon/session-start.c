/* How a session begins: its id, its ids, its cgroup, its plan, its launch. See session-private.h. */
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "output.h"
#include "plan.h"
#include "session-log.h"
#include "session-private.h"

#define ARGUMENT_BYTES_SHOWN 512
#define ELLIPSIS             "\u2026"

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

static void strings_free(char **list)
{
        for (char **s = list; s && *s; s++)
                free(*s);
        free(list);
}

/* What is shown of a command line: a list of a thousand sessions must fit into one reply, and into memory.
 */
static char **abridge(char *const *list)
{
        char **copy = calloc(ARGUMENTS_SHOWN + 1, sizeof(*copy));
        size_t left = ARGUMENT_BYTES_SHOWN;

        for (size_t i = 0; copy && list[i] && i < ARGUMENTS_SHOWN; i++) {
                size_t n = strlen(list[i]);
                bool fits = n <= left && i + 1 < ARGUMENTS_SHOWN;

                copy[i] = strdup(fits ? list[i] : ELLIPSIS);
                if (!copy[i]) {
                        strings_free(copy);
                        return NULL;
                }
                if (!fits)
                        break;
                left -= n;
        }
        return copy;
}

/* A session that is described knows what it runs; its environment, which may hold secrets, it does not keep.
 */
static int keep_spec(Session *s, Spec *spec, const RootConfig *root)
{
        char **shown = abridge(plan_arguments(spec, root));

        if (!spec->hostname)
                spec->hostname = strdup(root->name);
        if (!shown || !spec->hostname) {
                strings_free(shown);
                return -ENOMEM;
        }
        strings_free(TAKE_PTR(spec->environment));
        strings_free(spec->arguments);
        spec->arguments = shown;
        s->spec = *spec;
        *spec = (Spec){ 0 };
        return 0;
}

static int make_cgroup(Session *s, const SessionRequest *request)
{
        const uint64_t *of = s->limits.of;
        const GroupLimits limits = { .memory_max = of[LIMIT_MEMORY],
                                     .tasks_max = of[LIMIT_TASKS],
                                     .cpu_percent = of[LIMIT_CPU_QUOTA],
                                     .cpu_weight = of[LIMIT_CPU_WEIGHT],
                                     .io_weight = of[LIMIT_IO_WEIGHT] };
        int r;

        if (!s->host->cgroups)
                return 0;
        if (request->charged_to)
                r = cgroup_new_at(s->host->cgroups, request->charged_to, s->id, &s->cgroup);
        else
                r = cgroup_new(s->host->cgroups, s->owner, &request->together, s->id, &limits, &s->cgroup);
        if (r < 0)
                return r;
        if (cgroup_oom_kills(s->cgroup, &s->oom_kills_before) < 0)
                s->oom_kills_before = 0;
        s->cgroup_path = strdup(cgroup_path(s->cgroup));
        return s->cgroup_path ? 0 : -ENOMEM;
}

/* Descriptors in the order of their flags, without gaps: as nsroot-init takes them. */
static void pack_fds(const SessionRequest *request, Launch *launch)
{
        for (size_t i = 0; i < ELEMENTSOF(request->fds); i++)
                if (request->fds[i] >= 0)
                        launch->fds[launch->n_fds++] = request->fds[i];
}

static int fail(LaunchFailure *f, Step step, int r)
{
        *f = (LaunchFailure){ .step = step, .error = -r };
        return -EREMOTEIO;
}

/* By the clone, or, where somebody else may do what he likes with it, by the child itself. */
static int choose_cgroup(const Session *s, Launch *l)
{
        if (!s->cgroup)
                return 0;
        if (!cgroup_is_elsewhere(s->cgroup)) {
                l->cgroup_fd = cgroup_fd(s->cgroup);
                return 0;
        }
        l->enter_fd = cgroup_open_entry(s->cgroup);
        return MIN(l->enter_fd, 0);
}

static int launch(Session *s, SessionRequest *request, LaunchFailure *f)
{
        SpawnPlan spawn = { 0 };
        Launch l = { .spawn = &spawn,
                     .tree_fd = root_tree_fd(s->root),
                     .can_idmap = root_can_idmap(s->root),
                     .first_id = s->first_id,
                     .cgroup_fd = -EBADF,
                     .enter_fd = -EBADF };
        Launched launched;
        int r = choose_cgroup(s, &l);

        if (r < 0)
                return fail(f, STEP_LEAF, r);
        r = plan_build(&s->limits, &request->spec, root_config(s->root), request->oom_score_adj, &l.child,
                       &spawn);
        if (r < 0)
                *f = (LaunchFailure){ .step = STEP_ORDERS, .error = -r };
        else {
                pack_fds(request, &l);
                l.fds[l.n_fds++] = s->output_fd;
                r = launcher_start(s->host->launcher, &l, &launched, f);
        }
        plan_done(&spawn);
        close_fd(l.enter_fd);
        if (r < 0)
                return -EREMOTEIO;
        s->pid = launched.pid;
        s->pidfd = launched.pidfd;
        s->control = launched.control;
        return 0;
}

/* What a detached session prints is kept as far as there is room; of others, only how their commands end. */
static int make_output(Session *s, const Spec *spec)
{
        uint64_t size = spec->detached == 1 ? s->limits.of[LIMIT_OUTPUT_KEPT] / RING_ALIGN * RING_ALIGN : 0;

        return output_new(size, &s->output_fd);
}

static int start(Session *s, SessionRequest *request, LaunchFailure *f)
{
        int r = idranges_take(s->host->ranges, &s->first_id);

        if (r < 0)
                return fail(f, STEP_MAPS, r);
        s->has_range = true;
        r = make_cgroup(s, request);
        if (r < 0)
                return fail(f, STEP_LEAF, r);
        r = make_output(s, &request->spec);
        if (r < 0)
                return fail(f, STEP_START, r);
        r = launch(s, request, f);
        if (r < 0)
                return r;
        r = keep_spec(s, &request->spec, root_config(s->root));
        if (r >= 0)
                r = session_keep(s);
        if (r >= 0)
                r = session_listen(s);
        if (r >= 0)
                r = session_expect_start(s);
        return r < 0 ? fail(f, STEP_START, r) : 0;
}

static uint64_t inode_of(int fd)
{
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

int session_start(const SessionHost *host, SessionRequest *request, SessionWatch *watch, Session **ret,
                  LaunchFailure *f)
{
        _cleanup_(session_freep) Session *s = session_alloc(host);
        int r = s ? new_id(host, s->id) : -ENOMEM;

        if (r >= 0) {
                s->owner = request->owner;
                s->limits = request->limits;
                s->has_lifeline = request->fds[3] >= 0;
                s->root = TAKE_PTR(request->root);
                s->root_name = strdup(root_name(s->root));
                s->tree = inode_of(root_tree_fd(s->root));
                r = s->root_name ? start(s, request, f) : fail(f, STEP_START, -ENOMEM);
                if (r < 0)
                        session_log_failure(s, f);
        } else
                r = fail(f, STEP_START, r);
        session_request_done(request);
        if (r < 0)
                return r;
        session_watch(s, watch);
        *ret = TAKE_PTR(s);
        return 0;
}
