/* See ask-limits.h. */
#include "ask-limits.h"

#include "protocol.h"
#include "value.h"

#define AT(member) offsetof(AskedLimits, member)

typedef struct Kind {
        int (*parse)(const char *text, uint64_t *ret);
        const char *expects;
} Kind;

static int parse_number(const char *text, uint64_t *ret)
{
        return parse_u64(text, INT64_MAX, ret);
}

static int parse_percent(const char *text, uint64_t *ret)
{
        size_t length = strlen(text);
        _cleanup_free_ char *digits = NULL;

        if (length < 2 || text[length - 1] != '%')
                return -EINVAL;
        digits = strndup(text, length - 1);
        return digits ? parse_number(digits, ret) : -ENOMEM;
}

static const Kind number = { parse_number, "a number" }, size = { parse_size, "a size such as 256M" },
                  duration = { parse_time, "a time such as 10s or 500ms" },
                  percent = { parse_percent, "a percentage such as 50%" };

static const struct {
        size_t offset;
        const char *option, *field;
        const Kind *kind;
} limits[] = {
        {AT(memory),         "memory",        "memoryMaxBytes",       &size    },
        { AT(tasks),         "tasks",         "tasksMax",             &number  },
        { AT(cpu),           "cpu",           "cpuQuotaPercent",      &percent },
        { AT(cpu_weight),    "cpu-weight",    "cpuWeight",            &number  },
        { AT(io_weight),     "io-weight",     "ioWeight",             &number  },
        { AT(cpu_time),      "cpu-time",      "cpuTimeMaxUSec",       &duration},
        { AT(timeout),       "timeout",       "runtimeMaxUSec",       &duration},
        { AT(storage),       "storage",       "storageMaxBytes",      &size    },
        { AT(inodes),        "inodes",        "storageMaxInodes",     &number  },
        { AT(shared_memory), "shm",           "sharedMemoryMaxBytes", &size    },
        { AT(file_size),     "file-size",     "fileSizeMaxBytes",     &size    },
        { AT(open_files),    "open-files",    "openFilesMax",         &number  },
        { AT(processes),     "processes",     "processesMax",         &number  },
        { AT(locked_memory), "locked-memory", "lockedMemoryMaxBytes", &size    },
};

/* No limit is the largest number there is. */
static int parse_limit(const Kind *kind, const char *text, int64_t *ret)
{
        uint64_t value;
        int r;

        if (streq(text, "infinity")) {
                *ret = INT64_MAX;
                return 0;
        }
        r = kind->parse(text, &value);
        if (r >= 0 && value >= INT64_MAX)
                r = -ERANGE;
        if (r >= 0)
                *ret = (int64_t)value;
        return r;
}

static int add_limit(const char *text, size_t i, struct json_object *object, Failure *f)
{
        int64_t value;
        int r = parse_limit(limits[i].kind, text, &value);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return failure_set(f, EXIT_OURS, "--%s=%s: it takes %s", limits[i].option, text,
                                   limits[i].kind->expects);
        return value_add_number(object, limits[i].field, value);
}

int ask_limits(const AskedLimits *asked, struct json_object *parameters, Failure *f)
{
        _cleanup_value_ struct json_object *object = json_object_new_object();
        int r = object ? 0 : -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(limits) && r >= 0; i++) {
                const char *text = *(const char *const *)((const char *)asked + limits[i].offset);

                if (text)
                        r = add_limit(text, i, object, f);
        }
        if (r < 0 || json_object_object_length(object) == 0)
                return r;
        return value_add(parameters, "limits", TAKE_PTR(object));
}
