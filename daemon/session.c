/* See session.h. */
#include "session.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"
#include "session-log.h"

#define START_TIMEOUT        (60 * USEC_PER_SEC) /* a set-up that hangs is not waited for for ever */
#define REAP_PATIENCE_MSEC   500
#define MAIN_COMMAND         1
#define ARGUMENTS_SHOWN      32
#define ARGUMENT_BYTES_SHOWN 512
#define ELLIPSIS             "\u2026"

struct Session {
        const SessionHost *host;
        char id[SESSION_ID_LENGTH + 1];
        Spec spec;
        char *root_name;
        uid_t owner;
        Limits limits;

        SessionState state;
        bool was_started, is_start_logged, has_result_event, is_stopping, is_killed;
        Cause kill_cause;
        SessionResult result;
        uint64_t started_realtime, started_monotonic, exited_realtime, exited_monotonic;
        SessionWatch *watches;

        /* While it lives */
        Root *root;
        Cgroup *cgroup;
        char *cgroup_path;
        uint32_t first_id;
        bool has_range;
        pid_t pid;
        int pidfd, control;
        sd_event_source *control_source, *pidfd_source, *timer;
};

const char *cause_name(Cause c)
{
        static const char *const names[] = {
                [CAUSE_EXITED] = "exited",
                [CAUSE_SIGNALED] = "signaled",
                [CAUSE_STOPPED] = "stopped",
                [CAUSE_OUT_OF_MEMORY] = "outOfMemory",
                [CAUSE_DISCONNECTED] = "disconnected",
                [CAUSE_SETUP_FAILED] = "setupFailed",
                [CAUSE_INIT_DIED] = "initDied",
        };

        return names[c];
}

void session_request_done(SessionRequest *r)
{
        spec_done(&r->spec);
        if (r->root)
                r->root = root_unref(r->root);
}

void session_watch(Session *s, SessionWatch *w)
{
        w->session = s;
        w->next = s->watches;
        s->watches = w;
}

void session_unwatch(SessionWatch *w)
{
        if (!w->session)
                return;
        for (SessionWatch **p = &w->session->watches; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        break;
                }
        w->session = NULL;
}

static void tell_started(Session *s, int pty)
{
        _cleanup_close_ int fd = pty;

        for (SessionWatch *w = s->watches, *next; w; w = next) {
                next = w->next;
                if (w->started)
                        w->started(w, &fd);
        }
}

static void tell_ended(Session *s)
{
        while (s->watches) {
                SessionWatch *w = s->watches;

                s->watches = w->next;
                w->session = NULL;
                w->ended(w, s);
        }
}

/* Everything it held of the machine. */
static void release(Session *s)
{
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->pidfd_source = sd_event_source_disable_unref(s->pidfd_source);
        s->timer = sd_event_source_disable_unref(s->timer);
        s->control = close_fd(s->control);
        s->pidfd = close_fd(s->pidfd);
        s->pid = 0;
        if (s->cgroup)
                s->cgroup = cgroup_free(s->cgroup);
        if (s->has_range)
                idranges_give_back(s->host->ranges, s->first_id);
        s->has_range = false;
        if (s->root)
                s->root = root_unref(s->root);
}

/* The status says how the command ended; why it did, the daemon may know better. */
static Cause find_cause(const Session *s)
{
        uint64_t oom_kills = 0;

        if (s->result.failure.error)
                return CAUSE_SETUP_FAILED;
        if (s->is_stopping && (!s->has_result_event || WIFSIGNALED(s->result.status)))
                return CAUSE_STOPPED;
        if (s->cgroup && cgroup_oom_kills(s->cgroup, &oom_kills) >= 0 && oom_kills &&
            (!s->has_result_event || WIFSIGNALED(s->result.status)))
                return CAUSE_OUT_OF_MEMORY;
        if (s->has_result_event)
                return WIFSIGNALED(s->result.status) ? CAUSE_SIGNALED : CAUSE_EXITED;
        return s->is_killed ? s->kill_cause : CAUSE_INIT_DIED;
}

