/* Varlink messages as JSON: builds calls, replies and errors, and takes them apart. Knows json-c and the
 * protocol's top level; knows no method and no socket. Every json_object passed in as "taken" is put also on
 * failure. */
#pragma once

#include "base.h"
#include "error.h"

struct json_object;

/* {"parameters":…[,"continues":true]}: parameters are taken; NULL means {}. *ret is the caller's, compact
 * JSON. */
int reply_format(struct json_object *parameters, bool continues, char **ret, size_t *ret_length);
int reply_format_error(const Error *e, char **ret, size_t *ret_length);
/* For an error whose parameters are more than words and numbers. parameters are taken. */
int reply_format_error_object(const char *name, struct json_object *parameters, char **ret,
                              size_t *ret_length);

/* What a call says at its top level. */
typedef struct CallMessage {
        char *method;                   /* owned: "interface.Method", at least one dot, not first nor last */
        struct json_object *parameters; /* owned; NULL where absent or null */
        bool more, oneway, upgrade;
} CallMessage;

void call_message_done(CallMessage *m);
/* text must be NUL-terminated at text[length]. Scans it (scan.h, the limits of protocol.h) and then parses
 * it by the rules of the protocol's section "close the connection": -EBADMSG or -E2BIG mean close, without a
 * reply. */
int call_message_parse(const char *text, size_t length, CallMessage *ret);
/* For a client. parameters are taken; NULL means {}. */
int call_message_format(const char *method, struct json_object *parameters, bool more, char **ret,
                        size_t *ret_length);

/* What a reply says, for a client. */
typedef struct ReplyMessage {
        char *error;                    /* owned; NULL where it is none */
        struct json_object *parameters; /* owned; never NULL after success */
        bool continues;
} ReplyMessage;

void reply_message_done(ReplyMessage *m);
int reply_message_parse(const char *text, size_t length, ReplyMessage *ret);
