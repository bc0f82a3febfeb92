/* What a log line looks like on stderr, what is escaped in it, and how many a user may cause. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* What one line with this text looks like; "" where nothing is written. */
static char *logged(int priority, const LogFields *fields, const char *text)
{
        static char line[16384];
        int pipe_fds[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
        dup2(pipe_fds[1], STDERR_FILENO);
        log_full(priority, fields, "%s", text);
        dup2(saved, STDERR_FILENO);
        n = read(pipe_fds[0], line, sizeof(line) - 1);
        line[MAX(n, 0)] = '\0';
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        close(saved);
        return line;
}

static void without_journal(void)
{
        unsetenv("JOURNAL_STREAM");
        log_setup(LOG_INFO);
}

TestSuite(log, .init = without_journal);

Test(log, one_line_for_a_person)
{
        LogFields fields = {
                .event = LOG_EVENT_REFUSED, .session = "abc", .uid = LOG_NO_UID, .error = EPERM
        };

        cr_expect_str_eq(logged(LOG_ERR, NULL, "it broke"), "error: it broke\n");
        cr_expect_str_eq(logged(LOG_WARNING, &fields, "odd"), "warning: odd\n");
        cr_expect_str_eq(logged(LOG_INFO, NULL, ""), "info: \n");
}

Test(log, levels)
{
        cr_expect_str_eq(logged(LOG_DEBUG, NULL, "x"), "");
        log_set_level(LOG_DEBUG);
        cr_expect_str_eq(logged(LOG_DEBUG, NULL, "x"), "debug: x\n");
        log_set_level(LOG_ERR);
        cr_expect_str_eq(logged(LOG_WARNING, NULL, "x"), "");
        cr_expect_eq(log_level_parse("warning"), LOG_WARNING);
        cr_expect_eq(log_level_parse("Warning"), -EINVAL);
        cr_expect_str_eq(log_level_name(LOG_ERR), "error");
        cr_expect_null(log_level_name(8));
        cr_expect_null(log_level_name(-1));
}

Test(log, nothing_can_move_a_cursor_or_begin_a_line)
{
        cr_expect_str_eq(logged(LOG_ERR, NULL, "a\nerror: b\r\033[2J\t\x7f"),
                         "error: a\\x0aerror: b\\x0d\\x1b[2J\\x09\\x7f\n");
        cr_expect_str_eq(logged(LOG_ERR, NULL, "\x9b\xe2\x80\xae\xff"),
                         "error: \\x9b\\xe2\\x80\\xae\\xff\n");
}

Test(log, a_long_line_ends)
{
        char text[20000];
        const char *line;

        memset(text, '\n', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        line = logged(LOG_ERR, NULL, text);
        cr_expect_lt(strlen(line), 10300);
        cr_expect_eq(strchr(line, '\n'), line + strlen(line) - 1);
}

Test(log, errno_survives)
{
        errno = ENOTDIR;
        logged(LOG_ERR, NULL, "x");
        errno = ENOTDIR;
        log_full(LOG_DEBUG, NULL, "x");
        cr_expect_eq(errno, ENOTDIR);
}

Test(log, the_journal_gets_it_when_stderr_is_its_stream)
{
        char stream[64];
        struct stat st;

        cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup(LOG_INFO);
        cr_expect_str_eq(logged(LOG_ERR, NULL, "x"), "");
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup(LOG_INFO);
        cr_expect_str_eq(logged(LOG_ERR, NULL, "x"), "error: x\n");
}

Test(log, a_user_has_a_share_of_the_lines)
{
        unsigned n = 0, dropped = 7;

        while (log_allowed(1000, &dropped) && n < 1000)
                n++;
        cr_expect(n >= 10 && n < 100, "%u", n);
        cr_expect_eq(dropped, 0);
        cr_expect_not(log_allowed(1000, &dropped));
        cr_expect(log_allowed(1001, &dropped), "another user is not the worse for it");
        usleep(1100000);
        cr_expect(log_allowed(1000, &dropped));
        cr_expect_eq(dropped, 2);
}
