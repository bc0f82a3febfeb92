/* See doctor-checks.h. */
#include "doctor-checks.h"

#include <stdarg.h>
#include <stdio.h>

#include "build-config.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

#define KERNEL_MAJOR    6
#define KERNEL_MINOR    1 /* of the oldest that is supported */
#define SPACE_LOW       (64 * MIB)
#define SPACE_NONE      (4 * MIB) /* what the smallest root takes, and some metadata */

#define COPIED          "the root is copied to memory for each session: some milliseconds and 2 MiB more"
#define LOOK_AT         "see 'systemctl status nsrootd' and 'journalctl -u nsrootd'"
#define ASK_FOR_CHANGES "ask the administrator of this machine: nsrootd.conf(5)"

/* -- what a check finds */

static void find(Finding *f, CheckStatus status, const char *advice, const char *format, ...) _printf_(4, 5);

static void find(Finding *f, CheckStatus status, const char *advice, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        f->status = status;
        if (vasprintf(&f->detail, format, arguments) < 0)
                f->detail = NULL;
        f->advice = advice ? strdup(advice) : NULL;
        va_end(arguments);
}

#define ok(f, ...)               find(f, CHECK_OK, NULL, __VA_ARGS__)
#define degraded(f, advice, ...) find(f, CHECK_DEGRADED, advice, __VA_ARGS__)
#define missing(f, advice, ...)  find(f, CHECK_MISSING, advice, __VA_ARGS__)

/* Words with commas between them; the caller's. NULL: out of memory. */
typedef struct Words {
        FILE *stream;
        char *text;
        size_t size, n;
} Words;

static bool words_begin(Words *w)
{
        *w = (Words){};
        w->stream = open_memstream(&w->text, &w->size);
        return w->stream != NULL;
}

static void words_add(Words *w, const char *format, ...) _printf_(2, 3);

static void words_add(Words *w, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        fputs(w->n++ > 0 ? ", " : "", w->stream);
        vfprintf(w->stream, format, arguments);
        va_end(arguments);
}

static char *words_end(Words *w)
{
        if (fclose(w->stream) == 0)
                return w->text;
        free(w->text);
        return NULL;
}

/* -- what was answered */

static struct json_object *host(const Evidence *e)
{
        return value_object(e->daemon.described, "host");
}

static struct json_object *allowance(const Evidence *e)
{
        return value_object(e->daemon.described, "allowance");
}

static const char *item(struct json_object *list, size_t index)
{
        struct json_object *o = json_object_array_get_idx(list, index);

        return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
}

static size_t length(struct json_object *list)
{
        return list ? json_object_array_length(list) : 0;
}

/* Whether this nsrootd is the one whose units systemd told of. */
static bool is_of_units(const Evidence *e)
{
        return e->units.listens && streq(e->units.listens, e->socket);
}

/* -- the way to nsrootd */

static const char *how_to_start(const Evidence *e)
{
        bool named = !streq(e->socket, SOCKET_PATH_DEFAULT);

        if (named && !is_of_units(e))
                return "start it there, as root, with 'nsrootd --listen PATH --state-dir DIR', or name "
                       "another "
                       "socket with --socket";
        if (!e->machine.systemd)
                return "start it as root with 'nsrootd --listen " SOCKET_PATH_DEFAULT
                       "', or name another socket with --socket";
        if (e->units.known && !e->units.installed)
                return "install nsrootd and its units, then 'systemctl daemon-reload' and 'systemctl enable "
                       "--now nsrootd.socket'";
        return "start it with 'systemctl start nsrootd.socket' ('systemctl enable' for every boot); if that "
               "does "
               "not help, " LOOK_AT;
}

static const char *how_to_revive(const Evidence *e)
{
        return e->machine.systemd ? LOOK_AT
                                  : "look at its log and at the state of its process, or start it again";
}

/* " (nsrootd.socket is inactive)", where that is known. */
static const char *unit_words(const Evidence *e, char *buffer, size_t size)
{
        buffer[0] = '\0';
        if (e->units.installed && e->units.socket_state && e->units.service_state)
                snprintf(buffer, size, " (nsrootd.socket is %s, nsrootd.service %s)", e->units.socket_state,
                         e->units.service_state);
        return buffer;
}

