/* See accounts.h. */
#include "accounts.h"

#include <grp.h>
#include <pwd.h>

#define ENTRY_MAX MIB /* a group of many members is long */

/* One look-up with a buffer of that size: -ERANGE where it is too small. */
typedef int (*LookUp)(const char *name, char *buffer, size_t size, uint32_t *ret);

/* What the C library says of it: 0 means that all databases were asked. */
static int not_found(int error)
{
        return error ? -error : -ESRCH;
}

static int look_up_user(const char *name, char *buffer, size_t size, uint32_t *ret)
{
        struct passwd entry, *found = NULL;
        int error = getpwnam_r(name, &entry, buffer, size, &found);

        if (!found)
                return not_found(error);
        *ret = entry.pw_uid;
        return 0;
}

static int look_up_group(const char *name, char *buffer, size_t size, uint32_t *ret)
{
        struct group entry, *found = NULL;
        int error = getgrnam_r(name, &entry, buffer, size, &found);

        if (!found)
                return not_found(error);
        *ret = entry.gr_gid;
        return 0;
}

static int look_up(LookUp look, const char *name, uint32_t *ret)
{
        int r = -ERANGE;

        for (size_t size = 4 * KIB; r == -ERANGE && size <= ENTRY_MAX; size *= 2) {
                _cleanup_free_ char *buffer = malloc(size);

                r = buffer ? look(name, buffer, size, ret) : -ENOMEM;
        }
        return r;
}

/* The largest number means "nobody in particular" to the kernel. */
static int find(LookUp look, const char *word, uint32_t *ret)
{
        uint64_t number;

        if (*word == '\0' || word[strspn(word, "0123456789")] != '\0')
                return look_up(look, word, ret);
        if (parse_u64(word, UINT32_MAX - 1, &number) < 0)
                return -ESRCH;
        *ret = (uint32_t)number;
        return 0;
}

int account_user(const char *word, uint32_t *ret)
{
        return find(look_up_user, word, ret);
}

int account_group(const char *word, uint32_t *ret)
{
        return find(look_up_group, word, ret);
}
