/* A session into the descriptor store, and out of it into another daemon. See session-private.h and state.h.
 */
#include "fdstore.h"
#include "field.h"
#include "output.h"
#include "session-private.h"
#include "state.h"

static int64_t to_number(uint64_t value)
{
        return value > INT64_MAX ? FIELD_ABSENT : (int64_t)value;
}

static uint64_t from_number(int64_t value)
{
        return value == FIELD_ABSENT ? UINT64_MAX : (uint64_t)value;
}

/* Strings stay the session's. */
static StateFacts make_facts(const Session *s)
{
        StateFacts f = { .id = (char *)s->id,
                         .name = s->spec.name,
                         .root = s->root_name,
                         .user = s->spec.user,
                         .hostname = s->spec.hostname,
                         .arguments = s->spec.arguments,
                         .read_only = s->spec.read_only,
                         .terminal = s->spec.terminal,
                         .detached = s->spec.detached,
                         .has_cgroup = s->cgroup != NULL,
                         .has_range = s->has_range,
                         .owner = s->owner,
                         .pid = s->init.pid,
                         .first_id = s->first_id,
                         .order_version = ORDER_VERSION,
                         .cgroup = s->cgroup && cgroup_is_elsewhere(s->cgroup) ? s->cgroup_path : NULL,
                         .oom_kills_before = to_number(s->oom_kills_before),
                         .tree = to_number(s->tree) };

        for (Limit i = 0; i < LIMITS; i++)
                f.limits[i] = to_number(s->limits.of[i]);
        return f;
}

static StateProgress make_progress(const Session *s)
{
        const SessionResult *r = &s->result;

        return (StateProgress){ .state = s->state,
                                .was_started = s->was_started,
                                .is_start_logged = s->is_start_logged,
                                .is_announced = s->is_announced,
                                .is_stopping = s->is_stopping,
                                .is_killed = s->is_killed,
                                .kill_cause = s->kill_cause,
                                .is_paused = s->is_paused,
                                .cause = r->cause,
                                .has_status = r->has_status,
                                .has_result_event = s->has_result_event,
                                .status = r->status,
                                .failed_step = r->failure.step,
                                .failed_index = r->failure.index,
                                .failed_error = r->failure.error,
                                .started_realtime = s->started_realtime,
                                .started_monotonic = s->started_monotonic,
                                .exited_realtime = s->exited_realtime,
                                .exited_monotonic = s->exited_monotonic,
                                .wall_usec = r->wall_usec,
                                .user_usec = r->user_usec,
                                .system_usec = r->system_usec,
                                .memory_peak = r->memory_peak,
                                .tasks_peak = r->tasks_peak,
                                .stop_cause = s->stop_cause,
                                .was_sent_sigkill = s->was_sent_sigkill };
}

static void use_progress(Session *s, const StateProgress *p)
{
        s->state = p->state;
        s->was_started = p->was_started;
        s->is_start_logged = p->is_start_logged;
        s->is_announced = p->is_announced;
        s->is_stopping = p->is_stopping;
        s->stop_cause = p->stop_cause ?: CAUSE_STOPPED;
        s->is_killed = p->is_killed;
        s->was_sent_sigkill = p->was_sent_sigkill;
        s->kill_cause = p->kill_cause;
        s->is_paused = p->is_paused;
        s->has_result_event = p->has_result_event;
        s->started_realtime = p->started_realtime;
        s->started_monotonic = p->started_monotonic;
        s->exited_realtime = p->exited_realtime;
        s->exited_monotonic = p->exited_monotonic;
        s->result = (SessionResult){
                .cause = p->cause,
                .has_status = p->has_status,
                .status = p->status,
                .failure = {p->failed_step, p->failed_index, p->failed_error},
                .wall_usec = p->wall_usec,
                .user_usec = p->user_usec,
                .system_usec = p->system_usec,
                .memory_peak = p->memory_peak,
                .tasks_peak = p->tasks_peak
        };
}

/* Each name has a colon behind it; beside them there are the sockets', and the variable's own. */
_Static_assert(SESSIONS_STORED_MAX * 2 * (2 * SESSION_STORE_NAME_LENGTH + 3) +
                               SESSIONS_STORED_MAX / 4 * 2 * (SESSION_STORE_NAME_LENGTH + 1) <
                       127 * KIB,
               "the names of all that is stored fit into a string of the environment");

