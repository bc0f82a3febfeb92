/* nsrootctl version: which release this is, and which one it talks to. */
#include <stdio.h>

#include "build-config.h"
#include "call.h"
#include "client.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

static int print_json(struct json_object *daemon)
{
        _cleanup_value_ struct json_object *all = value_new_text("client", NSROOT_VERSION);

        if (!all || value_add(all, "daemon", json_object_get(daemon)) < 0 || value_print(all, stdout) < 0)
                return failure_exit("out of memory");
        return 0;
}

static int run_version(const Client *client, const void *options _unused_, char **operands _unused_)
{
        _cleanup_value_ struct json_object *daemon = NULL;
        _cleanup_failure_ Failure f = {};
        _cleanup_free_ char *version = NULL;
        int r;

        r = call_once(client->socket, VARLINK_SERVICE ".GetInfo", NULL, &daemon, &f);
        if (client->json && r >= 0)
                return print_json(daemon);
        if (!client->json)
                printf("nsrootctl %s\n", NSROOT_VERSION);
        if (r < 0)
                return failure_say(&f);
        version = text_escape(value_text(daemon, "version") ?: "of no known version");
        printf("nsrootd %s\n", version ?: "");
        return 0;
}

static const OptionTable table = {
        .name = "nsrootctl version",
        .summary = "Print the versions of nsrootctl and of the nsrootd it talks to",
        .shared = client_options,
};

const Verb verb_version = {
        .table = &table,
        .run = run_version,
};
