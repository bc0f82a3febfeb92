/* See sessions.h. A list in the order of the starts: a few thousand at most, so it is walked. */
#include "sessions.h"

#include <time.h>

#include "pool.h"

#define SWEEP_INTERVAL (20 * USEC_PER_MSEC)

struct Sessions {
        SessionHost host;
        Pool *pool;
        Remains *remains;
        Session **all;
        size_t n, allocated;
        sd_event_source *tidy;   /* a deferred look at what can be forgotten */
        sd_event_source *forget; /* when the oldest of the ended is to be forgotten */
        sd_event_source *sweep;  /* when cgroups that were busy are looked at again */
        void (*all_ended)(void *userdata);
        void *userdata;
        void (*changed)(Session *s, void *userdata);
        void *changed_userdata;
        uint64_t n_changes;
};

static void remove_at(Sessions *t, size_t i)
{
        Session *s = t->all[i];

        memmove(t->all + i, t->all + i + 1, (t->n - i - 1) * sizeof(*t->all));
        t->n--;
        session_free(s);
}

static size_t count_ended(const Sessions *t)
{
        return t->n - sessions_live(t);
}

/* Which of the ended ended first, or t->n. */
static size_t find_oldest_ended(const Sessions *t)
{
        size_t oldest = t->n;

        for (size_t i = 0; i < t->n; i++)
                if (!session_is_live(t->all[i]) &&
                    (oldest == t->n ||
                     session_exited_realtime(t->all[i]) < session_exited_realtime(t->all[oldest])))
                        oldest = i;
        return oldest;
}

static uint64_t age(const Session *s)
{
        uint64_t now = now_usec(CLOCK_REALTIME), ended = session_exited_realtime(s);

        return now > ended ? now - ended : 0;
}

/* Of those that ended, the descriptor store keeps some; the others are forgotten with this daemon. */
static void tidy_store(Sessions *t)
{
        size_t n = 0;

        for (size_t i = t->n; i-- > 0;) {
                Session *s = t->all[i];

                if (!session_is_live(s) && session_is_stored(s) && ++n > SESSIONS_STORED_MAX / 4)
                        session_forget(s);
        }
}

static int tidy(Sessions *t)
{
        size_t excess = count_ended(t), oldest;

        excess = excess > t->host.config->remember_max ? excess - t->host.config->remember_max : 0;
        while ((oldest = find_oldest_ended(t)) < t->n &&
               (excess || age(t->all[oldest]) >= t->host.config->remember_usec)) {
                remove_at(t, oldest);
                excess -= excess > 0;
        }
        tidy_store(t);
        if (oldest == t->n || t->host.config->remember_usec == USEC_INFINITY)
                return sd_event_source_set_enabled(t->forget, SD_EVENT_OFF);
        (void)sd_event_source_set_time_relative(t->forget,
                                                t->host.config->remember_usec - age(t->all[oldest]));
        return sd_event_source_set_enabled(t->forget, SD_EVENT_ONESHOT);
}

/* A cgroup stays busy for a moment after its last process was reaped. */
static bool swept(Sessions *t)
{
        if (!t->host.cgroups || cgroups_sweep(t->host.cgroups) == 0)
                return true;
        (void)sd_event_source_set_time_relative(t->sweep, SWEEP_INTERVAL);
        (void)sd_event_source_set_enabled(t->sweep, SD_EVENT_ONESHOT);
        return false;
}

static int on_tidy(sd_event_source *source, void *userdata)
{
        Sessions *t = userdata;

        (void)tidy(t);
        if (swept(t) && t->all_ended && sessions_live(t) == 0 && !remains_any(t->remains))
                t->all_ended(t->userdata);
        return 0;
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata)
{
        return on_tidy(source, userdata);
}

static int on_forget(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)tidy(userdata);
        return 0;
}

/* Not here: the session that tells of its end is still at work. */
static void on_exited(Session *s, void *userdata)
{
        Sessions *t = userdata;

        (void)sd_event_source_set_enabled(t->tidy, SD_EVENT_ONESHOT);
}

