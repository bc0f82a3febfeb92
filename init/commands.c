/* The commands of a session, from their order to their result. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

/* How long who looks at a session's output may take to read the last of it. */
#define LAST_OUTPUT_USEC (500 * USEC_PER_MSEC)

/* How long the daemon may take to end a session of which nothing is left. */
#define END_MSEC         100

static bool prepare_main(Init *init, Job *job, Failure *f)
{
        uint32_t flags = job->order.flags;
        int r = flags & SPAWN_RING ? ring_map(&init->ring, job->ring) : 0;

        if (r < 0)
                return fail(f, STEP_ORDER, 0, r);
        if ((flags & SPAWN_CAPTURE) && !(flags & SPAWN_TERMINAL))
                r = relay_open_pipes(&init->relay, job->stdio, job->user.uid);
        return r >= 0 || fail(f, STEP_STDIO, 0, r);
}

static bool prepare(Init *init, Job *job, Failure *f)
{
        if (init->n_commands == COMMANDS_MAX)
                return fail(f, STEP_FORK, 0, EAGAIN);
        return !(job->order.flags & SPAWN_MAIN) || prepare_main(init, job, f);
}

/* A terminal that is not kept here goes to the daemon. */
static void place_terminal(Init *init, const Job *job, Running *r)
{
        uint32_t kept = SPAWN_MAIN | SPAWN_CAPTURE;

        if (r->master >= 0 && (job->order.flags & kept) == kept)
                relay_take_terminal(&init->relay, TAKE_FD(r->master), TAKE_FD(r->slave));
        r->slave = close_fd(r->slave);
}

/* Nobody would ever take what it asks its terminal, nor know its number: it has failed, and ends. */
static bool end_untold(Init *init, uint64_t id, const Running *r, int error, Failure *f)
{
        EventExited e = { .header = ORDER_INIT(EVENT_EXITED, id),
                          .status = SIGKILL,
                          .monotonic_usec = now_usec(CLOCK_MONOTONIC) };

        (void)kill(-r->group, SIGKILL);
        ring_ended(&init->ring, &e);
        return fail(f, STEP_TERMINAL, 0, error);
}

static bool tell_started(Init *init, uint64_t id, Running *r, Failure *f)
{
        EventStarted e = { .header = ORDER_INIT(EVENT_STARTED, id),
                           .pid = (uint32_t)r->group,
                           .has_master = r->master >= 0,
                           .monotonic_usec = now_usec(CLOCK_MONOTONIC) };
        _cleanup_close_ int master = TAKE_FD(r->master);
        int sent;

        ring_started(&init->ring, id, e.monotonic_usec);
        sent = event_send(init, &e, sizeof(e), &master, e.has_master);
        return sent >= 0 || end_untold(init, id, r, sent, f);
}

static bool on_started(Init *init, Job *job, uint64_t id, Running *r, Failure *f)
{
        place_terminal(init, job, r);
        if (!tell_started(init, id, r, f))
                return false;
        init->commands[init->n_commands++] = (Command){ .id = id,
                                                        .pid = r->pid,
                                                        .group = r->group,
                                                        .lifeline = TAKE_FD(job->lifeline),
                                                        .is_main = job->order.flags & SPAWN_MAIN };
        return true;
}

/* From the first command on the files may say anything else. */
static const User *known_root(const Init *init, const OrderMessage *m)
{
        return m->header->command == ORDER_MAIN_COMMAND && init->has_root ? &init->root : NULL;
}

void commands_start(Init *init, OrderMessage *m)
{
        static Job job; /* too large for a stack; the only one at a time */
        uint64_t id = m->header->command;
        Running running;
        Failure f;
        bool ok = job_parse(m, init->only_id, known_root(init, m), &job, &f) && prepare(init, &job, &f) &&
                  spawn(init, &job, &running, &f) && on_started(init, &job, id, &running, &f);

        if (!ok)
                event_send_failed(init, id, &f);
        job_done(&job);
        if (!ok && (job.order.flags & SPAWN_MAIN))
                _exit(EXIT_FAILURE);
}

static Command *find_command(Init *init, uint64_t id)
{
        for (size_t i = 0; i < init->n_commands; i++)
                if (init->commands[i].id == id)
                        return &init->commands[i];
        return NULL;
}

/* To a command's process group; a terminal stop is made a stop, for a group whose leader's parent is in
 * another process session is orphaned, and the kernel does not stop those on SIGTSTP. */
