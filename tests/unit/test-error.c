/* error.c: an error is its name and a few values, and owns their texts. */
#include "error.h"

#include <criterion/criterion.h>

Test(error, nothing_is_set_at_first)
{
        _cleanup_error_ Error e = {};

        cr_expect_null(e.name);
        cr_expect_null(error_text(&e, "parameter"));
}

Test(error, name_and_values)
{
        _cleanup_error_ Error e = {};

        cr_expect_eq(error_setf(&e, "a.Step", "step", "mount %s", "/proc"), -EREMOTEIO);
        cr_expect_eq(error_addf(&e, "errnoName", "E%s", "PERM"), -EREMOTEIO);
        cr_expect_eq(error_add_number(&e, "index", -3), -EREMOTEIO);
        cr_expect_str_eq(e.name, "a.Step");
        cr_expect_eq(e.n_fields, 3);
        cr_expect_str_eq(error_text(&e, "step"), "mount /proc");
        cr_expect_str_eq(error_text(&e, "errnoName"), "EPERM");
        cr_expect_null(error_text(&e, "index"));
        cr_expect_str_eq(e.fields[2].key, "index");
        cr_expect_eq(e.fields[2].number, -3);
}

Test(error, setting_starts_over)
{
        _cleanup_error_ Error e = {};

        error_setf(&e, "a.First", "key", "value");
        cr_expect_eq(error_set(&e, "a.Second"), -EREMOTEIO);
        cr_expect_str_eq(e.name, "a.Second");
        cr_expect_eq(e.n_fields, 0);
        cr_expect_null(error_text(&e, "key"));
}

Test(error, too_many_values_are_dropped)
{
        _cleanup_error_ Error e = {};

        error_set(&e, "a.Full");
        for (int i = 0; i < ERROR_FIELDS_MAX; i++)
                error_add_number(&e, "number", i);
        error_addf(&e, "text", "dropped");
        error_add_number(&e, "number", 99);
        cr_expect_eq(e.n_fields, ERROR_FIELDS_MAX);
        cr_expect_eq(e.fields[ERROR_FIELDS_MAX - 1].number, ERROR_FIELDS_MAX - 1);
        cr_expect_null(error_text(&e, "text"));
}

Test(error, done_leaves_nothing)
{
        Error e = {};

        error_setf(&e, "a.Name", "key", "value");
        error_done(&e);
        cr_expect_null(e.name);
        cr_expect_eq(e.n_fields, 0);
        error_done(&e);
}
