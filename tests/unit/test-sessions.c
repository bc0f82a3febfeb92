/* sessions.c: who finds which session by what, what is remembered of those that ended, and the end of all.
 * The sessions themselves are made up here. */
#include "sessions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "pool.h"

struct Session {
        const SessionHost *host;
        char id[16];
        Spec spec;
        uid_t owner;
        SessionState state;
        uint64_t started, exited, changed;
        bool is_killed;
};

static size_t freed, left, requests_done, busy_cgroups;

/* So many inits are left over, and who is told when one goes. */
static size_t n_remains;
static void (*remains_gone)(void *userdata);
static void *remains_userdata;

int remains_new(sd_event *event, IdRanges *ranges, void (*gone)(void *userdata), void *userdata,
                Remains **ret)
{
        remains_gone = gone;
        remains_userdata = userdata;
        return 0;
}

Remains *remains_free(Remains *r)
{
        return NULL;
}

size_t remains_of(const Remains *r, uid_t owner)
{
        return owner == 1000 ? n_remains : 0;
}

bool remains_any(const Remains *r)
{
        return n_remains;
}

/* Nothing is kept warm here. */
int pool_new(const SessionHost *host, Pool **ret)
{
        return 0;
}

Pool *pool_free(Pool *p)
{
        return NULL;
}

Prepared *pool_take(Pool *p, const Wanted *wanted)
{
        return NULL;
}

void pool_expect(Pool *p, const Wanted *wanted)
{
}

void pool_flush(Pool *p)
{
}

void pool_forsake(Pool *p)
{
}

size_t pool_in_root(const Pool *p, const char *name)
{
        return 0;
}

bool pool_has_prefix(const Pool *p, const char *prefix, size_t length)
{
        return false;
}

Wanted session_request_wanted(const SessionRequest *request)
{
        return (Wanted){ .owner = request->owner };
}

void session_request_done(SessionRequest *r)
{
        requests_done++;
}

/* Its id is asked for in the request, as its root. */
int session_start(const SessionHost *host, SessionRequest *request, Prepared *warm, SessionWatch *watch,
                  Session **ret, LaunchFailure *f)
{
        Session *s;

        if (!request->spec.root) {
                *f = (LaunchFailure){ .step = STEP_CLONE, .error = EPERM };
                return -EREMOTEIO;
        }
        s = calloc(1, sizeof(*s));
        *s = (Session){
                .host = host, .spec = request->spec, .owner = request->owner, .state = SESSION_RUNNING
        };
        snprintf(s->id, sizeof(s->id), "%s", request->spec.root);
        *ret = s;
        return 0;
}

Session *session_free(Session *s)
{
        freed++;
        free(s);
        return NULL;
}

/* What is taken up has its id from the state's descriptor, and its start. */
int session_take_up(const SessionHost *host, StoredSession *stored, Session **ret)
{
        Session *s;

        if (stored->state < 0)
                return -EBADMSG;
        s = calloc(1, sizeof(*s));
        *s = (Session){
                .host = host, .owner = 1, .state = SESSION_RUNNING, .started = (uint64_t)stored->state
        };
        snprintf(s->id, sizeof(s->id), "%d", stored->state);
        *ret = s;
        return 0;
}

bool session_is_stored(const Session *s)
{
        return false;
}

void session_forget(Session *s)
{
}

void stored_session_done(StoredSession *stored)
{
}

Session *session_leave(Session *s)
{
        left++;
        free(s);
        return NULL;
}

uint64_t session_started_realtime(const Session *s)
{
        return s->started;
}

void session_set_last_change(Session *s, uint64_t number)
{
        s->changed = number;
}

void session_kill(Session *s, Cause cause)
{
        s->is_killed |= cause == CAUSE_STOPPED;
}

const char *session_id(const Session *s)
{
        return s->id;
}

const Spec *session_spec(const Session *s)
{
        return &s->spec;
}

uid_t session_owner(const Session *s)
{
        return s->owner;
}

bool session_is_live(const Session *s)
{
        return s->state != SESSION_EXITED;
}

uint64_t session_exited_realtime(const Session *s)
{
        return s->exited;
}

size_t cgroups_sweep(Cgroups *c)
{
        return busy_cgroups ? --busy_cgroups : 0;
}

static Config config = { .remember_usec = USEC_INFINITY, .remember_max = 100 };
static sd_event *event;
static Sessions *table;

static void set_up_table(void)
{
        SessionHost host = { .config = &config, .event = event };

        cr_assert_eq(sessions_new(&host, &table), 0);
}

