/* See starts.h. A list of users in the order of their turns, each with those that wait; who has none waiting
 * is kept at its end as long as starts of his count. */
#include "starts.h"

#include <time.h>

#define RETRY_USEC USEC_PER_MSEC

typedef struct StartsUser User;
struct StartsUser {
        User *next;
        uid_t uid;
        Start *first, **last;
        /* Counted by a bucket that empties evenly (so no time is remembered for each start): how full it was
         * at a time. */
        double level;
        uint64_t at_usec, empty_usec;
};

struct Starts {
        sd_event *event;
        bool (*may_begin)(uid_t uid, void *userdata);
        void *userdata;
        User *users;
        sd_event_source *turn; /* NULL: nothing waits */
};

static User **find_user(Starts *s, uid_t uid)
{
        User **at = &s->users;

        while (*at && (*at)->uid != uid)
                at = &(*at)->next;
        return at;
}

static User *need_user(Starts *s, uid_t uid)
{
        User **at = find_user(s, uid);

        if (!*at) {
                *at = calloc(1, sizeof(**at));
                if (!*at)
                        return NULL;
                **at = (User){ .uid = uid, .last = &(*at)->first };
        }
        return *at;
}

/* Nothing waits, and nothing counts any more. */
static bool is_idle(const User *user, uint64_t now)
{
        return !user->first && user->empty_usec <= now;
}

static void forget_idle(Starts *s)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        for (User **at = &s->users; *at;) {
                User *user = *at;

                if (!is_idle(user, now)) {
                        at = &user->next;
                        continue;
                }
                *at = user->next;
                free(user);
        }
}

bool starts_count(Starts *s, uid_t uid, uint64_t max, uint64_t interval_usec)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        double per_start;
        User *user;

        if (max == UINT64_MAX)
                return true;
        forget_idle(s);
        user = need_user(s, uid);
        if (!user)
                return false;
        per_start = (double)interval_usec / (double)max;
        user->level = MAX(user->level - (double)(now - user->at_usec) / per_start, 0.0);
        user->at_usec = now;
        if (user->level + 1 > (double)max)
                return false;
        user->level++;
        user->empty_usec = now + (uint64_t)(user->level * per_start);
        return true;
}

static bool has_turn(const Starts *s, const User *user)
{
        return user->first && (!s->may_begin || s->may_begin(user->uid, s->userdata));
}

/* The first user of whom something waits that may begin, moved to the end of the list. */
static User *take_turn(Starts *s)
{
        User **at = &s->users, *user;

        while (*at && !has_turn(s, *at))
                at = &(*at)->next;
        user = *at;
        if (!user)
                return NULL;
        *at = user->next;
        user->next = NULL;
        while (*at)
                at = &(*at)->next;
        *at = user;
        return user;
}

static Start *take_first(User *user)
{
        Start *start = user->first;

        user->first = start->next;
        if (!user->first)
                user->last = &user->first;
        start->user = NULL;
        return start;
}

static bool anything_waits(const Starts *s)
{
        for (const User *user = s->users; user; user = user->next)
                if (user->first)
                        return true;
        return false;
}

static int on_turn(sd_event_source *source, void *userdata);
static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

/* A source of its own for each turn: one that is deferred again comes before all that have waited for
 * longer, and whoever is to be next has to be read first. */
static int arm(Starts *s, bool later)
{
        if (s->turn)
                return 0;
        return later ? sd_event_add_time_relative(s->event, &s->turn, CLOCK_MONOTONIC, RETRY_USEC, 1,
                                                  on_retry, s)
                     : sd_event_add_defer(s->event, &s->turn, on_turn, s);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        Starts *s = userdata;
        User *user = take_turn(s);
        Start *start = user ? take_first(user) : NULL;

        s->turn = sd_event_source_disable_unref(s->turn);
        if (anything_waits(s))
                (void)arm(s, !start);
        else
                forget_idle(s);
        if (start)
                start->begin(start);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        return on_turn(source, userdata);
}

int starts_queue(Starts *s, uid_t uid, Start *start)
{
        User *user = need_user(s, uid);
        int r = user ? arm(s, false) : -ENOMEM;

        if (r < 0)
                return r;
        start->user = user;
        start->next = NULL;
        *user->last = start;
        user->last = &start->next;
        return 0;
}

void starts_leave(Starts *s, Start *start)
{
        User *user = start->user;

        if (!user)
                return;
        for (Start **at = &user->first; *at; at = &(*at)->next)
                if (*at == start) {
                        *at = start->next;
                        break;
                }
        user->last = &user->first;
        while (*user->last)
                user->last = &(*user->last)->next;
        start->user = NULL;
}

int starts_new(sd_event *event, bool (*may_begin)(uid_t uid, void *userdata), void *userdata, Starts **ret)
{
        Starts *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (Starts){ .event = sd_event_ref(event), .may_begin = may_begin, .userdata = userdata };
        *ret = s;
        return 0;
}

Starts *starts_free(Starts *s)
{
        for (User *user; (user = s->users);) {
                s->users = user->next;
                while (user->first)
                        (void)take_first(user);
                free(user);
        }
        sd_event_source_disable_unref(s->turn);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
