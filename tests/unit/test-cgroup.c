/* The pure parts by tables; the rest for real, in a cgroup that the test makes for itself and removes, where
 * this machine has cgroup v2 and lets us write there. Which controllers there are differs from machine to
 * machine: limits are compared where they are to be had, and that they are told apart from those that are
 * not is tested everywhere. */
#include "daemon/cgroup.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Test(cgroup, parse_mount)
{
        const struct {
                const char *line, *point;
        } table[] = {
                {"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
                 "/sys/fs/cgroup/unified"                                                                     },
                { "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 master:2 - cgroup2 cgroup2 "
                  "rw,nsdelegate\n",                                         "/sys/fs/cgroup"},
                { "41 31 0:38 / /a\\040b\\134 rw - cgroup2 none rw\n",                        "/a b\\"        },
                { "41 31 0:38 / /a\\04x rw - cgroup2 none rw\n",                              "/a\\04x"       },
                { "41 31 0:38 /system.slice /mnt rw - cgroup2 cgroup2 rw\n",                  NULL            },
                { "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n", NULL            },
                { "31 23 0:28 / /cgroup2 rw,relatime - tmpfs cgroup2 rw,mode=755\n",          NULL            },
                { "31 23 0:28 / /x rw\n",                                                     NULL            },
                { "",                                                                         NULL            },
                { " - cgroup2 x",                                                             NULL            },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *point = NULL;

                cr_expect_eq(cgroup_parse_mount(table[i].line, &point), table[i].point != NULL, "row %zu",
                             i);
                if (table[i].point)
                        cr_expect_str_eq(point, table[i].point);
        }
}

Test(cgroup, parse_own)
{
        const struct {
                const char *text, *path;
        } table[] = {
                {"0::/\n",                                    ""                             },
                { "0::/system.slice/nsrootd.service\n",       "/system.slice/nsrootd.service"},
                { "9:name=systemd:/\n4:memory:/x\n0::/a/b\n", "/a/b"                         },
                { "0::/a",                                    "/a"                           },
                { "4:memory:0::/x\n",                         NULL                           },
                { "1:cpu:/\n10::/x\n",                        NULL                           },
                { "0::\n",                                    NULL                           },
                { "",                                         NULL                           },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *path = NULL;

                cr_expect_eq(cgroup_parse_own(table[i].text, &path), table[i].path ? 0 : -EOPNOTSUPP,
                             "row %zu", i);
                if (table[i].path)
                        cr_expect_str_eq(path, table[i].path);
        }
}

Test(cgroup, parse_controllers)
{
        cr_expect_eq(cgroup_parse_controllers(""), 0);
        cr_expect_eq(cgroup_parse_controllers("\n"), 0);
        cr_expect_eq(cgroup_parse_controllers("cpuset cpu io memory hugetlb pids rdma misc\n"),
                     CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU | CGROUP_IO);
        cr_expect_eq(cgroup_parse_controllers("cpuset cpu"), CGROUP_CPU);
        cr_expect_eq(cgroup_parse_controllers("cpuset memoryx pid"), 0);
}

/* For real. */

static const GroupLimits limits = { 64 * MIB, 7, 150, 100, 100 };
static const GroupLimits no_limits = { LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, 100, 100 };
static const GroupLimits together = { 128 * MIB, 20, 175, 300, 100 };
static char mount_point[256];

/* Finds the mount without the code that is tested. */
static bool find_mount(void)
{
        FILE *f = popen("findmnt -nrt cgroup2 -o TARGET | head -1", "r");
        bool found = f && fgets(mount_point, sizeof mount_point, f);

        if (f)
                pclose(f);
        mount_point[strcspn(mount_point, "\n")] = '\0';
        return found;
}

static void path_of(char *to, size_t size, const char *cgroup, const char *file)
{
        cr_assert_lt(snprintf(to, size, "%s%s/%s", mount_point, cgroup, file), (int)size);
}

static bool is_there(const char *cgroup)
{
        char path[512];

        path_of(path, sizeof path, cgroup, "");
        return access(path, F_OK) == 0;
}

static void expect_file(const char *cgroup, const char *file, const char *expected)
{
        char path[512];
        _cleanup_free_ char *text = NULL;

        path_of(path, sizeof path, cgroup, file);
        cr_assert_eq(read_file_at(AT_FDCWD, path, 4096, &text, NULL), 0, "%s", path);
        cr_expect_str_eq(text, expected, "%s: %s", path, text);
}

/* A node of the test's own: by the way a daemon without a service manager finds it, or, with a path, there.
 */
