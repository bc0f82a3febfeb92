#include "setback.h"

#define PAUSE_FIRST (2 * USEC_PER_SEC)
#define PAUSE_MAX   (60 * USEC_PER_SEC)
#define QUIET       (10 * 60 * USEC_PER_SEC) /* after which a failure is the first again */

/* Memory that is out costs a field, not the rest. */
static void copy_error(const Error *from, Error *to)
{
        error_set(to, from->name);
        for (size_t i = 0; i < from->n_fields; i++) {
                const ErrorField *f = &from->fields[i];

                if (f->text)
                        error_addf(to, f->key, "%s", f->text);
                else
                        error_add_number(to, f->key, f->number);
        }
}

static uint64_t pause_after(unsigned in_a_row)
{
        uint64_t pause = PAUSE_FIRST;

        while (--in_a_row > 0 && pause < PAUSE_MAX)
                pause *= 2;
        return MIN(pause, PAUSE_MAX);
}

void setback_note(Setback *s, int r, const Error *error, uint64_t now)
{
        unsigned before = s->r < 0 && now < s->until + QUIET ? s->in_a_row : 0;

        setback_forget(s);
        s->r = r;
        s->in_a_row = before + 1;
        s->at = now;
        s->until = now + pause_after(s->in_a_row);
        if (r == -EREMOTEIO)
                copy_error(error, &s->error);
}

bool setback_lasts(const Setback *s, uint64_t now)
{
        return s->r < 0 && now < s->until;
}

int setback_tell(const Setback *s, uint64_t now, Error *ret)
{
        uint64_t left = s->until > now ? s->until - now : 0;

        if (s->r != -EREMOTEIO)
                return s->r;
        copy_error(&s->error, ret);
        return error_addf(ret, "retry", "tried %llu s ago; tried again in %llu s",
                          (unsigned long long)((now - s->at) / USEC_PER_SEC),
                          (unsigned long long)((left + USEC_PER_SEC - 1) / USEC_PER_SEC));
}

void setback_forget(Setback *s)
{
        error_done(&s->error);
        *s = (Setback){};
}
