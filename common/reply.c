/* Calls and replies as JSON, by reply.h. Knows json-c and the top level of a Varlink message
 * (https://varlink.org/Method-Call), and leaves what is below "parameters" to others. */
#include "reply.h"

#include <json-c/json.h>

#include "protocol.h"
#include "scan.h"

/* A reply may hold as many values as fit in it: who asked for a long list gets it. */
static const ScanLimits call_limits = { .depth_max = MESSAGE_DEPTH_MAX, .values_max = MESSAGE_VALUES_MAX };
static const ScanLimits reply_limits = { .depth_max = MESSAGE_DEPTH_MAX, .values_max = SIZE_MAX };

static void json_object_putp(struct json_object **object)
{
        json_object_put(*object);
}
#define _cleanup_json_ _cleanup_(json_object_putp)

/* Puts value into object, taking it also on failure. NULL is what json-c's constructors make of no memory.
 */
static int add(struct json_object *object, const char *key, struct json_object *value)
{
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(object, key, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

/* Some implementations take no null for parameters, so none is ever sent. */
static int add_parameters(struct json_object *message, struct json_object *parameters)
{
        return add(message, "parameters", parameters ? parameters : json_object_new_object());
}

static int format(struct json_object *message, char **ret, size_t *ret_length)
{
        const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
        const char *text;
        size_t length;
        char *copy;

        text = json_object_to_json_string_length(message, flags, &length);
        copy = text ? strdup(text) : NULL;
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        *ret_length = length;
        return 0;
}

int reply_format(struct json_object *parameters, bool continues, char **ret, size_t *ret_length)
{
        _cleanup_json_ struct json_object *message = json_object_new_object();
        int r;

        if (!message) {
                json_object_put(parameters);
                return -ENOMEM;
        }
        r = add_parameters(message, parameters);
        if (r >= 0 && continues)
                r = add(message, "continues", json_object_new_boolean(true));
        return r < 0 ? r : format(message, ret, ret_length);
}

static int add_error_fields(struct json_object *parameters, const Error *e)
{
        for (size_t i = 0; i < e->n_fields; i++) {
                const ErrorField *f = &e->fields[i];
                int r;

                r = add(parameters, f->key,
                        f->text ? json_object_new_string(f->text) : json_object_new_int64(f->number));
                if (r < 0)
                        return r;
        }
        return 0;
}

int reply_format_error_object(const char *name, struct json_object *parameters, char **ret,
                              size_t *ret_length)
{
        _cleanup_json_ struct json_object *message = json_object_new_object();
        int r;

        if (!message) {
                json_object_put(parameters);
                return -ENOMEM;
        }
        r = add(message, "error", json_object_new_string(name));
        if (r < 0) {
                json_object_put(parameters);
                return r;
        }
        r = add(message, "parameters", parameters);
        return r < 0 ? r : format(message, ret, ret_length);
}

int reply_format_error(const Error *e, char **ret, size_t *ret_length)
{
        struct json_object *parameters = json_object_new_object();
        int r = parameters ? add_error_fields(parameters, e) : -ENOMEM;

        if (r < 0) {
                json_object_put(parameters);
                return r;
        }
        return reply_format_error_object(e->name, parameters, ret, ret_length);
}

int call_message_format(const char *method, struct json_object *parameters, bool more, char **ret,
                        size_t *ret_length)
{
        _cleanup_json_ struct json_object *message = json_object_new_object();
        int r;

        if (!message) {
                json_object_put(parameters);
                return -ENOMEM;
        }
        r = add(message, "method", json_object_new_string(method));
        if (r < 0) {
                json_object_put(parameters);
                return r;
        }
        r = add_parameters(message, parameters);
        if (r >= 0 && more)
                r = add(message, "more", json_object_new_boolean(true));
        return r < 0 ? r : format(message, ret, ret_length);
}

/* json-c's own checks are the second line; after the scan there is little left for them to find. It says
 * success without an object when it runs out of memory. */
static int parse_object(const char *text, size_t length, const ScanLimits *limits, struct json_object **ret)
{
        _cleanup_json_ struct json_object *object = NULL;
        enum json_tokener_error error;
        struct json_tokener *tokener;
        int r;

        if (length >= INT32_MAX)
                return -E2BIG;
        r = scan_object(text, length, limits, NULL);
        if (r < 0)
                return r;
        tokener = json_tokener_new_ex((int)limits->depth_max + 1); /* it counts a scalar as a level, too */
        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int)length + 1);
        error = json_tokener_get_error(tokener);
        json_tokener_free(tokener);
        if (error != json_tokener_success)
                return -EBADMSG;
        if (!json_object_is_type(object, json_type_object))
                return -ENOMEM;
        *ret = TAKE_PTR(object);
        return 0;
}

