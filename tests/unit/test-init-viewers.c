/* relay.c and viewers.c over pipes, terminals and sockets: everything is read, every viewer gets what it
 * takes, in order, and is told what it missed; and what is typed arrives. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "viewers.h"

static Ring ring;
static Relay relay;
static Viewers viewers;
static Polls polls;
static int terminal = -EBADF; /* a slave of the session's own */

static size_t send_max = SIZE_MAX;

/* In the C library's place: a stream may take any part of what it is given. */
ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
        return syscall(SYS_sendto, fd, bytes, MIN(n, send_max), flags, NULL, 0);
}

static void make_ring(uint64_t size)
{
        RingHeader h = { .magic = RING_MAGIC, .version = RING_VERSION, .size = size };
        int fd = memfd_create("ring", MFD_CLOEXEC);

        cr_assert_eq(ftruncate(fd, (off_t)(RING_HEADER_SIZE + size)), 0);
        cr_assert_eq(pwrite(fd, &h, offsetof(RingHeader, head), 0), offsetof(RingHeader, head));
        cr_assert_eq(ring_map(&ring, fd), 0);
        close(fd);
        relay_init(&relay);
        viewers_init(&viewers);
}

static void make_terminal(void)
{
        int master, slave;
        struct termios t;

        cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
        cr_assert_eq(tcgetattr(slave, &t), 0);
        cfmakeraw(&t);
        cr_assert_eq(tcsetattr(slave, TCSANOW, &t), 0);
        terminal = dup(slave);
        relay_take_terminal(&relay, master, slave);
}

/* One turn of the loop; false: nothing happened for so long. */
static bool turn(int msec)
{
        polls.n = 0;
        relay_poll(&relay, &polls);
        viewers_poll(&viewers, &ring, &relay, &polls);
        if (poll(polls.fds, polls.n, msec) <= 0)
                return false;
        relay_dispatch(&relay, &polls, &ring);
        viewers_dispatch(&viewers, &ring, &relay, &polls);
        return true;
}

static void settle(void)
{
        int turns = 0;

        while (turn(20))
                cr_assert_lt(turns++, 100000, "it spins");
}

