/* What doctor finds in what was seen and answered: of every check, every thing it can say. */
#include <criterion/criterion.h>
#include <json-c/json.h>

#include "build-config.h"
#include "doctor-checks.h"
#include "protocol.h"

#define HOST                                                                                                \
        "'host': {'version': '" NSROOT_VERSION "', 'kernel': '6.6', 'userNamespaces': true, "               \
        "'overlay': true, 'idmappedMounts': true, 'stateFilesystem': 'ext4', 'stateFreeBytes': "            \
        "1073741824, "                                                                                      \
        "'controlGroup': '/x', 'controllers': ['memory', 'pids', 'cpu', 'io'], "                            \
        "'descriptorStoreMax': 8192, 'sessions': 3, 'sessionsMax': 2048}"
#define ALLOWANCE                                                                                           \
        "'allowance': {'uid': 1000, 'sessions': 2, 'sessionsMax': 256, 'connectionsMax': 128, "             \
        "'changesRoots': false, 'roots': ['busybox', 'debian'], 'defaultRoot': 'busybox', "                 \
        "'limits': {'memoryMaxBytes': 1073741824, 'tasksMax': 512, 'cpuQuotaPercent': 200, "                \
        "'storageMaxBytes': 536870912, 'storageMaxInodes': 65536, 'openFilesMax': 4096}}"
#define DESCRIBED "{" HOST ", " ALLOWANCE "}"
#define INFO      "{'version': '" NSROOT_VERSION "'}"
#define ROOTS     "{'roots': [{'name': 'busybox', 'cached': true, 'sizeBytes': 2097152}]}"

/* What differs from a machine where all is well. Replies are JSON with ' for "; NULL: as there. "-": none.
 */
typedef struct Difference {
        Reach reach; /* REACH_NO_SOCKET is REACH_ANSWERS: see NO_ANSWER */
        const char *words, *socket;
        const char *info, *described, *roots;
        void (*change)(Evidence *e);
} Difference;

#define NO_ANSWER .info = "-", .described = "-", .roots = "-"

static struct json_object *parse(const char *text, const char *otherwise)
{
        _cleanup_free_ char *json = strdup(text ?: otherwise);
        struct json_object *o;

        if (streq(json, "-"))
                return NULL;
        for (char *c = json; (c = strchr(c, '\'')); c++)
                *c = '"';
        o = json_tokener_parse(json);
        cr_assert_not_null(o, "%s", json);
        return o;
}

static void evidence_init(Evidence *e, const Difference *d)
{
        *e = (Evidence){
                .socket = d->socket ?: SOCKET_PATH_DEFAULT,
                .machine = {.release = strdup("6.6.1-test"),
                            .major = 6,
                            .minor = 6,
                            .tmpfs_attributes = 1,
                            .memfd_noexec = 0,
                            .seccomp = true,
                            .user_namespaces = true,
                            .max_user_namespaces = 100,
                            .overlay = OVERLAY_THERE,
                            .cgroups = CGROUPS_V2,
                            .controllers = strdup("cpuset cpu io memory pids"),
                            .systemd = true },
                .units = { .known = true,
                            .installed = true,
                            .socket_state = strdup("active"),
                            .service_state = strdup("active"),
                            .listens = strdup(SOCKET_PATH_DEFAULT),
                            .descriptor_store_max = 8192},
                .daemon = { .reach = d->info && streq(d->info,                 "-") ? d->reach : REACH_ANSWERS,
                            .words = d->words ? strdup(d->words) : NULL,
                            .info = parse(d->info,             INFO),
                            .described = parse(d->described,  DESCRIBED),
                            .roots = parse(d->roots, ROOTS)},
        };
        if (d->change)
                d->change(e);
}

static void evidence_done(Evidence *e)
{
        machine_done(&e->machine);
        units_done(&e->units);
        daemon_answers_done(&e->daemon);
}