static Cgroups *make_node_at(const char *path)
{
        Cgroups *c = NULL;
        char name[64];
        int r;

        if (geteuid() != 0)
                cr_skip_test("needs root");
        if (!find_mount())
                cr_skip_test("no cgroup v2 here");
        snprintf(name, sizeof name, "%snsroot-test-%d", path ? path : "", getpid());
        r = cgroups_new(path ? name : NULL, name, &c);
        if (r == -EOPNOTSUPP || r == -EROFS || r == -EACCES || r == -EPERM)
                cr_skip_test("cgroup v2 is not ours to write here");
        cr_assert_eq(r, 0, "%s", errno_text(r));
        return c;
}

static Cgroups *make_node(void)
{
        return make_node_at(NULL);
}

static Cgroup *make(Cgroups *c, uid_t uid, const char *id, const GroupLimits *l)
{
        Cgroup *g = NULL;
        int r = cgroup_new(c, uid, &together, id, l, &g);

        cr_assert_eq(r, 0, "%s", errno_text(r));
        return g;
}

/* A process in the cgroup that waits to be killed. */
static pid_t start_inside(const Cgroup *g)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                if (write_file_at(cgroup_fd(g), "cgroup.procs", "0") < 0)
                        _exit(1);
                raise(SIGSTOP);
                _exit(2);
        }
        cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
        return pid;
}

Test(cgroup, a_session_comes_and_goes)
{
        Cgroups *c = make_node();
        _cleanup_free_ char *node = strdup(cgroups_path(c));
        char user[300], session[320];
        Cgroup *a, *b;

        snprintf(user, sizeof user, "%s/user-1000", node);
        snprintf(session, sizeof session, "%s/abc234", user);
        cr_expect(is_there(node));
        cr_expect_not(is_there(user));
        a = make(c, 1000, "abc234", &limits);
        b = make(c, 1000, "other", &limits);
        cr_expect_str_eq(cgroup_path(a), session);
        cr_expect(is_there(session));
        cr_expect_eq(cgroup_new(c, 1000, &together, "abc234", &limits, &(Cgroup *){ NULL }), -EEXIST);
        expect_file(session, "cgroup.max.descendants", "0\n");
        cgroup_free(a);
        cr_expect_not(is_there(session));
        cr_expect(is_there(user), "the user has another");
        cgroup_free(b);
        cr_expect_not(is_there(user));
        cr_expect_eq(cgroups_sweep(c), 0);
        cgroups_free(c);
        cr_expect_not(is_there(node));
}

/* At the root, which alone may have both processes and children with controllers. */
Test(cgroup, limits_are_those_that_can_be_enforced)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node_at("/");
        _cleanup_(cgroup_freep) Cgroup *g = make(c, 1, "limits", &limits),
                                       *free = make(c, 1, "none", &no_limits);
        unsigned have = cgroups_controllers(c);
        uint64_t n = 4711;

        if (have & CGROUP_MEMORY) {
                expect_file(cgroup_path(g), "memory.max", "67108864\n");
                expect_file(cgroup_path(g), "memory.oom.group", "1\n");
                expect_file(cgroup_path(free), "memory.max", "max\n");
                cr_expect_eq(cgroup_oom_kills(g, &n), 0);
                cr_expect_eq(n, 0);
        } else {
                cr_expect_eq(cgroup_memory_peak(g, &n), -ENODATA);
                cr_expect_eq(cgroup_oom_kills(g, &n), -ENODATA);
        }
        if (have & CGROUP_PIDS) {
                expect_file(cgroup_path(g), "pids.max", "7\n");
                expect_file(cgroup_path(free), "pids.max", "max\n");
        } else {
                cr_expect_eq(cgroup_tasks_peak(g, &n), -ENODATA);
        }
        if (have & CGROUP_CPU) {
                expect_file(cgroup_path(g), "cpu.max", "150000 100000\n");
                expect_file(cgroup_path(free), "cpu.max", "max 100000\n");
        }
        if (!have)
                cr_expect_eq(n, 4711, "an output is untouched on failure");
}

Test(cgroup, names_are_checked)
{
        const char *const bad[] = { "",
                                    ".",
                                    "..",
                                    "../x",
                                    "a/b",
                                    "/a",
                                    "cgroup.procs",
                                    "a b",
                                    "a\n",
                                    "ä",
                                    "12345678901234567890123456789012345678901234567890123456789012345" };
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *g = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                cr_expect_eq(cgroup_new(c, 1000, &together, bad[i], &limits, &g), -EINVAL, "%s", bad[i]);
                cr_expect_null(g);
        }
        cr_expect_eq(cgroups_new(NULL, "../x", &(Cgroups *){ NULL }), -EINVAL);
}

