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
/* Kept where they are there (in a container they may not be): a session cannot take back an oom_score_adj
 * that the first set; the second is for the loopback interface of one that has no user namespace, and
 * whether there are any may change while we run. */
static const cap_value_t welcome[] = { CAP_SYS_RESOURCE, CAP_NET_ADMIN };

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

static bool is_in(cap_value_t c, const cap_value_t *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (list[i] == c)
                        return true;
        return false;
}

/* What is needed, and what is welcome and there; then nothing else can come back. */
static int find_kept(cap_t kept)
{
        _cleanup_(cap_freep) cap_t own = cap_get_proc();

        if (!own)
                return -errno;
        for (cap_value_t c = 0; c < cap_max_bits(); c++) {
                cap_flag_value_t keep = CAP_CLEAR;

                if (is_in(c, needed, ELEMENTSOF(needed)))
                        keep = CAP_SET;
                else if (is_in(c, welcome, ELEMENTSOF(welcome)) &&
                         cap_get_flag(own, c, CAP_PERMITTED, &keep) < 0)
                        return -errno;
                if (cap_set_flag(kept, CAP_PERMITTED, 1, &c, keep) < 0 ||
                    cap_set_flag(kept, CAP_EFFECTIVE, 1, &c, keep) < 0)
                        return -errno;
                if (keep == CAP_CLEAR && cap_get_bound(c) > 0 && cap_drop_bound(c) < 0)
                        return -errno;
        }
        return 0;
}

int privilege_reduce(void)
{
        _cleanup_(cap_freep) cap_t kept = cap_init();
        int r = kept ? find_kept(kept) : -ENOMEM;

        if (r < 0)
                return r;
        if (cap_set_proc(kept) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}
