/* What is lent as it is, and what goes through a pipe. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lend.h"
#include "value.h"

#define READING true
#define WRITING false

static void check_path(const char *path, int flags, bool reading, bool writing)
{
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

        cr_assert_geq(fd, 0, "%s", path);
        cr_expect_eq(lend_is_lendable(fd, READING), reading, "%s %x", path, (unsigned)flags);
        cr_expect_eq(lend_is_lendable(fd, WRITING), writing, "%s %x", path, (unsigned)flags);
}

Test(lend, files_the_right_way_round)
{
        char path[] = "/tmp/nsroot-test-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);

        cr_assert_geq(fd, 0);
        check_path(path, O_RDONLY, true, false);
        check_path(path, O_WRONLY, false, true);
        check_path(path, O_RDWR, true, true);
        check_path(path, O_PATH, false, false);
        unlink(path);
}

Test(lend, memory_devices)
{
        check_path("/dev/null", O_RDWR, true, true);
        check_path("/dev/null", O_WRONLY, false, true); /* what nohup(1) makes of stdin */
        check_path("/dev/zero", O_RDONLY, true, false);
        check_path("/dev/full", O_WRONLY, false, true);
        check_path("/dev/random", O_RDONLY, true, false);
        check_path("/dev/urandom", O_RDONLY, true, false);
}

Test(lend, not_everything)
{
        _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC);

        check_path("/", O_RDONLY, false, false);
        check_path("/dev/ptmx", O_RDWR | O_NOCTTY, false, false);
        cr_expect_not(lend_is_lendable(event, READING));
        cr_expect_not(lend_is_lendable(event, WRITING));
        cr_expect_not(lend_is_lendable(-1, READING));
}

Test(lend, pipes_sockets_and_terminals)
{
        int ends[2], sockets[2], master, slave;

        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        cr_expect(lend_is_lendable(ends[0], READING) && !lend_is_lendable(ends[0], WRITING));
        cr_expect(lend_is_lendable(ends[1], WRITING) && !lend_is_lendable(ends[1], READING));

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        cr_expect(lend_is_lendable(sockets[0], READING) && lend_is_lendable(sockets[0], WRITING));

        cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
        cr_expect(!lend_is_lendable(slave, READING) && !lend_is_lendable(slave, WRITING));
}

Test(lend, as_it_is)
{
        struct json_object *parameters = json_object_new_object();
        _cleanup_(fds_close) Fds fds = {};
        Relay relay;
        int ends[2];

        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
        cr_assert_eq(lend_standard(STDIN_FILENO, parameters, &fds, &relay), 0);
        cr_expect(relay.ended);
        cr_expect_eq(value_number(parameters, "standardInputFileDescriptor", -1), 0);
        cr_assert_eq(fds.n, 1);

        char c = 0;
        cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_expect_eq(read(fds.fd[0], &c, 1), 1);
        cr_expect_eq(c, 'x');
        cr_expect(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC);
        json_object_put(parameters);
}

Test(lend, through_a_pipe)
{
        struct json_object *parameters = json_object_new_object();
        _cleanup_(fds_close) Fds fds = {};
        int master, slave;
        Relay relay;

        cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
        cr_assert_eq(dup2(slave, STDOUT_FILENO), STDOUT_FILENO);
        cr_assert_eq(lend(open("/dev/null", O_RDONLY | O_CLOEXEC), "first", parameters, &fds), 0);
        cr_assert_eq(lend_standard(STDOUT_FILENO, parameters, &fds, &relay), 0);
        cr_expect_not(relay.ended);
        cr_expect_eq(value_number(parameters, "standardOutputFileDescriptor", -1), 1);

        /* What is lent can be lent, stays blocking, and leads to the relay. */
        cr_expect(lend_is_lendable(fds.fd[1], WRITING));
        cr_expect_not(fcntl(fds.fd[1], F_GETFL) & O_NONBLOCK);
        cr_expect_not(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
        cr_expect_eq(relay.to, STDOUT_FILENO);
        relay_done(&relay);
        json_object_put(parameters);
}

Test(lend, closed_ones_become_the_null_device)
{
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        cr_assert_eq(lend_fill_standard(), 0);
        cr_expect(lend_is_lendable(STDIN_FILENO, READING));
        cr_expect(lend_is_lendable(STDOUT_FILENO, WRITING));
        cr_expect_eq(read(STDIN_FILENO, &(char){ 0 }, 1), 0);
}
