/* Values out of a reply, by type: json-c's own getters convert what they are given. Also how a document is
 * printed. Knows json-c; knows no method. */
#pragma once

#include <json-c/json_object.h>
#include <stdio.h>

#include "base.h"

/* What o holds under key, if it is of that type; else NULL, `otherwise` or false. o may be NULL. Nothing is
 * the caller's. */
const char *value_text(struct json_object *o, const char *key);
int64_t value_number(struct json_object *o, const char *key, int64_t otherwise);
bool value_flag(struct json_object *o, const char *key);
struct json_object *value_object(struct json_object *o, const char *key);
struct json_object *value_array(struct json_object *o, const char *key);

/* Adds a string, number or flag to an object of the caller's; -ENOMEM. */
int value_add_text(struct json_object *o, const char *key, const char *text);
int value_add_number(struct json_object *o, const char *key, int64_t number);
int value_add_flag(struct json_object *o, const char *key);
/* Adds a list of strings ended by NULL. */
int value_add_texts(struct json_object *o, const char *key, const char *const *texts);
/* Adds an object or array, which is taken, also on failure; NULL is -ENOMEM. */
int value_add(struct json_object *o, const char *key, struct json_object *taken);
/* The same, to the end of a list. */
int value_append(struct json_object *list, struct json_object *taken);
/* All that are in another list (NULL: none), which keeps them too. A null in it is none. */
int value_append_all(struct json_object *list, struct json_object *more);

/* An object of one string, owned by the caller; NULL: out of memory. */
struct json_object *value_new_text(const char *key, const char *text);

/* Prints the document in lines, safe for a terminal (text.h). -ENOMEM; errors of writing stay in the stream.
 */
int value_print(struct json_object *o, FILE *stream);

/* The same in one line. */
int value_print_line(struct json_object *o, FILE *stream);

static inline void value_putp(struct json_object **o)
{
        if (*o)
                json_object_put(*o);
}
#define _cleanup_value_ _cleanup_(value_putp)
