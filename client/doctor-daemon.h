/* What nsrootd says of itself, its machine, its roots and its caller; or how far the way to it goes. Never
 * waits for longer than some seconds, whatever is on the other side. Knows three methods; judges nothing. */
#pragma once

#include "base.h"

struct json_object;

/* How far it went. */
typedef enum Reach {
        REACH_NO_SOCKET,
        REACH_STALE, /* a socket that nobody listens on */
        REACH_NO_PERMISSION,
        REACH_NOT_A_SOCKET, /* or none of this kind */
        REACH_CANNOT,       /* anything else that connect(2) may say: `words` */
        REACH_SILENT,       /* it takes no connection, or does not answer, for seconds */
        REACH_CLOSED,       /* it closes the connection without an answer */
        REACH_STRANGE,      /* what answers is not this protocol */
        REACH_REFUSED,      /* it serves this user not at all: `words` */
        REACH_ANSWERS,
} Reach;

typedef struct DaemonAnswers {
        Reach reach;
        char *words; /* owned; what goes with some of these, or NULL */
        /* Owned; NULL where it did not come to that, or where this nsrootd does not have it. */
        struct json_object *info;      /* of org.varlink.service.GetInfo */
        struct json_object *described; /* of org.nsroot.session.Describe: host and allowance */
        struct json_object *roots;     /* of org.nsroot.root.List */
} DaemonAnswers;

void daemon_ask(const char *path, DaemonAnswers *ret);
void daemon_answers_done(DaemonAnswers *a);
