/* One turn of nsroot-init's loop: orders, dead children, the ends of lifelines, output and who looks at it.
 */
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

static void attach(Init *init, OrderMessage *m)
{
        OrderAttach o;

        order_copy(m, &o, sizeof(o));
        if (m->n_fds)
                viewers_add(&init->viewers, &init->ring, TAKE_FD(m->fds[0]), o.replay);
}

static void resize(Init *init, OrderMessage *m)
{
        OrderResize o;

        order_copy(m, &o, sizeof(o));
        relay_resize(&init->relay, o.columns, o.rows);
}

static void watch(Init *init, OrderMessage *m)
{
        OrderWatch o;

        order_copy(m, &o, sizeof(o));
        init->watched = true;
        init->watched_head = o.head;
}

/* What is not here is a later release's: nothing we could do about it. */
static void on_order(Init *init, OrderMessage *m)
{
        static const struct {
                OrderType type;
                void (*handle)(Init *init, OrderMessage *m);
        } orders[] = {
                {ORDER_SPAWN,   commands_start },
                { ORDER_SIGNAL, commands_signal},
                { ORDER_ATTACH, attach         },
                { ORDER_RESIZE, resize         },
                { ORDER_WATCH,  watch          },
        };

        for (size_t i = 0; i < ELEMENTSOF(orders); i++)
                if (m->header->type == orders[i].type)
                        orders[i].handle(init, m);
}

/* Nobody but the daemon can send here, and it may be of a later release: what we do not understand at all we
 * pass over as we do an order that we do not know, for it is no reason to end what runs. */
static void on_control(Init *init)
{
        static _Alignas(OrderHeader) char buffer[ORDER_SIZE_MAX];
        OrderMessage m;
        int r = order_receive(init->control, MSG_DONTWAIT, buffer, sizeof(buffer), &m);

        if (r == -EAGAIN || r == -EINTR || r == -EBADMSG)
                return;
        if (r <= 0) /* nobody holds this session any more */
                _exit(EXIT_SUCCESS);
        on_order(init, &m);
        order_message_done(&m);
}

/* SIGTERM from outside the session (a service manager that stops the unit it is charged to) ends it; from
 * inside it means nothing. Only kill(2) and its like say SI_USER, and the kernel then says who it was: 0 is
 * nobody in here. Whatever else has no pid in it may be made up (rt_sigqueueinfo(2), F_SETSIG of fcntl(2)).
 */
static bool is_from_outside(const struct signalfd_siginfo *info)
{
        return info->ssi_code == SI_USER && info->ssi_pid == 0;
}

/* One a turn: there may be no end of those from inside. */
static void on_signals(Init *init)
{
        struct signalfd_siginfo info;

        if (read(init->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGTERM &&
            is_from_outside(&info))
                event_end(init, END_TERMINATED);
        commands_reap(init);
}

static void tell_of_output(Init *init)
{
        EventOutput e = { .header = ORDER_INIT(EVENT_OUTPUT, 0) };

        if (!init->watched || init->ring.head == init->watched_head)
                return;
        init->watched = false;
        (void)event_send(init, &e, sizeof(e), NULL, 0);
}

void loop_once(Init *init)
{
        static Polls polls;
        size_t control, signals;

        polls.n = 0;
        control = polls_add(&polls, init->control, POLLIN);
        signals = polls_add(&polls, init->signals, POLLIN);
        commands_poll(init, &polls);
        relay_poll(&init->relay, &polls);
        viewers_poll(&init->viewers, &init->ring, &init->relay, &polls);
        if (poll(polls.fds, polls.n, -1) < 0)
                return;
        commands_dispatch(init, &polls);
        relay_dispatch(&init->relay, &polls, &init->ring);
        viewers_dispatch(&init->viewers, &init->ring, &init->relay, &polls);
        if (polls.fds[signals].revents)
                on_signals(init);
        if (polls.fds[control].revents)
                on_control(init);
        tell_of_output(init);
}