/* What each of them means; "%s" is the socket. The advice is static, or depends on the machine. */
static const struct {
        const char *words;
        const char *(*how)(const Evidence *e);
        const char *advice;
} ways[] = {
        [REACH_NO_SOCKET] = {"there is no socket",                                               how_to_start,  NULL                               },
        [REACH_STALE] = { "nobody listens on the socket: an nsrootd that has ended left it", how_to_start,
                             NULL                                                                                                                  },
        [REACH_NO_PERMISSION] = { "no permission to use the socket",                                 NULL,
                             "ask the administrator: the socket has mode 0666, in directories that all "
                             "may "
                                  "pass"                                                                                                           },
        [REACH_NOT_A_SOCKET] = { "what is there is no socket of nsrootd",                           NULL,
                             "name another socket with --socket"                                                                                   },
        [REACH_CANNOT] = { "cannot connect",                                                  NULL,          "name another socket with --socket"},
        [REACH_SILENT] = { "somebody listens, but does not answer",                           how_to_revive, NULL                               },
        [REACH_CLOSED] = { "the connection is closed without an answer",                      how_to_revive, NULL                               },
        [REACH_STRANGE] = { "what answers is not nsrootd",                                     NULL,          "name another socket with --socket"},
        [REACH_REFUSED] = { "nsrootd answers, and does not serve you",                         NULL,          ASK_FOR_CHANGES                    },
};

static void judge_reached(const Evidence *e, Finding *f)
{
        const char *state = is_of_units(e) ? e->units.service_state : NULL;

        if (!state)
                ok(f, "nsrootd answers on %s", e->socket);
        else if (streq(state, "active"))
                ok(f, "nsrootd answers on %s, as nsrootd.service", e->socket);
        else
                ok(f, "nsrootd answers on %s: nsrootd.socket has just started it", e->socket);
}

static void judge_daemon(const Evidence *e, Finding *f)
{
        Reach reach = e->daemon.reach;
        char units[96];

        if (reach == REACH_ANSWERS) {
                judge_reached(e, f);
                return;
        }
        missing(f, ways[reach].how ? ways[reach].how(e) : ways[reach].advice, "%s: %s%s%s%s", e->socket,
                ways[reach].words, e->daemon.words ? ": " : "", e->daemon.words ?: "",
                unit_words(e, units, sizeof(units)));
}

static void judge_version(const Evidence *e, Finding *f)
{
        const char *version = value_text(e->daemon.info, "version");

        if (e->daemon.reach != REACH_ANSWERS)
                return;
        if (!version || !streq(version, NSROOT_VERSION))
                degraded(
                        f,
                        "restart nsrootd ('systemctl restart nsrootd', which ends all sessions), or use the "
                        "nsrootctl of its release",
                        "nsrootd is %s and nsrootctl " NSROOT_VERSION
                        ": what one of them knows, the other may not",
                        version ?: "of no known version");
        else if (!e->daemon.described)
                degraded(f, "restart nsrootd, as it may be older than its file",
                         "nsrootd %s does not describe itself: the checks that need it are left out",
                         version);
        else
                ok(f, "nsrootd and nsrootctl are both " NSROOT_VERSION);
}

/* -- the kernel */

static bool kernel_is_at_least(const Machine *m, unsigned major, unsigned minor)
{
        return m->major > major || (m->major == major && m->minor >= minor);
}

static void judge_kernel(const Evidence *e, Finding *f)
{
        const Machine *m = &e->machine;

        if (!m->release || m->major == 0)
                return;
        if (kernel_is_at_least(m, KERNEL_MAJOR, KERNEL_MINOR))
                ok(f, "Linux %s (%d.%d is needed)", m->release, KERNEL_MAJOR, KERNEL_MINOR);
        else
                missing(f, "boot a newer kernel", "Linux %s: nsrootd needs %d.%d", m->release, KERNEL_MAJOR,
                        KERNEL_MINOR);
}