static int attach(bool replay)
{
        int ends[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        viewers_add(&viewers, &ring, ends[1], replay);
        return ends[0];
}

static void append(const char *text)
{
        ring_append(&ring, RING_STDOUT, text, strlen(text));
}

/* All that has come. NULL: the end of file came first. */
static const char *received(int fd)
{
        static char buffer[4 * MIB];
        size_t length = 0;
        ssize_t n;

        while ((n = recv(fd, buffer + length, sizeof(buffer) - length - 1, MSG_DONTWAIT)) > 0)
                length += (size_t)n;
        buffer[length] = '\0';
        return n == 0 && !length ? NULL : buffer;
}

static void expect(int fd, const char *text)
{
        settle();
        cr_expect_str_eq(received(fd) ?: "the end", text);
}

static void expect_end(int fd)
{
        settle();
        cr_expect_null(received(fd));
}

static size_t count_viewers(void)
{
        size_t n = 0;

        for (size_t i = 0; i < VIEWERS_MAX; i++)
                n += viewers.viewers[i].fd >= 0;
        return n;
}

TestSuite(viewers, .timeout = 30);

Test(viewers, see_what_is_new)
{
        int with, without;

        make_ring(4096);
        append("before ");
        with = attach(true);
        without = attach(false);
        append("after ");
        expect(with, "before after ");
        expect(without, "after ");
        append("more");
        expect(with, "more");
        expect(without, "more");
        cr_expect_not(turn(0), "nobody is waited for");
}

Test(viewers, nothing_yet)
{
        int fd;

        make_ring(4096);
        fd = attach(true);
        expect(fd, "");
        append("a");
        expect(fd, "a");
}

/* What is replayed begins with a line where its beginning is lost, and else with the beginning. */
Test(viewers, begin_with_a_line)
{
        char line[64];
        const char *seen;

        make_ring(1024);
        append("no line ends here");
        expect(attach(true), "no line ends here");
        for (int i = 0; i < 100; i++) {
                snprintf(line, sizeof(line), "of %d\nbegin", i);
                append(line);
        }
        int fd = attach(true);
        settle();
        seen = received(fd);
        cr_assert_eq(strncmp(seen, "beginof ", 8), 0, "%s", seen);
        cr_expect(strstr(seen, "of 99\nbegin"));
        cr_expect_not(strstr(seen, "lost"), "what was before it came is none of its losses");
}

Test(viewers, begin_with_a_line_that_is_the_next_record)
{
        make_ring(128);
        append("aaaaaaaaaaaaaaaaaaaaaaaa");
        append("aaaaaaaaaaaaaaaaaaaaaaa\n");
        append("bb");
        append("cc");
        cr_assert_gt(ring.tail, 0);
        expect(attach(true), "bbcc");
}

Test(viewers, begin_where_there_is_no_line)
{
        make_ring(128);
        for (int i = 0; i < 10; i++)
                append("0123456789");
        cr_assert_gt(ring.tail, 0);
        expect(attach(true), "012345678901234567890123456789");
}

/* A newline that lies where the ring begins again. */
Test(viewers, begin_at_each_place)
{
        char text[33];

        for (size_t at = 0; at < 200; at++) {
                make_ring(128);
                for (size_t i = 0; i < at; i++)
                        append("x");
                snprintf(text, sizeof(text), "yyyyyyyy\nzzzzzzz");
                append(text);
                expect(attach(true), at < 3 ? (const char *[]){ "yyyyyyyy\nzzzzzzz", "xyyyyyyyy\nzzzzzzz",
                                                                "xxyyyyyyyy\nzzzzzzz" }[at]
                                            : "zzzzzzz");
                if (at == 20)
                        at = 180;
        }
}

/* Numbered words, so that any part of the output says where it is from. */
static uint64_t words;

static void append_words(size_t n)
{
        char text[32];

        while (n--) {
                snprintf(text, sizeof(text), "%07lu\n", words++);
                append(text);
        }
}

/* All words that came, and that the notices make up for those that did not. */
static uint64_t check_words(const char *seen, uint64_t next, uint64_t *ret_lost)
{
        static const char notice[] = "\r\n[nsrootd: ";
        uint64_t got = next * 8, lost;

        *ret_lost = 0;
        while (*seen) {
                char *end;

                if (strncmp(seen, notice, strlen(notice)) == 0) {
                        lost = strtoull(seen + strlen(notice), &end, 10);
                        cr_assert_eq(strncmp(end, " bytes were lost here]\r\n", 24), 0, "%.60s", seen);
                        cr_assert_gt(lost, 0);
                        seen = end + 24;
                        got += lost;
                        *ret_lost += lost;
                        continue;
                }
                char word[32];
                snprintf(word, sizeof(word), "%07lu\n", got / 8);
                cr_assert_eq(*seen, word[got % 8], "byte %lu is from somewhere else: %.20s", got, seen);
                seen++;
                got++;
        }
        return got;
}

Test(viewers, a_slow_one_is_told_what_it_missed)
{
        uint64_t lost, got;
        int slow, quick;

        make_ring(8192);
        slow = attach(false);
        quick = attach(false);
        for (uint64_t i = 0, quick_got = 0; i < 400; i++) {
                append_words(100);
                while (turn(0))
                        ;
                quick_got = check_words(received(quick), quick_got / 8, &lost);
                cr_assert_eq(quick_got, words * 8);
                cr_assert_eq(lost, 0, "the slow one slows the other");
        }
        static char all[4 * MIB];
        size_t length = 0;
        for (int i = 0; i < 200; i++) {
                const char *part = received(slow);
                length = (size_t)(stpcpy(all + length, part) - all);
                while (turn(0))
                        ;
        }
        got = check_words(all, 0, &lost);
        cr_expect_eq(got, words * 8, "it has all, but for what it was told of");
        cr_expect_gt(lost, 0);
}

/* One that reads a little now and then, so that notices are cut, too. */
Test(viewers, a_reluctant_one)
{
        static char all[4 * MIB];
        size_t length = 0;
        uint64_t lost;
        int fd, size = 1;

        make_ring(1024);
        fd = attach(false);
        for (size_t i = 0; i < VIEWERS_MAX; i++)
                if (viewers.viewers[i].fd >= 0)
                        setsockopt(viewers.viewers[i].fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        for (int i = 0; i < 3000; i++) {
                append_words((size_t)i % 61);
                send_max = 1 + (size_t)i % 13;
                while (turn(0))
                        ;
                ssize_t n = recv(fd, all + length, (size_t)(1 + i % 97), MSG_DONTWAIT);
                if (n > 0)
                        length += (size_t)n;
        }
        for (int i = 0; i < 100; i++) {
                length = (size_t)(stpcpy(all + length, received(fd)) - all);
                while (turn(0))
                        ;
        }
        all[length] = '\0';
        cr_expect_eq(check_words(all, 0, &lost), words * 8);
        cr_expect_gt(lost, 0);
}

Test(viewers, that_leave)
{
        int a, b;

        make_ring(4096);
        a = attach(true);
        b = attach(true);
        close(a);
        settle();
        cr_expect_eq(count_viewers(), 1);
        append("x");
        expect(b, "x");
        close(b);
        append("y");
        settle();
        cr_expect_eq(count_viewers(), 0);
}

Test(viewers, that_type_no_more)
{
        int fd;

        make_ring(4096);
        make_terminal();
        fd = attach(true);
        cr_assert_eq(write(fd, "last", 4), 4);
        cr_assert_eq(shutdown(fd, SHUT_WR), 0);
        settle();
        cr_expect_not(turn(0), "its end is seen once");
        append("x");
        expect(fd, "x");
        cr_expect_eq(count_viewers(), 1);
        close(fd);
        settle();
        cr_expect_eq(count_viewers(), 0);
}

Test(viewers, that_take_nothing_more)
{
        int fd;

        make_ring(4096);
        fd = attach(true);
        cr_assert_eq(shutdown(fd, SHUT_RD), 0);
        append("x");
        settle();
        cr_expect_eq(count_viewers(), 0);
}

Test(viewers, too_many)
{
        int fds[VIEWERS_MAX + 1];

        make_ring(4096);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = attach(true);
        append("x");
        expect_end(fds[VIEWERS_MAX]);
        expect(fds[0], "x");
        expect(fds[VIEWERS_MAX - 1], "x");
        close(fds[5]);
        settle();
        append("y");
        expect(attach(true), "xy");
}

Test(viewers, no_output_is_kept)
{
        make_ring(0);
        expect_end(attach(true));
        cr_expect_eq(count_viewers(), 0);
}

static void expect_typed(const char *text)
{
        char buffer[256] = "";
        size_t length = 0;

        while (length < strlen(text)) {
                ssize_t n = read(terminal, buffer + length, sizeof(buffer) - 1 - length);
                cr_assert_gt(n, 0);
                length += (size_t)n;
        }
        cr_expect_str_eq(buffer, text);
}

Test(viewers, type)
{
        int a, b;

        make_ring(4096);
        make_terminal();
        a = attach(true);
        b = attach(true);
        cr_assert_eq(write(a, "from a", 6), 6);
        settle();
        expect_typed("from a");
        cr_assert_eq(write(b, "from b", 6), 6);
        settle();
        expect_typed("from b");
        cr_assert_eq(write(terminal, "seen", 4), 4);
        expect(a, "seen");
        expect(b, "seen");
        cr_expect_eq(ring_record(&ring, 0).stream, RING_TERMINAL);
}

Test(viewers, type_and_leave)
{
        int fd;

        make_ring(4096);
        make_terminal();
        fd = attach(true);
        cr_assert_eq(write(fd, "exit", 4), 4);
        close(fd);
        settle();
        expect_typed("exit");
        cr_expect_eq(count_viewers(), 0);
}

Test(viewers, type_more_than_once_and_leave)
{
        static char sent[6000], got[sizeof(sent)];
        int fd;

        make_ring(4096);
        make_terminal();
        fd = attach(true);
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (char)(i * 7 + i / 256);
        cr_assert_eq(write(fd, sent, sizeof(sent)), sizeof(sent));
        close(fd);
        settle();
        for (size_t n = 0; n < sizeof(sent);)
                n += (size_t)read(terminal, got + n, sizeof(got) - n);
        cr_expect_eq(memcmp(sent, got, sizeof(sent)), 0);
}

/* Where nobody reads the terminal: not one byte is lost, and nothing spins. */
Test(viewers, type_more_than_is_read)
{
        static char sent[256 * 1024], got[sizeof(sent)];
        size_t n_sent = 0, n_got = 0;
        int fd;

        make_ring(4096);
        make_terminal();
        fd = attach(true);
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (char)(i * 7 + i / 256);
        fcntl(terminal, F_SETFL, O_NONBLOCK);
        while (n_got < sizeof(sent)) {
                ssize_t n = send(fd, sent + n_sent, sizeof(sent) - n_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                n_sent += (size_t)MAX(n, 0);
                if (n_sent < sizeof(sent) && n > 0)
                        continue;
                settle();
                n = read(terminal, got + n_got, sizeof(got) - n_got);
                n_got += (size_t)MAX(n, 0);
        }
        cr_expect_eq(memcmp(sent, got, sizeof(sent)), 0);
        settle();
        cr_expect_not(relay.full, "it takes some again");
}

/* One that has typed too much and left is not waited for. */
Test(viewers, type_too_much_and_leave)
{
        static char much[512 * 1024];
        int fd, typing = 0;

        make_ring(4096);
        make_terminal();
        fd = attach(true);
        for (int i = 0; i < 100 && typing >= 0; i++) {
                typing = (int)send(fd, much, sizeof(much), MSG_DONTWAIT | MSG_NOSIGNAL);
                settle();
        }
        cr_expect(relay.full);
        close(fd);
        settle();
        cr_expect_eq(count_viewers(), 0);
}

Test(viewers, type_where_there_is_no_terminal)
{
        static char much[64 * 1024];
        int fd;

        make_ring(4096);
        fd = attach(true);
        for (int i = 0; i < 20; i++) {
                cr_assert_gt(send(fd, much, sizeof(much), MSG_DONTWAIT), 0);
                settle();
        }
        append("x");
        expect(fd, "x");
}

/* Its socket is its client's, too. */
Test(viewers, sockets_stay_as_they_are)
{
        int ends[2];

        make_ring(4096);
        make_terminal();
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        viewers_add(&viewers, &ring, ends[1], true);
        append("x");
        expect(ends[0], "x");
        cr_expect_not(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
}

/* One who is behind at the end gets the rest, and then an end of file, not an error. */
Test(viewers, at_the_end)
{
        static char seen[4 * MIB];
        int idle, behind, turns = 0;
        size_t length = 0;
        ssize_t n;

        make_ring(MIB);
        idle = attach(true);
        cr_assert_eq(write(idle, "unread", 6), 6);
        viewers_end_input(&viewers);
        cr_expect_not(viewers_are_behind(&viewers, &ring));
        cr_expect_eq(recv(idle, seen, 1, 0), 0);
        behind = attach(true);
        viewers_end_input(&viewers);
        for (int i = 0; i < 60; i++) {
                memset(seen, 'a' + i % 26, RING_RECORD_MAX);
                ring_append(&ring, RING_STDOUT, seen, RING_RECORD_MAX);
        }
        while (viewers_are_behind(&viewers, &ring)) {
                (void)turn(0);
                if ((n = recv(behind, seen + length, 10000, MSG_DONTWAIT)) > 0)
                        length += (size_t)n;
                cr_assert_lt(turns++, 100000);
        }
        while ((n = recv(behind, seen + length, 100000, 0)) > 0)
                length += (size_t)n;
        cr_expect_eq(n, 0);
        cr_expect_eq(length, 60 * RING_RECORD_MAX);
}

TestSuite(relay, .timeout = 30);

Test(relay, pipes)
{
        int stdio[3] = { -EBADF, -EBADF, -EBADF };
        RingRecord r;

        make_ring(4096);
        cr_assert_eq(relay_open_pipes(&relay, stdio, getuid()), 0);
        cr_expect_lt(stdio[0], 0);
        cr_assert_eq(write(stdio[1], "out", 3), 3);
        settle();
        cr_assert_eq(write(stdio[2], "error", 5), 5);
        settle();
        r = ring_record(&ring, 0);
        cr_expect_eq(r.stream, RING_STDOUT);
        cr_expect_eq(r.length, 3);
        r = ring_record(&ring, sizeof(r) + 8);
        cr_expect_eq(r.stream, RING_STDERR);
        cr_expect_eq(r.length, 5);
        cr_expect_not(fcntl(stdio[1], F_GETFL) & O_NONBLOCK, "the command's end blocks");
        close(stdio[1]);
        settle();
        cr_expect_lt(relay.sources[RING_STDOUT - 1], 0);
        cr_expect_geq(relay.sources[RING_STDERR - 1], 0);
}

Test(relay, one_of_them_was_given)
{
        int stdio[3] = { -EBADF, 77, -EBADF };

        make_ring(4096);
        cr_assert_eq(relay_open_pipes(&relay, stdio, getuid()), 0);
        cr_expect_eq(stdio[1], 77);
        cr_expect_geq(stdio[2], 0);
        cr_expect_lt(relay.sources[RING_STDOUT - 1], 0);
}

/* Nobody looks, nothing is kept: the command never waits. */
Test(relay, nothing_is_kept)
{
        static char much[MIB];
        int stdio[3] = { -EBADF, -EBADF, -EBADF };

        for (uint64_t size = 0; size <= 256; size += 256) {
                stdio[1] = stdio[2] = -EBADF;
                make_ring(size);
                cr_assert_eq(relay_open_pipes(&relay, stdio, getuid()), 0);
                pid_t pid = fork();
                if (pid == 0) {
                        for (int i = 0; i < 8; i++)
                                if (write(stdio[1], much, sizeof(much)) != sizeof(much))
                                        _exit(1);
                        _exit(0);
                }
                int status;
                close(stdio[1]);
                while (waitpid(pid, &status, WNOHANG) == 0)
                        (void)turn(10);
                cr_expect_eq(status, 0);
                settle();
                cr_expect_eq(ring.offset, size ? 8 * MIB : 0);
        }
}

Test(relay, drains_what_has_been_printed)
{
        static char text[60000];
        int stdio[3] = { -EBADF, -EBADF, -EBADF };

        make_ring(256 * KIB);
        make_terminal();
        memset(text, 'x', sizeof(text));
        cr_assert_eq(relay_open_pipes(&relay, stdio, getuid()), 0);
        cr_assert_eq(write(stdio[1], text, sizeof(text)), sizeof(text));
        cr_assert_eq(write(stdio[2], text, sizeof(text)), sizeof(text));
        cr_assert_eq(write(terminal, text, 3000), 3000);
        relay_drain(&relay, &ring);
        cr_expect_eq(ring.offset, 2 * sizeof(text) + 3000);
        cr_expect_geq(relay.sources[RING_STDERR - 1], 0, "there are writers left");
}

/* A terminal that nobody has open for a while works on. */
Test(relay, a_terminal_without_programs)
{
        char name[64];

        make_ring(4096);
        make_terminal();
        cr_assert_eq(ttyname_r(terminal, name, sizeof(name)), 0);
        close(terminal);
        settle();
        terminal = open(name, O_RDWR | O_NOCTTY);
        cr_assert_geq(terminal, 0);
        cr_assert_eq(write(terminal, "again", 5), 5);
        expect(attach(true), "again");
}

static int winches[2];

static void on_winch(int signal)
{
        struct winsize size;

        (void)ioctl(0, TIOCGWINSZ, &size);
        (void)!write(winches[1], &size, sizeof(size));
}

static void expect_size(uint16_t columns, uint16_t rows)
{
        struct winsize size;

        cr_assert_eq(read(winches[0], &size, sizeof(size)), sizeof(size));
        cr_expect_eq(size.ws_col, columns);
        cr_expect_eq(size.ws_row, rows);
}

Test(relay, sizes)
{
        pid_t pid;

        make_ring(4096);
        make_terminal();
        cr_assert_eq(pipe2(winches, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                setsid();
                signal(SIGWINCH, on_winch);
                dup2(terminal, 0);
                ioctl(0, TIOCSCTTY, 0);
                on_winch(0);
                for (;;)
                        pause();
        }
        expect_size(0, 0);
        relay_resize(&relay, 80, 24);
        expect_size(80, 24);
        relay_resize(&relay, 80, 24);
        expect_size(80, 24);
        relay_resize(&relay, 81, 24);
        expect_size(81, 24);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        relay_resize(&relay, 81, 24); /* nobody is there: nobody is signalled */
}
