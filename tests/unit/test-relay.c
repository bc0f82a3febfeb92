/* Copying between descriptors in a poll loop: ends of files, readers that leave, ends that recover. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "relay.h"

#define NOTHING (-EBADF)

typedef struct Pipe {
        int out, in; /* to read from, to write to */
} Pipe;

static Pipe make_pipe(void)
{
        int ends[2];

        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        return (Pipe){ ends[0], ends[1] };
}

static void ignore_sigpipe(void)
{
        signal(SIGPIPE, SIG_IGN);
}

TestSuite(relay, .init = ignore_sigpipe, .timeout = 30);

/* One turn of a loop; the timeout that the relay asked for. */
static int turn(Relay *r, int timeout_ms)
{
        struct pollfd p[2];
        int wanted = -1;

        relay_prepare(r, p, &wanted);
        cr_assert_geq(poll(p, 2, wanted < 0 ? timeout_ms : MIN(wanted, timeout_ms)), 0);
        relay_run(r, p);
        return wanted;
}

static void expect_readable(int fd, const char *expected)
{
        char buffer[256];
        ssize_t n = read(fd, buffer, sizeof(buffer));

        cr_assert_eq((size_t)n, strlen(expected));
        cr_expect_arr_eq(buffer, expected, strlen(expected));
}

Test(relay, copies_and_passes_the_end_on)
{
        Pipe from = make_pipe(), to = make_pipe();
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        relay_init(&r, from.out, to.in, to.in, NOTHING);
        cr_assert_eq(write(from.in, "a\0b", 3), 3);
        turn(&r, 1000);
        char buffer[8];
        cr_assert_eq(read(to.out, buffer, sizeof(buffer)), 3);
        cr_expect_arr_eq(buffer, "a\0b", 3);

        close(from.in);
        turn(&r, 1000);
        cr_expect(r.ended);
        cr_expect_eq(read(to.out, buffer, sizeof(buffer)), 0);
}

Test(relay, ends_when_nobody_reads_before_it_takes_anything)
{
        Pipe from = make_pipe(), to = make_pipe();
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        relay_init(&r, from.out, to.in, to.in, NOTHING);
        close(to.out);
        turn(&r, 1000);
        cr_expect(r.ended);
        cr_assert_eq(write(from.in, "x", 1), 1);
        expect_readable(from.out, "x");
}

Test(relay, lets_the_writer_know_that_nobody_reads)
{
        Pipe from = make_pipe(), to = make_pipe();
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        relay_init(&r, from.out, to.in, from.out, NOTHING);
        close(to.out);
        turn(&r, 1000);
        cr_expect(r.ended);
        cr_expect_eq(write(from.in, "x", 1), -1);
        cr_expect_eq(errno, EPIPE);
}

Test(relay, keeps_what_cannot_be_written_yet)
{
        Pipe from = make_pipe(), to = make_pipe();
        char page[4096] = {};
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        fcntl(to.in, F_SETFL, O_NONBLOCK);
        while (write(to.in, page, sizeof(page)) > 0)
                ;
        relay_init(&r, from.out, to.in, to.in, NOTHING);
        cr_assert_eq(write(from.in, "late", 4), 4);
        turn(&r, 100);
        cr_assert_eq(write(from.in, "r", 1), 1);
        turn(&r, 100);
        fcntl(to.out, F_SETFL, O_NONBLOCK);
        while (read(to.out, page, sizeof(page)) > 0)
                ;
        turn(&r, 1000);
        expect_readable(to.out, "late");
        turn(&r, 1000);
        expect_readable(to.out, "r");
}

Test(relay, one_that_has_ended_waits_for_nothing)
{
        struct pollfd p[2];
        int wanted = -1;
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        relay_init(&r, NOTHING, NOTHING, NOTHING, NOTHING);
        relay_done(&r);
        relay_insert(&r, "x", 1);
        cr_expect(relay_is_empty(&r), "there is nobody to pass it on to");
        relay_prepare(&r, p, &wanted);
        cr_expect_eq(p[0].fd, -1);
        cr_expect_eq(p[1].fd, -1);
        cr_expect_eq(wanted, -1);
}

