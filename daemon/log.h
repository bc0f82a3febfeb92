/* Log lines: to the journal with fields when stderr is the journal, else to stderr as a line a person reads
 * ("<level>: text"). Catalogued messages have an id. Control characters in anything logged are escaped.
 *
 * Two kinds of lines: what only root or the machine can cause is logged by log_full and the macros. What a
 * client can cause again and again goes through log_bounded: each user has a share of lines, and what is
 * beyond it is counted and said later. */
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
        LOG_EVENT_ROOT_FAILED,
        LOG_EVENT_DROPPED,
        LOG_EVENT_RELOADED,
        LOG_EVENT_RELOAD_FAILED,
        LOG_EVENT_MAX,
} LogEvent;

/* What a line may carry beside its text; NULL, 0 or LOG_NO_UID leaves a field out. */
typedef struct LogFields {
        LogEvent event;      /* MESSAGE_ID */
        const char *session; /* NSROOT_SESSION, and so on */
        const char *root;
        const char *step;
        const char *method; /* what was called */
        const char *rule;   /* what refuses it */
        const char *result; /* a Cause, as in the interface */
        const char *status; /* "7" or "SIGKILL" */
        const char *usage;  /* time and memory, in words */
        const char *reason; /* why a configuration was not taken, or a root not made */
        uid_t uid;
        unsigned dropped; /* how many lines were left out */
        int error;        /* ERRNO, positive */
} LogFields;
#define LOG_NO_UID ((uid_t)-1)

void log_setup(int max_priority); /* LOG_ERR … LOG_DEBUG; looks at JOURNAL_STREAM once */
/* From now on with fields, where stderr is the journal; for a process that stays. Of one that ends at once
 * the journal could not find out any more which unit its entries belong to, while it knows whose stderr is.
 */
void log_with_fields(void);
void log_set_level(int max_priority);
const char *log_level_name(int priority); /* "error" for LOG_ERR; NULL for what is no priority. Static */
int log_level_parse(const char *text);    /* LOG_ERR for "error"; -EINVAL */
void log_full(int priority, const LogFields *fields, const char *format, ...) _printf_(3, 4);

#define log_error(...)   log_full(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_full(LOG_DEBUG, NULL, __VA_ARGS__)

/* The same, if fields->uid's share of lines allows it; else it is counted. LOG_NO_UID has a share too, of
 * what no one user causes, and root has its own; so has each of many users at once, and who comes on top of
 * those shares one. Whether it was logged; a line that the level hides is neither logged nor counted. */
bool log_bounded(int priority, const LogFields *fields, const char *format, ...) _printf_(3, 4);

/* Whether lines were left out that nobody has been told of. */
bool log_owes(void);
/* Says how many, in one line a user. These lines are bounded by how often this is called: it is for a timer,
 * LOG_DROPPED_USEC after log_owes() came true, and for the end. */
void log_dropped(void);
#define LOG_DROPPED_USEC (10 * USEC_PER_SEC)