static void judge_tmpfs_attributes(const Evidence *e, Finding *f)
{
        if (e->machine.tmpfs_attributes > 0)
                ok(f, "a tmpfs keeps what an overlay has to remember (since Linux 6.6)");
        else if (e->machine.tmpfs_attributes == 0)
                degraded(f, "boot Linux 6.6 or newer",
                         "a tmpfs does not keep what an overlay has to remember (Linux 6.6 does): " COPIED);
}

static void judge_memfd_exec(const Evidence *e, Finding *f)
{
        if (e->machine.memfd_noexec >= 2)
                missing(f, "set it to 1 ('sysctl vm.memfd_noexec=1', and in /etc/sysctl.d)",
                        "vm.memfd_noexec is %ld: nsrootd cannot execute its sealed copy of nsroot-init",
                        (long)e->machine.memfd_noexec);
        else if (e->machine.memfd_noexec >= 0)
                ok(f, "programs can be executed from sealed memory (vm.memfd_noexec is %ld)",
                   (long)e->machine.memfd_noexec);
        else
                ok(f,
                   "nothing forbids to execute programs from sealed memory (vm.memfd_noexec came with 6.3)");
}

static void judge_seccomp(const Evidence *e, Finding *f)
{
        if (e->machine.seccomp)
                ok(f, "the kernel takes seccomp filters");
        else
                missing(f, "boot a kernel with CONFIG_SECCOMP_FILTER",
                        "the kernel does not take seccomp filters, without which no command is started");
}

static void judge_namespaces(const Evidence *e, Finding *f)
{
        const char *kind = e->machine.missing_namespace;
        char advice[128];

        if (!kind) {
                ok(f, "the kernel has all other kinds that a session is made of");
                return;
        }
        snprintf(advice, sizeof(advice),
                 "boot a kernel that has them, or raise user.max_%s_namespaces with sysctl", kind);
        missing(f, advice, "no %s namespace can be made: there can be no sessions", kind);
}

/* What only concerns ordinary users (kernel.unprivileged_userns_clone, AppArmor's restriction) does not
 * concern nsrootd, which is root. */
static void judge_user_namespaces(const Evidence *e, Finding *f)
{
        const Machine *m = &e->machine;
        bool asked = host(e) != NULL;
        bool has = asked ? value_flag(host(e), "userNamespaces")
                         : m->user_namespaces && m->max_user_namespaces > 0;

        if (!asked && m->user_namespaces && m->max_user_namespaces < 0)
                return;
        if (has)
                ok(f, "%s", asked ? "nsrootd may make them" : "this machine has them");
        else if (!m->user_namespaces)
                missing(f, "boot a kernel with CONFIG_USER_NS",
                        "the kernel does not have them: there can be no sessions");
        else
                missing(f,
                        "allow some: 'sysctl user.max_user_namespaces=15000', and the same in a file of "
                        "/etc/sysctl.d",
                        "they are switched off, by user.max_user_namespaces=0: there can be no sessions");
}

/* Where the root is copied, no overlay is mounted. */
static bool needs_overlay(const Evidence *e)
{
        return e->machine.tmpfs_attributes != 0 && (!host(e) || value_flag(host(e), "idmappedMounts"));
}

static void judge_overlay(const Evidence *e, Finding *f)
{
        static const char advice[] = "'modprobe overlay', or boot a kernel that has it";
        bool has = host(e) ? value_flag(host(e), "overlay") : e->machine.overlay != OVERLAY_NONE;

        if (has && !host(e) && e->machine.overlay == OVERLAY_MODULE)
                ok(f, "there is a module of it, which is loaded when it is first used");
        else if (has)
                ok(f, "the kernel has it");
        else if (needs_overlay(e))
                missing(f, advice, "the kernel does not have it: no session can be set up");
        else
                degraded(f, advice, "the kernel does not have it: " COPIED);
}