static void judge(const char *check, const Evidence *e, Finding *ret)
{
        for (size_t i = 0; i < checks_count(); i++) {
                cr_assert_eq(check_judge(i, e, ret), 0);
                if (streq(ret->check, check))
                        return;
                finding_done(ret);
        }
        cr_assert_fail("there is no check %s", check);
}

/* detail and advice: what has to be in them; advice NULL: there is none. */
static void expect(const char *check, Difference d, CheckStatus status, const char *detail,
                   const char *advice)
{
        Finding f;
        Evidence e;

        evidence_init(&e, &d);
        judge(check, &e, &f);
        cr_expect_eq(f.status, status, "%s: %d, %s", check, f.status, f.detail);
        cr_expect(strstr(f.detail ?: "", detail), "%s: %s: has no '%s'", check, f.detail, detail);
        cr_expect_eq(!f.advice, !advice, "%s: %s", check, f.advice);
        if (advice && f.advice)
                cr_expect(strstr(f.advice, advice), "%s: %s: has no '%s'", check, f.advice, advice);
        finding_done(&f);
        evidence_done(&e);
}
#define EXPECT_OK(check, detail, ...) expect(check, (Difference){ __VA_ARGS__ }, CHECK_OK, detail, NULL)
#define EXPECT_DEGRADED(check, detail, advice, ...)                                                         \
        expect(check, (Difference){ __VA_ARGS__ }, CHECK_DEGRADED, detail, advice)
#define EXPECT_MISSING(check, detail, advice, ...)                                                          \
        expect(check, (Difference){ __VA_ARGS__ }, CHECK_MISSING, detail, advice)
#define EXPECT_SKIPPED(check, ...) expect(check, (Difference){ __VA_ARGS__ }, CHECK_SKIPPED, "", NULL)

Test(doctor_checks, names_are_different_and_do_not_change)
{
        static const char *const names[] = {
                "daemon",          "version",         "kernel",         "namespaces",
                "user-namespaces", "seccomp",         "memfd-exec",     "tmpfs-attributes",
                "overlay",         "idmapped-mounts", "control-groups", "descriptor-store",
                "space",           "cache",           "sessions",       "connections",
                "limits",          "roots",
        };
        Evidence e;

        evidence_init(&e, &(Difference){});
        cr_assert_eq(checks_count(), ELEMENTSOF(names));
        for (size_t i = 0; i < checks_count(); i++) {
                Finding f;

                cr_assert_eq(check_judge(i, &e, &f), 0);
                cr_expect_str_eq(f.check, names[i]);
                cr_expect_eq(f.status, CHECK_OK, "%s: where all is well, all is ok", f.check);
                cr_expect_null(f.advice);
                finding_done(&f);
        }
        evidence_done(&e);
}

Test(doctor_checks, statuses_have_names)
{
        cr_expect_str_eq(check_status_name(CHECK_OK), "ok");
        cr_expect_str_eq(check_status_name(CHECK_DEGRADED), "degraded");
        cr_expect_str_eq(check_status_name(CHECK_MISSING), "missing");
        cr_expect_null(check_status_name(CHECK_SKIPPED));
}

/* -- the way to nsrootd */

static void no_systemd(Evidence *e)
{
        e->machine.systemd = false;
        units_done(&e->units);
}

static void not_installed(Evidence *e)
{
        units_done(&e->units);
        e->units.known = true;
}

static void not_started(Evidence *e)
{
        strcpy(e->units.socket_state, "failed");
        strcpy(e->units.service_state, "failed");
}

static void service_is_off(Evidence *e)
{
        free(e->units.service_state);
        e->units.service_state = strdup("inactive");
}

Test(doctor_checks, says_through_what_nsrootd_answers)
{
        EXPECT_OK("daemon", "which is nsrootd.socket's");
        EXPECT_OK("daemon", "nsrootd.socket has just started it", .change = service_is_off);
        EXPECT_OK("daemon", "nsrootd answers on /x", .socket = "/x");
        EXPECT_OK("daemon", "nsrootd answers on /run/nsrootd/varlink", .change = no_systemd);
}

