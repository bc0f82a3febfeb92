/* What every verb of nsrootctl is and is given. */
#pragma once

#include <limits.h>

#include "base.h"
#include "options.h"

/* The options that every verb takes. */
typedef struct Client {
        const char *socket; /* where nsrootd listens */
        bool json;          /* print for programs */
} Client;

extern const Option client_options[];

/* Ends the process as a verb that returned the status would: with what it printed written, or a failure that
 * says why not. For verbs whose end somebody waits for: what they have goes with the process, in a fraction
 * of the time that it takes to give it back piece by piece. */
_noreturn_ void client_leave(int status);

#define VERB_PREFIX  "nsrootctl "
#define OPERANDS_ANY UINT_MAX

typedef struct Verb {
        const OptionTable *table; /* its name is VERB_PREFIX and the verb as it is typed: a word, or two */
        size_t size;              /* of the struct that table fills; it begins as all zero */
        unsigned operands_min, operands_max;
        /* operands end with NULL. Returns what nsrootctl exits with. */
        int (*run)(const Client *client, const void *options, char **operands);
} Verb;

extern const Verb verb_run, verb_exec, verb_attach, verb_logs, verb_list, verb_inspect, verb_top, verb_kill,
        verb_stop, verb_wait, verb_pause, verb_resume, verb_root_list, verb_root_pull, verb_root_verify,
        verb_root_remove, verb_doctor, verb_version;
