/* See spec.h. Tables, and the checks that a range cannot say. */
#include "spec.h"

#include "protocol.h"

#define ID_LENGTH_MAX    63
#define NAME_LENGTH_MAX  63
#define HOST_LENGTH_MAX  64
#define STRINGS_MAX      4096
#define PATH_LENGTH_MAX  4095
#define WINDOW_MAX       UINT16_MAX

#define AT(type, member) offsetof(type, member)

/* Of the limits that can be asked for: filled in from their kinds, when it is first needed. */
static Field limit_fields[LIMITS + 1];

static const Field run_fields[] = {
        {"root",                  FIELD_STRING, AT(Spec, root), .min = 1, .max = NAME_LENGTH_MAX },
        { "arguments",                FIELD_STRINGS, AT(Spec, arguments), .max = STRINGS_MAX },
        { "name",               FIELD_STRING, AT(Spec, name), .min = 1, .max = NAME_LENGTH_MAX },
        { "environment",                      FIELD_STRINGS, AT(Spec, environment), .max = STRINGS_MAX },
        { "workingDirectory",FIELD_STRING, AT(Spec, working_directory), .min = 1, .max = PATH_LENGTH_MAX },
        { "user",             FIELD_STRING, AT(Spec, user), .min = 1, .max = 255 },
        { "hostname",                      FIELD_STRING, AT(Spec, hostname), .min = 1, .max = HOST_LENGTH_MAX },
        { "network",FIELD_STRING, AT(Spec, network) },
        { "readOnly",                  FIELD_BOOL, AT(Spec, read_only) },
        { "detached", FIELD_BOOL, AT(Spec, detached) },
        { "terminal",          FIELD_BOOL, AT(Spec, terminal) },
        { "progress",                FIELD_BOOL, AT(Spec, progress) },
        { "limits",     FIELD_OBJECT, AT(Spec, limits), .sub = limit_fields },
        { "columns",     FIELD_INT, AT(Spec, columns), .min = 0, .max = WINDOW_MAX },
        { "rows",                FIELD_INT, AT(Spec, rows), .min = 0, .max = WINDOW_MAX },
        { "lifelineFileDescriptor",               FIELD_FD, AT(Spec, lifeline) },
        { "standardInputFileDescriptor",                      FIELD_FD, AT(Spec, stdio[0]) },
        { "standardOutputFileDescriptor",FIELD_FD, AT(Spec, stdio[1]) },
        { "standardErrorFileDescriptor",                  FIELD_FD, AT(Spec, stdio[2]) },
        {            }
};

