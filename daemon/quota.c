/* Counting connections, by quota.h: a list of the users who have any, as short as there are such users. */
#include "quota.h"

typedef struct User User;
struct User {
        User *next;
        uid_t uid;
        unsigned taken, parked; /* taken: all, the parked ones too; a record lives while there are any */
};

struct Quota {
        User *users;
        unsigned counted, of_users; /* without the parked ones: of all, and of all but root */
};

int quota_new(Quota **ret)
{
        Quota *q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;

        *ret = q;
        return 0;
}

Quota *quota_free(Quota *q)
{
        if (!q)
                return NULL;

        for (User *u = q->users, *next; u; u = next) {
                next = u->next;
                free(u);
        }
        free(q);
        return NULL;
}

static void count(Quota *q, uid_t uid, int by)
{
        q->counted += by;
        if (uid != 0)
                q->of_users += by;
}

/* Where the pointer to a user's record is, or would be. */
static User **find(Quota *q, uid_t uid)
{
        User **at = &q->users;
        while (*at && (*at)->uid != uid)
                at = &(*at)->next;
        return at;
}

static const char *rule_against(const Quota *q, const QuotaLimits *limits, uid_t uid, const User *user)
{
        unsigned for_users = limits->in_all - MIN(limits->kept_for_root, limits->in_all);

        if (user && user->taken - user->parked >= limits->of_user)
                return "connections-per-user";
        if (q->counted >= limits->in_all || (uid != 0 && q->of_users >= for_users))
                return "connections";
        return NULL;
}

int quota_take(Quota *q, const QuotaLimits *limits, uid_t uid, const char **ret_rule)
{
        User **at = find(q, uid);
        const char *rule = rule_against(q, limits, uid, *at);

        if (!rule) {
                if (!*at) {
                        User *user = calloc(1, sizeof(*user));
                        if (!user)
                                return -ENOMEM;
                        user->uid = uid;
                        *at = user;
                }
                (*at)->taken++;
                count(q, uid, 1);
        }
        *ret_rule = rule;
        return 0;
}

void quota_give_back(Quota *q, uid_t uid)
{
        User **at = find(q, uid), *user = *at;

        count(q, uid, -1);
        if (--user->taken > 0)
                return;
        *at = user->next;
        free(user);
}

void quota_park(Quota *q, uid_t uid)
{
        (*find(q, uid))->parked++;
        count(q, uid, -1);
}

void quota_unpark(Quota *q, uid_t uid)
{
        (*find(q, uid))->parked--;
        count(q, uid, 1);
}
