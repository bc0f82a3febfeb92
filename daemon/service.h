/* The two interfaces every daemon of a systemd machine answers: org.varlink.service (varlink.org, "Service
 * Interface") and io.systemd.service. Knows the server; knows nothing of sessions, and of configuration only
 * that it can be read again. */
#pragma once

#include "server.h"

/* Reads the configuration again. 0, or negative when the old one stays: then *ret_why is the reason in
 * words, the caller's, or NULL where there is no memory for it. */
typedef int (*ServiceReload)(void *userdata, char **ret_why);

typedef struct Service {
        Interface varlink, systemd;
        Server *server;
        ServiceReload reload;
        void *userdata;
} Service;

/* Adds both to s, which *v must outlive. */
int service_add(Service *v, Server *s, ServiceReload reload, void *userdata);