static const Field exec_fields[] = {
        {"id",                FIELD_STRING, AT(ExecSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "arguments",        FIELD_STRINGS, AT(ExecSpec, command.arguments), .required = true,
         .max = STRINGS_MAX },
        { "environment",   FIELD_STRINGS, AT(ExecSpec, command.environment), .max = STRINGS_MAX },
        { "workingDirectory",                  FIELD_STRING, AT(ExecSpec, command.working_directory), .min = 1,
         .max = PATH_LENGTH_MAX },
        { "user",FIELD_STRING, AT(ExecSpec, command.user), .min = 1, .max = 255 },
        { "terminal", FIELD_BOOL, AT(ExecSpec, command.terminal) },
        { "columns",  FIELD_INT, AT(ExecSpec, command.columns), .min = 0, .max = WINDOW_MAX },
        { "rows",      FIELD_INT, AT(ExecSpec, command.rows), .min = 0, .max = WINDOW_MAX },
        { "lifelineFileDescriptor",        FIELD_FD, AT(ExecSpec, command.lifeline) },
        { "standardInputFileDescriptor", FIELD_FD, AT(ExecSpec, command.stdio[0]) },
        { "standardOutputFileDescriptor", FIELD_FD, AT(ExecSpec, command.stdio[1]) },
        { "standardErrorFileDescriptor",        FIELD_FD, AT(ExecSpec, command.stdio[2]) },
        {                 }
};

const Field attach_fields[] = {
        {"id",              FIELD_STRING, AT(AttachSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "replay",    FIELD_BOOL, AT(AttachSpec, replay) },
        {               }
};

const Field resize_fields[] = {
        {"id",              FIELD_STRING, AT(ResizeSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "columns",    FIELD_INT, AT(ResizeSpec, columns), .required = true, .min = 0, .max = WINDOW_MAX },
        { "rows", FIELD_INT, AT(ResizeSpec, rows), .required = true, .min = 0, .max = WINDOW_MAX },
        {    }
};

const Field logs_fields[] = {
        {"id",              FIELD_STRING, AT(LogsSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "follow",      FIELD_BOOL, AT(LogsSpec, follow) },
        {               }
};

const Field id_fields[] = {
        {"id",              FIELD_STRING, AT(IdSpec, id), .required = true, .max = ID_LENGTH_MAX },
        {}
};

const Field optional_id_fields[] = {
        {"id",                  FIELD_STRING, AT(IdSpec, id), .max = ID_LENGTH_MAX },
        {}
};

const Field list_fields[] = {
        {"id",                  FIELD_STRING, AT(ListSpec, id), .max = ID_LENGTH_MAX },
        { "all",          FIELD_BOOL, AT(ListSpec, all) },
        {               }
};

const Field signal_fields[] = {
        {"id",              FIELD_STRING, AT(SignalSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "signal",    FIELD_STRING, AT(SignalSpec, signal), .required = true, .max = 16 },
        { "command", FIELD_STRING, AT(SignalSpec, command) },
        { "everyone",                FIELD_BOOL, AT(SignalSpec, everyone) },
        {         }
};

const Field stop_fields[] = {
        {"id",              FIELD_STRING, AT(StopSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "timeoutUSec",      FIELD_INT, AT(StopSpec, timeout_usec), .min = 0,
         .max = (int64_t)(24 * 3600 * USEC_PER_SEC) },
        {               }
};

const Field wait_fields[] = {
        {"id",              FIELD_STRING, AT(WaitSpec, id), .required = true, .max = ID_LENGTH_MAX },
        { "command",      FIELD_STRING, AT(WaitSpec, command) },
        {               }
};

const Field name_fields[] = {
        {"name",            FIELD_STRING, AT(NameSpec, name), .required = true, .max = NAME_LENGTH_MAX },
        {}
};

const Field optional_name_fields[] = {
        {"name",                  FIELD_STRING, AT(NameSpec, name), .max = NAME_LENGTH_MAX },
        {}
};

static bool name_is_good(const char *s)
{
        static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
        static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

        return strspn(s, first) > 0 && s[strspn(s, rest)] == '\0';
}

/* RFC 1123, section 2.1: labels of letters, digits and hyphens, between dots. */
static bool hostname_is_good(const char *s)
{
        static const char inner[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

        while (true) {
                size_t n = strspn(s, inner);

                if (n == 0 || s[0] == '-' || s[n - 1] == '-')
                        return false;
                if (s[n] == '\0')
                        return true;
                if (s[n] != '.')
                        return false;
                s += n + 1;
        }
}

static bool environment_is_good(char *const *entries)
{
        for (; entries && *entries; entries++)
                if (**entries == '=' || !strchr(*entries, '='))
                        return false;
        return true;
}

static bool is_absolute(const char *path)
{
        return path[0] == '/';
}

/* No list, or one that begins with a name. */
static bool arguments_are_good(char *const *arguments)
{
        return !arguments || (arguments[0] && arguments[0][0]);
}

static const char *find_fault(const Spec *s)
{
        const struct {
                const char *parameter;
                bool good;
        } rules[] = {
                {"arguments",         arguments_are_good(s->arguments)                          },
                { "environment",      environment_is_good(s->environment)                       },
                { "name",             !s->name || name_is_good(s->name)                         },
                { "hostname",         !s->hostname || hostname_is_good(s->hostname)             },
                { "workingDirectory", !s->working_directory || is_absolute(s->working_directory)},
                { "network",          !s->network || streq(s->network,                            "none") },
                { "lifelineFileDescriptor",                  s->detached != 1 || s->lifeline == FIELD_ABSENT                                                   },
                { "columns",                  s->columns == FIELD_ABSENT || s->terminal == 1                },
                { "rows",                  s->rows == FIELD_ABSENT || s->terminal == 1                                                      },
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if (!rules[i].good)
                        return rules[i].parameter;
        return NULL;
}

static void fill_limit_fields(void)
{
        Field *f = limit_fields;

        for (Limit i = 0; i < LIMITS; i++)
                if (limit_kinds[i].field)
                        *f++ = (Field){ limit_kinds[i].field, FIELD_INT,         i * sizeof(int64_t), false,
                                        limit_kinds[i].min,   limit_kinds[i].max };
}

int spec_parse(struct json_object *parameters, Spec *ret, Error *e)
{
        const char *fault;
        Spec s;
        int r;

        if (!limit_fields[0].name)
                fill_limit_fields();
        for (Limit i = 0; i < LIMITS; i++) /* those without a field */
                s.limits[i] = FIELD_ABSENT;
        r = fields_parse(parameters, run_fields, &s, e);
        if (r < 0)
                return r;
        fault = find_fault(&s);
        if (fault) {
                spec_done(&s);
                return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "%s", fault);
        }
        *ret = s;
        return 0;
}

int exec_spec_parse(struct json_object *parameters, ExecSpec *ret, Error *e)
{
        ExecSpec s = { .command.network = NULL };
        const char *fault;
        int r = fields_parse(parameters, exec_fields, &s, e);

        if (r < 0)
                return r;
        fault = find_fault(&s.command);
        if (fault) {
                exec_spec_done(&s);
                return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "%s", fault);
        }
        *ret = s;
        return 0;
}

void exec_spec_done(ExecSpec *s)
{
        fields_done(exec_fields, s);
}

void spec_done(Spec *s)
{
        fields_done(run_fields, s);
}
