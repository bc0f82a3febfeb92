/* Errors in words, by explain.h: two tables and what fills in their templates. */
#include "explain.h"

#include <stdio.h>

#include "protocol.h"
#include "text.h"
#include "value.h"

#define LOOK_AT  "see 'journalctl -u nsrootd'"
#define ASK_LESS ": 'nsrootctl doctor' says how much you may have"

/* What each error means to its reader. {key} is a parameter of the error, {errnoName} its words; a part in
 * [] is left out where its parameter is absent. */
static const struct {
        const char *error;
        const char *words;
} errors[] = {
        {ERROR_INTERFACE_NOT_FOUND,      "this nsrootd does not have {interface}: is it older than nsrootctl?" },
        { ERROR_METHOD_NOT_FOUND,        "this nsrootd does not have {method}: is it older than nsrootctl?"    },
        { ERROR_NOT_IMPLEMENTED,         "this nsrootd does not have {method} yet"                             },
        { ERROR_INVALID_PARAMETER,       "nsrootd does not take {parameter}"                                   },
        { ERROR_PERMISSION_DENIED,       "not permitted: only root may do this"                                },
        { ERROR_SYSTEM,                  "nsrootd failed: {errnoName}: " LOOK_AT                               },
        { ERROR_NO_SUCH_SESSION,         "you have no session {id}: 'nsrootctl list' shows those you have"     },
        { ERROR_AMBIGUOUS_ID,            "more than one session begins with {id}: give more of its id"         },
        { ERROR_SESSION_EXISTS,          "you already have a session named {name}: choose another name"        },
        { ERROR_SESSION_EXITED,          "the session has already ended"                                       },
        { ERROR_NO_TERMINAL,             "the session has no terminal"                                         },
        { ERROR_NOT_DETACHED,            "session {id} is not detached: its output is where its 'nsrootctl run' is, "
                              "and kept nowhere else"                             },
        { ERROR_NO_SUCH_COMMAND,         "no command {command} runs in the session"                            },
        { ERROR_NO_SUCH_ROOT,            "there is no root {root}: 'nsrootctl root list' shows those there are"},
        { ERROR_NO_SUCH_USER,            "there is no user {user} in the root"                                 },
        { ERROR_COMMAND_NOT_FOUND,       "{path}: not found in the root"                                       },
        { ERROR_EXEC_FAILED,             "{path}: cannot be executed: {errnoName}"                             },
        { ERROR_SETUP_FAILED,            "{step}: {errnoName}[: {detail}]"                                     },
        { ERROR_BAD_FILE_DESCRIPTOR,     "nsrootd does not take {parameter}: {reason}"                         },
        { ERROR_LIMIT_REACHED,           "limit reached: {limit.reached}"                                      },
        { ERROR_LIMIT_UNAVAILABLE,       "this host cannot enforce {limit}: {reason}"                          },
        { ERROR_REFUSED,                 "refused: {rule}"                                                     },
        { ERROR_ROOT_NO_SUCH_ROOT,       "there is no root {name}: 'nsrootctl root list' shows those there are"},
        { ERROR_ROOT_IN_USE,             "root {name} is in use by {sessions} sessions: end them first"        },
        { ERROR_ROOT_SOURCE_UNAVAILABLE, "cannot get the root from {source}: {reason}[ ({retry})]"             },
        { ERROR_ROOT_DIGEST_MISMATCH,
         "what came[ from {source}] is the wrong file: its digest is {found}, not {expected}[ ({retry})]"      },
        { ERROR_ROOT_BAD_BINARY,         "{source} is of no use as a root: {reason}[ ({retry})]"               },
        { ERROR_ROOT_NO_SPACE,           "no space for the root[: {neededBytes} bytes are needed] in nsrootd's state "
                               "directory[ ({retry})]"                           },
        { ERROR_ROOT_CACHE_UNUSABLE,     "the root cannot be made: {reason}[ ({retry})]"                       },
        { ERROR_ROOT_REFUSED,            "refused: {rule}"                                                     },
};

