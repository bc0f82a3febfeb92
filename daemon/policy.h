/* Who may do what: admission of a connection, and whether this caller may have what was asked for. Pure:
 * decides on data, from the configuration; the rules' names are what a refused caller is told. */
#pragma once

#include "config.h"
#include "error.h"
#include "spec.h"

/* NULL, or the static name of the rule that refuses uid. */
const char *policy_admit(const Config *c, uid_t uid);

/* What the caller has already. */
typedef struct PolicyUsage {
        size_t sessions_of_user, sessions;
} PolicyUsage;

/* 0, or -EREMOTEIO with *e: LimitReached{limit} or Refused{rule}. */
int policy_check_run(const Config *c, uid_t uid, const Spec *s, const PolicyUsage *usage, Error *e);

/* Whether uid may pull, verify or remove roots: 0, or -EREMOTEIO with *e of the root interface. */
int policy_check_root_change(const Config *c, uid_t uid, Error *e);
