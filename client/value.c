/* Values out of replies, by value.h. */
#include "value.h"

#include "text.h"

static struct json_object *value_get(struct json_object *o, const char *key, enum json_type type)
{
        struct json_object *value;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &value))
                return NULL;
        return json_object_is_type(value, type) ? value : NULL;
}

const char *value_text(struct json_object *o, const char *key)
{
        return json_object_get_string(value_get(o, key, json_type_string));
}

int64_t value_number(struct json_object *o, const char *key, int64_t otherwise)
{
        struct json_object *value = value_get(o, key, json_type_int);

        return value ? json_object_get_int64(value) : otherwise;
}

bool value_flag(struct json_object *o, const char *key)
{
        return json_object_get_boolean(value_get(o, key, json_type_boolean));
}

struct json_object *value_object(struct json_object *o, const char *key)
{
        return value_get(o, key, json_type_object);
}

struct json_object *value_array(struct json_object *o, const char *key)
{
        return value_get(o, key, json_type_array);
}

int value_add(struct json_object *o, const char *key, struct json_object *taken)
{
        if (!taken)
                return -ENOMEM;
        if (json_object_object_add(o, key, taken) < 0) {
                json_object_put(taken);
                return -ENOMEM;
        }
        return 0;
}

int value_append(struct json_object *list, struct json_object *taken)
{
        if (!taken)
                return -ENOMEM;
        if (json_object_array_add(list, taken) < 0) {
                json_object_put(taken);
                return -ENOMEM;
        }
        return 0;
}

int value_append_all(struct json_object *list, struct json_object *more)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && more && i < json_object_array_length(more); i++) {
                struct json_object *item = json_object_array_get_idx(more, i);

                r = item ? value_append(list, json_object_get(item)) : 0;
        }
        return r;
}

int value_add_text(struct json_object *o, const char *key, const char *text)
{
        return value_add(o, key, json_object_new_string(text));
}

int value_add_number(struct json_object *o, const char *key, int64_t number)
{
        return value_add(o, key, json_object_new_int64(number));
}

int value_add_flag(struct json_object *o, const char *key)
{
        return value_add(o, key, json_object_new_boolean(true));
}

int value_add_texts(struct json_object *o, const char *key, const char *const *texts)
{
        _cleanup_value_ struct json_object *list = json_object_new_array();
        int r = list ? 0 : -ENOMEM;

        for (; r >= 0 && *texts; texts++)
                r = value_append(list, json_object_new_string(*texts));
        return r < 0 ? r : value_add(o, key, TAKE_PTR(list));
}

struct json_object *value_new_text(const char *key, const char *text)
{
        _cleanup_value_ struct json_object *o = json_object_new_object();

        return o && value_add_text(o, key, text) >= 0 ? TAKE_PTR(o) : NULL;
}

static int print_with(struct json_object *o, int flags, FILE *stream)
{
        const char *plain = json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
        _cleanup_free_ char *safe = NULL;

        safe = plain ? text_escape_json(plain) : NULL;
        if (!safe)
                return -ENOMEM;
        fprintf(stream, "%s\n", safe);
        return 0;
}

int value_print(struct json_object *o, FILE *stream)
{
        return print_with(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED, stream);
}

int value_print_line(struct json_object *o, FILE *stream)
{
        return print_with(o, JSON_C_TO_STRING_PLAIN, stream);
}
