/* The limits that a run asks for: their options, and what they are in the call. */
#pragma once

#include "failure.h"
#include "options.h"

struct json_object;

/* As they were typed; NULL where nothing was. */
typedef struct AskedLimits {
        const char *memory, *tasks, *cpu, *cpu_weight, *io_weight, *cpu_time, *timeout, *storage, *inodes;
        const char *shared_memory, *file_size, *open_files, *processes, *locked_memory;
} AskedLimits;

/* Rows of a table of options, for a member of that type. */
#define ASK_LIMITS_OPTIONS(type, member)                                                                    \
        OPTION_ROW_TEXT(0, "timeout", "TIME", type, member.timeout, "end it after so long, such as 10s"),   \
                OPTION_ROW_TEXT(0, "cpu-time", "TIME", type, member.cpu_time,                               \
                                "end it when it has used so much processor time"),                          \
                OPTION_ROW_TEXT(0, "memory", "SIZE", type, member.memory, "its memory, such as 256M"),      \
                OPTION_ROW_TEXT(0, "tasks", "NUMBER", type, member.tasks, "its processes and threads"),     \
                OPTION_ROW_TEXT(0, "cpu", "PERCENT", type, member.cpu,                                      \
                                "its processor time, such as 50%; 100% is one processor"),                  \
                OPTION_ROW_TEXT(0, "cpu-weight", "NUMBER", type, member.cpu_weight,                         \
                                "its share among your sessions, 1 to 10000 (default: 100)"),                \
                OPTION_ROW_TEXT(0, "io-weight", "NUMBER", type, member.io_weight, "the same of disks"),     \
                OPTION_ROW_TEXT(0, "storage", "SIZE", type, member.storage,                                 \
                                "what it can write in its root, /tmp and /run"),                            \
                OPTION_ROW_TEXT(0, "inodes", "NUMBER", type, member.inodes,                                 \
                                "how many files it can have there"),                                        \
                OPTION_ROW_TEXT(0, "shm", "SIZE", type, member.shared_memory, "the size of /dev/shm"),      \
                OPTION_ROW_TEXT(0, "file-size", "SIZE", type, member.file_size, "the size of one file"),    \
                OPTION_ROW_TEXT(0, "open-files", "NUMBER", type, member.open_files,                         \
                                "descriptors of one process"),                                              \
                OPTION_ROW_TEXT(0, "processes", "NUMBER", type, member.processes,                           \
                                "processes and threads of one user inside"),                                \
                OPTION_ROW_TEXT(0, "locked-memory", "SIZE", type, member.locked_memory,                     \
                                "memory that one process may lock")

/* Adds the object `limits`, if there are any. -EREMOTEIO with *f: something that was typed is no such value;
 * -ENOMEM. */
int ask_limits(const AskedLimits *asked, struct json_object *parameters, Failure *f);
