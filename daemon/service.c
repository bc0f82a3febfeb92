/* Each method is parse, act, reply; the tables say who may call what. */
#include <json-c/json.h>
#include <unistd.h>

#include "field.h"
#include "log.h"
#include "protocol.h"
#include "scan.h"
#include "service.h"

#define INCONSISTENT_ENVIRONMENT SYSTEMD_SERVICE ".InconsistentEnvironment"

extern const char idl_varlink_service[], idl_systemd_service[]; /* common/meson.build makes them */

static void json_put(json_object **object)
{
        json_object_put(*object);
}
#define _cleanup_json_ _cleanup_(json_put)

static const Field no_fields[] = { {} };

static int parse_nothing(json_object *params, Error *e)
{
        char nothing;
        return fields_parse(params, no_fields, &nothing, e);
}

/* Adds value, taken, to an object, or where key is NULL to an array. */
static int add(json_object *to, const char *key, json_object *value)
{
        int r = -1;
        if (to && value)
                r = key ? json_object_object_add(to, key, value) : json_object_array_add(to, value);
        if (r < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int add_interfaces(json_object *info, const Server *server)
{
        json_object *names = json_object_new_array();
        int r = add(info, "interfaces", names);

        const Interface *interface;
        for (size_t i = 0; r >= 0 && (interface = server_interface(server, i)); i++)
                r = add(names, NULL, json_object_new_string(interface->name));
        return r;
}

static int method_get_info(Call *c, json_object *params, void *userdata, Error *e)
{
        const Service *v = userdata;
        const ServerIdentity *identity = server_identity(v->server);
        const struct {
                const char *key, *value;
        } texts[] = {
                {"vendor",   identity->vendor },
                { "product", identity->product},
                { "version", identity->version},
                { "url",     identity->url    },
        };
        _cleanup_json_ json_object *info = json_object_new_object();

        int r = parse_nothing(params, e);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                r = add(info, texts[i].key, json_object_new_string(texts[i].value));
        if (r >= 0)
                r = add_interfaces(info, v->server);
        if (r < 0)
                return r;
        call_reply(c, TAKE_PTR(info), NULL);
        return 0;
}

typedef struct DescriptionParams {
        char *interface;
} DescriptionParams;

static const Field description_fields[] = {
        {.name = "interface",
         .kind = FIELD_STRING,
         .offset = offsetof(DescriptionParams, interface),
         .required = true },
        {                    },
};

static void description_params_done(DescriptionParams *p)
{
        fields_done(description_fields, p);
}

static int method_get_interface_description(Call *c, json_object *params, void *userdata, Error *e)
{
        const Service *v = userdata;
        _cleanup_(description_params_done) DescriptionParams p = {};
        _cleanup_json_ json_object *reply = json_object_new_object();

        int r = fields_parse(params, description_fields, &p, e);
        if (r < 0)
                return r;
        const Interface *interface = server_find_interface(v->server, p.interface, strlen(p.interface));
        if (!interface)
                return error_setf(e, ERROR_INTERFACE_NOT_FOUND, "interface", "%s", p.interface);
        r = add(reply, "description", json_object_new_string(interface->description));
        if (r < 0)
                return r;
        call_reply(c, TAKE_PTR(reply), NULL);
        return 0;
}

static int method_ping(Call *c, json_object *params, void *userdata, Error *e)
{
        int r = parse_nothing(params, e);
        if (r < 0)
                return r;
        call_reply(c, NULL, NULL);
        return 0;
}

/* What io.systemd.System has, and the words: who reloads has to know what to correct. */
static int not_reloaded(int r, const char *why, Error *e)
{
        error_setf(e, ERROR_SYSTEM, "origin", "linux");
        error_add_number(e, "errno", -r);
        error_addf(e, "errnoName", "%s", errno_name(r));
        return error_addf(e, "reason", "%s", why ? why : errno_text(r));
}

static int method_reload(Call *c, json_object *params, void *userdata, Error *e)
{
        const Service *v = userdata;
        _cleanup_free_ char *why = NULL;

        int r = parse_nothing(params, e);
        if (r < 0)
                return r;
        r = v->reload(v->userdata, &why);
        if (r < 0)
                return not_reloaded(r, why, e);
        call_reply(c, NULL, NULL);
        return 0;
}

typedef struct LevelParams {
        int64_t level;
} LevelParams;

static const Field level_fields[] = {
        {.name = "level",
         .kind = FIELD_INT,
         .offset = offsetof(LevelParams, level),
         .required = true,
         .min = LOG_EMERG,
         .max = LOG_DEBUG },
        {              },
};

static int method_set_log_level(Call *c, json_object *params, void *userdata, Error *e)
{
        LevelParams p;

        int r = fields_parse(params, level_fields, &p, e);
        if (r < 0)
                return r;
        log_set_level((int)p.level);
        log_notice("Logging what is %s or more important, as uid %u asks", log_level_name((int)p.level),
                   (unsigned)call_peer(c)->uid);
        call_reply(c, NULL, NULL);
        return 0;
}

/* An environment may hold any bytes, a message only UTF-8: the scanner knows the difference. */
static int check_text(json_object *reply, Error *e)
{
        const ScanLimits limits = { .depth_max = MESSAGE_DEPTH_MAX, .values_max = SIZE_MAX };
        size_t length;
        const char *text = json_object_to_json_string_length(reply, JSON_C_TO_STRING_PLAIN, &length);
        if (!text)
                return -ENOMEM;
        return scan_object(text, length, &limits, NULL) < 0 ? error_set(e, INCONSISTENT_ENVIRONMENT) : 0;
}

static int method_get_environment(Call *c, json_object *params, void *userdata, Error *e)
{
        _cleanup_json_ json_object *reply = json_object_new_object();
        json_object *variables = json_object_new_array();

        int r = add(reply, "environment", variables);
        if (r >= 0)
                r = parse_nothing(params, e);
        for (char **variable = environ; r >= 0 && variable && *variable; variable++)
                r = add(variables, NULL, json_object_new_string(*variable));
        if (r >= 0)
                r = check_text(reply, e);
        if (r < 0)
                return r;
        call_reply(c, TAKE_PTR(reply), NULL);
        return 0;
}

static const Method varlink_methods[] = {
        {.name = "GetInfo",                           .handle = method_get_info },
        { .name = "GetInterfaceDescription",                                          .handle = method_get_interface_description },
        {                                                                                   },
};

static const Method systemd_methods[] = {
        {.name = "Ping",                  .handle = method_ping },
        { .name = "Reload",                              .handle = method_reload, .root_only = true },
        { .name = "SetLogLevel",.handle = method_set_log_level, .root_only = true },
        { .name = "GetEnvironment",                              .handle = method_get_environment, .root_only = true },
        {                             },
};

int service_add(Service *v, Server *s, ServiceReload reload, void *userdata)
{
        *v = (Service){
                .varlink = {VARLINK_SERVICE,  idl_varlink_service, varlink_methods, v},
                .systemd = { SYSTEMD_SERVICE, idl_systemd_service, systemd_methods, v},
                .server = s,
                .reload = reload,
                .userdata = userdata,
        };
        int r = server_add_interface(s, &v->varlink);
        return r < 0 ? r : server_add_interface(s, &v->systemd);
}