Test(cgroup, kill)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        _cleanup_(cgroup_freep) Cgroup *g = make(c, 1000, "kill", &no_limits);
        pid_t a = start_inside(g), b = start_inside(g);
        int status, r = cgroup_kill(g);

        if (r == -EOPNOTSUPP) {
                kill(a, SIGKILL);
                kill(b, SIGKILL);
        } else {
                cr_expect_eq(r, 0);
        }
        for (int i = 0; i < 2; i++) {
                cr_assert_geq(wait(&status), 0);
                cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
}

Test(cgroup, what_is_busy_is_removed_later)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *busy = make(c, 1000, "busy", &no_limits), *idle = make(c, 1000, "idle", &no_limits);
        _cleanup_free_ char *path = strdup(cgroup_path(busy)),
                            *user = strndup(path, strlen(path) - strlen("/busy"));
        pid_t pid = start_inside(busy);

        cr_expect_null(cgroup_free(busy));
        cgroup_free(idle);
        cr_expect(is_there(path));
        cr_expect_eq(cgroups_sweep(c), 1);
        cr_expect_eq(cgroups_sweep(c), 1);
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_expect_eq(cgroups_sweep(c), 0);
        cr_expect_not(is_there(path));
        cr_expect_not(is_there(user));
}

/* The node of a daemon that was killed is taken over: what is empty goes, what is alive stays. */
Test(cgroup, what_an_earlier_daemon_left)
{
        Cgroups *first = make_node();
        Cgroup *dead = make(first, 1000, "dead", &no_limits),
               *alive = make(first, 1001, "alive", &no_limits);
        pid_t pid = start_inside(alive);
        _cleanup_(cgroups_freep) Cgroups *second = make_node();
        Cgroup *found, *none;

        cr_expect(is_there(cgroup_path(dead)), "until it was looked for");
        cr_assert_eq(cgroup_find(second, 1001, "alive", &found), 0);
        cr_expect_str_eq(cgroup_path(found), cgroup_path(alive));
        cr_expect_eq(cgroup_find(second, 1001, "dead", &none), -ENOENT);
        cgroup_leave(found);
        cgroups_tidy(second);
        cr_expect_not(is_there(cgroup_path(dead)));
        cr_expect(is_there(cgroup_path(alive)));
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cgroup_free(dead);
        cgroup_free(alive);
        cgroups_free(first);
}

/* As when it ends while there is no daemon. */
Test(cgroup, what_was_found_stays_until_it_is_freed_though_it_is_empty)
{
        Cgroups *first = make_node();
        Cgroup *left = make(first, 1000, "ended", &no_limits);
        _cleanup_(cgroups_freep) Cgroups *second = make_node();
        Cgroup *found;

        cr_assert_eq(cgroup_find(second, 1000, "ended", &found), 0);
        cgroups_tidy(second);
        cr_expect(is_there(cgroup_path(left)), "its session has yet to be told what it used");
        cgroup_free(found);
        cr_expect_not(is_there(cgroup_path(left)));
        cgroup_free(left);
        cgroups_free(first);
}

Test(cgroup, configured)
{
        _cleanup_(cgroups_freep) Cgroups *outer = make_node();
        const struct {
                const char *suffix;
                int r;
        } table[] = {
                {"",                          0      },
                { "/",                        0      },
                { "/made",                    0      },
                { "/made///",                 0      },
                { "/no/such",                 -ENOENT},
                { "/../../../../../../../..", -EXDEV },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(cgroups_freep) Cgroups *c = NULL;
                char path[300];

                snprintf(path, sizeof path, "%s%s", cgroups_path(outer), table[i].suffix);
                cr_expect_eq(cgroups_new(path, "unused", &c), table[i].r, "%s", path);
        }
        cr_expect(is_there(cgroups_path(outer)), "one that was there is not removed");
}

/* In the place of nsrootd-sessions.service, then of nsrootd.service beside it. */
Test(cgroup, units_of_systemd)
{
        _cleanup_(cgroups_freep) Cgroups *outer = make_node();
        const char *units[] = { "nsrootd-sessions.service", "nsrootd.service" };
        char path[512];

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                path_of(path, sizeof path, cgroups_path(outer), units[i]);
                cr_assert_eq(mkdir(path, 0755), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                pid_t pid = fork();
                int status;

                if (pid == 0) {
                        Cgroups *c;

                        path_of(path, sizeof path, cgroups_path(outer), units[i]);
                        strcat(path, "/cgroup.procs");
                        if (write_file_at(AT_FDCWD, path, "0") < 0)
                                _exit(1);
                        if (i == 0)
                                _exit(cgroup_hold() < 0 ? 2 : 0);
                        if (cgroups_new(NULL, "unused", &c) < 0)
                                _exit(3);
                        snprintf(path, sizeof path, "%s/%s", cgroups_path(outer), units[0]);
                        _exit(streq(cgroups_path(c), path) ? 0 : 4);
                }
                cr_assert_eq(waitpid(pid, &status, 0), pid);
                cr_expect_eq(status, 0, "%s: status 0x%x", units[i], status);
        }
        path_of(path, sizeof path, cgroups_path(outer), "nsrootd-sessions.service/holder");
        cr_expect_eq(rmdir(path), 0, "the holder is a leaf");
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                path_of(path, sizeof path, cgroups_path(outer), units[i]);
                cr_expect_eq(rmdir(path), 0);
        }
}