static void set_up(void)
{
        cr_assert_geq(sd_event_new(&event), 0);
        set_up_table();
}

static void tear_down(void)
{
        sessions_free(table);
        sd_event_unref(event);
}

TestSuite(sessions, .init = set_up, .fini = tear_down, .timeout = 10);

static Session *start(uid_t owner, const char *id, const char *name)
{
        SessionRequest request = {
                .spec = {.root = (char *)id, .name = (char *)name},
                  .owner = owner
        };
        SessionWatch watch = { 0 };
        LaunchFailure f;
        Session *s = NULL;

        cr_assert_eq(sessions_start(table, &request, &watch, &s, &f), 0);
        return s;
}

/* So many seconds ago. */
static void end(Session *s, uint64_t seconds)
{
        s->state = SESSION_EXITED;
        s->exited = now_usec(CLOCK_REALTIME) - seconds * USEC_PER_SEC;
        s->host->on_exited(s, s->host->userdata);
}

static void run_events(uint64_t usec)
{
        while (sd_event_run(event, usec) > 0)
                ;
}

static void expect_found(uid_t caller, const char *text, const Session *expected)
{
        Session *s = NULL;
        int r = sessions_find(table, caller, text, &s);

        cr_expect_eq(r, expected ? 0 : -ENOENT, "%s for %u: %s", text, caller, errno_name(r));
        cr_expect_eq(s, expected, "%s for %u is %s", text, caller, s ? s->id : "none");
}

static void expect_ambiguous(uid_t caller, const char *text)
{
        Session *s = NULL;

        cr_expect_eq(sessions_find(table, caller, text, &s), -ENOTUNIQ, "%s for %u", text, caller);
        cr_expect_null(s);
}

Test(sessions, by_id_and_prefix)
{
        Session *a = start(1000, "abcdef", NULL), *b = start(1000, "abcxyz", NULL),
                *c = start(1001, "abcdeg", NULL);

        expect_found(1000, "abcdef", a);
        expect_found(1000, "abcd", a);
        expect_found(1000, "abcx", b);
        expect_found(1000, "b", NULL);
        expect_found(1000, "abcdefg", NULL);
        expect_found(1000, "", NULL);
        expect_ambiguous(1000, "a");
        expect_ambiguous(1000, "abc");

        expect_found(1001, "abc", c);
        expect_found(1001, "abcdef", NULL);
        expect_found(1002, "abcdef", NULL);
        expect_found(1002, "a", NULL);
        expect_found(0, "abcdeg", c);
        expect_ambiguous(0, "abcde");
        expect_found(0, "", NULL);
}

Test(sessions, by_prefix_the_living_first)
{
        Session *a = start(1000, "abcdef", NULL), *b = start(1000, "abcxyz", NULL);

        end(a, 0);
        expect_found(1000, "abc", b);
        expect_found(1000, "abcd", a);
        end(b, 0);
        expect_ambiguous(1000, "abc");
}

Test(sessions, by_name)
{
        Session *a = start(1000, "aaaa", "web"), *b = start(1001, "bbbb", "web"),
                *c = start(1000, "webx", NULL);

        expect_found(1000, "web", a);
        expect_found(1001, "web", b);
        expect_found(1000, "webx", c);
        expect_found(1000, "we", c);
        expect_ambiguous(0, "web");
        end(b, 0);
        expect_found(0, "web", a);
        expect_found(1001, "web", b);
        end(a, 0);
        b = start(1000, "dddd", "web");
        expect_found(1000, "web", b);
        end(b, 0);
        expect_found(1000, "web", b);
        expect_found(1000, "aaaa", a);
}

/* Also where it has ended: who would be shown another's session by a name can be root. */
Test(sessions, an_id_before_a_name)
{
        Session *a = start(1000, "abcdefghijkm", NULL), *b = start(1001, "bbbb", "abcdefghijkm");

        cr_assert_eq(strlen(session_id(a)), SESSION_ID_LENGTH);
        expect_found(0, "abcdefghijkm", a);
        expect_found(1001, "abcdefghijkm", b);
        end(a, 0);
        expect_found(0, "abcdefghijkm", a);
}

Test(sessions, names_that_are_taken)
{
        Session *a = start(1000, "aaaa", "web");

        start(1000, "bbbb", NULL);
        cr_expect(sessions_has_name(table, 1000, "web"));
        cr_expect_not(sessions_has_name(table, 1000, "we"));
        cr_expect_not(sessions_has_name(table, 1001, "web"));
        cr_expect_not(sessions_has_name(table, 0, "web"));
        cr_expect_not(sessions_has_name(table, 1000, NULL));
        end(a, 0);
        cr_expect_not(sessions_has_name(table, 1000, "web"));
}