Test(doctor_checks, says_how_to_start_it)
{
        EXPECT_MISSING("daemon", "there is no socket (nsrootd.socket is failed, nsrootd.service failed)",
                       "systemctl enable --now nsrootd.socket", NO_ANSWER, .change = not_started);
        EXPECT_MISSING("daemon", "there is no socket", "journalctl -u nsrootd", NO_ANSWER);
        EXPECT_MISSING("daemon", "there is no socket", "install nsrootd and its units", NO_ANSWER,
                       .change = not_installed);
        EXPECT_MISSING("daemon", "there is no socket", "'nsrootd --listen /run/nsrootd/varlink'", NO_ANSWER,
                       .change = no_systemd);
        EXPECT_MISSING("daemon", "/x: there is no socket", "'nsrootd --listen PATH", NO_ANSWER,
                       .socket = "/x");
        EXPECT_MISSING("daemon", "nobody listens", "systemctl", NO_ANSWER, .reach = REACH_STALE);
}

Test(doctor_checks, says_what_is_in_the_way)
{
        EXPECT_MISSING("daemon", "no permission", "0666", NO_ANSWER, .reach = REACH_NO_PERMISSION);
        EXPECT_MISSING("daemon", "no socket of nsrootd", "--socket", NO_ANSWER, .reach = REACH_NOT_A_SOCKET);
        EXPECT_MISSING("daemon", "cannot connect: why", "--socket", NO_ANSWER, .reach = REACH_CANNOT,
                       .words = "why");
        EXPECT_MISSING("daemon", "does not answer", "journalctl -u nsrootd", NO_ANSWER,
                       .reach = REACH_SILENT);
        EXPECT_MISSING("daemon", "does not answer", "its process", NO_ANSWER, .reach = REACH_SILENT,
                       .change = no_systemd);
        EXPECT_MISSING("daemon", "closed without an answer", "journalctl", NO_ANSWER, .reach = REACH_CLOSED);
        EXPECT_MISSING("daemon", "is not nsrootd", "--socket", NO_ANSWER, .reach = REACH_STRANGE);
        EXPECT_MISSING("daemon", "does not serve you: why (rule x)", "ask the administrator", NO_ANSWER,
                       .reach = REACH_REFUSED, .words = "why (rule x)");
}

Test(doctor_checks, compares_versions)
{
        EXPECT_OK("version", "both " NSROOT_VERSION);
        EXPECT_DEGRADED("version", "nsrootd is 9.9, nsrootctl " NSROOT_VERSION, "restart",
                        .info = "{'version': '9.9'}");
        EXPECT_DEGRADED("version", "of no known version", "restart", .info = "{}");
        EXPECT_DEGRADED("version", "does not describe itself", "restart", .described = "-");
        EXPECT_SKIPPED("version", NO_ANSWER);
}

static void store_of_none(Evidence *e)
{
        e->units.descriptor_store_max = 0;
}

static void store_not_said(Evidence *e)
{
        e->units.descriptor_store_max = -1;
}

Test(doctor_checks, knows_who_keeps_descriptors)
{
        EXPECT_OK("descriptor-store", "up to 8192");
        EXPECT_OK("descriptor-store", "up to 8192", .described = "{'host': {}}");
        EXPECT_DEGRADED("descriptor-store", "ends all sessions",
                        "FileDescriptorStoreMax=", .described = "{'host': {'descriptorStoreMax': 0}}");
        EXPECT_DEGRADED("descriptor-store", "ends all sessions",
                        "FileDescriptorStoreMax=", .described = "{'host': {}}", .change = store_of_none);
        EXPECT_SKIPPED("descriptor-store", .described = "{'host': {}}", .change = store_not_said);
        EXPECT_SKIPPED("descriptor-store", .described = "{'host': {}}", .socket = "/x");
        EXPECT_SKIPPED("descriptor-store", NO_ANSWER);
}