/* What some values of parameters mean to people, and what can be done. */
static const struct {
        const char *key, *value;
        const char *words;
} meanings[] = {
        {"rule",           "system-users",            "system users may not use nsrootd (AllowSystemUsers= in nsrootd.conf)"},
        { "rule",          "not-admitted",            "you may not use nsrootd: ask the administrator for Admit=yes"        },
        { "rule",          "root-users",
         "this root is not for you: ask the administrator to name you in its Users= or Groups="                             },
        { "rule",          "too-many-groups",         "you are in more than 2048 groups: connect with fewer of them"        },
        { "rule",          "session-users",           "your uid is one of those that sessions run as"                       },
        { "rule",          "unmapped-user",           "your uid means nothing outside of your user namespace"               },
        { "rule",          "connections-per-user",    "you have too many connections to nsrootd: end some"                  },
        { "rule",          "files-that-do-not-close",
         "files that you lent nsrootd do not let go of it: end their server"                                                },
        { "rule",          "connections",             "nsrootd has too many connections: try again later"                   },
        { "rule",          "change-roots",            "you may not change roots: ask the administrator for ChangeRoots=yes" },
        { "limit.reached", "SessionsPerUser",
         "you have as many sessions as a user may have: end one ('nsrootctl list')"                                         },
        { "limit.reached", "StartsPerUser",
         "you have started too many sessions in too short a time: wait a little"                                            },
        { "limit.reached", "CommandsPerSession",
         "as many commands run in this session as may: wait for one to end"                                                 },
        { "limit.reached", "SessionsMax",
         "this machine has as many sessions as it may have: try again later"                                                },
        { "limit.reached", "MemoryMax",               "more than you may ask for with --memory" ASK_LESS                    },
        { "limit.reached", "TasksMax",                "more than you may ask for with --tasks" ASK_LESS                     },
        { "limit.reached", "CpuQuota",                "more than you may ask for with --cpu" ASK_LESS                       },
        { "limit.reached", "CpuWeight",               "more than you may ask for with --cpu-weight" ASK_LESS                },
        { "limit.reached", "IoWeight",                "more than you may ask for with --io-weight" ASK_LESS                 },
        { "limit.reached", "CpuTimeMax",              "more than you may ask for with --cpu-time" ASK_LESS                  },
        { "limit.reached", "RuntimeMax",              "more than you may ask for with --timeout" ASK_LESS                   },
        { "limit.reached", "StorageMax",              "more than you may ask for with --storage" ASK_LESS                   },
        { "limit.reached", "StorageInodes",           "more than you may ask for with --inodes" ASK_LESS                    },
        { "limit.reached", "SharedMemoryMax",         "more than you may ask for with --shm" ASK_LESS                       },
        { "limit.reached", "FileSizeMax",             "more than you may ask for with --file-size" ASK_LESS                 },
        { "limit.reached", "OpenFilesMax",            "more than you may ask for with --open-files" ASK_LESS                },
        { "limit.reached", "ProcessesMax",            "more than you may ask for with --processes" ASK_LESS                 },
        { "limit.reached", "LockedMemoryMax",         "more than you may ask for with --locked-memory" ASK_LESS             },
        { "limit.reached", "MemoryPerUser",
         "--memory is more than all your sessions together may have" ASK_LESS                                               },
        { "limit.reached", "TasksPerUser",
         "--tasks is more than all your sessions together may have" ASK_LESS                                                },
        { "limit.reached", "CpuQuotaPerUser",
         "--cpu is more than all your sessions together may have" ASK_LESS                                                  },
        { "limit",         "MemoryMax",               "--memory"                                                            },
        { "limit",         "TasksMax",                "--tasks"                                                             },
        { "limit",         "CpuQuota",                "--cpu"                                                               },
        { "limit",         "CpuWeight",               "--cpu-weight"                                                        },
        { "limit",         "IoWeight",                "--io-weight"                                                         },
        { "limit",         "CpuTimeMax",              "--cpu-time"                                                          },
        { "limit",         "RuntimeMax",              "--timeout"                                                           },
        { "limit",         "StorageMax",              "--storage"                                                           },
        { "limit",         "StorageInodes",           "--inodes"                                                            },
        { "limit",         "SharedMemoryMax",         "--shm"                                                               },
        { "limit",         "FileSizeMax",             "--file-size"                                                         },
        { "limit",         "OpenFilesMax",            "--open-files"                                                        },
        { "limit",         "ProcessesMax",            "--processes"                                                         },
        { "limit",         "LockedMemoryMax",         "--locked-memory"                                                     },
        { "limit",         "pause",                   "a pause"                                                             },
        { "parameter",     "workingDirectory",        "this working directory: it must be an absolute path"                 },
        { "parameter",     "hostname",                "this host name: letters, digits and hyphens, at most 64"             },
        { "parameter",     "name",                    "this name: a-z, 0-9, then also _ . and -, at most 63"                },
        { "parameter",     "arguments",               "this command: it is empty, or has more than 4096 words"              },
};

