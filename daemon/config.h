/* nsrootd.conf as typed values. Read by inih through one table of keys (section, key, kind, offset, default,
 * range, help: config-table.h). Knows no other module; everything is data. */
#pragma once

#include <stdio.h>

#include "base.h"
#include "limit.h"

struct ConfigKey;

typedef struct RootSource {
        char *url;    /* http: or https:, or file:/absolute/path for a file of this machine (root's own
                         configuration) */
        char *digest; /* 64 lower-case hex digits of SHA-256; NULL only for file: */
        const char *architecture; /* it is for; this machine's, static; NULL: any */
} RootSource;

/* Users or groups by name or number, and who they are on this machine: ids are looked up when the
 * configuration is read. */
typedef struct IdList {
        char **words; /* NULL-terminated, or NULL: nobody is named */
        uint32_t *ids;
        size_t n; /* of ids; a word that names nobody here has none */
} IdList;

/* Whose cgroup a session's is made below. */
typedef enum Charge {
        CHARGE_USER,   /* one of its user's, below the node of all sessions */
        CHARGE_CALLER, /* that of who asked for it: its limits hold then, and its accounts count it */
} Charge;

/* What one user may have. */
typedef struct Allowance {
        bool admit, change_roots;
        int charge; /* a Charge */
        uint64_t connections_max, sessions_max;
        uint64_t starts_max;  /* in each starts_usec */
        Limits limits;        /* of a session that asks for none */
        Limits allowed;       /* what it may ask for at most; VALUE_UNSET (config-value.h): as in limits */
        GroupLimits together; /* of all his sessions */
} Allowance;

/* [User NAME] or [Group NAME]: what is said there of an Allowance. */
typedef struct Rule {
        char *name; /* or a number */
        bool of_group;
        bool known; /* there is such a user or group on this machine, and this is it: */
        uint32_t id;
        uint64_t given; /* a bit for each row of config_keys that is set here, by its place among those of an
                           Allowance: rule_apply knows */
        Allowance allowance;
} Rule;

typedef struct RootConfig {
        char *name;
        char *kind;          /* "busybox" (archive and host come with later issues) */
        RootSource *sources; /* in the order they are tried, for this machine's architecture */
        size_t n_sources;
        char **default_arguments;   /* NULL-terminated; NULL: /bin/sh */
        char **default_environment; /* NULL-terminated K=V, or NULL */
        IdList users, groups;       /* who may use it; neither has words: everybody */
        char *place;                /* FILE:LINE of its first section; NULL: compiled in */
} RootConfig;

typedef struct Config {
        /* [Daemon] */
        uint64_t connections_max, connections_kept_for_root;
        uint64_t idle_usec, message_usec;
        uint64_t unread_output_max;
        char *control_group;           /* below the cgroup2 mount; NULL: found by itself */
        char *proxy;                   /* for downloads; NULL: none */
        uint64_t connect_timeout_usec; /* of one download source; 10 s */
        uint64_t stall_timeout_usec, download_timeout_usec;
        uint64_t download_attempts; /* of one source */
        /* [Sessions] */
        uint64_t sessions_max;
        uint64_t id_range_first, id_range_last; /* ids of the host, 524288..1879048191, 65536 a session */
        char *default_root;
        uint64_t stop_timeout_usec, time_limit_grace_usec;
        uint64_t starts_usec;                 /* in which a user's starts are counted */
        uint64_t remember_usec, remember_max; /* ended sessions */
        /* [Limits], and of the other sections what [User NAME] and [Group NAME] may say too */
        Allowance everybody;
        /* [Pool] */
        uint64_t pool_slots_per_user, pool_memory_max, pool_idle_usec;
        /* [Admission] */
        bool allow_system_users; /* uids 1..999 */
        /* [User NAME] and [Group NAME], in the order they were read */
        Rule *rules;
        size_t n_rules;
        /* [Root NAME] */
        RootConfig *roots;
        size_t n_roots;
        /* levels */
        int log_level;
        /* for messages: */
        char **files;  /* what was read, in that order; NULL-terminated, or NULL */
        char **places; /* for each row of config_keys FILE:LINE of what set it last, or NULL: a default */
} Config;

/* path NULL: the files of config-files.h, and there need not be one: all defaults are compiled in, among
 * them the root "busybox". Otherwise that file and no other. What is wrong, or cannot be read, is in
 * *ret_why as "FILE:LINE: what, and what to do" (NULL where memory is out): -EINVAL, or why the file cannot
 * be opened, such as -ENOENT. Unknown sections and keys are logged as warnings with file and line. */
int config_load(const char *path, Config **ret, char **ret_why);
Config *config_free(Config *c);
DEFINE_CLEANUP(Config *, config_free);

const RootConfig *config_root(const Config *c, const char *name);

/* Writes what the rule says over what *a has; what it does not say stays. Does not ask whether the rule is
 * known, nor whom it is about. */
void rule_apply(const Rule *rule, Allowance *a);

/* Prints every key with its value, as a file that config_load takes and that means the same. */
int config_dump(const Config *c, FILE *to);
/* Prints every key with its default and what it means, commented out. */
int config_print_defaults(FILE *to);

/* -- for what reads and prints it */

int config_new(Config **ret); /* all defaults */
/* The one of that name, made where it is not there yet. Makes older pointers into c->roots and c->rules
 * invalid. */
int config_need_root(Config *c, const char *name, RootConfig **ret);
int config_need_rule(Config *c, const char *name, bool of_group, Rule **ret);
/* What the offset of a key of a section for everybody counts from. */
void *config_base(Config *c, const struct ConfigKey *key);
/* One key of an Allowance; errors are value_set's. */
int rule_set(Rule *rule, const struct ConfigKey *key, const char *text);
bool rule_says(const Rule *rule, const struct ConfigKey *key);
