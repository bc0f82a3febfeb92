/* The one loop that reads any table of field.h. Knows json-c, the kinds of field and the error they end in,
 * and no method. json-c converts types in its getters and saturates numbers, so the type is asked for first.
 */
#include "field.h"

#include <json-c/json.h>

#include "protocol.h"

/* What can be done with a field of one kind; at is its place in the struct. */
typedef struct Kind {
        void (*clear)(const Field *f, void *at); /* makes it absent, whatever was there */
        void (*free)(const Field *f, void *at);  /* frees what it owns */
        /* value is not null; -EINVAL: not what the table asks for, and nothing was set */
        int (*parse)(const Field *f, struct json_object *value, void *at, Error *e);
        /* *ret stays NULL where it is absent; -ENOMEM */
        int (*format)(const Field *f, const void *at, struct json_object **ret);
} Kind;

static void *place(const Field *f, void *data)
{
        return (char *)data + f->offset;
}

static void clear_bool(const Field *f, void *at)
{
        *(int *)at = -1;
}

static void clear_number(const Field *f, void *at)
{
        *(int64_t *)at = FIELD_ABSENT;
}

static void clear_pointer(const Field *f, void *at)
{
        *(void **)at = NULL;
}

static void free_nothing(const Field *f, void *at)
{
}

static void free_string(const Field *f, void *at)
{
        free(*(char **)at);
}

static void strings_free(char **list)
{
        for (char **s = list; *s; s++)
                free(*s);
        free(list);
}
DEFINE_CLEANUP(char **, strings_free);

static void free_strings(const Field *f, void *at)
{
        strings_freep(at);
}

static void free_object(const Field *f, void *at)
{
        fields_done(f->sub, at);
}

static int parse_truth(const Field *f, struct json_object *value, void *at, Error *e)
{
        if (!json_object_is_type(value, json_type_boolean))
                return -EINVAL;
        *(int *)at = json_object_get_boolean(value);
        return 0;
}

/* An integer that does not fit is UINT64_MAX or INT64_MIN by now. The one is out of range here, the other is
 * what says "absent" and is not to be had either. */
static int parse_number(struct json_object *value, int64_t min, int64_t max, int64_t *ret)
{
        int64_t n;

        if (!json_object_is_type(value, json_type_int) || json_object_get_uint64(value) > INT64_MAX)
                return -EINVAL;
        n = json_object_get_int64(value);
        if (n == FIELD_ABSENT || n < min || n > max)
                return -EINVAL;
        *ret = n;
        return 0;
}

static int parse_int(const Field *f, struct json_object *value, void *at, Error *e)
{
        return parse_number(value, f->min, f->max, at);
}

static int parse_fd(const Field *f, struct json_object *value, void *at, Error *e)
{
        return parse_number(value, 0, FDS_MAX - 1, at);
}

static bool in_range(const Field *f, size_t n)
{
        return (int64_t)n >= f->min && (f->max == 0 || (int64_t)n <= f->max);
}