Test(relay, a_pty_whose_slave_comes_back)
{
        Pipe to = make_pipe();
        int master, slave;
        char name[64];
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        cr_assert_eq(openpty(&master, &slave, name, NULL, NULL), 0);
        cr_assert_eq(ioctl(master, FIONBIO, &(int){ 1 }), 0);
        relay_init(&r, master, to.in, NOTHING, master);
        close(slave);
        turn(&r, 1000);
        cr_expect_not(r.ended);
        cr_expect_geq(turn(&r, 10), 0, "it must ask to be called again, not spin");

        slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        cr_assert_eq(write(slave, "again", 5), 5);
        turn(&r, 1000);
        turn(&r, 1000);
        expect_readable(to.out, "again");
}

Test(relay, drains_what_is_there)
{
        Pipe from = make_pipe(), to = make_pipe();
        char big[20000], copy[20000];
        size_t got = 0;
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        memset(big, 'x', sizeof(big));
        relay_init(&r, from.out, to.in, from.out, NOTHING);
        cr_assert_eq(write(from.in, big, sizeof(big)), sizeof(big));
        relay_drain(&r);
        cr_expect_not(r.ended, "the writer is still there");
        while (got < sizeof(copy)) {
                ssize_t n = read(to.out, copy + got, sizeof(copy) - got);

                cr_assert_gt(n, 0);
                got += (size_t)n;
        }
        cr_expect_arr_eq(big, copy, sizeof(big));
        close(from.in);
        relay_drain(&r);
        cr_expect(r.ended);
}

Test(relay, drains_a_pty_to_its_hang_up)
{
        Pipe to = make_pipe();
        int master, slave;
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
        relay_init(&r, master, to.in, NOTHING, master);
        cr_assert_eq(write(slave, "last words", 10), 10);
        close(slave);
        relay_drain(&r);
        expect_readable(to.out, "last words");
}

/* Each x becomes xx. */
static size_t double_x(void *userdata, const char *in, size_t n, char *out)
{
        size_t length = 0;

        for (size_t i = 0; i < n; i++) {
                out[length++] = in[i];
                if (in[i] == 'x')
                        out[length++] = 'x';
        }
        *(size_t *)userdata += n;
        return length;
}

Test(relay, a_filter_changes_what_is_passed_on)
{
        Pipe from = make_pipe(), to = make_pipe();
        size_t seen = 0;
        _cleanup_(relay_done) Relay r = RELAY_NONE;

        relay_init(&r, from.out, to.in, NOTHING, NOTHING);
        r.filter = double_x;
        r.filter_data = &seen;
        cr_assert_eq(write(from.in, "axb", 3), 3);
        turn(&r, 1000);
        expect_readable(to.out, "axxb");
        cr_expect_eq(seen, 3);
        cr_expect(relay_is_empty(&r));
        relay_insert(&r, "more", 4);
        cr_expect_not(relay_is_empty(&r));
        turn(&r, 1000);
        expect_readable(to.out, "more");
}

/* Poll finds a line, and ^C discards it before it is read: whoever waited then would hear of nothing else,
 * and the signal is one that is blocked. */
Test(relay, what_a_terminal_discards_is_not_waited_for)
{
        Pipe to = make_pipe();
        _cleanup_(relay_done) Relay r = RELAY_NONE;
        struct pollfd p[2];
        int master, slave, timeout = -1;

        cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
        relay_init(&r, slave, to.in, to.in, NOTHING);
        cr_assert_eq(write(master, "gone\n", 5), 5);
        relay_prepare(&r, p, &timeout);
        cr_assert_gt(poll(p, 2, 1000), 0);
        cr_assert_eq(tcflush(slave, TCIFLUSH), 0);
        relay_run(&r, p); /* or the suite's time is up */
        cr_expect_not(r.ended);
        cr_assert_eq(write(master, "here\n", 5), 5);
        turn(&r, 1000);
        expect_readable(to.out, "here\n");
        cr_expect_not(fcntl(slave, F_GETFL) & O_NONBLOCK, "that is other people's, too");
}
