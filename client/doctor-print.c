/* See doctor-print.h. */
#include "doctor-print.h"

#include <stdio.h>

#include "text.h"
#include "value.h"

#define STATUS_WIDTH 10

static int name_width(const Finding *findings, size_t n)
{
        size_t width = 0;

        for (size_t i = 0; i < n; i++)
                if (findings[i].status != CHECK_SKIPPED)
                        width = MAX(width, strlen(findings[i].check));
        return (int)width + 2;
}

static int print_finding(const Finding *f, int width)
{
        _cleanup_free_ char *detail = text_escape(f->detail);
        _cleanup_free_ char *advice = f->advice ? text_escape(f->advice) : NULL;

        if (!detail || (f->advice && !advice))
                return -ENOMEM;
        printf("%-*s%-*s%s\n", STATUS_WIDTH, check_status_name(f->status), width, f->check, detail);
        if (advice)
                printf("%*s%s\n", STATUS_WIDTH + width + 2, "", advice);
        return 0;
}

static void print_skipped(const Finding *findings, size_t n)
{
        const char *before = "\nNot looked at, for lack of an answer: ";

        for (size_t i = 0; i < n; i++)
                if (findings[i].status == CHECK_SKIPPED) {
                        printf("%s%s", before, findings[i].check);
                        before = ", ";
                }
        if (streq(before, ", "))
                putchar('\n');
}

int doctor_print(const Finding *findings, size_t n)
{
        int width = name_width(findings, n), r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                if (findings[i].status != CHECK_SKIPPED)
                        r = print_finding(&findings[i], width);
        if (r >= 0)
                print_skipped(findings, n);
        return r;
}

static int add_finding(struct json_object *list, const Finding *f)
{
        _cleanup_value_ struct json_object *o = value_new_text("check", f->check);

        if (!o || value_add_text(o, "status", check_status_name(f->status)) < 0 ||
            value_add_text(o, "detail", f->detail) < 0 || value_add_text(o, "advice", f->advice ?: "") < 0)
                return -ENOMEM;
        return value_append(list, TAKE_PTR(o));
}

int doctor_print_json(const Finding *findings, size_t n)
{
        _cleanup_value_ struct json_object *list = json_object_new_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < n && r >= 0; i++)
                if (findings[i].status != CHECK_SKIPPED)
                        r = add_finding(list, &findings[i]);
        return r < 0 ? r : value_print(list, stdout);
}