Test(sessions, list)
{
        Session *s[5];
        size_t cursor = 0;

        for (unsigned i = 0; i < ELEMENTSOF(s); i++)
                s[i] = start(1000 + i % 2, "x", NULL);
        for (unsigned i = 0; i < ELEMENTSOF(s); i++)
                cr_expect_eq(sessions_next(table, 0, &cursor), s[i]);
        cr_expect_null(sessions_next(table, 0, &cursor));
        cursor = 0;
        cr_expect_eq(sessions_next(table, 1001, &cursor), s[1]);
        cr_expect_eq(sessions_next(table, 1001, &cursor), s[3]);
        cr_expect_null(sessions_next(table, 1001, &cursor));
        cursor = 0;
        cr_expect_null(sessions_next(table, 1002, &cursor));
}

Test(sessions, counts)
{
        Session *a = start(1000, "a", NULL);

        start(1000, "b", NULL);
        start(1001, "c", NULL);
        cr_expect_eq(sessions_live(table), 3);
        cr_expect_eq(sessions_live_of(table, 1000), 2);
        cr_expect_eq(sessions_live_of(table, 0), 0);
        end(a, 0);
        cr_expect_eq(sessions_live(table), 2);
        cr_expect_eq(sessions_live_of(table, 1000), 1);
}

Test(sessions, one_that_does_not_start)
{
        SessionRequest request = { .owner = 1000 };
        SessionWatch watch = { 0 };
        LaunchFailure f = { 0 };
        Session *s = NULL;

        cr_expect_eq(sessions_start(table, &request, &watch, &s, &f), -EREMOTEIO);
        cr_expect_eq(f.step, STEP_CLONE);
        cr_expect_null(s);
        cr_expect_eq(sessions_live(table), 0);
}

Test(sessions, many)
{
        for (int i = 0; i < 1000; i++)
                start(1000, "x", NULL);
        cr_expect_eq(sessions_live(table), 1000);
        config.remember_max = 0;
        for (size_t cursor = 0, i = 0; i < 1000; i++)
                end(sessions_next(table, 0, &cursor), 0);
        cr_expect_eq(freed, 0, "not before those who watch were told");
        run_events(0);
        cr_expect_eq(freed, 1000);
}

static size_t remembered(void)
{
        size_t cursor = 0, n = 0;

        while (sessions_next(table, 0, &cursor))
                n++;
        return n;
}

Test(sessions, the_oldest_are_forgotten_first)
{
        Session *a = start(1000, "aaaa", NULL), *b = start(1000, "bbbb", NULL),
                *c = start(1000, "cccc", NULL), *live = start(1000, "dddd", NULL);

        config.remember_max = 2;
        end(b, 3);
        end(a, 2);
        run_events(0);
        cr_expect_eq(remembered(), 4);
        end(c, 1);
        run_events(0);
        expect_found(1000, "bbbb", NULL);
        expect_found(1000, "aaaa", a);
        expect_found(1000, "cccc", c);
        expect_found(1000, "dddd", live);
}

Test(sessions, forgotten_by_age)
{
        Session *old = start(1000, "aaaa", NULL), *young = start(1000, "bbbb", NULL);

        config.remember_usec = 60 * USEC_PER_SEC;
        end(old, 61);
        end(young, 50);
        run_events(0);
        expect_found(1000, "aaaa", NULL);
        expect_found(1000, "bbbb", young);
        young->exited += 80 * USEC_PER_SEC; /* the clock was set back: it ended in what is to come */
        sessions_set_config(table, &config);
        expect_found(1000, "bbbb", young);
        young->exited = 0;
        sessions_set_config(table, &config);
        expect_found(1000, "bbbb", NULL);
}

Test(sessions, forgotten_without_an_event)
{
        config.remember_usec = USEC_PER_SEC / 10;
        end(start(1000, "aaaa", NULL), 0);
        run_events(0);
        cr_expect_eq(remembered(), 1);
        cr_expect_gt(sd_event_run(event, 5 * USEC_PER_SEC), 0, "a timer, as exact as a second");
        cr_expect_eq(remembered(), 0);
}

Test(sessions, a_new_configuration)
{
        Config strict = config;

        end(start(1000, "aaaa", NULL), 5);
        run_events(0);
        cr_expect_eq(remembered(), 1);
        strict.remember_usec = 0;
        sessions_set_config(table, &strict);
        cr_expect_eq(remembered(), 0);
        cr_expect_eq(start(1000, "bbbb", NULL)->host->config, &strict, "the sessions see it too");
}

