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
#define FIELDS_MAX    9
/* A user's bucket of lines. Users whose ids are equal modulo BUCKETS share one: that bounds the sum as well.
 */
#define BUCKETS       256
#define BUCKET_BURST  20
#define BUCKET_REFILL USEC_PER_SEC

/* The only state: where lines go is a property of the process. */
static struct {
        int max_priority;
        bool to_journal;
        struct Bucket {
                unsigned used, dropped;
                uint64_t drained_usec; /* when it last lost one of those used */
        } buckets[BUCKETS];
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
        logger.to_journal = stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
                            fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
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
        entry_add(entry, "NSROOT_SESSION", fields->session);
        entry_add(entry, "NSROOT_ROOT", fields->root);
        entry_add(entry, "NSROOT_STEP", fields->step);
        entry_add(entry, "NSROOT_RESULT", fields->result);
        if (fields->uid != LOG_NO_UID)
                entry_add_number(entry, "NSROOT_UID", fields->uid);
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

        entry_put(&entry, level_names[priority], strlen(level_names[priority]));
        entry_put(&entry, ": ", 2);
        entry_put_escaped(&entry, text);
        entry.used = MIN(entry.used, (size_t)ENTRY_MAX - 1);
        entry_put(&entry, "\n", 1);
        if (write(STDERR_FILENO, entry.buffer, entry.used) < 0)
                return; /* nobody to tell */
}

void log_full(int priority, const LogFields *fields, const char *format, ...)
{
        int saved_errno = errno;
        char text[TEXT_MAX];
        va_list arguments;

        if (priority > logger.max_priority)
                return;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        if (logger.to_journal)
                log_to_journal(priority, fields, text);
        else
                log_to_stderr(priority, text);
        errno = saved_errno;
}

bool log_allowed(uid_t uid, unsigned *ret_dropped)
{
        struct Bucket *bucket = &logger.buckets[uid % BUCKETS];
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        uint64_t drained = (now - bucket->drained_usec) / BUCKET_REFILL;

        if (drained > 0) {
                bucket->used -= (unsigned)MIN(drained, (uint64_t)bucket->used);
                bucket->drained_usec = now;
        }
        if (bucket->used == BUCKET_BURST) {
                bucket->dropped++;
                return false;
        }
        bucket->used++;
        *ret_dropped = TAKE_GENERIC(bucket->dropped, 0);
        return true;
}
