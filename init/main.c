/* nsroot-init's loop: orders, dead children, and the ends of lifelines. When it returns, the kernel ends
 * everything that is left in the session. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define CONTROL_FD 3 /* where the daemon's child leaves it (daemon/plan.h) */

static void send_failed(const Init *init, uint64_t command, const Failure *f)
{
        EventFailed e = { .header = ORDER_INIT(EVENT_FAILED, command),
                          .step = f->step,
                          .index = f->index,
                          .error = f->error };

        (void)order_send(init->control, &e, sizeof(e), NULL, 0, NULL, 0);
}

static _noreturn_ void end(const Init *init, EndReason reason)
{
        EventEnding e = { .header = ORDER_INIT(EVENT_ENDING, 0), .reason = reason };

        (void)order_send(init->control, &e, sizeof(e), NULL, 0, NULL, 0);
        _exit(EXIT_SUCCESS);
}

static void send_started(const Init *init, const Command *c, int master)
{
        EventStarted e = { .header = ORDER_INIT(EVENT_STARTED, c->id),
                           .pid = (uint32_t)c->pid,
                           .has_master = master >= 0,
                           .monotonic_usec = now_usec(CLOCK_MONOTONIC) };

        (void)order_send(init->control, &e, sizeof(e), NULL, 0, &master, master >= 0);
}

static void start_command(Init *init, OrderMessage *m)
{
        static Job job; /* too large for a stack; the only one at a time */
        uint64_t id = m->header->command;
        Command c = { .id = id };
        Failure f;
        int master = -EBADF;
        bool ok = job_parse(m, &job, &f);

        c.is_main = job.order.flags & SPAWN_MAIN;
        if (ok && init->n_commands == COMMANDS_MAX)
                ok = fail(&f, STEP_FORK, 0, EAGAIN);
        ok = ok && spawn(init, &job, &c.pid, &master, &f);
        if (ok) {
                c.lifeline = TAKE_FD(job.lifeline);
                init->commands[init->n_commands++] = c;
                send_started(init, &c, master);
                close_fd(master);
        } else
                send_failed(init, id, &f);
        job_done(&job);
        if (!ok && c.is_main)
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
static void signal_command(Init *init, const OrderMessage *m)
{
        Command *c = find_command(init, m->header->command);
        OrderSignal o;

        order_copy(m, &o, sizeof(o));
        if (o.everyone)
                (void)kill(-1, (int)o.signal);
        else if (c) {
                (void)kill(-c->pid, (int)o.signal);
                if (o.signal == SIGTSTP)
                        (void)kill(-c->pid, SIGSTOP);
        }
}

static void on_control(Init *init)
{
        static _Alignas(OrderHeader) char buffer[ORDER_SIZE_MAX];
        OrderMessage m;
        int r = order_receive(init->control, MSG_DONTWAIT, buffer, sizeof(buffer), &m);

        if (r == -EAGAIN || r == -EINTR)
                return;
        if (r <= 0) /* nobody holds this session any more */
                _exit(EXIT_SUCCESS);
        switch (m.header->type) {
        case ORDER_SPAWN:
                start_command(init, &m);
                break;
        case ORDER_SIGNAL:
                signal_command(init, &m);
                break;
        case ORDER_END:
                end(init, END_TERMINATED);
        default: /* a later release's: nothing we could do about it */
                break;
        }
        order_message_done(&m);
}

static uint64_t usec(struct timeval t)
{
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_usec;
}

static void on_exit_of(Init *init, Command *c, int status, const struct rusage *usage)
{
        bool is_main = c->is_main;
        EventExited e = { .header = ORDER_INIT(EVENT_EXITED, c->id),
                          .status = status,
                          .user_usec = usec(usage->ru_utime),
                          .system_usec = usec(usage->ru_stime),
                          .monotonic_usec = now_usec(CLOCK_MONOTONIC) };

        (void)order_send(init->control, &e, sizeof(e), NULL, 0, NULL, 0);
        close_fd(c->lifeline);
        *c = init->commands[--init->n_commands];
        if (is_main)
                _exit(EXIT_SUCCESS);
}

/* Every child, also the orphans of the session that became ours. */
static void reap(Init *init)
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

/* SIGTERM from outside the session (a service manager that stops the unit it is charged to) ends it; from
 * inside, where the sender has a pid, it means nothing. */
static void on_signals(Init *init)
{
        struct signalfd_siginfo info;

        while (read(init->signals, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo == SIGTERM && info.ssi_pid == 0)
                        end(init, END_TERMINATED);
        reap(init);
}

/* The client is gone: its session is, or the command it started and what is in its process group. */
static void on_lifeline(Init *init, Command *c)
{
        if (c->is_main)
                end(init, END_DISCONNECTED);
        (void)kill(-c->pid, SIGKILL);
        c->lifeline = close_fd(c->lifeline);
}

static void loop_once(Init *init)
{
        static struct pollfd polls[2 + COMMANDS_MAX];
        size_t n = init->n_commands;

        polls[0] = (struct pollfd){ .fd = init->control, .events = POLLIN };
        polls[1] = (struct pollfd){ .fd = init->signals, .events = POLLIN };
        /* Hang-ups only: what a client writes to its lifeline must not wake us. poll(2) passes over negative
         * ones. */
        for (size_t i = 0; i < n; i++)
                polls[2 + i] = (struct pollfd){ .fd = init->commands[i].lifeline };
        if (poll(polls, 2 + n, -1) < 0)
                return;
        for (size_t i = 0; i < n; i++)
                if (polls[2 + i].revents)
                        on_lifeline(init, &init->commands[i]);
        if (polls[1].revents)
                on_signals(init);
        if (polls[0].revents)
                on_control(init);
}

int main(void)
{
        static Init init = { .control = CONTROL_FD };
        Failure f;

        if (!setup_process(&init, &f) || !setup_hello(&init, &f)) {
                send_failed(&init, 0, &f);
                return EXIT_FAILURE;
        }
        for (;;)
                loop_once(&init);
}
