#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

#include "protocol.h"
#include "text.h"
#include "value.h"

#define START_IT "start it with 'systemctl start nsrootd.socket', or name another socket with --socket"
#define LOOK_AT  "see 'journalctl -u nsrootd'"

/* What each error means to its reader. {key} is a parameter of the error, {errnoName} its words; a part in
 * [] is left out where its parameter is absent. */
static const struct {
        const char *error;
        const char *words;
} errors[] = {
        {ERROR_INTERFACE_NOT_FOUND,      "this nsrootd does not have {interface}: is it older than nsrootctl?" },
        { ERROR_METHOD_NOT_FOUND,        "this nsrootd does not have {method}: is it older than nsrootctl?"    },
        { ERROR_NOT_IMPLEMENTED,         "this nsrootd does not have {method} yet"                             },
        { ERROR_INVALID_PARAMETER,       "nsrootd does not take this value of {parameter}"                     },
        { ERROR_PERMISSION_DENIED,       "not permitted: only root may do this"                                },
        { ERROR_SYSTEM,                  "nsrootd failed: {errnoName}: " LOOK_AT                               },
        { ERROR_NO_SUCH_SESSION,         "you have no session {id}: 'nsrootctl list' shows those you have"     },
        { ERROR_AMBIGUOUS_ID,            "more than one session begins with {id}: give more of its id"         },
        { ERROR_SESSION_EXISTS,          "you already have a session named {name}: choose another name"        },
        { ERROR_SESSION_EXITED,          "the session has already ended"                                       },
        { ERROR_NO_TERMINAL,             "the session has no terminal"                                         },
        { ERROR_NO_SUCH_ROOT,            "there is no root {root}: 'nsrootctl root list' shows those there are"},
        { ERROR_NO_SUCH_USER,            "there is no user {user} in the root"                                 },
        { ERROR_COMMAND_NOT_FOUND,       "{path}: not found in the root"                                       },
        { ERROR_EXEC_FAILED,             "{path}: cannot be executed: {errnoName}"                             },
        { ERROR_SETUP_FAILED,            "{step}: {errnoName}[: {detail}]"                                     },
        { ERROR_BAD_FILE_DESCRIPTOR,     "nsrootd does not take {parameter}: {reason}"                         },
        { ERROR_LIMIT_REACHED,           "a limit is reached: {limit}: end a session, or ask the administrator"},
        { ERROR_LIMIT_UNAVAILABLE,       "this host cannot enforce {limit}: {reason}"                          },
        { ERROR_REFUSED,                 "refused: {rule}: ask the administrator of this machine"              },
        { ERROR_ROOT_NO_SUCH_ROOT,       "there is no root {name}: 'nsrootctl root list' shows those there are"},
        { ERROR_ROOT_IN_USE,             "root {name} is in use by {sessions} sessions: end them first"        },
        { ERROR_ROOT_SOURCE_UNAVAILABLE, "cannot get the root from {source}: {reason}"                         },
        { ERROR_ROOT_DIGEST_MISMATCH,
         "what was downloaded is not what is expected: its digest is {found}, not {expected}"                  },
        { ERROR_ROOT_BAD_BINARY,         "{source} is of no use as a root: {reason}"                           },
        { ERROR_ROOT_NO_SPACE,
         "no space for the root[: {neededBytes} bytes are needed] in nsrootd's state directory"                },
        { ERROR_ROOT_REFUSED,            "refused: {rule}: only root may do this, or who root allows to"       },
};

static int error_status(const char *error)
{
        if (streq(error, ERROR_COMMAND_NOT_FOUND))
                return EXIT_NOT_FOUND;
        return streq(error, ERROR_EXEC_FAILED) ? EXIT_NOT_EXECUTABLE : EXIT_OURS;
}

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
                return failure_set(f, EXIT_OURS, "nsrootd on %s closed the connection: " LOOK_AT, path);
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

const char *failure_errno_words(const char *name)
{
        enum { ERRNO_MAX = 134 };

        for (int e = 1; e < ERRNO_MAX; e++)
                if (streq(errno_name(e), name))
                        return errno_text(e);
        return name;
}

/* Writes the parameter that a template calls {key}; false where it is absent. */
static bool write_parameter(FILE *stream, const char *key, struct json_object *parameters)
{
        const char *text = value_text(parameters, key);
        int64_t number = value_number(parameters, key, INT64_MIN);
        _cleanup_free_ char *safe = NULL;

        if (number != INT64_MIN)
                fprintf(stream, "%lld", (long long)number);
        if (!text)
                return number != INT64_MIN;
        safe = text_escape(streq(key, "errnoName") ? failure_errno_words(text) : text);
        fputs(safe ?: "", stream);
        return true;
}

/* Writes the template up to `end` (or its NUL), filled in; false where a parameter was absent. */
static bool write_words(FILE *stream, const char *words, const char *end, struct json_object *parameters)
{
        bool complete = true;

        while (*words && words != end) {
                char key[32] = "";
                int length = 0;

                if (sscanf(words, "{%31[A-Za-z]}%n", key, &length) == 1 && length > 0) {
                        complete &= write_parameter(stream, key, parameters);
                        words += length;
                } else
                        fputc(*words++, stream);
        }
        return complete;
}

/* As write_words for a whole template with at most one optional part. */
static void write_template(FILE *stream, const char *words, struct json_object *parameters)
{
        _cleanup_free_ char *part = NULL;
        const char *open = strchrnul(words, '['), *close = strchrnul(open, ']');
        size_t size;
        FILE *memory;

        write_words(stream, words, open, parameters);
        if (*open == '\0')
                return;
        memory = open_memstream(&part, &size);
        if (!memory)
                return;
        bool complete = write_words(memory, open + 1, close, parameters);
        if (fclose(memory) == 0 && complete)
                fputs(part, stream);
        write_words(stream, close + 1, NULL, parameters);
}

static int failure_template(Failure *f, int status, const char *words, struct json_object *parameters)
{
        size_t size;
        FILE *stream;

        failure_done(f);
        f->status = status;
        stream = open_memstream(&f->text, &size);
        if (!stream)
                return -EREMOTEIO;
        write_template(stream, words, parameters);
        if (fclose(stream) == EOF) {
                free(f->text);
                f->text = NULL;
        }
        return -EREMOTEIO;
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

static int failure_words(Failure *f, const char *error, struct json_object *parameters)
{
        _cleanup_free_ char *safe = NULL;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (streq(errors[i].error, error))
                        return failure_template(f, error_status(error), errors[i].words, parameters);
        safe = text_escape(error);
        return failure_set(f, EXIT_OURS, "nsrootd answered with the error %s", safe ?: "?");
}

int failure_reply(Failure *f, const char *error, struct json_object *parameters)
{
        int r = failure_words(f, error, parameters);

        f->answer = answer_new(error, parameters);
        return r;
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
