/* Where a log line goes and what it looks like there. Knows the journal's native fields and the terminal's
 * dangers; knows nothing of who logs or why. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "log.h"

#define TEXT_MAX      2048 /* bytes of a line before escaping; the rest is cut off */
#define ENTRY_MAX     (5 * TEXT_MAX)
#define FIELDS_MAX    15
/* A share of lines. What is sustained is a line in BUCKET_REFILL for each of USERS_MAX, whoever they are: a
 * user who has many uids (subuid(5)) has no more than that. */
#define BUCKET_BURST  100
#define BUCKET_REFILL (2 * USEC_PER_SEC)
#define USERS_MAX     128

typedef struct Bucket {
        uid_t uid;
        unsigned used, dropped;
        int priority;          /* the most important of those dropped */
        uint64_t drained_usec; /* when it last lost one of those used */
} Bucket;

enum {
        BUCKET_OF_NOBODY, /* what no one user causes: */
        BUCKET_OF_ROOTS,  /* what is about a root file system, */
        BUCKET_OF_ROOT,   /* and the user root */
        BUCKET_SHARED,    /* of who comes on top */
        BUCKETS_OF_USERS,
        BUCKETS = BUCKETS_OF_USERS + USERS_MAX
};

/* The only state: where lines go is a property of the process. */
static struct {
        int max_priority;
        bool is_stream; /* stderr is the journal's */
        bool has_fields, owes;
        Bucket buckets[BUCKETS];
} logger = { .max_priority = LOG_INFO };

