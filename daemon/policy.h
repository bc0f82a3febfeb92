/* Who may do what: admission of a connection, what a user may have, and whether a caller may have what was
 * asked for. Pure: decides on data, from the configuration; the rules' names are what a refused caller is
 * told. */
#pragma once

#include "config.h"
#include "error.h"
#include "spec.h"

/* Who asks: whoever made the connection, as the kernel says it was when it was made. caller.h makes one.
 *
 * A process that is given another's connection, or that a set-user-ID or set-group-ID program became later,
 * asks as the one that connected; and a set-group-ID program that connects asks as one of its group. So who
 * passes a connection on passes on what it may do, as with any open file.
 *
 * A group can be relied on to give. What a group takes away can be had again by those of it who can leave
 * it: whoever was given ranges of group ids (subgid(5)) can do that in a user namespace. */
typedef struct Caller {
        uid_t uid;
        const gid_t *groups; /* the primary and the supplementary ones */
        size_t n_groups;
} Caller;

/* What the caller may have: what everybody may, then what each [Group] of his says, in the order of the
 * configuration, so that the later one wins; then his [User]. Of its limits, `allowed` is whole, and
 * `limits` keep within both that and what all his sessions may have together. Root is admitted, changes
 * roots and asks for any limit whatever those say, has no ceiling, and may have as many sessions as there
 * may be of all users together. */
void policy_allowance(const Config *c, const Caller *caller, Allowance *ret);

/* NULL, or the static name of the rule that refuses the caller: unmapped-user and session-users, which
 * nothing overrides; system-users and not-admitted, which Admit=yes in a [User] or [Group] of his does. */
const char *policy_admit(const Config *c, const Caller *caller);

/* What the caller has already. */
typedef struct PolicyUsage {
        size_t sessions_of_user, sessions;
} PolicyUsage;

/* Whether the caller may have one more session: 0, or -EREMOTEIO with *e: LimitReached{limit} or
 * Refused{rule}. Admission is asked again: a connection may be older than the configuration. */
int policy_check_run(const Config *c, const Caller *caller, const Spec *s, const PolicyUsage *usage,
                     Error *e);

/* What a host can enforce. */
typedef struct PolicyHost {
        unsigned enforcers;           /* Enforcer bits */
        const char *never_to_callers; /* why no session can be charged to its caller, or NULL */
        Limits most; /* of what each process inherits from us, the most that we have; else LIMIT_NONE */
} PolicyHost;

/* The limits of a session that asks for those of s: 0, or -EREMOTEIO with *e: LimitReached{limit}, for what
 * is more than the allowance; LimitUnavailable{limit, reason}, for what this host would not enforce. Of what
 * is not asked for it has as much as this host can enforce. Where sessions are charged to their callers, no
 * controller enforces anything for them, and whether that is possible is asked first. The names of limits
 * are those of their keys in nsrootd.conf. */
int policy_limits(const Allowance *a, const Spec *s, const PolicyHost *host, Limits *ret, Error *e);

/* Whether the caller's sessions may have this root: 0, or -EREMOTEIO with *e: Refused{rule}. A root whose
 * users and groups are all unknown to this machine is nobody's but root's. That there is such a root is no
 * secret: everybody's List has it. */
int policy_check_root_use(const Config *c, const Caller *caller, const RootConfig *root, Error *e);

/* Whether the caller may pull, verify or remove roots: 0, or -EREMOTEIO with *e of the root interface.
 * Admission is asked again here, too. */
int policy_check_root_change(const Config *c, const Caller *caller, Error *e);
