/* The table of checks, by doctor-checks.h. */
#include "doctor-checks.h"

#include "doctor-judge.h"

static const struct {
        const char *name;
        void (*judge)(const Evidence *e, Finding *f);
} checks[] = {
#define X(judge, name) { name, judge_##judge },
        CHECKS(X)
#undef X
};

size_t checks_count(void)
{
        return ELEMENTSOF(checks);
}

int check_judge(size_t number, const Evidence *e, Finding *ret)
{
        *ret = (Finding){ .check = checks[number].name };
        checks[number].judge(e, ret);
        return ret->status != CHECK_SKIPPED && !ret->detail ? -ENOMEM : 0;
}

void finding_done(Finding *f)
{
        free(f->detail);
        free(f->advice);
        *f = (Finding){};
}

const char *check_status_name(CheckStatus s)
{
        static const char *const names[] = {
                [CHECK_OK] = "ok", [CHECK_DEGRADED] = "degraded", [CHECK_MISSING] = "missing"
        };

        return names[s];
}