static void complete_result(Session *s)
{
        SessionResult *r = &s->result;

        if (!s->exited_monotonic)
                s->exited_monotonic = now_usec(CLOCK_MONOTONIC);
        s->exited_realtime = now_usec(CLOCK_REALTIME);
        r->has_status = s->was_started;
        if (!s->has_result_event) /* the end of PID 1 is SIGKILL for all others */
                r->status = SIGKILL;
        r->wall_usec = s->was_started ? s->exited_monotonic - s->started_monotonic : RESULT_NONE;
        r->cause = find_cause(s);
        if (s->cgroup && cgroup_memory_peak(s->cgroup, &r->memory_peak) < 0)
                r->memory_peak = RESULT_NONE;
        if (s->cgroup && cgroup_tasks_peak(s->cgroup, &r->tasks_peak) < 0)
                r->tasks_peak = RESULT_NONE;
}

static void finish(Session *s)
{
        complete_result(s);
        release(s);
        s->state = SESSION_EXITED;
        session_log_end(s, s->is_start_logged);
        s->host->on_exited(s, s->host->userdata);
        tell_ended(s);
}

static void kill_init(Session *s)
{
        if (s->cgroup)
                (void)cgroup_kill(s->cgroup);
        if (s->pidfd >= 0)
                (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

void session_kill(Session *s, Cause cause)
{
        if (s->state == SESSION_EXITED || s->is_killed)
                return;
        s->is_killed = true;
        s->kill_cause = cause;
        kill_init(s);
}

static void on_started(Session *s, const OrderMessage *m)
{
        EventStarted e;

        order_copy(m, &e, sizeof(e));
        if (s->state != SESSION_STARTING)
                return;
        s->timer = sd_event_source_disable_unref(s->timer);
        s->state = SESSION_RUNNING;
        s->was_started = true;
        s->started_monotonic = e.monotonic_usec;
        s->started_realtime = now_usec(CLOCK_REALTIME);
        s->is_start_logged = session_log_start(s);
}

static void on_failed(Session *s, const OrderMessage *m)
{
        EventFailed e;

        order_copy(m, &e, sizeof(e));
        s->result.failure = (LaunchFailure){ .step = e.step,
                                             .index = e.index,
                                             .error = e.error ? (int)(e.error & INT32_MAX) : EIO };
}

static void on_exited(Session *s, const OrderMessage *m)
{
        EventExited e;

        order_copy(m, &e, sizeof(e));
        s->has_result_event = true;
        s->result.status = e.status;
        s->result.user_usec = e.user_usec;
        s->result.system_usec = e.system_usec;
        s->exited_monotonic = e.monotonic_usec;
}

static void on_ending(Session *s, const OrderMessage *m)
{
        EventEnding e;

        order_copy(m, &e, sizeof(e));
        if (s->is_killed)
                return;
        s->is_killed = true;
        s->kill_cause = e.reason == END_DISCONNECTED ? CAUSE_DISCONNECTED : CAUSE_STOPPED;
}

/* One message of the session's init, or, before there is one, of the child. */
static void on_event(Session *s, OrderMessage *m)
{
        static const struct {
                uint32_t type;
                void (*handle)(Session *s, const OrderMessage *m);
        } handlers[] = {
                {EVENT_STARTED, on_started},
                { EVENT_FAILED, on_failed },
                { EVENT_EXITED, on_exited },
                { EVENT_ENDING, on_ending },
        };
        bool was_starting = s->state == SESSION_STARTING;

        for (size_t i = 0; i < ELEMENTSOF(handlers); i++)
                if (handlers[i].type == m->header->type)
                        handlers[i].handle(s, m);
        if (was_starting && s->state == SESSION_RUNNING)
                tell_started(s, m->n_fds ? TAKE_FD(m->fds[0]) : -EBADF);
}

/* Returns false when there will be no more. */
static bool drain_control(Session *s)
{
        static _Alignas(OrderHeader) char buffer[1024]; /* events have no blob */

        while (s->control >= 0) {
                OrderMessage m;
                int r = order_receive(s->control, MSG_DONTWAIT, buffer, sizeof(buffer), &m);

                if (r == -EAGAIN)
                        return true;
                if (r <= 0)
                        return false;
                on_event(s, &m);
                order_message_done(&m);
        }
        return false;
}

static int on_control_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Session *s = userdata;

        if (!drain_control(s))
                s->control_source = sd_event_source_disable_unref(s->control_source);
        return 0;
}

/* PID 1 of the session is gone, and the kernel has waited for all its processes (pid_namespaces(7)). */
static int on_pidfd_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Session *s = userdata;
        siginfo_t info;

        (void)drain_control(s);
        (void)waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED);
        finish(s);
        return 0;
}

