/* What doctor sees of a machine, on trees that are made to be one. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor-machine.h"

static char directory[] = "/tmp/doctor-machine-XXXXXX";

static void put(const char *path, const char *text)
{
        _cleanup_free_ char *full = NULL;
        FILE *f;

        cr_assert(asprintf(&full, "%s/%s", directory, path) > 0);
        for (char *slash = full + sizeof(directory); (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                (void)mkdir(full, 0755);
                *slash = '/';
        }
        f = fopen(full, "w");
        cr_assert_not_null(f, "%s", full);
        fputs(text, f);
        fclose(f);
}

static void delete (const char *path)
{
        _cleanup_free_ char *full = NULL;

        cr_assert(asprintf(&full, "%s/%s", directory, path) > 0);
        cr_assert_eq(remove(full), 0, "%s", full);
}

static void put_namespaces(void)
{
        static const char *const kinds[] = { "mnt", "pid", "ipc", "uts", "cgroup", "net", "user" };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                char path[64];

                snprintf(path, sizeof(path), "proc/self/ns/%s", kinds[i]);
                put(path, "");
                snprintf(path, sizeof(path), "proc/sys/user/max_%s_namespaces", kinds[i]);
                put(path, "96365\n");
        }
}

/* A machine where all is well. */
static void set_up(void)
{
        cr_assert_not_null(mkdtemp(directory));
        put("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n");
        put("proc/sys/kernel/seccomp/actions_avail",
            "kill_process kill_thread trap errno user_notif trace log allow\n");
        put("proc/sys/vm/memfd_noexec", "1\n");
        put("proc/filesystems", "nodev\tsysfs\nnodev\ttmpfs\n\text4\nnodev\toverlay\n");
        put("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n"
                                   "31 1 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
        put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
        put("run/systemd/system/x", "");
        put_namespaces();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void tear_down(void)
{
        (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void probe(Machine *ret)
{
        _cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

        cr_assert_geq(fd, 0);
        machine_probe(fd, ret);
}

TestSuite(doctor_machine, .init = set_up, .fini = tear_down);

Test(doctor_machine, all_is_well)
{
        Machine m;

        probe(&m);
        cr_expect_str_eq(m.release, "6.1.0-13-amd64");
        cr_expect(m.major == 6 && m.minor == 1);
        cr_expect_eq(m.memfd_noexec, 1);
        cr_expect(m.seccomp);
        cr_expect_null(m.missing_namespace);
        cr_expect(m.user_namespaces);
        cr_expect_eq(m.max_user_namespaces, 96365);
        cr_expect_eq(m.overlay, OVERLAY_THERE);
        cr_expect_eq(m.cgroups, CGROUPS_V2);
        cr_expect_str_eq(m.controllers, "cpuset cpu io memory pids");
        cr_expect(m.systemd);
        machine_done(&m);
}

Test(doctor_machine, nothing_is_there)
{
        Machine m;

        tear_down();
        cr_assert_eq(mkdir(directory, 0755), 0);
        probe(&m);
        cr_expect_null(m.release);
        cr_expect_eq(m.memfd_noexec, -1);
        cr_expect_not(m.seccomp);
        cr_expect_str_eq(m.missing_namespace, "mnt");
        cr_expect_not(m.user_namespaces);
        cr_expect_eq(m.max_user_namespaces, -1);
        cr_expect_eq(m.overlay, OVERLAY_NONE);
        cr_expect_eq(m.cgroups, CGROUPS_NONE);
        cr_expect_null(m.controllers);
        cr_expect_not(m.systemd);
        machine_done(&m);
}

/* Some tools make its directory where it does not run. */
Test(doctor_machine, systemd_is_what_booted_and_not_what_is_installed)
{
        Machine m;

        delete ("run/systemd/system/x");
        delete ("run/systemd/system");
        probe(&m);
        cr_expect_not(m.systemd);
        machine_done(&m);
}

Test(doctor_machine, a_version_that_is_none)
{
        Machine m;

        put("proc/sys/kernel/osrelease", "next\n");
        probe(&m);
        cr_expect(m.major == 0 && m.minor == 0);
        machine_done(&m);
}

Test(doctor_machine, namespaces_that_are_off_or_not_built_in)
{
        Machine m;

        put("proc/sys/user/max_uts_namespaces", "0\n");
        put("proc/sys/user/max_user_namespaces", "0\n");
        probe(&m);
        cr_expect_str_eq(m.missing_namespace, "uts");
        cr_expect(m.user_namespaces);
        cr_expect_eq(m.max_user_namespaces, 0);
        machine_done(&m);
        delete ("proc/self/ns/pid");
        delete ("proc/self/ns/user");
        probe(&m);
        cr_expect_str_eq(m.missing_namespace, "pid");
        cr_expect_not(m.user_namespaces);
        machine_done(&m);
}

Test(doctor_machine, a_seccomp_without_what_the_filters_return)
{
        Machine m;

        put("proc/sys/kernel/seccomp/actions_avail", "kill_thread trap errno trace allow\n");
        probe(&m);
        cr_expect_not(m.seccomp);
        machine_done(&m);
}

Test(doctor_machine, an_overlay_that_is_a_module)
{
        Machine m;

        put("proc/filesystems", "nodev\tsysfs\nnodev\tmyoverlay\nnodev\toverlayx\n");
        probe(&m);
        cr_expect_eq(m.overlay, OVERLAY_NONE);
        machine_done(&m);
        put("lib/modules/6.1.0-13-amd64/modules.dep",
            "kernel/fs/overlayfs/overlay.ko.xz: kernel/lib/x.ko\n");
        probe(&m);
        cr_expect_eq(m.overlay, OVERLAY_MODULE);
        machine_done(&m);
        delete ("lib/modules/6.1.0-13-amd64/modules.dep");
        put("lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/fs/overlayfs/overlay.ko\n");
        probe(&m);
        cr_expect_eq(m.overlay, OVERLAY_MODULE);
        machine_done(&m);
}

Test(doctor_machine, cgroups_of_both_kinds)
{
        Machine m;

        put("proc/self/mountinfo", "31 1 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                                   "32 1 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                                   "33 1 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        put("sys/fs/cgroup/unified/cgroup.controllers", "\n");
        probe(&m);
        cr_expect_eq(m.cgroups, CGROUPS_HYBRID);
        cr_expect_str_eq(m.controllers, "");
        machine_done(&m);
        delete ("sys/fs/cgroup/unified/cgroup.controllers");
        probe(&m);
        cr_expect_eq(m.cgroups, CGROUPS_V1);
        cr_expect_null(m.controllers);
        machine_done(&m);
}
