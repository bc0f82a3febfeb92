/* See policy.h. */
#include "policy.h"

#include "protocol.h"

#define SYSTEM_UID_MAX 999   /* login.defs(5), SYS_UID_MAX */
#define NOBODY         65534 /* who comes out of a user namespace that does not map him */

const char *policy_admit(const Config *c, uid_t uid)
{
        if (uid == 0)
                return NULL;
        if (uid == NOBODY)
                return "unmapped-user";
        if (uid <= SYSTEM_UID_MAX && !c->allow_system_users)
                return "system-users";
        if (uid >= c->id_range_first && uid <= c->id_range_last)
                return "session-users";
        return NULL;
}

int policy_check_run(const Config *c, uid_t uid, const Spec *s, const PolicyUsage *usage, Error *e)
{
        if (uid != 0 && usage->sessions_of_user >= c->everybody.sessions_max)
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "SessionsPerUser");
        if (usage->sessions >= c->sessions_max)
                return error_setf(e, ERROR_LIMIT_REACHED, "limit", "SessionsMax");
        return 0;
}

int policy_check_root_change(const Config *c, uid_t uid, Error *e)
{
        if (uid != 0)
                return error_setf(e, ERROR_ROOT_REFUSED, "rule", "roots-are-changed-by-root");
        return 0;
}
