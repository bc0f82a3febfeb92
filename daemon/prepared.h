/* A session up to its first command: its id, its ids of users, its cgroup, its namespaces and its root, and
 * an nsroot-init that waits for an order. It becomes a session's (session_start), or is thrown away. Knows
 * the launcher; knows no request and no event loop. */
#pragma once

#include "session.h"

/* What it is made of and for; nothing of it is taken. */
typedef struct Wanted {
        Root *root;
        uid_t owner;
        const Limits *limits;
        const GroupLimits *together; /* of all the owner's sessions */
        const char *charged_to;      /* the cgroup below which its own is made; NULL: one of the owner's */
        const char *hostname;        /* NULL: the root's name */
        bool read_only;
        int oom_score_adj; /* the caller's */
} Wanted;

struct Prepared {
        char id[SESSION_ID_LENGTH + 1];
        Root *root;
        uid_t owner;
        Limits limits; /* that are in force */
        int oom_score_adj;
        uint32_t first_id;
        bool has_range;
        Cgroup *cgroup;            /* or NULL */
        uint64_t oom_kills_before; /* it was made, by who counts them; others' too */
        Launched init;
        bool is_copy; /* its root is one in memory */
};

/* For that request, which stays as long as it is used. */
Wanted session_request_wanted(const SessionRequest *request);

/* -EREMOTEIO with *f. */
int prepared_new(const SessionHost *host, const Wanted *wanted, Prepared **ret, LaunchFailure *f);
/* Ends it, and gives back all it holds; what was taken out of it (negative, NULL, false) is not its any
 * more. */
Prepared *prepared_free(const SessionHost *host, Prepared *p);

/* Gives one that was made for something like that what can be changed still: its limits by control group,
 * and oom_score_adj. Negative: it is of no use. */
int prepared_adapt(Prepared *p, const Wanted *wanted);
bool prepared_lives(const Prepared *p);
