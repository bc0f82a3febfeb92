/* What the daemon sees of its machine. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host.h"

Test(host, a_mount_is_found_by_its_id)
{
        static const char line[] = "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw";
        _cleanup_free_ char *type = host_parse_mount(line, 27);

        cr_expect_str_eq(type ?: "", "ext4");
        cr_expect_null(host_parse_mount(line, 2));
        cr_expect_null(host_parse_mount(line, 1));
        cr_expect_null(host_parse_mount("27 1 254:0 / /x rw", 27));
        cr_expect_null(host_parse_mount("", 0));
}

static Host *new_host(int fd)
{
        Host *h;

        cr_assert_eq(host_new(fd, &h), 0);
        return h;
}

static int64_t descriptor_store(const char *socket, const char *max)
{
        _cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        HostFacts facts;
        Host *h;

        (void)(socket ? setenv("NOTIFY_SOCKET", socket, 1) : unsetenv("NOTIFY_SOCKET"));
        (void)(max ? setenv("FDSTORE", max, 1) : unsetenv("FDSTORE"));
        h = new_host(fd);
        host_look(h, &facts);
        host_free(h);
        return facts.descriptor_store_max;
}

Test(host, knows_whether_somebody_keeps_descriptors_and_how_many_only_where_it_is_told)
{
        cr_expect_eq(descriptor_store(NULL, NULL), 0);
        cr_expect_eq(descriptor_store(NULL, "5"), 0);
        cr_expect_eq(descriptor_store("/run/systemd/notify", NULL), HOST_UNKNOWN);
        cr_expect_eq(descriptor_store("/run/systemd/notify", "many"), HOST_UNKNOWN);
        cr_expect_eq(descriptor_store("/run/systemd/notify", "8192"), 8192);
        cr_expect_eq(descriptor_store("/run/systemd/notify", "0"), 0);
}

Test(host, tells_filesystems_apart)
{
        static const struct {
                const char *path, *type;
        } there[] = {
                {"/proc",     "proc" },
                { "/sys",     "sysfs"},
                { "/dev/shm", "tmpfs"},
        };

        for (size_t i = 0; i < ELEMENTSOF(there); i++) {
                _cleanup_close_ int fd = open(there[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                HostFacts facts;
                Host *h = new_host(fd);

                host_look(h, &facts);
                cr_expect_str_eq(facts.state_filesystem, there[i].type);
                host_free(h);
        }
}

Test(host, measures_and_names)
{
        _cleanup_close_ int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        HostFacts facts;
        struct utsname kernel;
        struct statfs s;
        Host *h = new_host(fd);

        host_look(h, &facts);
        cr_assert(uname(&kernel) == 0 && fstatfs(fd, &s) == 0);
        cr_expect_str_eq(facts.kernel, kernel.release);
        cr_expect_leq(facts.state_free, (uint64_t)s.f_blocks * (uint64_t)s.f_bsize);
        cr_expect_gt(facts.state_free, 0);
        host_free(h);
}

Test(host, a_directory_that_is_none_has_no_known_space_nor_type)
{
        HostFacts facts;
        Host *h = new_host(-EBADF);

        host_look(h, &facts);
        cr_expect_eq(facts.state_free, UINT64_MAX);
        cr_expect_str_eq(facts.state_filesystem, "filesystem of no known type");
        cr_expect_neq(facts.idmapped_mounts, 1);
        host_free(h);
}
