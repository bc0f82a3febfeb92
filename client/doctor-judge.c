/* See doctor-judge.h. */
#include "doctor-judge.h"

#include <stdarg.h>

#include "value.h"

void finding_set(Finding *f, CheckStatus status, const char *advice, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        f->status = status;
        if (vasprintf(&f->detail, format, arguments) < 0)
                f->detail = NULL;
        f->advice = advice ? strdup(advice) : NULL;
        va_end(arguments);
}

bool words_begin(Words *w)
{
        *w = (Words){};
        w->stream = open_memstream(&w->text, &w->size);
        return w->stream != NULL;
}

void words_add(Words *w, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        fputs(w->n++ > 0 ? ", " : "", w->stream);
        vfprintf(w->stream, format, arguments);
        va_end(arguments);
}

char *words_end(Words *w)
{
        if (fclose(w->stream) == 0)
                return w->text;
        free(w->text);
        return NULL;
}

struct json_object *evidence_host(const Evidence *e)
{
        return value_object(e->daemon.described, "host");
}

struct json_object *evidence_allowance(const Evidence *e)
{
        return value_object(e->daemon.described, "allowance");
}

int evidence_flag(const Evidence *e, const char *key)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(evidence_host(e), key, &value) ||
            !json_object_is_type(value, json_type_boolean))
                return -1;
        return json_object_get_boolean(value);
}

bool evidence_is_of_units(const Evidence *e)
{
        return e->units.listens && streq(e->units.listens, e->socket) && e->units.socket_state &&
               streq(e->units.socket_state, "active");
}

const char *list_item(struct json_object *list, size_t index)
{
        struct json_object *o = json_object_array_get_idx(list, index);

        return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
}

size_t list_length(struct json_object *list)
{
        return list ? json_object_array_length(list) : 0;
}

bool list_has(struct json_object *list, const char *text)
{
        for (size_t i = 0; i < list_length(list); i++)
                if (streq(list_item(list, i), text))
                        return true;
        return false;
}
