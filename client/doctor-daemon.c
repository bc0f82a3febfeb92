/* See doctor-daemon.h. */
#include "doctor-daemon.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "connection.h"
#include "explain.h"
#include "protocol.h"
#include "value.h"

#define PATIENCE (10 * USEC_PER_SEC) /* for all answers together: the first may have to start nsrootd */

static Reach reach_of_connect(int r)
{
        switch (-r) {
        case ENOENT:
        case ENOTDIR:
                return REACH_NO_SOCKET;
        case ECONNREFUSED:
                return REACH_STALE;
        case EACCES:
        case EPERM:
                return REACH_NO_PERMISSION;
        case ENOTSOCK:
        case EPROTOTYPE:
                return REACH_NOT_A_SOCKET;
        case EAGAIN:
                return REACH_SILENT;
        default:
                return REACH_CANNOT;
        }
}

static Reach reach_of_loss(int r)
{
        switch (-r) {
        case ETIMEDOUT:
                return REACH_SILENT;
        case ENOTCONN:
        case ECONNRESET:
        case EPIPE:
                return REACH_CLOSED;
        case EBADMSG:
        case EPROTO:
        case E2BIG:
                return REACH_STRANGE;
        default:
                return REACH_CANNOT;
        }
}

static int stop_at(DaemonAnswers *a, Reach reach, int r)
{
        a->reach = reach;
        if (reach == REACH_CANNOT)
                a->words = strdup(errno_text(r));
        return r;
}

/* One that came a byte at a time would be waited for again with each of them: the whole of it has an end. */
static int receive(Link *l, uint64_t end, ReplyMessage *ret)
{
        struct pollfd p = { .fd = link_fd(l), .events = POLLIN };
        int r;

        for (;;) {
                _cleanup_(fds_close) Fds fds = {};
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                r = connection_receive(l, 0, ret, &fds);
                if (r != -ETIMEDOUT || now >= end)
                        return r;
                if (poll(&p, 1, (int)((end - now) / USEC_PER_MSEC) + 1) < 0 && errno != EINTR)
                        return -errno;
        }
}

/* "refused: system users may not use nsrootd (rule system-users)". */
static char *refusal_words(struct json_object *parameters)
{
        _cleanup_free_ char *text = NULL;
        char *words;

        (void)explain(ERROR_REFUSED, parameters, &text);
        if (asprintf(&words, "%s (rule %s)", text ?: "refused", value_text(parameters, "rule") ?: "?") < 0)
                return NULL;
        return words;
}

/* 0, also where it says that it does not have this: *ret is NULL then. */
static int ask(Link *l, const char *method, uint64_t end, DaemonAnswers *a, struct json_object **ret)
{
        _cleanup_(reply_message_done) ReplyMessage reply = {};
        int r = connection_send(l, method, NULL, false, NULL);

        /* Who is refused may find the connection closed already, with the reason waiting in it. */
        if (r >= 0 || r == -EPIPE || r == -ECONNRESET)
                r = receive(l, end, &reply);
        if (r < 0)
                return stop_at(a, reach_of_loss(r), r);
        if (!reply.error) {
                *ret = TAKE_PTR(reply.parameters);
                return 0;
        }
        if (!streq(reply.error, ERROR_REFUSED))
                return 0;
        a->words = refusal_words(reply.parameters);
        return stop_at(a, REACH_REFUSED, -EACCES);
}

void daemon_ask(const char *path, DaemonAnswers *ret)
{
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE;
        _cleanup_(link_freep) Link *l = NULL;
        int r;

        *ret = (DaemonAnswers){};
        r = connection_open(path, &l);
        if (r < 0) {
                stop_at(ret, reach_of_connect(r), r);
                return;
        }
        r = ask(l, VARLINK_SERVICE ".GetInfo", end, ret, &ret->info);
        if (r >= 0)
                r = ask(l, SESSION ".Describe", end, ret, &ret->described);
        if (r >= 0)
                r = ask(l, ROOT ".List", end, ret, &ret->roots);
        if (r >= 0)
                ret->reach = REACH_ANSWERS;
}

void daemon_answers_done(DaemonAnswers *a)
{
        free(a->words);
        json_object_put(a->info);
        json_object_put(a->described);
        json_object_put(a->roots);
        *a = (DaemonAnswers){};
}
