/* A Varlink error as data. Knows libc and nothing of JSON, which is reply.c's. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

void error_done(Error *e)
{
        for (size_t i = 0; i < e->n_fields; i++)
                free(e->fields[i].text);
        *e = (Error){};
}

int error_set(Error *e, const char *name)
{
        error_done(e);
        e->name = name;
        return -EREMOTEIO;
}

static void add(Error *e, ErrorField field)
{
        if (e->n_fields < ERROR_FIELDS_MAX)
                e->fields[e->n_fields++] = field;
        else
                free(field.text);
}

/* A text there is no memory for is left out: the name alone still tells the caller what happened. */
static _printf_(3, 0) void add_text(Error *e, const char *key, const char *format, va_list args)
{
        char *text;

        if (vasprintf(&text, format, args) >= 0)
                add(e, (ErrorField){ .key = key, .text = text });
}

int error_setf(Error *e, const char *name, const char *key, const char *format, ...)
{
        va_list args;

        error_set(e, name);
        va_start(args, format);
        add_text(e, key, format, args);
        va_end(args);
        return -EREMOTEIO;
}

int error_addf(Error *e, const char *key, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        add_text(e, key, format, args);
        va_end(args);
        return -EREMOTEIO;
}

int error_add_number(Error *e, const char *key, int64_t number)
{
        add(e, (ErrorField){ .key = key, .number = number });
        return -EREMOTEIO;
}

const char *error_text(const Error *e, const char *key)
{
        for (size_t i = 0; i < e->n_fields; i++)
                if (streq(e->fields[i].key, key))
                        return e->fields[i].text;
        return NULL;
}
