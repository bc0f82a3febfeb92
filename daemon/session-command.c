/* The commands of a session that are not its main one: each an order to its init, and what comes of it. Who
 * waits is told by events; what an event said that nobody was there to hear is in the ledger of the
 * session's output (output.h). See session-private.h. */
#include <signal.h>
#include <sys/random.h>

#include "output.h"
#include "plan.h"
#include "session-private.h"

/* As many as its init takes at once; and so few that all it has to say of them fits into its socket. */
#define COMMANDS_MAX  200
#define ALPHABET_BITS 5
#define COMMAND_BITS  (ALPHABET_BITS * (COMMAND_ID_SIZE - 1))

static const char alphabet[] = SESSION_ID_ALPHABET;

void command_format(uint64_t command, char ret[static COMMAND_ID_SIZE])
{
        for (size_t i = 0; i < COMMAND_ID_SIZE - 1; i++, command >>= ALPHABET_BITS)
                ret[i] = alphabet[command & 31];
        ret[COMMAND_ID_SIZE - 1] = '\0';
}

uint64_t command_parse(const char *text)
{
        uint64_t command = 0;

        if (strlen(text) != COMMAND_ID_SIZE - 1)
                return 0;
        for (size_t i = COMMAND_ID_SIZE - 1; i-- > 0;) {
                const char *at = strchr(alphabet, text[i]);

                if (!at)
                        return 0;
                command = command << ALPHABET_BITS | (uint64_t)(at - alphabet);
        }
        return command;
}

/* By chance, so that daemons that come after one another need not agree on a number. */
static int new_number(uint64_t *ret)
{
        uint64_t number = 0;

        do
                if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                        return -errno;
        while ((number &= (UINT64_C(1) << COMMAND_BITS) - 1) <= ORDER_MAIN_COMMAND);
        *ret = number;
        return 0;
}

static void watch(Session *s, uint64_t command, CommandWatch *w)
{
        w->session = s;
        w->command = command;
        w->was_started = false;
        w->next = s->command_watches;
        s->command_watches = w;
}

void session_unwatch_command(CommandWatch *w)
{
        CommandWatch **p = w->session ? &w->session->command_watches : NULL;

        while (p && *p && *p != w)
                p = &(*p)->next;
        if (p && *p)
                *p = w->next;
        w->session = NULL;
}

size_t session_pack_fds(const int fds[static COMMAND_FDS], int ret[static COMMAND_FDS])
{
        size_t n = 0;

        for (size_t i = 0; i < COMMAND_FDS; i++)
                if (fds[i] >= 0)
                        ret[n++] = fds[i];
        return n;
}

int session_exec(Session *s, const CommandRequest *request, CommandWatch *w)
{
        SpawnPlan plan = { 0 };
        uint64_t number = 0;
        int fds[COMMAND_FDS], r;

        if (s->n_commands >= COMMANDS_MAX)
                return -EUSERS;
        r = new_number(&number);
        if (r >= 0)
                r = plan_command(&s->limits, request->spec, request->root, number, &plan);
        if (r < 0)
                return r;
        size_t n = session_pack_fds(request->fds, fds);
        r = order_send(s->init.control, &plan.order, sizeof(plan.order), plan.blob, plan.order.blob_size,
                       fds, n);
        plan_done(&plan);
        if (r < 0)
                return r;
        s->n_commands++;
        watch(s, number, w);
        return 0;
}

static SessionResult unknown_result(Cause cause)
{
        return (SessionResult){ .cause = cause,
                                .wall_usec = RESULT_NONE,
                                .user_usec = RESULT_NONE,
                                .system_usec = RESULT_NONE,
                                .memory_peak = RESULT_NONE,
                                .tasks_peak = RESULT_NONE };
}

static SessionResult result_of_status(const Session *s, int status)
{
        SessionResult r = unknown_result(session_cause_of(s, status));

        r.has_status = true;
        r.status = status;
        return r;
}

/* What runs when its session ends is killed by the kernel. */
static SessionResult result_from_ledger(const Session *s, const RingResult *e)
{
        SessionResult r = result_of_status(s, e->flags & RING_ENDED ? e->status : SIGKILL);

        if (e->flags & RING_ENDED) {
                r.wall_usec = e->ended_usec - e->started_usec;
                r.user_usec = e->user_usec;
                r.system_usec = e->system_usec;
        }
        return r;
}

int session_await_command(Session *s, uint64_t command, CommandWatch *w, SessionResult *ret)
{
        RingResult e;
        int r = output_result(s->output_fd, command, &e);

        if (r < 0)
                return r;
        if (s->state != SESSION_EXITED && !(e.flags & RING_ENDED)) {
                watch(s, command, w);
                return 1;
        }
        *ret = result_from_ledger(s, &e);
        return 0;
}

/* All who wait for it, once, whatever its init says again; the first may take the terminal. */
static void tell_started(Session *s, uint64_t command, int pty)
{
        _cleanup_close_ int fd = pty;

        for (CommandWatch *w = s->command_watches, *next; w; w = next) {
                next = w->next;
                if (w->command != command || !w->started || w->was_started)
                        continue;
                w->was_started = true;
                w->started(w, &fd);
        }
}

static void tell_ended(Session *s, uint64_t command, const SessionResult *r)
{
        for (CommandWatch **p = &s->command_watches; *p;) {
                CommandWatch *w = *p;

                if (w->command != command) {
                        p = &w->next;
                        continue;
                }
                *p = w->next;
                w->session = NULL;
                w->ended(w, r);
                p = &s->command_watches; /* whoever was told may have changed the list */
        }
}

static void on_exited(Session *s, const OrderMessage *m)
{
        SessionResult r;
        RingResult entry;
        EventExited e;

        order_copy(m, &e, sizeof(e));
        r = result_of_status(s, e.status);
        r.user_usec = e.user_usec;
        r.system_usec = e.system_usec;
        if (output_result(s->output_fd, m->header->command, &entry) >= 0)
                r.wall_usec = e.monotonic_usec - entry.started_usec;
        s->n_commands -= s->n_commands > 0;
        tell_ended(s, m->header->command, &r);
}

static void on_failed(Session *s, const OrderMessage *m)
{
        SessionResult r = unknown_result(CAUSE_SETUP_FAILED);

        r.failure = session_failure_of(m);
        s->n_commands -= s->n_commands > 0;
        tell_ended(s, m->header->command, &r);
}

void session_on_command_event(Session *s, OrderMessage *m)
{
        switch (m->header->type) {
        case EVENT_STARTED:
                tell_started(s, m->header->command, m->n_fds ? TAKE_FD(m->fds[0]) : -EBADF);
                break;
        case EVENT_EXITED:
                on_exited(s, m);
                break;
        case EVENT_FAILED:
                on_failed(s, m);
                break;
        }
}

void session_end_commands(Session *s)
{
        while (s->command_watches) {
                uint64_t command = s->command_watches->command;
                RingResult e = { 0 };

                (void)output_result(s->output_fd, command, &e);
                const SessionResult r = result_from_ledger(s, &e);
                tell_ended(s, command, &r);
        }
        s->n_commands = 0;
}
