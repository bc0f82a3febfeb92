/* The two interfaces every daemon of a systemd machine answers: org.varlink.service (varlink.org, "Service
 * Interface") and io.systemd.service. Knows the server; knows nothing of sessions, and of configuration only
 * that it can be read again. */
#pragma once

#include "server.h"

typedef struct Service {
        Interface varlink, systemd;
        Server *server;
        int (*reload)(void *userdata);
        void *userdata;
} Service;

/* Adds both to s, which *v must outlive. reload: 0, or negative when the old configuration stays. */
int service_add(Service *v, Server *s, int (*reload)(void *userdata), void *userdata);
