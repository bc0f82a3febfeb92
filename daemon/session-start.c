/* How a session begins: with one that is prepared, now or before, and an order. See session-private.h. */
#include <sys/stat.h>

#include "output.h"
#include "plan.h"
#include "prepared.h"
#include "session-log.h"
#include "session-private.h"

#define ARGUMENT_BYTES_SHOWN 512
#define ELLIPSIS             "\u2026"

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

static uint64_t inode_of(int fd)
{
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

static int fail(LaunchFailure *f, Step step, int r)
{
        *f = (LaunchFailure){ .step = step, .error = -r };
        return -EREMOTEIO;
}

/* Takes what is prepared. */
static int become(Session *s, Prepared *p)
{
        memcpy(s->id, p->id, sizeof(s->id));
        s->root = TAKE_PTR(p->root);
        s->first_id = p->first_id;
        s->has_range = p->has_range;
        p->has_range = false;
        s->cgroup = TAKE_PTR(p->cgroup);
        s->oom_kills_before = p->oom_kills_before;
        s->init = p->init;
        p->init = LAUNCHED_NONE;
        s->tree = inode_of(root_tree_fd(s->root));
        s->root_name = strdup(root_name(s->root));
        s->cgroup_path = s->cgroup ? strdup(cgroup_path(s->cgroup)) : NULL;
        return s->root_name && (s->cgroup_path || !s->cgroup) ? 0 : -ENOMEM;
}

static int become_wanted(Session *s, const SessionRequest *request, Prepared *warm, LaunchFailure *f)
{
        const Wanted wanted = session_request_wanted(request);
        Prepared *p = warm;
        int r = p ? 0 : prepared_new(s->host, &wanted, &p, f);

        if (r < 0)
                return r;
        r = become(s, p);
        prepared_free(s->host, p);
        return r < 0 ? fail(f, STEP_START, r) : 0;
}

Wanted session_request_wanted(const SessionRequest *request)
{
        return (Wanted){ .root = request->root,
                         .owner = request->owner,
                         .limits = &request->limits,
                         .together = &request->together,
                         .charged_to = request->charged_to,
                         .hostname = request->spec.hostname,
                         .read_only = request->spec.read_only == 1,
                         .oom_score_adj = request->oom_score_adj };
}

static int order_command(Session *s, const SessionRequest *request)
{
        SpawnPlan plan = { 0 };
        int fds[COMMAND_FDS + 1];
        size_t n = session_pack_fds(request->fds, fds);
        int r = plan_command(&s->limits, &request->spec, root_config(s->root), ORDER_MAIN_COMMAND, &plan);

        fds[n++] = s->output_fd;
        if (r >= 0)
                r = order_send(s->init.control, &plan.order, sizeof(plan.order), plan.blob,
                               plan.order.blob_size, fds, n);
        plan_done(&plan);
        return r == -EPIPE || r == -ECONNRESET ? 0 : r; /* it ended meanwhile, and has said why */
}

/* What a detached session prints is kept as far as there is room; of others, only how their commands end. */
static int make_output(Session *s, const Spec *spec)
{
        uint64_t size = spec->detached == 1 ? s->limits.of[LIMIT_OUTPUT_KEPT] / RING_ALIGN * RING_ALIGN : 0;

        return output_new(size, &s->output_fd);
}

static int start(Session *s, SessionRequest *request, Prepared *warm, LaunchFailure *f)
{
        int r = become_wanted(s, request, warm, f);

        if (r < 0)
                return r;
        r = make_output(s, &request->spec);
        if (r < 0)
                return fail(f, STEP_START, r);
        r = order_command(s, request);
        if (r < 0)
                return fail(f, STEP_ORDERS, r);
        r = keep_spec(s, &request->spec, root_config(s->root));
        if (r >= 0)
                r = session_keep(s);
        if (r >= 0)
                r = session_listen(s);
        if (r >= 0)
                r = session_expect_start(s);
        return r < 0 ? fail(f, STEP_START, r) : 0;
}

int session_start(const SessionHost *host, SessionRequest *request, Prepared *warm, SessionWatch *watch,
                  Session **ret, LaunchFailure *f)
{
        _cleanup_(session_freep) Session *s = session_alloc(host);
        int r;

        if (s) {
                s->owner = request->owner;
                s->limits = request->limits;
                r = start(s, request, warm, f);
                if (r < 0)
                        session_log_failure(s, f);
        } else {
                if (warm)
                        prepared_free(host, warm);
                r = fail(f, STEP_START, -ENOMEM);
        }
        session_request_done(request);
        if (r < 0)
                return r;
        session_watch(s, watch);
        *ret = TAKE_PTR(s);
        return 0;
}
