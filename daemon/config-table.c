/* The table of keys. Knows where each value lies in Config and what may stand there; knows nothing of files.
 */
#include "config-table.h"
#include "config.h"

#define NAME_MAX_LENGTH 63

const char *const config_charges[] = { [CHARGE_USER] = "user", [CHARGE_CALLER] = "caller", NULL };

bool root_name_is_good(const char *name)
{
        static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
        static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

        return strspn(name, first) > 0 && name[strspn(name, rest)] == '\0' &&
               strlen(name) <= NAME_MAX_LENGTH;
}

static bool kind_is_good(const char *text)
{
        return streq(text, "busybox");
}

static bool control_group_is_good(const char *text)
{
        return text[0] == '/' && !strstr(text, "/..") && !strstr(text, "//");
}

static bool proxy_is_good(const char *text)
{
        static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };

        for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
                if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
                        return true;
        return false;
}

#define ROW(section, of, type, name, kind, member, ...)                                                     \
        {                                                                                                   \
                section, name, of, kind, offsetof(type, member), __VA_ARGS__                                \
        }
#define DAEMON(...)           ROW("Daemon", KEY_OF_DAEMON, Config, __VA_ARGS__)
#define SESSIONS(...)         ROW("Sessions", KEY_OF_DAEMON, Config, __VA_ARGS__)
#define POOL(...)             ROW("Pool", KEY_OF_DAEMON, Config, __VA_ARGS__)
#define ADMISSION(...)        ROW("Admission", KEY_OF_DAEMON, Config, __VA_ARGS__)
/* What one user may have. */
#define OF_USER(section, ...) ROW(section, KEY_OF_USER, Allowance, __VA_ARGS__)
#define LIMITS(...)           OF_USER("Limits", __VA_ARGS__)
/* A limit, and how much of it a session may ask for. */
#define LIMIT(id, name, stem, kind, text, lowest, highest, words)                                           \
        LIMITS(name, kind, limits.of[LIMIT_##id], text, lowest, highest, .help = words),                    \
                LIMITS(stem "Allowed", kind, allowed.of[LIMIT_##id], "", lowest, highest, .optional = true, \
                       .help = "The most a session may ask for in place of " name                           \
                               "=; nothing: as much as that.")
#define ROOT(...) ROW(SECTION_ROOT, KEY_OF_ROOT, RootConfig, __VA_ARGS__)

#define HOUR      (3600 * USEC_PER_SEC)
#define MANY      1000000
#define ANY       UINT64_MAX

/* clang-format off */
const ConfigKey config_keys[] = {
        OF_USER("Daemon", "ConnectionsPerUser", KEY_COUNT, connections_max, "128", 1, MANY,
               .help = "Connections a user may have that wait for no foreground session."),
        DAEMON("ConnectionsMax", KEY_COUNT, connections_max, "1024", 1, MANY,
               .help = "Connections of all users together."),
        DAEMON("ConnectionsKeptForRoot", KEY_COUNT, connections_kept_for_root, "32", 0, MANY,
               .help = "How many of ConnectionsMax= only root may use."),
        DAEMON("IdleTimeout", KEY_TIME, idle_usec, "45s", USEC_PER_SEC, ANY,
               .help = "A connection on which nothing is asked or awaited for this long is closed."),
        DAEMON("MessageTimeout", KEY_TIME, message_usec, "5s", 100 * USEC_PER_MSEC, HOUR,
               .help = "A message that has begun must be finished within this time."),
        DAEMON("UnreadOutputMax", KEY_SIZE, unread_output_max, "256K", 64 * KIB, 64 * MIB,
               .help = "Replies that may wait for a client to read them, before it is disconnected."),
        DAEMON("ControlGroup", KEY_STRING, control_group, "", .good = control_group_is_good,
               .expects = "a path below the cgroup2 mount such as /nsrootd.slice, beginning with /",
               .help = "The cgroup the sessions' cgroups are made in; empty: found by itself."),
        DAEMON("Proxy", KEY_STRING, proxy, "", .good = proxy_is_good,
               .expects = "a URL that begins with http://, https://, socks5:// or socks5h://",
               .help = "The proxy downloads go through; empty: none."),
        DAEMON("ConnectTimeout", KEY_TIME, connect_timeout_usec, "10s", USEC_PER_SEC, HOUR,
               .help = "How long one source of a root may take to answer before the next is tried."),
        DAEMON("StallTimeout", KEY_TIME, stall_timeout_usec, "30s", USEC_PER_SEC, HOUR,
               .help = "A download that stands still for this long is begun again from there."),
        DAEMON("DownloadTimeout", KEY_TIME, download_timeout_usec, "10min", USEC_PER_SEC, 24 * HOUR,
               .help = "How long one source may take in all."),
        DAEMON("DownloadAttempts", KEY_COUNT, download_attempts, "5", 1, 100,
               .help = "How often a source is tried whose download breaks, each time from where it broke."),
        DAEMON("LogLevel", KEY_LEVEL, log_level, "info",
               .help = "The least important messages that are logged."),

        OF_USER("Sessions", "SessionsPerUser", KEY_COUNT, sessions_max, "256", 1, MANY,
                 .help = "Sessions a user may have at once."),
        OF_USER("Sessions", "Charge", KEY_CHOICE, charge, "user", .choices = config_charges, .expects = "user or caller",
                 .help = "Whose control group a session is charged to: one of its user's, or that of the process that"
                         " asked for it."),
        SESSIONS("SessionsMax", KEY_COUNT, sessions_max, "2048", 1, 4096,
                 .help = "Sessions of all users together; no more than can be handed on to the next daemon."),
        OF_USER("Sessions", "StartsPerUser", KEY_COUNT, starts_max, "infinity", 1, ANY,
                .help = "Sessions a user may start within StartsInterval=."),
        SESSIONS("StartsInterval", KEY_TIME, starts_usec, "1min", USEC_PER_SEC, HOUR,
                 .help = "The time in which the starts are counted that StartsPerUser= is about."),
        SESSIONS("IdRangeFirst", KEY_COUNT, id_range_first, "524288", 524288, 1879048191,
                 .help = "The first of the host's uids and gids that sessions are given, 65536 each."),
        SESSIONS("IdRangeLast", KEY_COUNT, id_range_last, "1879048191", 524288, 1879048191,
                 .help = "The last of the host's uids and gids that sessions are given."),
        SESSIONS("DefaultRoot", KEY_STRING, default_root, "busybox", .good = root_name_is_good,
                 .expects = "the name of a root, such as busybox",
                 .help = "The root of a session that asks for none."),
        SESSIONS("StopTimeout", KEY_TIME, stop_timeout_usec, "10s", 0, HOUR,
                 .help = "How long a session that is stopped has between SIGTERM and SIGKILL."),
        SESSIONS("TimeLimitGrace", KEY_TIME, time_limit_grace_usec, "1s", 0, HOUR,
                 .help = "How long a session whose time is up has between SIGTERM and SIGKILL."),
        SESSIONS("Remember", KEY_TIME, remember_usec, "10min", 0, ANY,
                 .help = "How long a session that has ended can still be asked about."),
        SESSIONS("RememberMax", KEY_COUNT, remember_max, "1024", 0, MANY,
                 .help = "How many sessions that have ended are remembered at most."),

        LIMIT(MEMORY, "MemoryMax", "Memory", KEY_SIZE, "1G", MIB, ANY, "Memory of a session; it has no swap."),
        LIMIT(TASKS, "TasksMax", "Tasks", KEY_COUNT, "512", 2, ANY, "Processes and threads of a session."),
        LIMIT(CPU_QUOTA, "CpuQuota", "CpuQuota", KEY_PERCENT, "200%", 1, ANY,
              "Processor time of a session; 100% is one processor."),
        LIMITS("CpuWeight", KEY_COUNT, limits.of[LIMIT_CPU_WEIGHT], "100", 1, 10000,
               .help = "The share of a session among those of its user, where they want more processor time than"
                       " there is; a session may ask for another."),
        LIMITS("IoWeight", KEY_COUNT, limits.of[LIMIT_IO_WEIGHT], "100", 1, 10000,
               .help = "The same of disks, where the kernel shares those by weight (io.cost or BFQ)."),
        LIMIT(CPU_TIME, "CpuTimeMax", "CpuTime", KEY_TIME, "infinity", USEC_PER_MSEC, ANY,
              "Processor time that a session may use up in all, before it is ended."),
        LIMIT(RUNTIME, "RuntimeMax", "Runtime", KEY_TIME, "infinity", USEC_PER_MSEC, ANY,
              "How long a session may last, before it is ended."),
        LIMIT(STORAGE, "StorageMax", "Storage", KEY_SIZE, "512M", MIB, ANY,
              "What a session can write in its root, /tmp and /run together; it is memory."),
        LIMIT(STORAGE_INODES, "StorageInodes", "StorageInodes", KEY_COUNT, "65536", 1024, ANY,
              "Files and directories a session can have in its root, /tmp and /run together, and as many in /dev/shm."),
        LIMIT(SHARED_MEMORY, "SharedMemoryMax", "SharedMemory", KEY_SIZE, "16M", 64 * KIB, ANY,
              "The size of /dev/shm."),
        LIMIT(OPEN_FILES, "OpenFilesMax", "OpenFiles", KEY_COUNT, "4096", 16, MANY,
              "Descriptors of one process (RLIMIT_NOFILE)."),
        LIMIT(PROCESSES, "ProcessesMax", "Processes", KEY_COUNT, "512", 2, ANY,
              "Processes and threads of one user inside (RLIMIT_NPROC)."),
        LIMIT(LOCKED_MEMORY, "LockedMemoryMax", "LockedMemory", KEY_SIZE, "64K", 0, ANY,
              "Memory one process may lock (RLIMIT_MEMLOCK)."),
        LIMIT(FILE_SIZE, "FileSizeMax", "FileSize", KEY_SIZE, "infinity", 4 * KIB, ANY,
              "The size of one file (RLIMIT_FSIZE)."),
        LIMITS("OutputKept", KEY_SIZE, limits.of[LIMIT_OUTPUT_KEPT], "1M", 16 * KIB, 64 * MIB,
               .help = "How much of what a detached session prints is kept, the last of it."),
        LIMITS("MemoryPerUser", KEY_MEMORY, together.memory_max, "50%", MIB, ANY,
               .help = "Memory of all sessions of one user together."),
        LIMITS("TasksPerUser", KEY_COUNT, together.tasks_max, "4096", 2, ANY,
               .help = "Processes and threads of all sessions of one user together."),
        LIMITS("CpuQuotaPerUser", KEY_PERCENT, together.cpu_percent, "infinity", 1, ANY,
               .help = "Processor time of all sessions of one user together; 100% is one processor."),
        LIMITS("CpuWeightPerUser", KEY_COUNT, together.cpu_weight, "100", 1, 10000,
               .help = "A user's share among all users with sessions, where they want more processor time than there is."),
        LIMITS("IoWeightPerUser", KEY_COUNT, together.io_weight, "100", 1, 10000,
               .help = "The same of disks, where the kernel shares those by weight (io.cost or BFQ)."),

        POOL("SlotsPerUser", KEY_COUNT, pool_slots_per_user, "8", 0, 64,
             .help = "How many sessions are kept ready for a user at most: as many as that user has lately"
                     " started at about the same time. 0: every session is made when it is asked for."),
        POOL("MemoryMax", KEY_SIZE, pool_memory_max, "64M", MIB, ANY,
             .help = "Memory that all warm sessions together may take."),
        POOL("IdleTimeout", KEY_TIME, pool_idle_usec, "1min", USEC_PER_SEC, ANY,
             .help = "A warm session that nobody takes for this long is ended."),

        OF_USER("Admission", "Admit", KEY_BOOL, admit, "yes",
                .help = "Whether a regular user may connect. Root always may."),
        ADMISSION("AllowSystemUsers", KEY_BOOL, allow_system_users, "no",
                  .help = "Whether the system's own users (uids 1 to 999) may connect, too."),
        OF_USER("Admission", "ChangeRoots", KEY_BOOL, change_roots, "no",
                .help = "Whether a user may pull, verify, import and remove roots. Root always may."),

        ROOT("Kind", KEY_STRING, kind, "busybox", .good = kind_is_good, .expects = "busybox",
             .help = "What the root is made of: busybox, one static binary and a link for each of its applets."),
        ROOT("Source", KEY_SOURCES, sources, "",
             .help = "Where it comes from: a URL of http or https and the digest of what is there, sha256:DIGEST, or"
                     " file:/PATH of this machine. One a line, tried in this order; an empty line forgets those"
                     " above it. A last word names the architecture that a line is for, such as x86-64 or arm64; on"
                     " others that line is not used."),
        ROOT("Command", KEY_COMMAND, default_arguments, "",
             .help = "What runs in it when nothing is asked for; empty: /bin/sh."),
        ROOT("Environment", KEY_ENVIRONMENT, default_environment, "",
             .help = "NAME=VALUE words that are added to its environment; an empty line forgets those above it."),
        ROOT("Users", KEY_USERS, users, "",
             .help = "Users who may use it, by name or number; an empty line forgets those above it. Where neither"
                     " Users= nor Groups= names anybody, everybody may."),
        ROOT("Groups", KEY_GROUPS, groups, "",
             .help = "Groups whose members may use it, by name or number; an empty line forgets those above it."),
        { .name = NULL },
};
/* clang-format on */

const char *const config_architectures[] = {
        "x86-64",   "x86",       "arm64",    "arm64-be", "arm",         "arm-be",  "riscv64",
        "riscv32",  "ppc64",     "ppc64-le", "ppc",      "ppc-le",      "s390x",   "s390",
        "mips64",   "mips64-le", "mips",     "mips-le",  "loongarch64", "sparc64", "sparc",
        "parisc64", "parisc",    "alpha",    "ia64",     "m68k",        "sh64",    "sh",
        "tilegx",   "cris",      "arc",      "arc-be",   NULL,
};

const char config_architecture[] =
#if defined(__x86_64__)
        "x86-64";
#elif defined(__i386__)
        "x86";
#elif defined(__aarch64__) && defined(__AARCH64EB__)
        "arm64-be";
#elif defined(__aarch64__)
        "arm64";
#elif defined(__arm__) && defined(__ARM_BIG_ENDIAN)
        "arm-be";
#elif defined(__arm__)
        "arm";
#elif defined(__riscv) && __riscv_xlen == 64
        "riscv64";
#elif defined(__riscv)
        "riscv32";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
        "ppc64-le";
#elif defined(__powerpc64__)
        "ppc64";
#elif defined(__s390x__)
        "s390x";
#elif defined(__mips64) && defined(__MIPSEL__)
        "mips64-le";
#elif defined(__mips__) && defined(__MIPSEL__)
        "mips-le";
#elif defined(__loongarch64)
        "loongarch64";
#else
#error "Which of config_architectures is this machine's?"
#endif

const char root_builtin_name[] = "busybox";
const char *const root_builtin_sources[] = {
        "https://busybox.net/downloads/binaries/1.35.0-x86_64-linux-musl/busybox "
        "sha256:6e123e7f3202a8c1e9b1f94d8941580a25135382b99e8d3e34fb858bba311348 x86-64",
        "file:/bin/busybox",
        "file:/usr/bin/busybox",
        NULL,
};
