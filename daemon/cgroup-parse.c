/* See cgroup-parse.h. */
#include "cgroup-parse.h"

#include <stdio.h>

static const struct {
        const char *name;
        CgroupController bit;
} controller_names[] = {
        {"memory", CGROUP_MEMORY},
        { "pids",  CGROUP_PIDS  },
        { "cpu",   CGROUP_CPU   },
        { "io",    CGROUP_IO    },
};

const char *cgroup_controller_name(size_t place, unsigned *ret_bit)
{
        if (place >= ELEMENTSOF(controller_names))
                return NULL;
        *ret_bit = controller_names[place].bit;
        return controller_names[place].name;
}

/* Undoes the octal escapes of proc(5), in place. */
static void unescape(char *text)
{
        char *to = text;

        for (const char *from = text; *from; to++) {
                if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
                        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else {
                        *to = *from++;
                }
        }
        *to = '\0';
}

int cgroup_parse_mount(const char *line, char **ret)
{
        _cleanup_free_ char *root = NULL, *point = NULL, *type = NULL;
        const char *separator = strstr(line, " - ");

        if (!separator || sscanf(line, "%*u %*u %*s %ms %ms", &root, &point) != 2 ||
            sscanf(separator, " - %ms", &type) != 1)
                return 0;
        if (!streq(type, "cgroup2") || !streq(root, "/"))
                return 0;
        unescape(point);
        *ret = TAKE_PTR(point);
        return 1;
}

int cgroup_parse_own(const char *text, char **ret)
{
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, "0::/", 4) != 0)
                        continue;
                line += strlen("0::");
                char *path = strndup(line, strcspn(line, "\n"));
                if (!path)
                        return -ENOMEM;
                if (streq(path, "/"))
                        *path = '\0';
                *ret = path;
                return 0;
        }
        return -EOPNOTSUPP;
}

unsigned cgroup_parse_controllers(const char *text)
{
        unsigned found = 0;

        for (size_t n; *(text += strspn(text, " \n")) != '\0'; text += n) {
                n = strcspn(text, " \n");
                for (size_t i = 0; i < ELEMENTSOF(controller_names); i++)
                        if (strlen(controller_names[i].name) == n &&
                            strncmp(text, controller_names[i].name, n) == 0)
                                found |= controller_names[i].bit;
        }
        return found;
}
