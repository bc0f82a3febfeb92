/* See privilege.h. */
#include "privilege.h"

#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What each is for is in SECURITY.md. */
static const cap_value_t needed[] = {
        CAP_SYS_ADMIN,    CAP_SETUID, CAP_SETGID, CAP_CHOWN,
        CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL,   CAP_SETPCAP,
};

static void cap_freep(cap_t *c)
{
        if (*c)
                cap_free(*c);
}

static int append(char **text, const char *word)
{
        char *longer;

        if (asprintf(&longer, "%s%s%s", *text ? *text : "", *text ? ", " : "", word) < 0)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

static int find_missing(char **ret)
{
        _cleanup_(cap_freep) cap_t own = cap_get_proc();
        int r = 0;

        if (!own)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(needed) && r >= 0; i++) {
                cap_flag_value_t has = CAP_CLEAR;
                char *name;

                if (cap_get_flag(own, needed[i], CAP_EFFECTIVE, &has) < 0)
                        return -errno;
                if (has == CAP_SET)
                        continue;
                name = cap_to_name(needed[i]);
                r = append(ret, name ? name : "a capability");
                cap_free(name);
        }
        return r;
}

int privilege_check(char **ret_missing)
{
        _cleanup_free_ char *missing = NULL;
        int r = geteuid() == 0 ? find_missing(&missing) : append(&missing, "uid 0");

        if (r < 0)
                return r;
        if (!missing)
                return 0;
        *ret_missing = TAKE_PTR(missing);
        return -EPERM;
}

static bool is_needed(cap_value_t c)
{
        for (size_t i = 0; i < ELEMENTSOF(needed); i++)
                if (needed[i] == c)
                        return true;
        return false;
}

int privilege_reduce(void)
{
        _cleanup_(cap_freep) cap_t kept = cap_init();

        for (cap_value_t c = 0; c < cap_max_bits(); c++)
                if (!is_needed(c) && cap_get_bound(c) > 0 && cap_drop_bound(c) < 0)
                        return -errno;
        if (!kept || cap_set_flag(kept, CAP_PERMITTED, ELEMENTSOF(needed), needed, CAP_SET) < 0 ||
            cap_set_flag(kept, CAP_EFFECTIVE, ELEMENTSOF(needed), needed, CAP_SET) < 0 ||
            cap_set_proc(kept) < 0)
                return -errno;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
