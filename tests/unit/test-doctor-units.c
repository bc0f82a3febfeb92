/* What systemctl says of nsrootd's units. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "doctor-units.h"

static void parse(const char *text, Units *ret)
{
        _cleanup_free_ char *copy = strdup(text);

        units_parse(copy, ret);
}

Test(doctor_units, both_are_there)
{
        Units u;

        parse("Listen=/run/nsrootd/varlink (Stream)\nLoadState=loaded\nActiveState=active\n\n"
              "FileDescriptorStoreMax=8192\nLoadState=loaded\nActiveState=inactive\n",
              &u);
        cr_expect(u.known && u.installed);
        cr_expect_str_eq(u.socket_state, "active");
        cr_expect_str_eq(u.service_state, "inactive");
        cr_expect_str_eq(u.listens, "/run/nsrootd/varlink");
        cr_expect_eq(u.descriptor_store_max, 8192);
        units_done(&u);
}

Test(doctor_units, neither_is_installed)
{
        Units u;

        parse("LoadState=not-found\nActiveState=inactive\n\nFileDescriptorStoreMax=0\nLoadState=not-found\n"
              "ActiveState=inactive\n",
              &u);
        cr_expect(u.known);
        cr_expect_not(u.installed);
        cr_expect_null(u.listens);
        units_done(&u);
}

Test(doctor_units, no_answer_is_not_known)
{
        Units u;

        parse("", &u);
        cr_expect_not(u.known);
        cr_expect_not(u.installed);
        cr_expect_null(u.socket_state);
        cr_expect_eq(u.descriptor_store_max, -1);
        units_done(&u);
}

Test(doctor_units, no_systemctl_is_not_known)
{
        Units u;

        setenv("PATH", "/nowhere", 1);
        units_probe(&u);
        cr_expect_not(u.known);
        units_done(&u);
}

/* A systemctl of the test's own, the first in PATH. */
static void put_systemctl(char *directory, const char *script)
{
        char path[64];
        FILE *f;

        cr_assert_not_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/systemctl", directory);
        f = fopen(path, "w");
        cr_assert_not_null(f);
        fprintf(f, "#!/bin/sh\n%s\n", script);
        fclose(f);
        cr_assert_eq(chmod(path, 0755), 0);
        setenv("PATH", directory, 1);
}

static void remove_systemctl(const char *directory)
{
        char path[64];

        snprintf(path, sizeof(path), "%s/systemctl", directory);
        (void)unlink(path);
        (void)rmdir(directory);
}

Test(doctor_units, asks_for_both_and_reads_all_of_the_answer)
{
        char directory[] = "/tmp/doctor-units-XXXXXX";
        Units u;

        put_systemctl(directory,
                      "test \"$1 $7 $8\" = 'show nsrootd.socket nsrootd.service' || exit 1\n"
                      "echo ActiveState=failed; /bin/sleep .1; echo; echo ActiveState=activating");
        units_probe(&u);
        cr_expect_str_eq(u.socket_state ?: "", "failed");
        cr_expect_str_eq(u.service_state ?: "", "activating");
        units_done(&u);
        remove_systemctl(directory);
}

Test(doctor_units, one_that_hangs_is_not_waited_for, .timeout = 30)
{
        char directory[] = "/tmp/doctor-units-XXXXXX";
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        Units u;

        put_systemctl(directory, "echo ActiveState=active; exec /bin/sleep 100");
        units_probe(&u);
        cr_expect_lt(now_usec(CLOCK_MONOTONIC) - begin, 20 * USEC_PER_SEC);
        cr_expect_str_eq(u.socket_state ?: "", "active");
        units_done(&u);
        remove_systemctl(directory);
}
