/* Log lines: to the journal with fields when stderr is the journal, else to stderr as a line a person reads
 * ("<level>: text"). Catalogued messages have an id. Control characters in anything logged are escaped. */
#pragma once

#include <syslog.h>

#include "base.h"

/* The catalogue: one id each, the same in systemd/nsrootd.catalog. */
typedef enum LogEvent {
        LOG_EVENT_NONE,
        LOG_EVENT_SESSION_STARTED,
        LOG_EVENT_SESSION_ENDED,
        LOG_EVENT_REFUSED,
        LOG_EVENT_SETUP_FAILED,
        LOG_EVENT_ROOT_PULLED,
} LogEvent;

/* What a line may carry beside its text; NULL, 0 or UID_INVALID leaves a field out. */
typedef struct LogFields {
        LogEvent event;
        const char *session, *root, *step,
                *result; /* NSROOT_SESSION, NSROOT_ROOT, NSROOT_STEP, NSROOT_RESULT */
        uid_t uid;       /* NSROOT_UID; LOG_NO_UID for none */
        int error;       /* ERRNO, positive */
} LogFields;
#define LOG_NO_UID ((uid_t)-1)

void log_setup(int max_priority); /* LOG_ERR … LOG_DEBUG; looks at JOURNAL_STREAM once */
void log_set_level(int max_priority);
const char *log_level_name(int priority); /* "error" for LOG_ERR; NULL for what is no priority. Static */
int log_level_parse(const char *text);    /* LOG_ERR for "error"; -EINVAL */
void log_full(int priority, const LogFields *fields, const char *format, ...) _printf_(3, 4);

#define log_error(...)   log_full(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_full(LOG_DEBUG, NULL, __VA_ARGS__)

/* A token bucket by uid, for lines a client can cause: whether one more may be logged now. *ret_dropped is
 * how many were not since the last that was. */
bool log_allowed(uid_t uid, unsigned *ret_dropped);