static const char *const level_names[] = {
        [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",   [LOG_CRIT] = "critical", [LOG_ERR] = "error",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",     [LOG_DEBUG] = "debug",
};

/* The same as in systemd/nsrootd.catalog, which has the words. */
static const char *const event_ids[] = {
        [LOG_EVENT_SESSION_STARTED] = "02ea4f3e031846bc8b9be68c108366ae",
        [LOG_EVENT_SESSION_ENDED] = "8ca929ce5c9941f8906b992907397762",
        [LOG_EVENT_REFUSED] = "6c74fbff961c4f6b8de2a85a365c9267",
        [LOG_EVENT_SETUP_FAILED] = "da4542061956432d819e52790e44155c",
        [LOG_EVENT_ROOT_PULLED] = "55904b8e21ae44b8b9f94bf17beb75ad",
        [LOG_EVENT_ROOT_FAILED] = "3807eacb7e644a99bd580b6cb5cfcb21",
        [LOG_EVENT_DROPPED] = "7c004989381d44f4af0e80c3c15fe866",
        [LOG_EVENT_RELOADED] = "256451bfe3674e20af7b89b9f812f5f0",
        [LOG_EVENT_RELOAD_FAILED] = "c3427f87a54c45428eda3ae95d8b61d2",
};

/* The fields that are text. */
static const struct {
        const char *name;
        size_t offset;
} text_fields[] = {
        {"NSROOT_SESSION", offsetof(LogFields, session)},
        { "NSROOT_ROOT",   offsetof(LogFields, root)   },
        { "NSROOT_STEP",   offsetof(LogFields, step)   },
        { "NSROOT_METHOD", offsetof(LogFields, method) },
        { "NSROOT_RULE",   offsetof(LogFields, rule)   },
        { "NSROOT_RESULT", offsetof(LogFields, result) },
        { "NSROOT_STATUS", offsetof(LogFields, status) },
        { "NSROOT_USAGE",  offsetof(LogFields, usage)  },
        { "NSROOT_REASON", offsetof(LogFields, reason) },
};

/* One line under construction: the fields the journal wants, in one buffer. */
typedef struct Entry {
        char buffer[ENTRY_MAX];
        size_t used;
        struct iovec fields[FIELDS_MAX];
        int n_fields;
} Entry;

void log_setup(int max_priority)
{
        const char *stream = getenv("JOURNAL_STREAM"); /* "device:inode", systemd.exec(5) */
        uintmax_t device, inode;
        struct stat st;

        logger.max_priority = max_priority;
        logger.is_stream = stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
                           fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

void log_with_fields(void)
{
        logger.has_fields = logger.is_stream;
}

void log_set_level(int max_priority)
{
        logger.max_priority = max_priority;
}

const char *log_level_name(int priority)
{
        return priority >= 0 && (size_t)priority < ELEMENTSOF(level_names) ? level_names[priority] : NULL;
}

int log_level_parse(const char *text)
{
        for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
                if (streq(text, level_names[i]))
                        return (int)i;
        return -EINVAL;
}

static void entry_put(Entry *entry, const char *text, size_t length)
{
        length = MIN(length, ENTRY_MAX - entry->used);
        memcpy(entry->buffer + entry->used, text, length);
        entry->used += length;
}

/* Whatever is not printable ASCII could move a terminal's cursor, hide text or begin a line of its own. */
static void entry_put_escaped(Entry *entry, const char *text)
{
        for (; *text; text++) {
                char hex[5] = { *text };

                if (*text < ' ' || *text > '~')
                        snprintf(hex, sizeof(hex), "\\x%02x", (unsigned char)*text);
                entry_put(entry, hex, strlen(hex));
        }
}

static void entry_add(Entry *entry, const char *name, const char *value)
{
        size_t start = entry->used;

        if (!value || entry->n_fields == FIELDS_MAX)
                return;
        entry_put(entry, name, strlen(name));
        entry_put(entry, "=", 1);
        entry_put_escaped(entry, value);
        entry->fields[entry->n_fields++] = (struct iovec){ entry->buffer + start, entry->used - start };
}

static void entry_add_number(Entry *entry, const char *name, uintmax_t value)
{
        char text[24];

        snprintf(text, sizeof(text), "%ju", value);
        entry_add(entry, name, text);
}

static void entry_add_fields(Entry *entry, const LogFields *fields)
{
        if (fields->event != LOG_EVENT_NONE)
                entry_add(entry, "MESSAGE_ID", event_ids[fields->event]);
        for (size_t i = 0; i < ELEMENTSOF(text_fields); i++)
                entry_add(entry, text_fields[i].name,
                          *(const char *const *)((const char *)fields + text_fields[i].offset));
        if (fields->uid != LOG_NO_UID)
                entry_add_number(entry, "NSROOT_UID", fields->uid);
        if (fields->dropped > 0)
                entry_add_number(entry, "NSROOT_DROPPED", fields->dropped);
        if (fields->error != 0)
                entry_add_number(entry, "ERRNO", (uintmax_t)fields->error);
}

static void log_to_journal(int priority, const LogFields *fields, const char *text)
{
        Entry entry = { .used = 0 };

        entry_add(&entry, "MESSAGE", text);
        entry_add_number(&entry, "PRIORITY", (uintmax_t)priority);
        if (fields)
                entry_add_fields(&entry, fields);
        sd_journal_sendv(entry.fields, entry.n_fields); /* there is nobody to tell when this fails */
}

static void log_to_stderr(int priority, const char *text)
{
        Entry entry = { .used = 0 };
        char level[16];

        if (logger.is_stream)
                snprintf(level, sizeof(level), "<%d>", priority); /* sd-daemon(3) */
        else
                snprintf(level, sizeof(level), "%s: ", level_names[priority]);
        entry_put(&entry, level, strlen(level));
        entry_put_escaped(&entry, text);
        entry.used = MIN(entry.used, (size_t)ENTRY_MAX - 1);
        entry_put(&entry, "\n", 1);
        if (write(STDERR_FILENO, entry.buffer, entry.used) < 0)
                return; /* nobody to tell */
}

static bool is_hidden(int priority)
{
        return priority > logger.max_priority;
}

static void log_text(int priority, const LogFields *fields, const char *format, va_list arguments)
{
        int saved_errno = errno;
        char text[TEXT_MAX];

        vsnprintf(text, sizeof(text), format, arguments);
        if (logger.has_fields)
                log_to_journal(priority, fields, text);
        else
                log_to_stderr(priority, text);
        errno = saved_errno;
}

void log_full(int priority, const LogFields *fields, const char *format, ...)
{
        va_list arguments;

        if (is_hidden(priority))
                return;
        va_start(arguments, format);
        log_text(priority, fields, format, arguments);
        va_end(arguments);
}

static void drain(Bucket *bucket, uint64_t now)
{
        uint64_t drained = (now - bucket->drained_usec) / BUCKET_REFILL;

        bucket->used -= (unsigned)MIN(drained, (uint64_t)bucket->used);
        bucket->drained_usec += drained * BUCKET_REFILL;
}

/* One that is as good as new and of which nothing is left to say is anybody's. */
static bool is_free(const Bucket *bucket)
{
        return bucket->used == 0 && bucket->dropped == 0;
}

static Bucket *find_bucket_of_user(uid_t uid, uint64_t now)
{
        Bucket *found = NULL;

        for (size_t i = BUCKETS_OF_USERS; i < BUCKETS; i++) {
                Bucket *bucket = &logger.buckets[i];

                drain(bucket, now);
                if (is_free(bucket))
                        found = found ? found : bucket;
                else if (bucket->uid == uid)
                        return bucket;
        }
        if (!found)
                return &logger.buckets[BUCKET_SHARED];
        found->uid = uid;
        return found;
}

static Bucket *find_bucket(const LogFields *fields, uint64_t now)
{
        if (!fields || fields->uid == LOG_NO_UID)
                return &logger.buckets[fields && fields->root ? BUCKET_OF_ROOTS : BUCKET_OF_NOBODY];
        return fields->uid == 0 ? &logger.buckets[BUCKET_OF_ROOT] : find_bucket_of_user(fields->uid, now);
}

/* Whether there is room for one more line in the share it belongs to. */
static bool take_token(int priority, const LogFields *fields)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Bucket *bucket = find_bucket(fields, now);

        drain(bucket, now);
        if (bucket->used < BUCKET_BURST) {
                bucket->used++;
                return true;
        }
        bucket->priority = bucket->dropped ? MIN(bucket->priority, priority) : priority;
        bucket->dropped++;
        logger.owes = true;
        return false;
}

bool log_bounded(int priority, const LogFields *fields, const char *format, ...)
{
        va_list arguments;

        if (is_hidden(priority) || !take_token(priority, fields))
                return false;
        va_start(arguments, format);
        log_text(priority, fields, format, arguments);
        va_end(arguments);
        return true;
}

bool log_owes(void)
{
        return logger.owes;
}

/* As important as the most important of what is missing, so that no level shows one and hides the other. */
static void say_dropped(size_t index, const Bucket *bucket)
{
        static const char *const of_whom[BUCKETS_OF_USERS] = {
                [BUCKET_OF_NOBODY] = "of no user's",
                [BUCKET_OF_ROOTS] = "about roots",
                [BUCKET_OF_ROOT] = "of uid 0",
                [BUCKET_SHARED] = "of several users",
        };
        LogFields fields = { .event = LOG_EVENT_DROPPED, .uid = LOG_NO_UID, .dropped = bucket->dropped };
        char of_user[32];

        snprintf(of_user, sizeof(of_user), "of uid %u", (unsigned)bucket->uid);
        if (index >= BUCKETS_OF_USERS || index == BUCKET_OF_ROOT)
                fields.uid = bucket->uid;
        log_full(bucket->priority, &fields, "Left out %u more line%s %s", bucket->dropped,
                 bucket->dropped == 1 ? "" : "s", index < BUCKETS_OF_USERS ? of_whom[index] : of_user);
}

void log_dropped(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                if (logger.buckets[i].dropped > 0) {
                        say_dropped(i, &logger.buckets[i]);
                        logger.buckets[i].dropped = 0;
                }
        logger.owes = false;
}
