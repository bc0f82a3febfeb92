#include "setback.h"

#include <criterion/criterion.h>

#define S USEC_PER_SEC

static Error some_error(void)
{
        Error e = {};

        error_setf(&e, "org.example.Broken", "reason", "it %s", "broke");
        error_add_number(&e, "neededBytes", 42);
        return e;
}

static void note(Setback *s, uint64_t now)
{
        _cleanup_error_ Error e = some_error();

        setback_note(s, -EREMOTEIO, &e, now);
}

Test(setback, nothing_at_first)
{
        Setback s = {};

        cr_expect_not(setback_lasts(&s, 0));
        setback_forget(&s);
}

Test(setback, tells_what_it_was_and_when)
{
        _cleanup_error_ Error e = {};
        Setback s = {};

        note(&s, 100 * S);
        cr_expect(setback_lasts(&s, 101 * S));
        cr_expect_not(setback_lasts(&s, 102 * S));
        cr_expect_eq(setback_tell(&s, 101 * S + 1, &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, "org.example.Broken");
        cr_expect_str_eq(error_text(&e, "reason"), "it broke");
        cr_expect_eq(e.fields[1].number, 42);
        cr_expect_str_eq(error_text(&e, "retry"), "tried 1 s ago; tried again in 1 s");
        setback_forget(&s);
        cr_expect_not(setback_lasts(&s, 101 * S));
}

Test(setback, of_the_machine)
{
        _cleanup_error_ Error e = {};
        Setback s = {};

        setback_note(&s, -ENOMEM, NULL, 0);
        cr_expect_eq(setback_tell(&s, S, &e), -ENOMEM);
        cr_expect_null(e.name);
}

/* Twice as long each time, up to a minute, and from the beginning after ten quiet ones. */
Test(setback, longer_each_time)
{
        static const uint64_t pauses[] = { 2, 4, 8, 16, 32, 60, 60 };
        Setback s = {};
        uint64_t now = S;

        for (size_t i = 0; i < ELEMENTSOF(pauses); i++) {
                note(&s, now);
                cr_expect(setback_lasts(&s, now + pauses[i] * S - 1), "%zu", i);
                cr_expect_not(setback_lasts(&s, now + pauses[i] * S), "%zu", i);
                now += pauses[i] * S;
        }
        note(&s, now + 660 * S);
        cr_expect_not(setback_lasts(&s, now + 662 * S));
        for (size_t i = 0; i < 100; i++)
                note(&s, now);
        cr_expect_not(setback_lasts(&s, now + 60 * S));
        setback_forget(&s);
}