static int on_start_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Session *s = userdata;

        s->result.failure = (LaunchFailure){ .step = STEP_START, .error = ETIMEDOUT };
        session_kill(s, CAUSE_SETUP_FAILED);
        return 0;
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        session_kill(userdata, CAUSE_STOPPED);
        return 0;
}

static int add_sources(Session *s)
{
        int r = sd_event_add_io(s->host->event, &s->control_source, s->control, EPOLLIN, on_control_io, s);

        if (r >= 0)
                r = sd_event_add_io(s->host->event, &s->pidfd_source, s->pidfd, EPOLLIN, on_pidfd_io, s);
        if (r >= 0) /* what it has to say comes before that it is gone */
                r = sd_event_source_set_priority(s->pidfd_source, SD_EVENT_PRIORITY_NORMAL + 1);
        if (r >= 0)
                r = sd_event_add_time_relative(s->host->event, &s->timer, CLOCK_MONOTONIC, START_TIMEOUT, 0,
                                               on_start_timeout, s);
        return r;
}

static int random_id(char ret[static SESSION_ID_LENGTH + 1])
{
        static const char alphabet[32] = "abcdefghijklmnopqrstuvwxyz234567";
        uint8_t bytes[SESSION_ID_LENGTH];

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return -errno;
        for (size_t i = 0; i < SESSION_ID_LENGTH; i++)
                ret[i] = alphabet[bytes[i] % 32];
        ret[SESSION_ID_LENGTH] = '\0';
        return 0;
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

static int make_cgroup(Session *s)
{
        CgroupLimits limits = { .memory_max = s->limits.memory_max,
                                .tasks_max = s->limits.tasks_max,
                                .cpu_percent = s->limits.cpu_percent };
        int r;

        if (!s->host->cgroups)
                return 0;
        r = cgroup_new(s->host->cgroups, s->owner, s->id, &limits, &s->cgroup);
        if (r < 0)
                return r;
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

static int launch(Session *s, SessionRequest *request, LaunchFailure *f)
{
        SpawnPlan spawn = { 0 };
        Launch l = { .spawn = &spawn,
                     .tree_fd = root_tree_fd(s->root),
                     .can_idmap = root_can_idmap(s->root),
                     .first_id = s->first_id,
                     .cgroup_fd = s->cgroup ? cgroup_fd(s->cgroup) : -EBADF };
        Launched launched;
        int r = plan_build(&s->limits, &request->spec, root_config(s->root), request->oom_score_adj,
                           &l.child, &spawn);

        if (r < 0)
                *f = (LaunchFailure){ .step = STEP_ORDERS, .error = -r };
        else {
                pack_fds(request, &l);
                r = launcher_start(s->host->launcher, &l, &launched, f);
        }
        plan_done(&spawn);
        if (r < 0)
                return -EREMOTEIO;
        s->pid = launched.pid;
        s->pidfd = launched.pidfd;
        s->control = launched.control;
        return 0;
}

static int fail(LaunchFailure *f, Step step, int r)
{
        *f = (LaunchFailure){ .step = step, .error = -r };
        return -EREMOTEIO;
}

static int start(Session *s, SessionRequest *request, LaunchFailure *f)
{
        int r = idranges_take(s->host->ranges, &s->first_id);

        if (r < 0)
                return fail(f, STEP_MAPS, r);
        s->has_range = true;
        r = make_cgroup(s);
        if (r < 0)
                return fail(f, STEP_LEAF, r);
        r = launch(s, request, f);
        if (r < 0)
                return r;
        r = keep_spec(s, &request->spec, root_config(s->root));
        if (r >= 0)
                r = add_sources(s);
        return r < 0 ? fail(f, STEP_START, r) : 0;
}

int session_start(const SessionHost *host, SessionRequest *request, SessionWatch *watch, Session **ret,
                  LaunchFailure *f)
{
        _cleanup_(session_freep) Session *s = calloc(1, sizeof(*s));
        int r = s ? random_id(s->id) : -ENOMEM;

        if (r >= 0) {
                s->host = host;
                s->owner = request->owner;
                s->limits = request->limits;
                s->root = TAKE_PTR(request->root);
                s->pidfd = s->control = -EBADF;
                s->result = (SessionResult){ .user_usec = RESULT_NONE,
                                             .system_usec = RESULT_NONE,
                                             .memory_peak = RESULT_NONE,
                                             .tasks_peak = RESULT_NONE };
                s->root_name = strdup(root_name(s->root));
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

/* What does not die at once (it hangs in a filesystem of its own) must not keep the daemon. */
static void kill_and_reap(Session *s)
{
        struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
        siginfo_t info;

        if (s->pidfd < 0)
                return;
        kill_init(s);
        (void)poll(&p, 1, REAP_PATIENCE_MSEC);
        (void)waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
}

Session *session_free(Session *s)
{
        while (s->watches)
                session_unwatch(s->watches);
        kill_and_reap(s);
        release(s);
        spec_done(&s->spec);
        free(s->root_name);
        free(s->cgroup_path);
        free(s);
        return NULL;
}

int session_signal(Session *s, int signal, bool everyone)
{
        OrderSignal o = { .header = ORDER_INIT(ORDER_SIGNAL, MAIN_COMMAND),
                          .signal = (uint32_t)signal,
                          .everyone = everyone };

        if (s->state == SESSION_EXITED)
                return -ESRCH;
        return order_send(s->control, &o, sizeof(o), NULL, 0, NULL, 0);
}

int session_stop(Session *s, uint64_t timeout_usec)
{
        if (s->state == SESSION_EXITED)
                return 0;
        s->is_stopping = true;
        if (timeout_usec == 0 || s->state == SESSION_STARTING || session_signal(s, SIGTERM, false) < 0) {
                session_kill(s, CAUSE_STOPPED);
                return 0;
        }
        s->timer = sd_event_source_disable_unref(s->timer);
        return sd_event_add_time_relative(s->host->event, &s->timer, CLOCK_MONOTONIC, timeout_usec, 0,
                                          on_stop_timeout, s);
}

const char *session_id(const Session *s)
{
        return s->id;
}

const Spec *session_spec(const Session *s)
{
        return &s->spec;
}

const char *session_root(const Session *s)
{
        return s->root_name;
}

uid_t session_owner(const Session *s)
{
        return s->owner;
}

SessionState session_state(const Session *s)
{
        return s->state;
}

pid_t session_leader(const Session *s)
{
        return s->pid;
}

const char *session_cgroup(const Session *s)
{
        return s->cgroup_path;
}

const SessionResult *session_result(const Session *s)
{
        return s->state == SESSION_EXITED ? &s->result : NULL;
}

bool session_was_started(const Session *s)
{
        return s->was_started;
}

uint64_t session_started_realtime(const Session *s)
{
        return s->started_realtime;
}

uint64_t session_exited_realtime(const Session *s)
{
        return s->exited_realtime;
}