static void judge_idmapped_mounts(const Evidence *e, Finding *f)
{
        struct json_object *h = host(e), *unused;
        _cleanup_free_ char *filesystem = text_escape(value_text(h, "stateFilesystem") ?: "filesystem");

        if (!h || !json_object_object_get_ex(h, "idmappedMounts", &unused))
                return;
        if (value_flag(h, "idmappedMounts"))
                ok(f, "the state directory's %s can be mounted with other owners", filesystem);
        else
                degraded(f,
                         "put the state directory (" STATE_DIR_DEFAULT
                         ", or --state-dir) on ext4, xfs or btrfs, or on a tmpfs of Linux 6.3 or newer",
                         "the state directory's %s cannot be mounted with other owners: " COPIED,
                         filesystem);
}

/* -- control groups and the service manager */

/* What is not limited without each. */
static const struct {
        const char *controller, *resource;
} controllers[] = {
        {"memory", "memory"        },
        { "pids",  "tasks"         },
        { "cpu",   "processor time"},
};

static const char *how_to_get_controllers(const Evidence *e)
{
        if (e->machine.cgroups == CGROUPS_V2)
                return "run nsrootd as nsrootd.service, or let it have a group by ControlGroup= of "
                       "nsrootd.conf";
        return "boot with 'systemd.unified_cgroup_hierarchy=1' ('cgroup_no_v1=all' without systemd), for "
               "cgroup v2";
}

static const char *cgroups_words(MachineCgroups c)
{
        static const char *const words[] = {
                [CGROUPS_NONE] = "this machine has no cgroups",
                [CGROUPS_V1] = "this machine has cgroup v1 only",
                [CGROUPS_HYBRID] = "this machine mixes cgroup v1 and v2",
                [CGROUPS_V2] = "this machine has cgroup v2",
        };

        return words[c];
}

static bool has_controller(const Evidence *e, const char *controller)
{
        struct json_object *list = value_array(host(e), "controllers");
        const char *text = e->machine.controllers ?: "";
        size_t n = strlen(controller);

        for (size_t i = 0; host(e) && i < length(list); i++)
                if (streq(item(list, i), controller))
                        return true;
        for (const char *at = text; !host(e) && (at = strstr(at, controller)); at += n)
                if ((at == text || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' '))
                        return true;
        return false;
}

/* Which of those that matter are there, or what is not limited for want of the others. */
static char *list_controllers(const Evidence *e, bool there)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++)
                if (has_controller(e, controllers[i].controller) == there)
                        words_add(&w, "%s", there ? controllers[i].controller : controllers[i].resource);
        return words_end(&w);
}

static void judge_control_groups(const Evidence *e, Finding *f)
{
        _cleanup_free_ char *there = list_controllers(e, true), *unlimited = list_controllers(e, false);
        bool asked = host(e) != NULL;
        bool has =
                asked ? value_text(host(e), "controlGroup") != NULL : e->machine.cgroups >= CGROUPS_HYBRID;

        if (!there || !unlimited)
                return;
        if (has && !*unlimited)
                ok(f, "%s %s", asked ? "sessions are limited by" : "cgroup v2, with", there);
        else
                degraded(f, how_to_get_controllers(e),
                         "%s%s: no limits of %s by control group%s; rlimits and the limit of storage hold",
                         cgroups_words(e->machine.cgroups),
                         asked && e->machine.cgroups == CGROUPS_V2 ? ", but nsrootd may not use it" : "",
                         unlimited, *there ? " for all of a session" : "");
}

/* What nsrootd knows of it, and what systemd says of its unit; -1: nobody knows. */
static int64_t descriptor_store_max(const Evidence *e)
{
        int64_t max = value_number(host(e), "descriptorStoreMax", -1);

        return max < 0 && is_of_units(e) ? e->units.descriptor_store_max : max;
}

static void judge_descriptor_store(const Evidence *e, Finding *f)
{
        int64_t max = host(e) ? descriptor_store_max(e) : -1;

        if (max > 0)
                ok(f, "the service manager keeps up to %ld descriptors for nsrootd", (long)max);
        else if (max == 0)
                degraded(f,
                         "run nsrootd as nsrootd.service, and with FileDescriptorStoreMax= as it is in its "
                         "unit",
                         "no service manager keeps descriptors for nsrootd: a restart of it ends all "
                         "sessions");
}

