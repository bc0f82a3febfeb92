/* Between server.c, which has the connections and the interfaces, and call.c, which turns a message into a
 * call of one of their methods and answers it. For those two files only; methods use server.h. */
#pragma once

#include "connection.h"
#include "server.h"

typedef enum ClientStanding {
        CLIENT_NEW,
        CLIENT_ADMITTED,
        CLIENT_REFUSED, /* only waits for its Refused */
} ClientStanding;

/* One connection, as both see it. */
typedef struct Client Client;
struct Client {
        Client *previous, *next;
        Server *server;
        Connection *connection;
        ClientStanding standing;
        Call *call;  /* the one in flight, or NULL */
        bool parked; /* while that waits for a foreground session */
};

/* server.c */
void client_close_fds(Client *client, Fds *fds); /* what its peer sent; all taken; never waits */
void client_set_parked(Client *client, bool parked);

/* call.c */
/* Starts what the message asks for, which may be over at once or become client->call. Negative: the
 * message breaks the rules, or memory is out: close. Else *fds is taken. */
int call_dispatch(Client *client, const char *text, size_t length, Fds *fds);
/* The connection is gone: tells the method. NULL is fine. */
void call_gone(Call *c);
/* Its caller has read all that was sent; NULL is fine. */
void call_drained(Call *c);