typedef struct StoreName {
        char text[SESSION_STORE_NAME_LENGTH + 2];
} StoreName;

static StoreName store_name(const Session *s)
{
        StoreName name = { 0 };

        memcpy(name.text, s->id, SESSION_STORE_NAME_LENGTH);
        return name;
}

/* Of what is only needed while it lives. */
static StoreName live_name(const Session *s)
{
        StoreName name = store_name(s);

        name.text[SESSION_STORE_NAME_LENGTH] = SESSION_STORE_LIVE;
        return name;
}

/* Before anybody is told that it is there: who was told finds it again. */
int session_keep(Session *s)
{
        const StateFacts facts = make_facts(s);
        const StateProgress progress = make_progress(s);
        int r;

        if (!fdstore_exists())
                return 0;
        r = state_new(&facts, &progress, &s->state_fd);
        if (r < 0)
                return r;
        const int always[] = { s->state_fd, s->output_fd }, live[] = { s->init.control, s->init.pidfd };
        r = fdstore_push(store_name(s).text, always, ELEMENTSOF(always));
        return r < 0 ? r : fdstore_push(live_name(s).text, live, ELEMENTSOF(live));
}

/* In this order: whenever we are killed, the result is there, or can be found again. */
void session_keep_end(Session *s)
{
        session_save(s);
        if (s->state_fd >= 0)
                fdstore_remove(live_name(s).text);
}

void session_save(const Session *s)
{
        const StateProgress progress = make_progress(s);

        if (s->state_fd >= 0)
                (void)state_save(s->state_fd, &progress);
}

void session_forget(Session *s)
{
        if (s->state_fd < 0)
                return;
        if (session_is_live(s))
                fdstore_remove(live_name(s).text);
        fdstore_remove(store_name(s).text);
        s->state_fd = close_fd(s->state_fd);
}

void session_announce(Session *s)
{
        s->is_announced = true;
        session_save(s);
}

bool session_is_stored(const Session *s)
{
        return s->state_fd >= 0;
}

/* -- and back */

void stored_session_done(StoredSession *stored)
{
        stored->state = close_fd(stored->state);
        stored->control = close_fd(stored->control);
        stored->pidfd = close_fd(stored->pidfd);
        stored->output = close_fd(stored->output);
}

uint64_t session_tree(const Session *s)
{
        return s->state == SESSION_EXITED ? 0 : s->tree;
}

void session_use_root(Session *s, Root *root)
{
        s->root = root;
}

/* What is in it is ours, but it was another release of us that wrote it. */
static bool is_sound(const StateFacts *f, const StateProgress *p)
{
        return strlen(f->id) == SESSION_ID_LENGTH && p->state <= SESSION_EXITED && p->cause < CAUSES &&
               p->kill_cause < CAUSES && p->stop_cause < CAUSES && f->order_version <= ORDER_VERSION;
}

/* Takes the strings. */
static int use_facts(Session *s, StateFacts *f)
{
        memcpy(s->id, f->id, sizeof(s->id));
        s->root_name = TAKE_PTR(f->root);
        s->owner = (uid_t)f->owner;
        s->init.pid = (pid_t)f->pid;
        s->tree = f->tree == FIELD_ABSENT ? 0 : (uint64_t)f->tree;
        s->oom_kills_before = f->oom_kills_before == FIELD_ABSENT ? 0 : (uint64_t)f->oom_kills_before;
        s->spec = (Spec){ .name = TAKE_PTR(f->name),
                          .user = TAKE_PTR(f->user),
                          .hostname = TAKE_PTR(f->hostname),
                          .arguments = TAKE_PTR(f->arguments),
                          .read_only = f->read_only,
                          .terminal = f->terminal,
                          .detached = f->detached };
        for (Limit i = 0; i < LIMITS; i++)
                s->limits.of[i] = from_number(f->limits[i]);
        return 0;
}

static int find_cgroup(const Session *s, const StateFacts *f, Cgroup **ret)
{
        if (!s->host->cgroups)
                return -ENOENT;
        return f->cgroup ? cgroup_find_at(s->host->cgroups, f->cgroup, ret)
                         : cgroup_find(s->host->cgroups, s->owner, s->id, ret);
}