/* -- the kernel */

static void linux_5_15(Evidence *e)
{
        e->machine.major = 5;
        e->machine.minor = 15;
}

static void linux_unknown(Evidence *e)
{
        e->machine.major = e->machine.minor = 0;
}

static void linux_6_1(Evidence *e)
{
        e->machine.minor = 1;
        e->machine.tmpfs_attributes = 0;
        e->machine.memfd_noexec = -1;
}

static void no_memfd(Evidence *e)
{
        e->machine.memfd_noexec = 2;
        e->machine.tmpfs_attributes = -1;
}

static void no_seccomp(Evidence *e)
{
        e->machine.seccomp = false;
}

static void no_pid_namespaces(Evidence *e)
{
        e->machine.missing_namespace = "pid";
}

Test(doctor_checks, judges_the_kernel)
{
        EXPECT_OK("kernel", "Linux 6.6.1-test (6.1 is needed)");
        EXPECT_OK("kernel", "Linux", .change = linux_6_1);
        EXPECT_MISSING("kernel", "needs 6.1", "newer kernel", .change = linux_5_15);
        EXPECT_SKIPPED("kernel", .change = linux_unknown);
        EXPECT_DEGRADED("tmpfs-attributes", "2 MiB more", "Linux 6.6", .change = linux_6_1);
        EXPECT_SKIPPED("tmpfs-attributes", .change = no_memfd);
        EXPECT_OK("memfd-exec", "came with 6.3", .change = linux_6_1);
        EXPECT_MISSING("memfd-exec", "vm.memfd_noexec is 2", "sysctl", .change = no_memfd);
        EXPECT_MISSING("seccomp", "no command is started", "CONFIG_SECCOMP_FILTER", .change = no_seccomp);
        EXPECT_MISSING("namespaces", "no pid namespace", "user.max_pid_namespaces",
                       .change = no_pid_namespaces);
}

static void no_user_namespaces(Evidence *e)
{
        e->machine.user_namespaces = false;
}

static void none_allowed(Evidence *e)
{
        e->machine.max_user_namespaces = 0;
}

static void none_known(Evidence *e)
{
        e->machine.max_user_namespaces = -1;
}

#define WITHOUT(obstacle) "{'host': {'userNamespaces': false, 'userNamespacesObstacle': '" obstacle "'}}"

Test(doctor_checks, knows_by_what_user_namespaces_are_off)
{
        EXPECT_OK("user-namespaces", "nsrootd may make them", .change = none_known);
        EXPECT_OK("user-namespaces", "allows 100", NO_ANSWER);
        EXPECT_DEGRADED("user-namespaces", "user.max_user_namespaces=0: a session has one uid", "sysctl",
                        .described = WITHOUT("sysctl"));
        EXPECT_DEGRADED("user-namespaces", "the kernel has none", "CONFIG_USER_NS",
                        .described = WITHOUT("kernel"));
        EXPECT_DEGRADED("user-namespaces", "nsrootd may not make them", "security module",
                        .described = WITHOUT("forbidden"));
        EXPECT_DEGRADED("user-namespaces", "nsrootd may not make them", "security module",
                        .described = WITHOUT("something new"));
        EXPECT_DEGRADED("user-namespaces", "nsrootd may not make them", "security module",
                        .described = "{'host': {'userNamespaces': false}}");
        EXPECT_DEGRADED("user-namespaces", "user.max_user_namespaces=0", "sysctl", NO_ANSWER,
                        .change = none_allowed);
        EXPECT_DEGRADED("user-namespaces", "the kernel has none", "CONFIG_USER_NS", NO_ANSWER,
                        .change = no_user_namespaces);
        EXPECT_SKIPPED("user-namespaces", NO_ANSWER, .change = none_known);
}

