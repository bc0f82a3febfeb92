/* Failures, by failure.h. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

#include "explain.h"
#include "protocol.h"
#include "value.h"

#define START_IT "start it with 'systemctl start nsrootd.socket', or name another socket with --socket"
#define LOOK_AT  "see 'journalctl -u nsrootd'"

void failure_done(Failure *f)
{
        free(f->text);
        json_object_put(f->answer);
        *f = (Failure){};
}

static int failure_setv(Failure *f, int status, const char *format, va_list arguments) _printf_(3, 0);

static int failure_setv(Failure *f, int status, const char *format, va_list arguments)
{
        failure_done(f);
        f->status = status;
        if (vasprintf(&f->text, format, arguments) < 0)
                f->text = NULL;
        return -EREMOTEIO;
}

int failure_set(Failure *f, int status, const char *format, ...)
{
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = failure_setv(f, status, format, arguments);
        va_end(arguments);
        return r;
}

int failure_connect(Failure *f, int r, const char *path)
{
        switch (-r) {
        case ENOENT:
        case ECONNREFUSED:
                return failure_set(f, EXIT_OURS, "no nsrootd listens on %s: " START_IT, path);
        case EACCES:
        case EPERM:
                return failure_set(
                        f, EXIT_OURS,
                        "no permission to use %s: ask the administrator for access to this socket", path);
        case EAGAIN:
                return failure_set(f, EXIT_OURS,
                                   "nsrootd on %s is busy and takes no connection: try again later", path);
        case ENOTSOCK:
        case EPROTOTYPE:
                return failure_set(f, EXIT_OURS,
                                   "%s is not the socket of an nsrootd: name another with --socket", path);
        case ENAMETOOLONG:
                return failure_set(f, EXIT_OURS,
                                   "the path of a socket has at most 107 bytes, and %s has more", path);
        default:
                return failure_set(f, EXIT_OURS, "cannot connect to %s: %s", path, errno_text(r));
        }
}

int failure_lost(Failure *f, int r, const char *path)
{
        switch (-r) {
        case ENOTCONN:
        case ECONNRESET:
        case EPIPE:
                r = failure_set(f, EXIT_OURS, "nsrootd on %s closed the connection: " LOOK_AT, path);
                f->lost = true;
                return r;
        case E2BIG:
        case ENOBUFS:
                return failure_set(
                        f, EXIT_OURS,
                        "the request is too long: at most %d KiB of arguments and environment fit",
                        MESSAGE_SIZE_MAX / 1024);
        case EILSEQ:
                return failure_set(f, EXIT_OURS,
                                   "an argument is not valid UTF-8: the protocol cannot carry it");
        case EBADMSG:
        case EPROTO:
                return failure_set(f, EXIT_OURS,
                                   "what answers on %s is not nsrootd: name another socket with --socket",
                                   path);
        case ETIMEDOUT:
                return failure_set(f, EXIT_OURS, "nsrootd on %s does not answer: " LOOK_AT, path);
        default:
                return failure_set(f, EXIT_OURS, "the connection to %s failed: %s", path, errno_text(r));
        }
}

int failure_system(Failure *f, int r, const char *what)
{
        return failure_set(f, EXIT_OURS, "%s: %s", what, errno_text(r));
}

static struct json_object *answer_new(const char *error, struct json_object *parameters)
{
        _cleanup_value_ struct json_object *answer = json_object_new_object();

        if (!answer || value_add_text(answer, "error", error) < 0)
                return NULL;
        if (parameters && value_add(answer, "parameters", json_object_get(parameters)) < 0)
                return NULL;
        return TAKE_PTR(answer);
}

int failure_reply(Failure *f, const char *error, struct json_object *parameters)
{
        failure_done(f);
        f->status = explain(error, parameters, &f->text);
        f->answer = answer_new(error, parameters);
        return -EREMOTEIO;
}

int failure_say(const Failure *f)
{
        failure_note(f->text ?: "out of memory");
        return f->status;
}

int failure_exit(const char *format, ...)
{
        _cleanup_failure_ Failure f = {};
        va_list arguments;

        va_start(arguments, format);
        failure_setv(&f, EXIT_OURS, format, arguments);
        va_end(arguments);
        return failure_say(&f);
}

void failure_note(const char *text)
{
        fprintf(stderr, "nsrootctl: %s\n", text);
}