Test(cgroup, what_is_used)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *g = make(c, 1000, "used", &no_limits);
        pid_t pid = start_inside(g);
        CgroupUsage usage;

        cgroup_usage(g, &usage);
        cr_expect_neq(usage.cpu_usec, UINT64_MAX, "the kernel counts that without any controller");
        cr_expect_eq(usage.tasks, 1);
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cgroup_free(g);
}

Test(cgroup, frozen)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *g = make(c, 1000, "frozen", &no_limits);
        pid_t pid = start_inside(g);

        cr_assert_eq(cgroup_freeze(g, true), 0);
        cr_expect_eq(cgroup_kill(g), 0, "who is frozen can be killed");
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_assert_eq(cgroup_freeze(g, false), 0);
        cgroup_free(g);
}

/* Below one that is somebody else's: it may be gone, full, or of a kind that takes no processes. */
Test(cgroup, elsewhere)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *others = make(c, 1000, "others", &no_limits), *g, *found;
        char path[400], parent[320];
        pid_t pid;

        snprintf(parent, sizeof parent, "%s", cgroup_path(others));
        cr_expect_eq(cgroup_new_at(c, parent, "full", &g), -EAGAIN, "ours may have none below them");
        path_of(path, sizeof path, parent, "");
        cr_assert_eq(write_file_at(cgroup_fd(others), "cgroup.max.descendants", "max"), 0);
        cr_expect_eq(cgroup_new_at(c, "/nowhere", "a", &g), -ENOENT);
        cr_expect_eq(cgroup_new_at(c, "/../..", "a", &g), -EXDEV);
        cr_expect_eq(cgroup_new_at(c, parent, "../a", &g), -EINVAL);
        cr_expect_eq(cgroup_find_at(c, "relative/nsrootd-a", &g), -EINVAL);
        cr_assert_eq(cgroup_new_at(c, parent, "abc", &g), 0);
        cr_expect(cgroup_is_elsewhere(g) && !cgroup_is_elsewhere(others));
        snprintf(path, sizeof path, "%s/nsrootd-abc", parent);
        cr_expect_str_eq(cgroup_path(g), path);
        expect_file(path, "cgroup.max.descendants", "0\n");
        pid = start_inside(g);
        cr_expect_null(cgroup_leave(g));
        cr_assert_eq(cgroup_find_at(c, path, &found), 0);
        cgroups_tidy(c);
        cr_expect(is_there(path));
        cr_expect_eq(cgroup_kill(found), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cgroup_free(found);
        cr_expect_not(is_there(path));
        cr_expect(is_there(parent), "which is not ours to remove");
        cr_expect_eq(cgroup_find_at(c, path, &found), -ENOENT);
        cgroup_free(others);
}

Test(cgroup, what_is_kept_busy_elsewhere_is_left_after_a_while)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        char parent[256], path[300];
        Cgroup *g;
        pid_t pid;
        int n = 0;

        snprintf(parent, sizeof parent, "%s", cgroups_path(c));
        cr_assert_eq(cgroup_new_at(c, parent, "kept", &g), 0);
        snprintf(path, sizeof path, "%s", cgroup_path(g));
        pid = start_inside(g);
        cgroup_free(g);
        while (cgroups_sweep(c) > 0 && n < 1000)
                n++;
        cr_expect(n > 10 && n < 1000, "%d", n);
        cr_expect(is_there(path));
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        path_of(parent, sizeof parent, path, "");
        cr_expect_eq(rmdir(parent), 0);
}

Test(cgroup, below_threads_nothing_can_be)
{
        _cleanup_(cgroups_freep) Cgroups *c = make_node();
        Cgroup *others = make(c, 1000, "others", &no_limits), *g;

        cr_assert_eq(write_file_at(cgroup_fd(others), "cgroup.max.descendants", "max"), 0);
        cr_assert_eq(write_file_at(cgroup_fd(others), "cgroup.type", "threaded"), 0);
        cr_expect_eq(cgroup_new_at(c, cgroup_path(others), "a", &g), -EOPNOTSUPP);
        cgroup_free(others);
        cr_expect_eq(cgroups_sweep(c), 0, "and nothing is left of it");
}