static void overlay_is_a_module(Evidence *e)
{
        e->machine.overlay = OVERLAY_MODULE;
}

static void no_overlay(Evidence *e)
{
        e->machine.overlay = OVERLAY_NONE;
}

Test(doctor_checks, knows_what_an_overlay_saves)
{
        EXPECT_OK("overlay", "the kernel has it", .change = no_overlay);
        EXPECT_OK("overlay", "the kernel has it", NO_ANSWER);
        EXPECT_OK("overlay", "a module", NO_ANSWER, .change = overlay_is_a_module);
        EXPECT_DEGRADED("overlay", "2 MiB more", "modprobe", NO_ANSWER, .change = no_overlay);
        EXPECT_DEGRADED("overlay", "2 MiB more", "modprobe",
                        .described = "{'host': {'overlay': false, 'idmappedMounts': true}}");
}

Test(doctor_checks, names_the_filesystem_that_cannot_be_mapped)
{
        EXPECT_OK("idmapped-mounts", "ext4 can be mounted");
        EXPECT_DEGRADED("idmapped-mounts", "directory's overlay cannot", "state directory",
                        .described = "{'host': {'idmappedMounts': false, 'stateFilesystem': 'overlay'}}");
        EXPECT_SKIPPED("idmapped-mounts", .described = "{'host': {'userNamespaces': false}}");
        EXPECT_SKIPPED("idmapped-mounts", NO_ANSWER);
}

/* -- limits */

static void hybrid(Evidence *e)
{
        e->machine.cgroups = CGROUPS_HYBRID;
        e->machine.controllers[0] = '\0';
}

static void no_cgroups(Evidence *e)
{
        e->machine.cgroups = CGROUPS_NONE;
        free(e->machine.controllers);
        e->machine.controllers = NULL;
}

static void similar_controllers(Evidence *e)
{
        strcpy(e->machine.controllers, "cpuset pids memory");
}

Test(doctor_checks, names_what_is_not_limited)
{
        EXPECT_OK("control-groups", "nsrootd limits sessions by memory, pids, cpu");
        EXPECT_OK("control-groups", "this machine has cgroup v2 with memory, pids, cpu", NO_ANSWER);
        EXPECT_DEGRADED("control-groups", "may not use all of cgroup v2: no limits of processor time by",
                        "run nsrootd as nsrootd.service",
                        .described = "{'host': {'controlGroup': '/x', 'controllers': ['pids', 'memory']}}");
        EXPECT_DEGRADED("control-groups",
                        "may not use all of cgroup v2: no limits of memory, tasks, processor time",
                        "ControlGroup=", .described = "{'host': {'controllers': []}}");
        EXPECT_DEGRADED("control-groups",
                        "mixes cgroup v1 and v2: no limits of memory, tasks, processor time",
                        "unified_cgroup_hierarchy", NO_ANSWER, .change = hybrid);
        EXPECT_DEGRADED("control-groups", "no limits of processor time", "unified_cgroup_hierarchy",
                        NO_ANSWER, .change = similar_controllers);
        EXPECT_DEGRADED("control-groups", "has no cgroups", "cgroup_no_v1", NO_ANSWER, .change = no_cgroups);
}

Test(doctor_checks, counts_sessions)
{
        EXPECT_OK("sessions", "you have 2 of 256, this machine 3 of 2048");
        EXPECT_MISSING("sessions", "no session", "ask",
                       .described = "{'host': {'sessionsMax': 9}, 'allowance': {'sessionsMax': 0}}");
        EXPECT_DEGRADED(
                "sessions", "you have 4 of 4", "nsrootctl stop",
                .described = "{'host': {'sessionsMax': 9}, 'allowance': {'sessions': 4, 'sessionsMax': 4}}");
        EXPECT_DEGRADED(
                "sessions", "this machine has 9 of 9", "SessionsMax=",
                .described = "{'host': {'sessions': 9, 'sessionsMax': 9}, 'allowance': {'sessionsMax': 4}}");
        EXPECT_SKIPPED("sessions", NO_ANSWER);
}