void commands_signal(Init *init, OrderMessage *m)
{
        Command *c = find_command(init, m->header->command);
        OrderSignal o;

        order_copy(m, &o, sizeof(o));
        if (o.everyone)
                (void)kill(-1, (int)o.signal);
        else if (c) {
                (void)kill(-c->group, (int)o.signal);
                if (o.signal == SIGTSTP)
                        (void)kill(-c->group, SIGSTOP);
        }
}

/* Hang-ups only: what a client writes to its lifeline must not wake us. */
void commands_poll(Init *init, Polls *polls)
{
        for (size_t i = 0; i < init->n_commands; i++)
                init->commands[i].poll = polls_add(polls, init->commands[i].lifeline, 0);
}

/* The client is gone: its session is, or the command it started. That one's keeper has seen the same, and
 * knows what it has to end; only if everything in the session was stopped, it has to be woken. */
static void on_lifeline(Init *init, Command *c)
{
        if (c->is_main)
                event_end(init, END_DISCONNECTED);
        (void)kill(c->pid, SIGCONT);
        c->lifeline = close_fd(c->lifeline);
}

void commands_dispatch(Init *init, const Polls *polls)
{
        for (size_t i = 0; i < init->n_commands; i++)
                if (polls->fds[init->commands[i].poll].revents)
                        on_lifeline(init, &init->commands[i]);
}

/* Until all of them have read the last of the output, or take too long, or nobody holds the session. */
static void let_viewers_read(Init *init)
{
        static Polls polls;
        uint64_t now, deadline = now_usec(CLOCK_MONOTONIC) + LAST_OUTPUT_USEC;

        viewers_end_input(&init->viewers);
        while (viewers_are_behind(&init->viewers, &init->ring) &&
               (now = now_usec(CLOCK_MONOTONIC)) < deadline) {
                polls.n = 0;
                polls_add(&polls, init->control, 0);
                viewers_poll(&init->viewers, &init->ring, &init->relay, &polls);
                if (poll(polls.fds, polls.n, (int)((deadline - now) / USEC_PER_MSEC) + 1) < 0)
                        continue;
                if (polls.fds[0].revents)
                        break;
                viewers_dispatch(&init->viewers, &init->ring, &init->relay, &polls);
        }
}

/* What the session has printed so far is all that there is: nothing goes on while it is read. */
static void end_output(Init *init)
{
        (void)kill(-1, SIGKILL);
        relay_drain(&init->relay, &init->ring);
}

/* What is killed cannot fork any more, and what has lost its parent is our child. Mostly nobody is left. */
static void end_all(void)
{
        pid_t pid;

        while ((pid = wait4(-1, NULL, WNOHANG, NULL)) > 0)
                ;
        if (pid == 0)
                (void)kill(-1, SIGKILL);
        while (pid >= 0)
                pid = wait4(-1, NULL, 0, NULL);
}

/* The daemon kills us when nobody waits for that. One that is gone does not, though somebody may keep its
 * end of the socket for the next. */
static void await_end(const Init *init)
{
        struct pollfd p = { .fd = init->control };

        (void)poll(&p, 1, END_MSEC);
}

static uint64_t usec(struct timeval t)
{
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_usec;
}

/* A keeper that ended of its own accord has reaped its command. One that somebody in the session has killed
 * has not, and nobody else would end it. */
static void end_unkept(const Command *c)
{
        if (c->pid != c->group && kill(c->group, 0) == 0)
                (void)kill(-c->group, SIGKILL);
}

static void on_exit_of(Init *init, Command *c, int status, const struct rusage *usage)
{
        bool is_main = c->is_main;
        EventExited e = { .header = ORDER_INIT(EVENT_EXITED, c->id),
                          .status = status,
                          .user_usec = usec(usage->ru_utime),
                          .system_usec = usec(usage->ru_stime),
                          .monotonic_usec = now_usec(CLOCK_MONOTONIC) };

        end_unkept(c);
        close_fd(c->lifeline);
        *c = init->commands[--init->n_commands];
        if (is_main && init->ring.size)
                end_output(init);
        else if (is_main)
                end_all();
        e.is_last = is_main && !init->ring.size;
        ring_ended(&init->ring, &e);
        (void)event_send(init, &e, sizeof(e), NULL, 0);
        if (!is_main)
                return;
        if (e.is_last)
                await_end(init);
        else
                let_viewers_read(init);
        _exit(EXIT_SUCCESS);
}

/* Every child, also the orphans of the session that became ours. */
void commands_reap(Init *init)
{
        struct rusage usage;
        int status;
        pid_t pid;

        while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
                for (size_t i = 0; i < init->n_commands; i++)
                        if (init->commands[i].pid == pid) {
                                on_exit_of(init, &init->commands[i], status, &usage);
                                break;
                        }
}