static int copy_string(struct json_object *value, char **ret)
{
        char *copy;

        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
                return -EINVAL;
        copy = strdup(json_object_get_string(value));
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int parse_string(const Field *f, struct json_object *value, void *at, Error *e)
{
        if (json_object_is_type(value, json_type_string) &&
            !in_range(f, (size_t)json_object_get_string_len(value)))
                return -EINVAL;
        return copy_string(value, at);
}

static int parse_strings(const Field *f, struct json_object *value, void *at, Error *e)
{
        _cleanup_(strings_freep) char **list = NULL;
        size_t n;

        if (!json_object_is_type(value, json_type_array))
                return -EINVAL;
        n = json_object_array_length(value);
        if (!in_range(f, n))
                return -EINVAL;
        list = calloc(n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r;

                r = copy_string(json_object_array_get_idx(value, i), &list[i]);
                if (r < 0)
                        return r;
        }
        *(char ***)at = TAKE_PTR(list);
        return 0;
}

static int parse_object(const Field *f, struct json_object *value, void *at, Error *e)
{
        if (!json_object_is_type(value, json_type_object))
                return -EINVAL;
        return fields_parse(value, f->sub, at, e);
}

static void fields_clear(const Field *table, void *data);

static void clear_object(const Field *f, void *at)
{
        fields_clear(f->sub, at);
}

static int made(struct json_object *value, struct json_object **ret)
{
        *ret = value;
        return value ? 0 : -ENOMEM;
}

static int format_truth(const Field *f, const void *at, struct json_object **ret)
{
        int value = *(const int *)at;

        return value < 0 ? 0 : made(json_object_new_boolean(value), ret);
}

static int format_number(const Field *f, const void *at, struct json_object **ret)
{
        int64_t value = *(const int64_t *)at;

        return value == FIELD_ABSENT ? 0 : made(json_object_new_int64(value), ret);
}

static int format_string(const Field *f, const void *at, struct json_object **ret)
{
        const char *value = *(char *const *)at;

        return value ? made(json_object_new_string(value), ret) : 0;
}

static void putp(struct json_object **o)
{
        json_object_put(*o);
}

/* value is taken, also on failure. */
static int append(struct json_object *array, struct json_object *value)
{
        if (value && json_object_array_add(array, value) >= 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int format_strings(const Field *f, const void *at, struct json_object **ret)
{
        _cleanup_(putp) struct json_object *array = json_object_new_array();
        char *const *list = *(char **const *)at;
        int r = array ? 0 : -ENOMEM;

        for (char *const *string = list; string && *string && r >= 0; string++)
                r = append(array, json_object_new_string(*string));
        if (r >= 0 && list)
                *ret = TAKE_PTR(array);
        return r;
}

static int format_object(const Field *f, const void *at, struct json_object **ret)
{
        struct json_object *object = fields_format(f->sub, at);

        if (!object || json_object_object_length(object) > 0)
                return made(object, ret);
        json_object_put(object); /* all of it is absent, and so it is */
        return 0;
}

/* In the order of FieldKind. */
static const Kind kinds[] = {
        {clear_bool,     free_nothing, parse_truth,   format_truth  },
        { clear_number,  free_nothing, parse_int,     format_number },
        { clear_pointer, free_string,  parse_string,  format_string },
        { clear_pointer, free_strings, parse_strings, format_strings},
        { clear_number,  free_nothing, parse_fd,      format_number },
        { clear_object,  free_object,  parse_object,  format_object },
};
_Static_assert(ELEMENTSOF(kinds) == FIELD_OBJECT + 1, "a row a kind");

static void fields_clear(const Field *table, void *data)
{
        for (const Field *f = table; f->name; f++)
                kinds[f->kind].clear(f, place(f, data));
}

void fields_done(const Field *table, void *data)
{
        for (const Field *f = table; f->name; f++)
                kinds[f->kind].free(f, place(f, data));
        fields_clear(table, data);
}

static int invalid(Error *e, const char *name)
{
        return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "%s", name);
}

/* "parameter" of the object becomes "object.parameter". */
static int invalid_within(Error *e, const char *object)
{
        _cleanup_free_ char *name = NULL;

        name = strdup(error_text(e, "parameter") ?: "");
        if (!name)
                return -ENOMEM;
        return error_setf(e, ERROR_INVALID_PARAMETER, "parameter", "%s.%s", object, name);
}

static bool is_known(const Field *table, const char *name)
{
        for (const Field *f = table; f->name; f++)
                if (streq(f->name, name))
                        return true;
        return false;
}

static int check_names(struct json_object *params, const Field *table, Error *e)
{
        json_object_object_foreach(params, name, value)
        {
                (void)value;
                if (!is_known(table, name))
                        return invalid(e, name);
        }
        return 0;
}

static int parse_field(struct json_object *params, const Field *f, void *at, Error *e)
{
        struct json_object *value = NULL;
        int r;

        json_object_object_get_ex(params, f->name, &value);
        if (!value)
                return f->required ? invalid(e, f->name) : 0;
        r = kinds[f->kind].parse(f, value, at, e);
        if (r == -EINVAL)
                return invalid(e, f->name);
        if (r == -EREMOTEIO)
                return invalid_within(e, f->name);
        return r;
}

static int parse_all(struct json_object *params, const Field *table, void *data, Error *e)
{
        int r;

        r = params ? check_names(params, table, e) : 0;
        for (const Field *f = table; f->name && r >= 0; f++)
                r = parse_field(params, f, place(f, data), e);
        return r;
}

int fields_parse(struct json_object *params, const Field *table, void *ret, Error *e)
{
        int r;

        fields_clear(table, ret);
        r = parse_all(params, table, ret, e);
        if (r < 0)
                fields_done(table, ret);
        return r;
}

struct json_object *fields_format(const Field *table, const void *data)
{
        _cleanup_(putp) struct json_object *object = json_object_new_object();

        for (const Field *f = table; object && f->name; f++) {
                _cleanup_(putp) struct json_object *value = NULL;

                if (kinds[f->kind].format(f, (const char *)data + f->offset, &value) < 0 ||
                    (value && json_object_object_add(object, f->name, value) < 0))
                        return NULL;
                value = NULL; /* it is the object's */
        }
        return TAKE_PTR(object);
}
