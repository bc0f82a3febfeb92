/* See takeup.h. */
#include "takeup.h"

#include <stdio.h>
#include <sys/stat.h>

#include "fdstore.h"
#include "log.h"
#include "output.h"
#include "state.h"

typedef struct Passed {
        char name[SESSION_STORE_NAME_LENGTH + 1];
        StoredSession stored;
} Passed;

struct TakeUp {
        Passed *all;
        size_t n, allocated;
};

int take_up_new(TakeUp **ret)
{
        *ret = calloc(1, sizeof(TakeUp));
        return *ret ? 0 : -ENOMEM;
}

TakeUp *take_up_free(TakeUp *t)
{
        while (t->n)
                stored_session_done(&t->all[--t->n].stored);
        free(t->all);
        free(t);
        return NULL;
}

static Passed *find(TakeUp *t, const char *name)
{
        for (size_t i = t->n; i-- > 0;) /* what belongs together mostly comes together */
                if (streq(t->all[i].name, name))
                        return &t->all[i];
        return NULL;
}

static int make_room(TakeUp *t)
{
        size_t n = MAX(t->allocated * 2, (size_t)32);
        Passed *grown;

        if (t->n < t->allocated)
                return 0;
        grown = reallocarray(t->all, n, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        t->all = grown;
        t->allocated = n;
        return 0;
}

static int need(TakeUp *t, const char *name, Passed **ret)
{
        Passed *p = find(t, name);
        int r = p ? 0 : make_room(t);

        if (r < 0)
                return r;
        if (!p) {
                p = &t->all[t->n++];
                *p = (Passed){
                        .stored = {-EBADF, -EBADF, -EBADF, -EBADF}
                };
                strcpy(p->name, name);
        }
        *ret = p;
        return 0;
}

/* Which of a session's descriptors this is, by what it is. */
static int *place_of(StoredSession *stored, int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return NULL;
        if (S_ISSOCK(st.st_mode))
                return &stored->control;
        if (!S_ISREG(st.st_mode)) /* a pidfd has no type before 6.9 */
                return &stored->pidfd;
        if (state_is(fd))
                return &stored->state;
        return output_is(fd) ? &stored->output : &stored->pidfd;
}

/* The session's own name, without what may be behind it. */
static bool parse_name(const char *name, char ret[static SESSION_STORE_NAME_LENGTH + 1])
{
        size_t n = strspn(name, SESSION_ID_ALPHABET);

        if (n != SESSION_STORE_NAME_LENGTH || (name[n] && (name[n] != SESSION_STORE_LIVE || name[n + 1])))
                return false;
        memcpy(ret, name, n);
        ret[n] = '\0';
        return true;
}

int take_up_add(TakeUp *t, const char *name, int fd)
{
        char own[SESSION_STORE_NAME_LENGTH + 1];
        _cleanup_close_ int owned = fd;
        Passed *passed;
        int *place, r;

        if (!parse_name(name, own))
                return -ENOENT;
        r = need(t, own, &passed);
        if (r < 0)
                return r;
        place = place_of(&passed->stored, fd);
        if (!place)
                return -ENOENT;
        close_fd(*place);
        *place = TAKE_FD(owned);
        return 0;
}

static void end_stored(const char *name, int r)
{
        const LogFields fields = { .session = name, .uid = LOG_NO_UID, .error = -r };
        char live[SESSION_STORE_NAME_LENGTH + 2];

        snprintf(live, sizeof(live), "%s%c", name, SESSION_STORE_LIVE);
        fdstore_remove(live);
        fdstore_remove(name);
        log_full(LOG_WARNING, &fields, "Session %s of an earlier nsrootd cannot be taken up, and ends: %s",
                 name,
                 r == -EOPNOTSUPP ? "a later release left it"
                 : r == -EBADMSG  ? "part of it is missing or damaged"
                                  : errno_text(r));
}

void take_up_all(TakeUp *t, Sessions *sessions)
{
        for (; t->n; t->n--) {
                Passed *passed = &t->all[t->n - 1];
                int r = sessions_take_up(sessions, &passed->stored);

                if (r < 0)
                        end_stored(passed->name, r);
        }
}