const char *explain_errno(const char *name)
{
        enum { ERRNO_MAX = 134 };

        for (int e = 1; e < ERRNO_MAX; e++)
                if (streq(errno_name(e), name))
                        return errno_text(e);
        return name;
}

static const char *meaning(const char *key, const char *value)
{
        if (streq(key, "errnoName"))
                return explain_errno(value);
        for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
                if (streq(meanings[i].key, key) && streq(meanings[i].value, value))
                        return meanings[i].words;
        return value;
}

static int error_status(const char *error)
{
        if (streq(error, ERROR_COMMAND_NOT_FOUND))
                return EXIT_NOT_FOUND;
        return streq(error, ERROR_EXEC_FAILED) ? EXIT_NOT_EXECUTABLE : EXIT_OURS;
}

/* Writes the parameter that a template calls {key}, or {key.sense} where its values have more than one
 * meaning; false where it is absent. */
static bool write_parameter(FILE *stream, const char *key, struct json_object *parameters)
{
        _cleanup_free_ char *safe = NULL, *name = strndup(key, strcspn(key, "."));
        const char *text = name ? value_text(parameters, name) : NULL;
        int64_t number = name ? value_number(parameters, name, INT64_MIN) : INT64_MIN;

        if (number != INT64_MIN)
                fprintf(stream, "%lld", (long long)number);
        if (!text)
                return number != INT64_MIN;
        safe = text_escape(meaning(key, text));
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

                if (sscanf(words, "{%31[A-Za-z.]}%n", key, &length) == 1 && length > 0) {
                        complete &= write_parameter(stream, key, parameters);
                        words += length;
                } else
                        fputc(*words++, stream);
        }
        return complete;
}

/* Writes an optional part, if all that it names is there. */
static void write_part(FILE *stream, const char *words, const char *end, struct json_object *parameters)
{
        _cleanup_free_ char *part = NULL;
        size_t size;
        FILE *memory = open_memstream(&part, &size);

        if (!memory)
                return;
        bool complete = write_words(memory, words, end, parameters);
        if (fclose(memory) == 0 && complete)
                fputs(part, stream);
}

/* As write_words for a whole template with its optional parts. */
static void write_template(FILE *stream, const char *words, struct json_object *parameters)
{
        while (*words) {
                const char *open = strchrnul(words, '['), *close = strchrnul(open, ']');

                write_words(stream, words, open, parameters);
                if (*open == '\0')
                        return;
                write_part(stream, open + 1, close, parameters);
                words = close + 1;
        }
}

static char *fill_in(const char *words, struct json_object *parameters)
{
        char *text = NULL;
        size_t size;
        FILE *stream;

        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;
        write_template(stream, words, parameters);
        if (fclose(stream) == 0)
                return text;
        free(text);
        return NULL;
}

int explain(const char *error, struct json_object *parameters, char **ret_text)
{
        _cleanup_value_ struct json_object *unknown = NULL;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (streq(errors[i].error, error)) {
                        *ret_text = fill_in(errors[i].words, parameters);
                        return error_status(error);
                }
        unknown = value_new_text("error", error);
        *ret_text = fill_in("nsrootd answered with the error {error}", unknown);
        return EXIT_OURS;
}