Test(doctor_checks, lists_the_limits_that_hold)
{
        EXPECT_OK("connections", "128");
        EXPECT_SKIPPED("connections", NO_ANSWER);
        EXPECT_OK(
                "limits",
                "at most 1.0G of memory, 512 tasks, 200% of a processor, 512.0M of storage, 65536 files in "
                "it, 4096 descriptors in one process");
        EXPECT_OK(
                "limits", "at most files of 1.0K",
                .described =
                        "{'host': {'controllers': []}, 'allowance': {'limits': {'memoryMaxBytes': 1048576, "
                        "'tasksMax': 5, 'fileSizeMaxBytes': 1024}}}");
        EXPECT_OK("limits", "what this machine has",
                  .described = "{'host': {}, 'allowance': {'limits': {}}}");
        EXPECT_SKIPPED("limits", NO_ANSWER);
}

/* -- roots */

Test(doctor_checks, measures_the_space_that_is_left)
{
        EXPECT_OK("space", "1.0G free");
        EXPECT_DEGRADED("space", "may not fit", "make room",
                        .described = "{'host': {'stateFreeBytes': 67108863}}");
        EXPECT_MISSING("space", "0B free", "make room", .described = "{'host': {'stateFreeBytes': 0}}");
        EXPECT_SKIPPED("space", .described = "{'host': {}}");
}

Test(doctor_checks, lists_what_is_cached)
{
        EXPECT_OK("cache", "cached: busybox (2.0M)");
        EXPECT_DEGRADED("cache", "not cached: a, c, which the first run has to wait for; cached: b",
                        "root pull",
                        .roots = "{'roots': [{'name': 'a', 'cached': false}, {'name': 'b', 'cached': true}, "
                                 "{'name': 'c', 'cached': false}]}");
        EXPECT_MISSING("cache", "no root is configured", "[Root NAME]", .roots = "{'roots': []}");
        EXPECT_SKIPPED("cache", .roots = "{}");
        EXPECT_SKIPPED("cache", NO_ANSWER);
}

Test(doctor_checks, says_which_roots_the_caller_may_use)
{
        EXPECT_OK("roots",
                  "you may use busybox, debian; busybox is taken where none is named; others change them");
        EXPECT_OK("roots", "you may change them",
                  .described = "{'allowance': {'roots': ['a'], 'defaultRoot': 'a', 'changesRoots': true}}");
        EXPECT_DEGRADED("roots", "you may use b, but not a", "--root",
                        .described = "{'allowance': {'roots': ['b'], 'defaultRoot': 'a'}}");
        EXPECT_MISSING("roots", "no root", "ask",
                       .described = "{'allowance': {'roots': [], 'defaultRoot': 'a'}}");
        EXPECT_SKIPPED("roots", NO_ANSWER);
}

/* -- answers that are not as they should be */

Test(doctor_checks, nothing_is_ok_that_was_not_answered)
{
        static const char *const strange[] = {
                "{}",
                "[]",
                "3",
                "{'host': 3, 'allowance': []}",
                "{'host': {}, 'allowance': {}}",
                "{'host': {'userNamespaces': 'yes', 'overlay': 1, 'idmappedMounts': "
                "'no', 'stateFreeBytes': 'much', 'controllers': 3}, 'allowance': "
                "{'roots': 'all', 'limits': 1, 'connectionsMax': '9'}}"
        };
        static const char *const asked[] = { "idmapped-mounts", "space",  "sessions",
                                             "connections",     "limits", "roots" };

        for (size_t i = 0; i < ELEMENTSOF(strange); i++)
                for (size_t k = 0; k < ELEMENTSOF(asked); k++)
                        EXPECT_SKIPPED(asked[k], .described = strange[i]);
}