/* What the machine keeps for it. */
static int claim(Session *s, const StateFacts *f)
{
        int r = 0;

        if (f->has_range == 1) {
                r = idranges_claim(s->host->ranges, (uint32_t)f->first_id);
                s->first_id = (uint32_t)f->first_id;
                s->has_range = r >= 0;
                if (r == -ERANGE) /* another configuration: then nobody else is given them either */
                        r = 0;
        }
        if (r >= 0 && f->has_cgroup == 1)
                r = find_cgroup(s, f, &s->cgroup);
        if (r >= 0 && s->cgroup) {
                s->cgroup_path = strdup(cgroup_path(s->cgroup));
                r = s->cgroup_path ? 0 : -ENOMEM;
        }
        return r == -ENOENT ? 0 : r; /* no cgroup: it has ended, or somebody has removed it */
}

/* What its init has done meanwhile may be known from the ledger only. */
static void catch_up(Session *s)
{
        RingResult e;

        if (s->state != SESSION_STARTING || output_result(s->output_fd, ORDER_MAIN_COMMAND, &e) < 0)
                return;
        s->state = SESSION_RUNNING;
        s->was_started = true;
        s->started_monotonic = e.started_usec;
        s->started_realtime = now_usec(CLOCK_REALTIME) - (now_usec(CLOCK_MONOTONIC) - e.started_usec);
        session_save(s);
}

/* What was decided, and perhaps not done any more. */
static void carry_out(Session *s)
{
        if (s->is_killed)
                session_kill_init(s);
        else if (s->spec.detached == 1 && !s->is_announced) /* who asked for it was told that it failed */
                session_kill(s, CAUSE_DISCONNECTED);
}

static int live_on(Session *s, StoredSession *stored, const StateFacts *f)
{
        int r;

        if (stored->control < 0 || stored->pidfd < 0 || s->output_fd < 0)
                return -EBADMSG;
        s->init.control = TAKE_FD(stored->control);
        s->init.pidfd = TAKE_FD(stored->pidfd);
        r = claim(s, f);
        if (r < 0)
                return r;
        catch_up(s);
        s->n_commands = output_running(s->output_fd);
        r = session_listen(s);
        if (r >= 0 && s->is_stopping)
                r = session_expect_stop(s, s->stop_cause == CAUSE_TIMED_OUT
                                                   ? s->host->config->time_limit_grace_usec
                                                   : s->host->config->stop_timeout_usec);
        else if (r >= 0 && s->state == SESSION_RUNNING)
                r = session_watch_time(s);
        else if (r >= 0 && s->state == SESSION_STARTING)
                r = session_expect_start(s);
        if (r >= 0)
                carry_out(s);
        return r;
}

/* It has ended, and what is left of its life is to go. A directory that was still busy when the earlier
 * daemon ended is found by nobody else, where it is not below the node. */
static void end_again(Session *s, const StoredSession *stored, const StateFacts *f)
{
        Cgroup *left;

        if (f->cgroup && find_cgroup(s, f, &left) >= 0)
                cgroup_free(left);
        s->init.pid = 0;
        if (stored->control >= 0 || stored->pidfd >= 0)
                fdstore_remove(live_name(s).text);
}

static int take_up(Session *s, StoredSession *stored)
{
        StateProgress progress;
        StateFacts facts;
        int r;

        if (stored->state < 0)
                return -EBADMSG;
        r = state_load(stored->state, &facts, &progress);
        if (r < 0)
                return r;
        s->state_fd = TAKE_FD(stored->state);
        s->output_fd = TAKE_FD(stored->output);
        r = is_sound(&facts, &progress) ? use_facts(s, &facts) : -EOPNOTSUPP;
        if (r >= 0) {
                use_progress(s, &progress);
                if (s->state != SESSION_EXITED)
                        r = live_on(s, stored, &facts);
                else
                        end_again(s, stored, &facts);
        }
        state_facts_done(&facts);
        return r;
}

int session_take_up(const SessionHost *host, StoredSession *stored, Session **ret)
{
        _cleanup_(session_freep) Session *s = session_alloc(host);
        int r = s ? take_up(s, stored) : -ENOMEM;

        if (r >= 0)
                *ret = TAKE_PTR(s);
        stored_session_done(stored);
        return r;
}
