/* A session's life, by session.h: what its init and the kernel say of it, and what it is told. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "session-log.h"
#include "session-private.h"

#define START_TIMEOUT   (60 * USEC_PER_SEC) /* a set-up that hangs is not waited for for ever */
#define EVENTS_PER_TURN 64

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
                [CAUSE_TIMED_OUT] = "timedOut",
                [CAUSE_OUTPUT_LIMIT] = "outputLimit",
        };

        return names[c];
}

void session_request_done(SessionRequest *r)
{
        free(TAKE_PTR(r->charged_to));
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

void session_unwatch_output(OutputWatch *w)
{
        OutputWatch **p = w->session ? &w->session->output_watches : NULL;

        while (p && *p && *p != w)
                p = &(*p)->next;
        if (p && *p)
                *p = w->next;
        w->session = NULL;
}

/* Tells all who wait now; who is told may wait again at once. */
static void tell_output(Session *s, bool is_over)
{
        OutputWatch *told = TAKE_PTR(s->output_watches);

        for (OutputWatch *w = told; w; w = w->next)
                w->session = NULL;
        while (told) {
                OutputWatch *w = told;

                told = w->next;
                if (is_over)
                        w->ended(w);
                else
                        w->more(w);
        }
}

void session_changed(Session *s)
{
        session_save(s);
        s->host->on_changed(s, s->host->userdata);
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

static void stop_listening(Session *s)
{
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->pidfd_source = sd_event_source_disable_unref(s->pidfd_source);
        s->timer = sd_event_source_disable_unref(s->timer);
        s->clock = sd_event_source_disable_unref(s->clock);
}

/* Everything it held of the machine. Its init may still be there, and is nobody's business. */
static void release(Session *s)
{
        const Remnant remnant = { .owner = s->owner,
                                  .init = s->init,
                                  .cgroup = s->cgroup,
                                  .has_range = s->has_range,
                                  .first_id = s->first_id };

        stop_listening(s);
        remains_add(s->host->remains, &remnant);
        s->init = LAUNCHED_NONE;
        s->cgroup = NULL;
        s->has_range = false;
        if (s->root)
                s->root = root_unref(s->root);
}

/* SIGKILL that nobody sent it through us. */
static bool was_killed_by_others(const Session *s)
{
        bool by_sigkill = !s->has_result_event || WTERMSIG(s->result.status) == SIGKILL;

        return by_sigkill && !s->is_killed && !s->was_sent_sigkill;
}

/* Of one that ended by a signal. Where others are counted too, it may have been them. */
static bool ran_out_of_memory(const Session *s)
{
        uint64_t oom_kills = 0;

        return s->cgroup && cgroup_oom_kills(s->cgroup, &oom_kills) >= 0 &&
               oom_kills > s->oom_kills_before &&
               (!cgroup_is_elsewhere(s->cgroup) || was_killed_by_others(s));
}

Cause session_cause_of(const Session *s, int status)
{
        if (!WIFSIGNALED(status))
                return CAUSE_EXITED;
        return WTERMSIG(status) == SIGXFSZ && s->limits.of[LIMIT_FILE_SIZE] != LIMIT_NONE
                       ? CAUSE_OUTPUT_LIMIT
                       : CAUSE_SIGNALED;
}

/* The status says how the command ended; why it did, the daemon may know better. */
static Cause find_cause(const Session *s)
{
        bool was_killed = !s->has_result_event || WIFSIGNALED(s->result.status);

        if (s->result.failure.error)
                return CAUSE_SETUP_FAILED;
        if (s->is_stopping && s->stop_cause == CAUSE_TIMED_OUT && !session_ended_in_time(s))
                return CAUSE_TIMED_OUT;
        if (s->is_stopping && s->stop_cause == CAUSE_STOPPED && was_killed)
                return CAUSE_STOPPED;
        if (was_killed && ran_out_of_memory(s))
                return CAUSE_OUT_OF_MEMORY;
        if (s->has_result_event)
                return session_cause_of(s, s->result.status);
        return s->is_killed ? s->kill_cause : CAUSE_INIT_DIED;
}

/* What its init wrote down, where its word did not come: an earlier daemon may have read that. */
static void read_result(Session *s)
{
        RingResult r;

        if (s->has_result_event || output_result(s->output_fd, ORDER_MAIN_COMMAND, &r) < 0)
                return;
        if (!s->was_started) {
                s->was_started = true;
                s->started_monotonic = r.started_usec;
        }
        if (!(r.flags & RING_ENDED))
                return;
        s->has_result_event = true;
        s->result.status = r.status;
        s->result.user_usec = r.user_usec;
        s->result.system_usec = r.system_usec;
        s->exited_monotonic = r.ended_usec;
}

static void note_ending(Session *s, uint32_t reason)
{
        if (s->is_killed || !reason)
                return;
        s->is_killed = true;
        s->kill_cause = reason == END_DISCONNECTED ? CAUSE_DISCONNECTED : CAUSE_STOPPED;
}

/* By its cgroup of all that ran in it, also of what nobody waited for; its init knows only what the command
 * has waited for, and nothing where it was killed with it. */
static void measure(const Cgroup *g, SessionResult *r)
{
        uint64_t user, system;

        if (cgroup_cpu_time(g, &user, &system) >= 0) {
                r->user_usec = user;
                r->system_usec = system;
        }
        if (cgroup_memory_peak(g, &r->memory_peak) < 0)
                r->memory_peak = RESULT_NONE;
        if (cgroup_tasks_peak(g, &r->tasks_peak) < 0)
                r->tasks_peak = RESULT_NONE;
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
        if (s->cgroup)
                measure(s->cgroup, r);
}

/* Kept for who comes later: what it printed, and how its commands ended. Where there is neither, the next
 * daemon needs no output to take it up. */
static void drop_output(Session *s)
{
        if (s->spec.detached != 1 && output_commands(s->output_fd) == 0)
                s->output_fd = close_fd(s->output_fd);
}

/* First the state: whatever happens to us from here on, the result is known. Then who waits for it: the rest
 * is done before anybody can ask for more. */
static void finish(Session *s)
{
        read_result(s);
        note_ending(s, output_end_reason(s->output_fd));
        complete_result(s);
        s->state = SESSION_EXITED;
        s->is_paused = false;
        session_keep_end(s);
        tell_ended(s);
        release(s);
        session_log_end(s, s->is_start_logged);
        s->host->on_exited(s, s->host->userdata);
        s->host->on_changed(s, s->host->userdata);
        tell_output(s, true);
        session_end_commands(s);
        drop_output(s);
}

void session_kill_init(Session *s)
{
        if (s->cgroup)
                (void)cgroup_kill(s->cgroup);
        if (s->init.pidfd >= 0)
                launcher_kill(&s->init);
}

void session_kill(Session *s, Cause cause)
{
        if (s->state == SESSION_EXITED || s->is_killed)
                return;
        s->is_killed = true;
        s->kill_cause = cause;
        session_save(s);
        session_kill_init(s);
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
        (void)session_watch_time(s);
        session_changed(s);
}

LaunchFailure session_failure_of(const OrderMessage *m)
{
        EventFailed e;

        order_copy(m, &e, sizeof(e));
        return (LaunchFailure){ .step = e.step,
                                .index = e.index,
                                .error = e.error ? (int)(e.error & INT32_MAX) : EIO };
}

static void on_failed(Session *s, const OrderMessage *m)
{
        s->result.failure = session_failure_of(m);
        session_save(s);
}

/* Where something else may still run, its pidfd says when all of it is gone: otherwise its end need not wait
 * for the kernel, which takes its time over the namespaces of an init. */
static void on_exited(Session *s, const OrderMessage *m)
{
        EventExited e;

        order_copy(m, &e, sizeof(e));
        s->has_result_event = true;
        s->result.status = e.status;
        s->result.user_usec = e.user_usec;
        s->result.system_usec = e.system_usec;
        s->exited_monotonic = e.monotonic_usec;
        if (e.is_last && s->state != SESSION_EXITED)
                finish(s);
}

static void on_ending(Session *s, const OrderMessage *m)
{
        EventEnding e;

        order_copy(m, &e, sizeof(e));
        note_ending(s, e.reason);
        session_save(s);
}

static void on_output(Session *s, const OrderMessage *m)
{
        tell_output(s, false);
}

static bool is_about_command(const OrderMessage *m)
{
        return m->header->command != 0 && m->header->command != ORDER_MAIN_COMMAND;
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
                { EVENT_OUTPUT, on_output },
        };
        bool was_starting = s->state == SESSION_STARTING;

        if (is_about_command(m)) {
                session_on_command_event(s, m);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(handlers); i++)
                if (handlers[i].type == m->header->type)
                        handlers[i].handle(s, m);
        if (was_starting && s->state == SESSION_RUNNING)
                tell_started(s, m->n_fds ? TAKE_FD(m->fds[0]) : -EBADF);
}

/* Returns false when there will be no more. Some at a time: what is in a session must not keep the daemon
 * from all others. */
static bool drain_control(Session *s)
{
        static _Alignas(OrderHeader) char buffer[1024]; /* events have no blob */

        for (size_t i = 0; i < EVENTS_PER_TURN && s->init.control >= 0; i++) {
                OrderMessage m;
                int r = order_receive(s->init.control, MSG_DONTWAIT, buffer, sizeof(buffer), &m);

                if (r == -EAGAIN)
                        return true;
                if (r <= 0)
                        return false;
                on_event(s, &m);
                order_message_done(&m);
        }
        return s->init.control >= 0;
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

        (void)drain_control(s);
        if (s->state == SESSION_EXITED)
                return 0;
        stop_listening(s); /* before they are closed: the store has them, too */
        launcher_end(&s->init);
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

int session_listen(Session *s)
{
        int r = sd_event_add_io(s->host->event, &s->control_source, s->init.control, EPOLLIN, on_control_io,
                                s);

        if (r >= 0)
                r = sd_event_add_io(s->host->event, &s->pidfd_source, s->init.pidfd, EPOLLIN, on_pidfd_io,
                                    s);
        if (r >= 0) /* what it has to say comes before that it is gone */
                r = sd_event_source_set_priority(s->pidfd_source, SD_EVENT_PRIORITY_NORMAL + 1);
        return r;
}

static int set_timer(Session *s, uint64_t usec, sd_event_time_handler_t handler)
{
        s->timer = sd_event_source_disable_unref(s->timer);
        return sd_event_add_time_relative(s->host->event, &s->timer, CLOCK_MONOTONIC, usec, 0, handler, s);
}

int session_expect_start(Session *s)
{
        return set_timer(s, START_TIMEOUT, on_start_timeout);
}

/* Not later than it was to end before: a Stop does not win time for who has used up his. */
int session_expect_stop(Session *s, uint64_t timeout_usec)
{
        uint64_t at;

        if (s->timer && sd_event_source_get_time(s->timer, &at) >= 0 &&
            at <= now_usec(CLOCK_MONOTONIC) + timeout_usec)
                return 0;
        return set_timer(s, timeout_usec, on_stop_timeout);
}

Session *session_alloc(const SessionHost *host)
{
        Session *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->host = host;
        s->init = LAUNCHED_NONE;
        s->state_fd = s->output_fd = -EBADF;
        s->result = (SessionResult){ .user_usec = RESULT_NONE,
                                     .system_usec = RESULT_NONE,
                                     .wall_usec = RESULT_NONE,
                                     .memory_peak = RESULT_NONE,
                                     .tasks_peak = RESULT_NONE };
        return s;
}

static void session_done(Session *s)
{
        while (s->watches)
                session_unwatch(s->watches);
        while (s->command_watches)
                session_unwatch_command(s->command_watches);
        while (s->output_watches)
                session_unwatch_output(s->output_watches);
        release(s);
        close_fd(s->state_fd);
        close_fd(s->output_fd);
        spec_done(&s->spec);
        free(s->root_name);
        free(s->cgroup_path);
        free(s);
}

Session *session_free(Session *s)
{
        session_kill_init(s);
        session_forget(s);
        session_done(s);
        return NULL;
}

/* Its cgroup stays where it is, and the next daemon claims its ids. */
Session *session_leave(Session *s)
{
        stop_listening(s);
        s->init.control = close_fd(s->init.control);
        s->init.pidfd = close_fd(s->init.pidfd);
        s->has_range = false;
        if (s->cgroup)
                s->cgroup = cgroup_leave(s->cgroup);
        session_done(s);
        return NULL;
}

static int send_signal(Session *s, uint64_t command, int signal, bool everyone)
{
        OrderSignal o = { .header = ORDER_INIT(ORDER_SIGNAL, command ?: ORDER_MAIN_COMMAND),
                          .signal = (uint32_t)signal,
                          .everyone = everyone };

        return order_send(s->init.control, &o, sizeof(o), NULL, 0, NULL, 0);
}

int session_signal(Session *s, uint64_t command, int signal, bool everyone)
{
        if (s->state == SESSION_EXITED)
                return -ESRCH;
        if (signal == SIGKILL && (everyone || command == 0 || command == ORDER_MAIN_COMMAND)) {
                s->was_sent_sigkill = true;
                session_save(s);
        }
        return send_signal(s, command, signal, everyone);
}

/* Where there is no cgroup v2, by signals: that is seen by a parent inside. */
static int set_paused(Session *s, bool paused)
{
        int r = s->cgroup ? cgroup_freeze(s->cgroup, paused) : -EOPNOTSUPP;

        if (r == -EOPNOTSUPP)
                r = send_signal(s, 0, paused ? SIGSTOP : SIGCONT, true);
        if (r < 0)
                return r;
        s->is_paused = paused;
        session_changed(s);
        return 0;
}

int session_pause(Session *s)
{
        if (s->state != SESSION_RUNNING)
                return s->state == SESSION_EXITED ? -ESRCH : -EAGAIN;
        return s->is_paused ? 0 : set_paused(s, true);
}

int session_resume(Session *s)
{
        if (s->state == SESSION_EXITED)
                return -ESRCH;
        return s->is_paused ? set_paused(s, false) : 0;
}

int session_end_gently(Session *s, Cause cause, uint64_t timeout_usec)
{
        if (!s->is_stopping)
                s->stop_cause = cause;
        s->is_stopping = true;
        session_save(s);
        if (timeout_usec == 0 || s->state == SESSION_STARTING || session_resume(s) < 0 ||
            send_signal(s, 0, SIGTERM, false) < 0) {
                session_kill(s, cause);
                return 0;
        }
        return session_expect_stop(s, timeout_usec);
}

int session_stop(Session *s, uint64_t timeout_usec)
{
        return s->state == SESSION_EXITED ? 0 : session_end_gently(s, CAUSE_STOPPED, timeout_usec);
}

int session_watch_output(Session *s, uint64_t position, OutputWatch *w)
{
        OrderWatch o = { .header = ORDER_INIT(ORDER_WATCH, 0), .head = position };
        int r;

        if (s->state == SESSION_EXITED)
                return -ESRCH;
        r = order_send(s->init.control, &o, sizeof(o), NULL, 0, NULL, 0);
        if (r == -EPIPE || r == -ECONNRESET) /* it ends: that is told of as well */
                r = 0;
        if (r < 0)
                return r;
        w->session = s;
        w->next = s->output_watches;
        s->output_watches = w;
        return 0;
}

int session_attach(Session *s, int stream, bool replay)
{
        OrderAttach o = { .header = ORDER_INIT(ORDER_ATTACH, ORDER_MAIN_COMMAND), .replay = replay };

        return s->state == SESSION_EXITED ? -ESRCH
                                          : order_send(s->init.control, &o, sizeof(o), NULL, 0, &stream, 1);
}

int session_resize(Session *s, uint16_t columns, uint16_t rows)
{
        OrderResize o = { .header = ORDER_INIT(ORDER_RESIZE, ORDER_MAIN_COMMAND),
                          .columns = columns,
                          .rows = rows };

        return s->state == SESSION_EXITED ? -ESRCH
                                          : order_send(s->init.control, &o, sizeof(o), NULL, 0, NULL, 0);
}

int session_output(const Session *s)
{
        return s->output_fd;
}

bool session_is_paused(const Session *s)
{
        return s->is_paused;
}

const Limits *session_limits(const Session *s)
{
        return &s->limits;
}

const Cgroup *session_group(const Session *s)
{
        return s->cgroup;
}

uint64_t session_last_change(const Session *s)
{
        return s->changed;
}

void session_set_last_change(Session *s, uint64_t number)
{
        s->changed = number;
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

bool session_is_live(const Session *s)
{
        return s->state != SESSION_EXITED;
}

pid_t session_leader(const Session *s)
{
        return session_is_live(s) ? s->init.pid : 0;
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