static int take_string(struct json_object *value, char **ret)
{
        char *copy;

        if (!json_object_is_type(value, json_type_string))
                return -EBADMSG;
        copy = strdup(json_object_get_string(value));
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int take_flag(struct json_object *value, bool *ret)
{
        if (!json_object_is_type(value, json_type_boolean))
                return -EBADMSG;
        *ret = json_object_get_boolean(value);
        return 0;
}

/* null is as good as absent: some clients send it. */
static int take_parameters(struct json_object *value, struct json_object **ret)
{
        if (value && !json_object_is_type(value, json_type_object))
                return -EBADMSG;
        *ret = json_object_get(value);
        return 0;
}

void call_message_done(CallMessage *m)
{
        free(m->method);
        json_object_put(m->parameters);
        *m = (CallMessage){};
}

static bool is_method_name(const char *name)
{
        const char *dot = strrchr(name, '.');

        return dot && dot != name && dot[1] != '\0';
}

static int take_call_member(const char *key, struct json_object *value, CallMessage *m)
{
        if (streq(key, "method"))
                return take_string(value, &m->method);
        if (streq(key, "parameters"))
                return take_parameters(value, &m->parameters);
        if (streq(key, "more"))
                return take_flag(value, &m->more);
        if (streq(key, "oneway"))
                return take_flag(value, &m->oneway);
        if (streq(key, "upgrade"))
                return take_flag(value, &m->upgrade);
        return -EBADMSG;
}

int call_message_parse(const char *text, size_t length, CallMessage *ret)
{
        _cleanup_json_ struct json_object *object = NULL;
        _cleanup_(call_message_done) CallMessage m = {};
        int r;

        r = parse_object(text, length, &call_limits, &object);
        if (r < 0)
                return r;
        json_object_object_foreach(object, key, value)
        {
                r = take_call_member(key, value, &m);
                if (r < 0)
                        return r;
        }
        if (!m.method || !is_method_name(m.method) || (m.more && m.oneway))
                return -EBADMSG;
        *ret = TAKE_GENERIC(m, (CallMessage){});
        return 0;
}

void reply_message_done(ReplyMessage *m)
{
        free(m->error);
        json_object_put(m->parameters);
        *m = (ReplyMessage){};
}

static int take_reply_member(const char *key, struct json_object *value, ReplyMessage *m)
{
        if (streq(key, "error"))
                return take_string(value, &m->error);
        if (streq(key, "parameters"))
                return take_parameters(value, &m->parameters);
        if (streq(key, "continues"))
                return take_flag(value, &m->continues);
        return -EBADMSG;
}

int reply_message_parse(const char *text, size_t length, ReplyMessage *ret)
{
        _cleanup_json_ struct json_object *object = NULL;
        _cleanup_(reply_message_done) ReplyMessage m = {};
        int r;

        r = parse_object(text, length, &reply_limits, &object);
        if (r < 0)
                return r;
        json_object_object_foreach(object, key, value)
        {
                r = take_reply_member(key, value, &m);
                if (r < 0)
                        return r;
        }
        if (m.error && m.continues)
                return -EBADMSG;
        if (!m.parameters)
                m.parameters = json_object_new_object();
        if (!m.parameters)
                return -ENOMEM;
        *ret = TAKE_GENERIC(m, (ReplyMessage){});
        return 0;
}
