/* See state.h. */
#include "state.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "field.h"
#include "scan.h"

#define STATE_MAGIC   UINT32_C(0x7274736e) /* "nstr" */
#define PROGRESS_ROOM 256                  /* the facts follow it */
#define FACTS_MAX     (64 * KIB)
#define SEALS         (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

_Static_assert(sizeof(StateProgress) <= PROGRESS_ROOM, "there is room for it before the facts");

#define AT(member) offsetof(StateFacts, member)
#define NUMBER(key, member)                                                                                 \
        {                                                                                                   \
                key, FIELD_INT, AT(member), .max = INT64_MAX                                                \
        }

/* clang-format off */
static const Field fact_fields[] = {
        { "id",         FIELD_STRING,  AT(id), .required = true },
        { "name",       FIELD_STRING,  AT(name) },
        { "root",       FIELD_STRING,  AT(root), .required = true },
        { "user",       FIELD_STRING,  AT(user) },
        { "hostname",   FIELD_STRING,  AT(hostname) },
        { "arguments",  FIELD_STRINGS, AT(arguments), .required = true },
        { "readOnly",   FIELD_BOOL,    AT(read_only) },
        { "terminal",   FIELD_BOOL,    AT(terminal) },
        { "detached",   FIELD_BOOL,    AT(detached) },
        { "hasLifeline", FIELD_BOOL,   AT(has_lifeline) },
        { "hasControlGroup", FIELD_BOOL, AT(has_cgroup) },
        { "hasIds",     FIELD_BOOL,    AT(has_range) },
        { "owner",      FIELD_INT,     AT(owner), .required = true, .max = UINT32_MAX },
        { "pid",        FIELD_INT,     AT(pid), .required = true, .max = INT32_MAX },
        { "firstId",    FIELD_INT,     AT(first_id), .max = UINT32_MAX },
        { "orderVersion", FIELD_INT,   AT(order_version), .required = true, .max = UINT32_MAX },
        NUMBER("tree", tree),
        NUMBER("memoryMax", limits[LIMIT_MEMORY]),
        NUMBER("tasksMax", limits[LIMIT_TASKS]),
        NUMBER("cpuPercent", limits[LIMIT_CPU_QUOTA]),
        NUMBER("storageMax", limits[LIMIT_STORAGE]),
        NUMBER("storageInodes", limits[LIMIT_STORAGE_INODES]),
        NUMBER("sharedMemoryMax", limits[LIMIT_SHARED_MEMORY]),
        NUMBER("openFilesMax", limits[LIMIT_OPEN_FILES]),
        NUMBER("processesMax", limits[LIMIT_PROCESSES]),
        NUMBER("lockedMemoryMax", limits[LIMIT_LOCKED_MEMORY]),
        NUMBER("fileSizeMax", limits[LIMIT_FILE_SIZE]),
        NUMBER("cpuWeight", limits[LIMIT_CPU_WEIGHT]),
        NUMBER("ioWeight", limits[LIMIT_IO_WEIGHT]),
        NUMBER("cpuTimeMax", limits[LIMIT_CPU_TIME]),
        NUMBER("runtimeMax", limits[LIMIT_RUNTIME]),
        NUMBER("outputKept", limits[LIMIT_OUTPUT_KEPT]),
        { "controlGroup", FIELD_STRING, AT(cgroup) },
        NUMBER("outOfMemoryBefore", oom_kills_before),
        { .name = NULL },
};
/* clang-format on */

void state_facts_done(StateFacts *facts)
{
        fields_done(fact_fields, facts);
}

static int write_facts(int fd, const StateFacts *facts)
{
        struct json_object *object = fields_format(fact_fields, facts);
        const char *text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
        int r = -ENOMEM;

        if (text) {
                size_t length = strlen(text);
                ssize_t n = length > FACTS_MAX ? -1 : pwrite(fd, text, length, PROGRESS_ROOM);
                r = length > FACTS_MAX ? -E2BIG : n < 0 ? -errno : (size_t)n == length ? 0 : -EIO;
        }
        json_object_put(object);
        return r;
}

int state_save(int fd, const StateProgress *progress)
{
        StateProgress p = *progress;

        p.magic = STATE_MAGIC;
        p.version = STATE_VERSION;
        p.size = sizeof(p);
        return pwrite(fd, &p, sizeof(p), 0) == sizeof(p) ? 0 : -EIO;
}

int state_new(const StateFacts *facts, const StateProgress *progress, int *ret_fd)
{
        _cleanup_close_ int fd = memfd_create("nsroot-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = write_facts(fd, facts);
        if (r >= 0)
                r = state_save(fd, progress);
        if (r >= 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                r = -errno;
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

bool state_is(int fd)
{
        uint32_t magic;

        return pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) && magic == STATE_MAGIC;
}

/* What an earlier release did not know is zero. */
static int read_progress(int fd, StateProgress *ret)
{
        StateProgress p = { 0 };

        if (pread(fd, &p, sizeof(p), 0) != sizeof(p) || p.magic != STATE_MAGIC)
                return -EBADMSG;
        if (p.version > STATE_VERSION || p.size > sizeof(p))
                return -EOPNOTSUPP;
        if (p.size < offsetof(StateProgress, state))
                return -EBADMSG;
        memset((char *)&p + p.size, 0, sizeof(p) - p.size);
        *ret = p;
        return 0;
}

static int parse_facts(const char *text, size_t length, StateFacts *ret)
{
        static const ScanLimits limits = { .depth_max = 4, .values_max = 256 };
        _cleanup_error_ Error ignored = {};
        struct json_object *object;
        int r;

        if (scan_object(text, length, &limits, NULL) < 0)
                return -EBADMSG;
        object = json_tokener_parse(text);
        if (!object)
                return -ENOMEM;
        r = fields_parse(object, fact_fields, ret, &ignored);
        json_object_put(object);
        return r == -EREMOTEIO ? -EBADMSG : r;
}

int state_load(int fd, StateFacts *facts, StateProgress *progress)
{
        _cleanup_free_ char *text = NULL;
        StateProgress p;
        struct stat st;
        int r = read_progress(fd, &p);

        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size <= PROGRESS_ROOM || st.st_size > (off_t)(PROGRESS_ROOM + FACTS_MAX))
                return -EBADMSG;
        size_t length = (size_t)(st.st_size - PROGRESS_ROOM);
        text = calloc(1, length + 1);
        if (!text)
                return -ENOMEM;
        if (pread(fd, text, length, PROGRESS_ROOM) != (ssize_t)length)
                return -EBADMSG;
        r = parse_facts(text, length, facts);
        if (r >= 0)
                *progress = p;
        return r;
}