static void on_gone(void *userdata)
{
        on_exited(NULL, userdata);
}

static bool has_prefix(const char *prefix, size_t length, void *userdata)
{
        const Sessions *t = userdata;

        for (size_t i = 0; i < t->n; i++)
                if (strncmp(session_id(t->all[i]), prefix, length) == 0)
                        return true;
        return pool_has_prefix(t->pool, prefix, length);
}

static void on_changed(Session *s, void *userdata)
{
        Sessions *t = userdata;

        session_set_last_change(s, ++t->n_changes);
        if (t->changed)
                t->changed(s, t->changed_userdata);
}

void sessions_on_changed(Sessions *t, void (*changed)(Session *s, void *userdata), void *userdata)
{
        t->changed = changed;
        t->changed_userdata = userdata;
}

static int add_timer(Sessions *t, sd_event_source **ret, uint64_t accuracy, sd_event_time_handler_t handler)
{
        int r = sd_event_add_time(t->host.event, ret, CLOCK_MONOTONIC, UINT64_MAX, accuracy, handler, t);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int sessions_new(const SessionHost *host, Sessions **ret)
{
        _cleanup_(sessions_freep) Sessions *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->host = *host;
        t->host.on_exited = on_exited;
        t->host.on_changed = on_changed;
        t->host.has_prefix = has_prefix;
        t->host.userdata = t;
        r = remains_new(host->event, host->ranges, on_gone, t, &t->remains);
        t->host.remains = t->remains;
        if (r >= 0)
                r = pool_new(&t->host, &t->pool);
        if (r >= 0)
                r = sd_event_add_defer(host->event, &t->tidy, on_tidy, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->tidy, SD_EVENT_OFF);
        if (r >= 0)
                r = add_timer(t, &t->forget, USEC_PER_SEC, on_forget);
        if (r >= 0)
                r = add_timer(t, &t->sweep, SWEEP_INTERVAL, on_sweep);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

static void table_done(Sessions *t)
{
        sd_event_source_disable_unref(t->tidy);
        sd_event_source_disable_unref(t->forget);
        sd_event_source_disable_unref(t->sweep);
        if (t->pool)
                pool_free(t->pool);
        if (t->remains)
                remains_free(t->remains);
        free(t->all);
        free(t);
}

Sessions *sessions_free(Sessions *t)
{
        while (t->n)
                remove_at(t, t->n - 1);
        table_done(t);
        return NULL;
}

size_t sessions_warm(const Sessions *t, const char *root)
{
        return pool_in_root(t->pool, root);
}

void sessions_forsake_roots(Sessions *t)
{
        pool_forsake(t->pool);
}

Sessions *sessions_leave(Sessions *t)
{
        while (t->n)
                session_leave(t->all[--t->n]);
        table_done(t);
        return NULL;
}

void sessions_set_config(Sessions *t, const Config *config)
{
        t->host.config = config;
        pool_flush(t->pool);
        (void)tidy(t);
}

static const char *name_of(const Session *s)
{
        return session_spec(s)->name;
}

bool sessions_has_name(const Sessions *t, uid_t owner, const char *name)
{
        for (size_t i = 0; name && i < t->n; i++) {
                const Session *s = t->all[i];

                if (session_is_live(s) && session_owner(s) == owner && name_of(s) && streq(name_of(s), name))
                        return true;
        }
        return false;
}

static int make_room(Sessions *t)
{
        size_t n = MAX(t->allocated * 2, (size_t)32);
        Session **grown;

        if (t->n < t->allocated)
                return 0;
        grown = reallocarray(t->all, n, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        t->all = grown;
        t->allocated = n;
        return 0;
}

static int start(Sessions *t, SessionRequest *request, SessionWatch *watch, Session **ret, LaunchFailure *f)
{
        const Wanted wanted = session_request_wanted(request);
        Prepared *warm = pool_take(t->pool, &wanted);

        pool_expect(t->pool, &wanted);
        return session_start(&t->host, request, warm, watch, ret, f);
}

int sessions_start(Sessions *t, SessionRequest *request, SessionWatch *watch, Session **ret,
                   LaunchFailure *f)
{
        int r = make_room(t);

        if (r < 0) {
                session_request_done(request);
                return r;
        }
        r = start(t, request, watch, ret, f);
        if (r < 0)
                return r;
        t->all[t->n++] = *ret;
        return 0;
}

/* Into its place in the order of the starts. */
int sessions_take_up(Sessions *t, StoredSession *stored)
{
        Session *s;
        size_t i;
        int r = make_room(t);

        if (r < 0) {
                stored_session_done(stored);
                return r;
        }
        r = session_take_up(&t->host, stored, &s);
        if (r < 0)
                return r;
        for (i = t->n; i > 0 && session_started_realtime(t->all[i - 1]) > session_started_realtime(s); i--)
                t->all[i] = t->all[i - 1];
        t->all[i] = s;
        t->n++;
        return sd_event_source_set_enabled(t->tidy, SD_EVENT_ONESHOT);
}

static bool is_visible(const Session *s, uid_t caller)
{
        return caller == 0 || session_owner(s) == caller;
}

/* The one of that name: a live one before those that ended, of which the latest. */
static int find_by_name(const Sessions *t, uid_t caller, const char *name, Session **ret)
{
        Session *found = NULL;

        for (size_t i = 0; i < t->n; i++) {
                Session *s = t->all[i];

                if (!is_visible(s, caller) || !name_of(s) || !streq(name_of(s), name))
                        continue;
                if (found && session_is_live(found) && session_is_live(s))
                        return -ENOTUNIQ; /* root sees the names of several owners */
                if (!found || !session_is_live(found))
                        found = s;
        }
        if (!found)
                return -ENOENT;
        *ret = found;
        return 0;
}

/* The only one whose id begins so, of those that live or of those that ended. */
static int find_by_prefix(const Sessions *t, uid_t caller, const char *text, bool live, Session **ret)
{
        size_t length = strlen(text);
        Session *found = NULL;

        for (size_t i = 0; i < t->n; i++) {
                Session *s = t->all[i];

                if (session_is_live(s) != live || !is_visible(s, caller) ||
                    strncmp(session_id(s), text, length) != 0)
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = s;
        }
        if (!found)
                return -ENOENT;
        *ret = found;
        return 0;
}

int sessions_find(const Sessions *t, uid_t caller, const char *text, Session **ret)
{
        int r;

        if (!text[0])
                return -ENOENT;
        if (strlen(text) == SESSION_ID_LENGTH && (find_by_prefix(t, caller, text, true, ret) >= 0 ||
                                                  find_by_prefix(t, caller, text, false, ret) >= 0))
                return 0; /* before names: one user's must not stand for another's session */
        r = find_by_name(t, caller, text, ret);
        if (r == -ENOENT)
                r = find_by_prefix(t, caller, text, true, ret);
        return r == -ENOENT ? find_by_prefix(t, caller, text, false, ret) : r;
}

Session *sessions_next(const Sessions *t, uid_t caller, size_t *cursor)
{
        while (*cursor < t->n) {
                Session *s = t->all[(*cursor)++];

                if (is_visible(s, caller))
                        return s;
        }
        return NULL;
}

size_t sessions_live(const Sessions *t)
{
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += session_is_live(t->all[i]);
        return n;
}

size_t sessions_live_of(const Sessions *t, uid_t uid)
{
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += session_is_live(t->all[i]) && session_owner(t->all[i]) == uid;
        return n;
}

bool sessions_may_start(const Sessions *t, uid_t uid)
{
        return remains_of(t->remains, uid) < REMAINS_PER_USER;
}

int sessions_end_all(Sessions *t, void (*done)(void *userdata), void *userdata)
{
        t->all_ended = done;
        t->userdata = userdata;
        pool_flush(t->pool);
        for (size_t i = 0; i < t->n; i++)
                session_kill(t->all[i], CAUSE_STOPPED);
        return sd_event_source_set_enabled(t->tidy, SD_EVENT_ONESHOT);
}