static void note_end(void *userdata)
{
        *(bool *)userdata = true;
}

Test(sessions, the_end_of_all)
{
        Session *a = start(1000, "aaaa", NULL), *b = start(1001, "bbbb", NULL);
        bool ended = false;

        cr_assert_geq(sessions_end_all(table, note_end, &ended), 0);
        cr_expect(a->is_killed);
        cr_expect(b->is_killed);
        run_events(0);
        cr_expect_not(ended);
        end(a, 0);
        run_events(0);
        cr_expect_not(ended, "one is left");
        end(b, 0);
        cr_expect_not(ended, "not from within the end of a session");
        run_events(0);
        cr_expect(ended);
}

Test(sessions, the_end_of_none)
{
        bool ended = false;

        cr_assert_geq(sessions_end_all(table, note_end, &ended), 0);
        cr_expect_not(ended, "not from within the call");
        run_events(0);
        cr_expect(ended);
}

Test(sessions, what_is_left_of_them_is_waited_for)
{
        bool ended = false;

        n_remains = 1;
        cr_assert_geq(sessions_end_all(table, note_end, &ended), 0);
        run_events(0);
        cr_expect_not(ended);
        n_remains = 0;
        remains_gone(remains_userdata);
        run_events(0);
        cr_expect(ended);
}

Test(sessions, who_leaves_too_much_has_to_wait)
{
        n_remains = REMAINS_PER_USER - 1;
        cr_expect(sessions_may_start(table, 1000));
        n_remains++;
        cr_expect_not(sessions_may_start(table, 1000));
        cr_expect(sessions_may_start(table, 1001));
        n_remains = 0;
}

Test(sessions, busy_cgroups_are_waited_for)
{
        SessionHost host = { .event = event, .config = &config, .cgroups = (Cgroups *)&config };
        Sessions *with_cgroups;
        bool ended = false;

        busy_cgroups = 3;
        cr_assert_eq(sessions_new(&host, &with_cgroups), 0);
        cr_assert_geq(sessions_end_all(with_cgroups, note_end, &ended), 0);
        run_events(0);
        cr_expect_not(ended);
        cr_expect_eq(busy_cgroups, 2, "looked at once");
        run_events(USEC_PER_SEC / 5);
        cr_expect(ended);
        cr_expect_eq(busy_cgroups, 0);
        sessions_free(with_cgroups);
}

Test(sessions, freed_with_those_that_live)
{
        SessionHost host = { .event = event, .config = &config };
        Sessions *other, *mine = table;

        cr_assert_eq(sessions_new(&host, &other), 0);
        table = other;
        start(1000, "a", NULL);
        end(start(1000, "b", NULL), 0);
        table = mine;
        freed = 0;
        sessions_free(other);
        cr_expect_eq(freed, 2);
}

static size_t n_told;

static void on_changed(Session *s, void *userdata)
{
        n_told += userdata == &n_told;
}

/* In the order of their starts, whatever order they come in. */
Test(sessions, earlier_ones_are_taken_up)
{
        static const int starts[] = { 30, 10, 20 };
        size_t cursor = 0;

        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                StoredSession stored = { .state = starts[i] };
                cr_assert_eq(sessions_take_up(table, &stored), 0);
        }
        cr_expect_eq(sessions_take_up(table, &(StoredSession){ .state = -EBADF }), -EBADMSG);
        cr_expect_str_eq(session_id(sessions_next(table, 1, &cursor)), "10");
        cr_expect_str_eq(session_id(sessions_next(table, 1, &cursor)), "20");
        cr_expect_str_eq(session_id(sessions_next(table, 1, &cursor)), "30");
        cr_expect_null(sessions_next(table, 1, &cursor));
        cr_expect_eq(sessions_live_of(table, 1), 3);
}

Test(sessions, each_change_has_a_number_and_is_told)
{
        Session *s = start(1, "aaaaaaaaaaaa", NULL);

        s->host->on_changed(s, s->host->userdata);
        sessions_on_changed(table, on_changed, &n_told);
        s->host->on_changed(s, s->host->userdata);
        cr_expect_eq(s->changed, 2);
        cr_expect_eq(n_told, 1);
}

Test(sessions, can_be_left_alive)
{
        start(1, "aaaaaaaaaaaa", NULL);
        table = sessions_leave(table);
        cr_expect_eq(left, 1);
        cr_expect_eq(freed, 0);
        set_up_table();
}