/* -- the cache */

static void judge_space(const Evidence *e, Finding *f)
{
        int64_t bytes = value_number(host(e), "stateFreeBytes", -1);
        _cleanup_free_ char *size = bytes >= 0 ? text_size((uint64_t)bytes) : NULL;
        static const char advice[] = "make room in the state directory (" STATE_DIR_DEFAULT
                                     ", or --state-dir), or remove roots with 'nsrootctl root remove'";

        if (!size)
                return;
        if ((uint64_t)bytes < SPACE_NONE)
                missing(f, advice, "%s free in the state directory: no root can be made", size);
        else if ((uint64_t)bytes < SPACE_LOW)
                degraded(f, advice, "%s free in the state directory: a root may not fit", size);
        else
                ok(f, "%s free in the state directory", size);
}

/* All roots that are cached, or all that are not. */
static char *list_roots(struct json_object *roots, bool cached)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < length(roots); i++) {
                struct json_object *root = json_object_array_get_idx(roots, i);
                int64_t bytes = value_number(root, "sizeBytes", -1);
                _cleanup_free_ char *size = bytes >= 0 ? text_size((uint64_t)bytes) : NULL;

                if (value_flag(root, "cached") == cached)
                        words_add(&w, "%s%s%s%s", value_text(root, "name") ?: "?", size ? " (" : "",
                                  size ?: "", size ? ")" : "");
        }
        return words_end(&w);
}

static void judge_cache(const Evidence *e, Finding *f)
{
        struct json_object *roots = value_array(e->daemon.roots, "roots");
        _cleanup_free_ char *there = list_roots(roots, true), *others = list_roots(roots, false);

        if (!roots || !there || !others)
                return;
        if (length(roots) == 0)
                missing(f, "write a section [Root NAME] into nsrootd.conf", "no root is configured");
        else if (*others)
                degraded(f, "get it now, as root, with 'nsrootctl root pull NAME'",
                         "not cached: %s, which the first run has to wait for%s%s", others,
                         *there ? "; cached: " : "", there);
        else
                ok(f, "cached: %s", there);
}

/* -- what the policy allows the caller */

static void judge_sessions(const Evidence *e, Finding *f)
{
        long own = (long)value_number(allowance(e), "sessions", 0);
        long own_max = (long)value_number(allowance(e), "sessionsMax", -1);
        long all = (long)value_number(host(e), "sessions", 0);
        long all_max = (long)value_number(host(e), "sessionsMax", -1);

        if (own_max < 0 || all_max < 0)
                return;
        if (own_max == 0)
                missing(f, ASK_FOR_CHANGES, "you may have no session");
        else if (own >= own_max)
                degraded(f, "end one: 'nsrootctl list', 'nsrootctl stop ID'",
                         "you have %ld of %ld sessions: there can be no more of yours", own, own_max);
        else if (all >= all_max)
                degraded(f, "try again later, or raise SessionsMax= of nsrootd.conf",
                         "this machine has %ld of %ld sessions: there can be no more", all, all_max);
        else
                ok(f, "you have %ld of %ld, this machine %ld of %ld", own, own_max, all, all_max);
}

static void judge_connections(const Evidence *e, Finding *f)
{
        long max = (long)value_number(allowance(e), "connectionsMax", -1);

        if (max >= 0)
                ok(f, "you may have %ld at a time, and one more for each session", max);
}

/* Those that need a controller hold where nsrootd has it. */
static const struct {
        const char *key, *before, *after, *controller;
        bool is_size;
} limits[] = {
        {"memoryMaxBytes",    "",          " of memory",                  "memory", true },
        { "tasksMax",         "",          " tasks",                      "pids",   false},
        { "cpuQuotaPercent",  "",          "% of a processor",            "cpu",    false},
        { "storageMaxBytes",  "",          " of storage",                 NULL,     true },
        { "storageMaxInodes", "",          " files in it",                NULL,     false},
        { "fileSizeMaxBytes", "files of ", "",                            NULL,     true },
        { "openFilesMax",     "",          " descriptors in one process", NULL,     false},
};

