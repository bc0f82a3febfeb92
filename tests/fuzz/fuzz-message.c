/* Anything at all, as a client would send it: through a socket and link.c, the scanner, json-c and the
 * fields of Run. Beyond not crashing, some things must hold whatever comes:
 *   - the messages do not depend on the pieces they arrive in;
 *   - what the scanner accepts json-c accepts too, and what json-c prints of it the scanner accepts again;
 *   - an answer to a bad parameter is a message that a client of ours can read. */
#include <json-c/json.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "link.h"
#include "protocol.h"
#include "reply.h"
#include "scan.h"
#include "spec.h"

#define must(condition) ((condition) ? (void)0 : must_failed(#condition, __LINE__))

static _noreturn_ void must_failed(const char *condition, int line)
{
        fprintf(stderr, "line %d: this must hold: %s\n", line, condition);
        abort();
}

static const ScanLimits limits = { .depth_max = MESSAGE_DEPTH_MAX, .values_max = MESSAGE_VALUES_MAX };

static void check_json(const char *text, size_t length)
{
        struct json_tokener *tokener = json_tokener_new_ex(MESSAGE_DEPTH_MAX + 1);
        struct json_object *object;
        const char *printed;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int)length + 1);
        must(json_tokener_get_error(tokener) == json_tokener_success);
        must(json_object_is_type(object, json_type_object));
        printed = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
        must(scan_object(printed, strlen(printed), &limits, NULL) == 0);
        json_object_put(object);
        json_tokener_free(tokener);
}

static void check_error(const Error *e)
{
        _cleanup_(reply_message_done) ReplyMessage reply = {};
        _cleanup_free_ char *text = NULL;
        size_t length;

        must(e->name);
        must(reply_format_error(e, &text, &length) == 0);
        must(reply_message_parse(text, length, &reply) == 0);
        must(streq(reply.error, e->name));
}

static void check_call(const CallMessage *m)
{
        _cleanup_error_ Error e = {};
        Spec spec;
        int r;

        must(strchr(m->method, '.'));
        must(!m->more || !m->oneway);
        r = spec_parse(m->parameters, &spec, &e);
        if (r >= 0) {
                spec_done(&spec);
        } else {
                must(r == -EREMOTEIO);
                check_error(&e);
        }
}

static void check_message(const char *text, size_t length)
{
        _cleanup_(call_message_done) CallMessage m = {};
        int scanned, parsed;

        scanned = scan_object(text, length, &limits, NULL);
        must(scanned == 0 || scanned == -EBADMSG || scanned == -E2BIG);
        parsed = call_message_parse(text, length, &m);
        must(scanned == 0 ? parsed == 0 || parsed == -EBADMSG : parsed == scanned);
        if (scanned == 0)
                check_json(text, length);
        if (parsed == 0)
                check_call(&m);
}

/* What came out of a stream. */
typedef struct Outcome {
        size_t messages, bytes;
        int end;
} Outcome;

/* Reads all that is whole; false when the link is of no more use. */
static bool read_all(Link *l, Outcome *o)
{
        for (;;) {
                _cleanup_(fds_close) Fds fds = {};
                _cleanup_free_ char *message = NULL;
                size_t length;

                o->end = link_read(l, &message, &length, &fds);
                if (o->end < 0)
                        return o->end == -EAGAIN;
                must(strlen(message) == length);
                o->messages++;
                o->bytes += length;
                check_message(message, length);
        }
}

/* A descriptor with the first piece, if it is wanted. */
static void send_piece(int peer, const uint8_t *data, size_t size, bool with_fd)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {
                .header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}
        };
        struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (with_fd) {
                memcpy(CMSG_DATA(&control.header), &(int){ STDERR_FILENO }, sizeof(int));
                header.msg_control = &control;
                header.msg_controllen = sizeof(control);
        }
        must(sendmsg(peer, &header, 0) == (ssize_t)size);
}

static Outcome run_stream(const uint8_t *data, size_t size, size_t piece, bool with_fd)
{
        static const LinkLimits limits = { MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX };
        _cleanup_(link_freep) Link *l = NULL;
        Outcome o = { .end = -EAGAIN };
        bool alive = true;
        int fds[2];

        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        must(link_new(fds[0], &limits, &l) == 0);
        for (size_t at = 0; at < size && alive; at += piece) {
                send_piece(fds[1], data + at, MIN(piece, size - at), with_fd && at == 0);
                alive = read_all(l, &o);
        }
        close(fds[1]);
        if (alive) {
                must(!read_all(l, &o));
                must(o.end == (size > 0 && data[size - 1] ? -ECONNRESET : -ENOTCONN));
        }
        return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Outcome whole, pieces;

        whole = run_stream(data, size, MIN(MAX(size, 1u), 64 * KIB), false);
        pieces = run_stream(data, size, 1 + size / (2 + size % 8), true);
        must(whole.messages == pieces.messages);
        must(whole.bytes == pieces.bytes);
        must(whole.end == pieces.end);
        return 0;
}
