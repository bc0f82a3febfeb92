/* One setting of nsrootd.conf: what a row of the table of keys says about it, and how its text becomes a
 * value and the value text again. Knows the kinds of values; knows neither files nor which keys there are.
 */
#pragma once

#include <stdio.h>

#include "base.h"

typedef enum KeyKind {
        KEY_COUNT,       /* uint64_t */
        KEY_SIZE,        /* uint64_t, bytes */
        KEY_MEMORY,      /* uint64_t for value_memory; "50%" is of this machine's memory */
        KEY_TIME,        /* uint64_t, microseconds */
        KEY_PERCENT,     /* uint64_t, "200%" is 200 */
        KEY_BOOL,        /* bool */
        KEY_LEVEL,       /* int, a priority of syslog(3) */
        KEY_CHOICE,      /* int, the place of a word among the row's choices */
        KEY_STRING,      /* char *, NULL where empty */
        KEY_COMMAND,     /* char **, NULL where empty; the last line counts */
        KEY_ENVIRONMENT, /* char ** of K=V, NULL where empty; lines add up, an empty one starts over */
        KEY_SOURCES,     /* a RootConfig's sources; lines add up, an empty one starts over */
        KEY_USERS,       /* IdList; lines add up, an empty one starts over. This sets the words: whoever */
        KEY_GROUPS,      /* reads them looks up who that is */
} KeyKind;

/* What a key's offset counts from. */
typedef enum KeyOf {
        KEY_OF_DAEMON, /* Config */
        KEY_OF_USER,   /* Allowance; besides its own section, [User NAME] and [Group NAME] take it */
        KEY_OF_ROOT,   /* RootConfig; it stands in [Root NAME] */
} KeyOf;

#define VALUE_UNSET (UINT64_MAX - 1)

/* Of a KEY_MEMORY: bytes, of what may be a part of this machine's memory. */
uint64_t value_memory(uint64_t value);

typedef struct ConfigKey {
        const char *section, *name;
        KeyOf of;
        KeyKind kind;
        size_t offset;
        const char *default_text;
        uint64_t min, max; /* of a number; UINT64_MAX in max: "infinity" is taken too, and is UINT64_MAX */
        bool (*good)(const char *text); /* of a string that is not empty; NULL: any */
        const char *const *choices;     /* of a choice: its words, ended by NULL */
        const char *expects;            /* of a string or a choice: what is good, in words */
        const char *help;
        bool optional; /* a number that may be left empty: then it is VALUE_UNSET */
} ConfigKey;

/* base is the struct that key->offset counts from. -EINVAL: not such a value, -ERANGE: outside min..max. */
int value_set(const ConfigKey *key, void *base, const char *text);
/* Writes the lines NAME=VALUE that make this value again, whatever it was before them. */
void value_print(const ConfigKey *key, const void *base, FILE *to);
void value_free(const ConfigKey *key, void *base);
/* From one base to another. Of kinds that own no memory only. */
void value_copy(const ConfigKey *key, void *to, const void *from);
/* Writes what value_set takes, in words: "a size such as 512M, from 1M to infinity". */
void value_explain(const ConfigKey *key, FILE *to);