static void add_limit(Words *w, size_t i, int64_t value)
{
        _cleanup_free_ char *size = limits[i].is_size ? text_size((uint64_t)value) : NULL;

        if (limits[i].is_size)
                words_add(w, "%s%s%s", limits[i].before, size ?: "?", limits[i].after);
        else
                words_add(w, "%s%ld%s", limits[i].before, (long)value, limits[i].after);
}

static char *list_limits(const Evidence *e)
{
        struct json_object *own = value_object(allowance(e), "limits");
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                int64_t value = value_number(own, limits[i].key, -1);

                if (value >= 0 && (!limits[i].controller || has_controller(e, limits[i].controller)))
                        add_limit(&w, i, value);
        }
        return words_end(&w);
}

static void judge_limits(const Evidence *e, Finding *f)
{
        _cleanup_free_ char *words = list_limits(e);

        if (!value_object(allowance(e), "limits") || !words)
                return;
        ok(f, "a session of yours has at most %s", *words ? words : "what this machine has");
}

static char *list_texts(struct json_object *list)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < length(list); i++)
                words_add(&w, "%s", item(list, i));
        return words_end(&w);
}

static bool has_text(struct json_object *list, const char *text)
{
        for (size_t i = 0; i < length(list); i++)
                if (streq(item(list, i), text))
                        return true;
        return false;
}

static void judge_roots(const Evidence *e, Finding *f)
{
        struct json_object *roots = value_array(allowance(e), "roots");
        const char *first = value_text(allowance(e), "defaultRoot");
        const char *changes =
                value_flag(allowance(e), "changesRoots") ? "you may change them" : "others change them";
        _cleanup_free_ char *words = list_texts(roots);

        if (!roots || !first || !words)
                return;
        if (length(roots) == 0)
                missing(f, ASK_FOR_CHANGES, "you may use no root");
        else if (!has_text(roots, first))
                degraded(f, "name one: 'nsrootctl run --root NAME'",
                         "you may use %s, but not %s, which is taken where none is named; %s", words, first,
                         changes);
        else
                ok(f, "you may use %s; %s is taken where none is named; %s", words, first, changes);
}

/* -- the table */

static const struct {
        const char *name;
        void (*judge)(const Evidence *e, Finding *f);
} checks[] = {
        {"daemon",            judge_daemon          },
        { "version",          judge_version         },
        { "kernel",           judge_kernel          },
        { "namespaces",       judge_namespaces      },
        { "user-namespaces",  judge_user_namespaces },
        { "seccomp",          judge_seccomp         },
        { "memfd-exec",       judge_memfd_exec      },
        { "tmpfs-attributes", judge_tmpfs_attributes},
        { "overlay",          judge_overlay         },
        { "idmapped-mounts",  judge_idmapped_mounts },
        { "control-groups",   judge_control_groups  },
        { "descriptor-store", judge_descriptor_store},
        { "space",            judge_space           },
        { "cache",            judge_cache           },
        { "sessions",         judge_sessions        },
        { "connections",      judge_connections     },
        { "limits",           judge_limits          },
        { "roots",            judge_roots           },
};

size_t checks_count(void)
{
        return ELEMENTSOF(checks);
}

int check_judge(size_t number, const Evidence *e, Finding *ret)
{
        *ret = (Finding){ .check = checks[number].name };
        checks[number].judge(e, ret);
        return ret->status != CHECK_SKIPPED && !ret->detail ? -ENOMEM : 0;
}

void finding_done(Finding *f)
{
        free(f->detail);
        free(f->advice);
        *f = (Finding){};
}

const char *check_status_name(CheckStatus s)
{
        static const char *const names[] = {
                [CHECK_OK] = "ok", [CHECK_DEGRADED] = "degraded", [CHECK_MISSING] = "missing"
        };

        return names[s];
}
