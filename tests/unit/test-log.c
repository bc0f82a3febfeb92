/* What a log line looks like on stderr, what is escaped in it, and how many a user may cause. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
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

/* What systemd says of a stderr that is the journal's, of whatever stderr is here. */
static void set_journal_stream(ino_t away)
{
        char stream[64];
        struct stat st;

        cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)(st.st_ino + away));
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup(LOG_INFO);
}

Test(log, the_journal_gets_it_when_stderr_is_its_stream)
{
        set_journal_stream(0);
        cr_expect_str_eq(logged(LOG_ERR, NULL, "x\n"), "<3>x\\x0a\n", "the level as it reads it");
        log_with_fields();
        cr_expect_str_eq(logged(LOG_ERR, NULL, "x"), "");
        set_journal_stream(1);
        log_with_fields();
        cr_expect_str_eq(logged(LOG_ERR, NULL, "x"), "error: x\n");
}

/* -- shares. The clock is ours from the first look at it on: it goes only when a test lets it. */

static uint64_t passed_usec; /* 0: the real one */

int clock_gettime(clockid_t clock_id, struct timespec *ret)
{
        if (passed_usec == 0)
                return (int)syscall(SYS_clock_gettime, clock_id, ret);
        *ret = (struct timespec){ .tv_sec = 1000 + (time_t)(passed_usec / USEC_PER_SEC),
                                  .tv_nsec = (long)(passed_usec % USEC_PER_SEC) * 1000 };
        return 0;
}

static void pass(uint64_t usec)
{
        passed_usec += usec;
}

static void with_a_clock(void)
{
        int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

        without_journal();
        dup2(null_fd, STDERR_FILENO);
        passed_usec = 1;
}

TestSuite(shares, .init = with_a_clock);

#define BURST 100 /* what log.c has */
#define USERS 128

static bool say(uid_t uid, int priority)
{
        const LogFields fields = { .uid = uid };

        return log_bounded(priority, &fields, "line of %u", (unsigned)uid);
}

/* How many lines of a flood are written. */
static unsigned flood(uid_t uid, unsigned n)
{
        unsigned logged = 0;

        while (n-- > 0)
                logged += say(uid, LOG_INFO);
        return logged;
}

/* Everything that log_dropped writes. */
static char *counts(void)
{
        static char text[65536];
        int pipe_fds[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
        dup2(pipe_fds[1], STDERR_FILENO);
        log_dropped();
        dup2(saved, STDERR_FILENO);
        n = read(pipe_fds[0], text, sizeof(text) - 1);
        text[MAX(n, 0)] = '\0';
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        close(saved);
        return text;
}

Test(shares, a_flood_writes_its_share_and_the_rest_is_counted)
{
        cr_expect_eq(flood(1000, 3000), BURST);
        cr_expect(log_owes());
        cr_expect_str_eq(counts(), "info: Left out 2900 more lines of uid 1000\n");
        cr_expect_not(log_owes());
        cr_expect_str_eq(counts(), "", "said once");
}

Test(shares, a_share_comes_back_with_time)
{
        flood(1000, BURST);
        cr_expect_not(say(1000, LOG_INFO));
        pass(2 * USEC_PER_SEC - 10);
        cr_expect_not(say(1000, LOG_INFO));
        pass(10);
        cr_expect(say(1000, LOG_INFO));
        cr_expect_not(say(1000, LOG_INFO));
        pass(3600 * USEC_PER_SEC);
        cr_expect_eq(flood(1000, 3000), BURST, "but no more than a whole one");
}

Test(shares, a_slow_flood_is_bounded_too)
{
        unsigned n = flood(1000, BURST);

        for (unsigned i = 0; i < 3600; i++) {
                n += flood(1000, 10);
                pass(USEC_PER_SEC);
        }
        cr_expect_leq(n, BURST + 1800);
        cr_expect_geq(n, BURST + 1790);
}

Test(shares, nobody_is_the_worse_for_anothers_flood)
{
        flood(1000, 3000);
        cr_expect(say(1001, LOG_INFO));
        cr_expect(say(1000 + 256, LOG_INFO));
        cr_expect(say(1000 + 65536, LOG_INFO));
        cr_expect(say(0, LOG_INFO));
        cr_expect(say(LOG_NO_UID, LOG_INFO));
        cr_expect(log_bounded(LOG_INFO, NULL, "x"));
        cr_expect_str_eq(counts(), "info: Left out 2900 more lines of uid 1000\n");
}

Test(shares, roots_and_the_rest_of_the_machine_have_one_each)
{
        const LogFields about_a_root = { .root = "busybox", .uid = LOG_NO_UID };
        unsigned n = 0;

        for (unsigned i = 0; i < 3000; i++)
                n += log_bounded(LOG_WARNING, &about_a_root, "x");
        cr_expect_eq(n, BURST);
        cr_expect(log_bounded(LOG_WARNING, NULL, "x"));
        cr_expect_str_eq(counts(), "warning: Left out 2900 more lines about roots\n");
        flood(0, BURST + 3);
        flood(LOG_NO_UID, BURST + 4);
        cr_expect_str_eq(counts(), "info: Left out 5 more lines of no user's\n"
                                   "info: Left out 3 more lines of uid 0\n");
}

Test(shares, a_multitude_shares_what_is_left)
{
        unsigned n = 0;

        for (uid_t uid = 100000; uid < 165536; uid++)
                n += flood(uid, 2);
        cr_expect_leq(n, 2 * USERS + BURST);
        cr_expect(say(0, LOG_INFO));
        cr_expect(say(LOG_NO_UID, LOG_INFO));
        cr_expect(say(100000, LOG_INFO), "who came first has his own");
        cr_expect_str_eq(counts(), "info: Left out 130716 more lines of several users\n");
        pass(10 * USEC_PER_SEC);
        cr_expect_eq(flood(5000, BURST), BURST, "what is not used any more is anybody's");
}

Test(shares, a_share_is_nobody_elses_until_its_count_was_said)
{
        flood(1000, BURST + 1);
        pass(3600 * USEC_PER_SEC);
        for (uid_t uid = 2000; uid < 2000 + 2 * USERS; uid++)
                say(uid, LOG_INFO);
        cr_expect_str_eq(counts(), "info: Left out 29 more lines of several users\n"
                                   "info: Left out 1 more line of uid 1000\n" +
                                           0);
}

Test(shares, what_the_level_hides_costs_nothing_and_is_not_counted)
{
        for (unsigned i = 0; i < 3000; i++)
                cr_expect_not(say(1000, LOG_DEBUG));
        cr_expect_not(log_owes());
        cr_expect_eq(flood(1000, 3000), BURST);
}

Test(shares, the_count_is_as_important_as_what_is_missing)
{
        flood(1000, BURST);
        say(1000, LOG_NOTICE);
        say(1000, LOG_WARNING);
        say(1000, LOG_INFO);
        log_set_level(LOG_WARNING);
        cr_expect_str_eq(counts(), "warning: Left out 3 more lines of uid 1000\n");
}

/* -- the journal, which is here in its library's place. */

static struct {
        char text[16384]; /* the fields, a line each */
        size_t n;
} entry;

int sd_journal_sendv(const struct iovec *iov, int n); /* sd_journal_sendv(3) */

int sd_journal_sendv(const struct iovec *iov, int n)
{
        entry.n = 0;
        for (int i = 0; i < n; i++)
                entry.n += (size_t)snprintf(entry.text + entry.n, sizeof(entry.text) - entry.n, "%.*s\n",
                                            (int)iov[i].iov_len, (const char *)iov[i].iov_base);
        return 0;
}

static void with_a_journal(void)
{
        set_journal_stream(0);
        log_with_fields();
        log_set_level(LOG_DEBUG);
}

TestSuite(journal, .init = with_a_journal);

/* Every field there is. */
static LogFields all_fields(LogEvent event)
{
        return (LogFields){ .event = event,
                            .session = "abcdefghijkl",
                            .root = "busybox",
                            .step = "mount /proc",
                            .method = "org.nsroot.session.Run",
                            .rule = "system-users",
                            .result = "exited",
                            .status = "7",
                            .usage = "1 s",
                            .reason = "why",
                            .uid = 2001,
                            .error = EPERM };
}

Test(journal, the_fields)
{
        LogFields fields = all_fields(LOG_EVENT_REFUSED);

        log_full(LOG_NOTICE, &fields, "no: %d", 1);
        cr_expect_str_eq(entry.text,
                         "MESSAGE=no: 1\nPRIORITY=5\nMESSAGE_ID=6c74fbff961c4f6b8de2a85a365c9267\n"
                         "NSROOT_SESSION=abcdefghijkl\nNSROOT_ROOT=busybox\nNSROOT_STEP=mount /proc\n"
                         "NSROOT_METHOD=org.nsroot.session.Run\nNSROOT_RULE=system-users\n"
                         "NSROOT_RESULT=exited\nNSROOT_STATUS=7\nNSROOT_USAGE=1 s\nNSROOT_REASON=why\n"
                         "NSROOT_UID=2001\nERRNO=1\n");
        fields = (LogFields){ .uid = LOG_NO_UID };
        log_full(LOG_INFO, &fields, "x");
        cr_expect_str_eq(entry.text, "MESSAGE=x\nPRIORITY=6\n");
}

Test(journal, no_value_makes_a_field_of_its_own)
{
        LogFields fields = { .root = "a\nMESSAGE_ID=0\n", .uid = LOG_NO_UID };

        log_full(LOG_INFO, &fields, "x\nPRIORITY=0\n");
        cr_expect_str_eq(entry.text, "MESSAGE=x\\x0aPRIORITY=0\\x0a\nPRIORITY=6\n"
                                     "NSROOT_ROOT=a\\x0aMESSAGE_ID=0\\x0a\n");
}

Test(journal, the_longest_text_leaves_room_for_the_fields)
{
        LogFields fields = all_fields(LOG_EVENT_SETUP_FAILED);
        char text[5000];

        memset(text, '\x1b', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        log_full(LOG_INFO, &fields, "%s", text);
        cr_expect_gt(entry.n, 8000);
        cr_expect_not_null(strstr(entry.text, "\nNSROOT_UID=2001\nERRNO=1\n"));
}

Test(journal, the_number_of_what_was_left_out)
{
        flood(1000, BURST + 5);
        log_dropped();
        cr_expect_not_null(strstr(entry.text, "\nNSROOT_DROPPED=5\n"), "%s", entry.text);
        cr_expect_not_null(strstr(entry.text, "\nNSROOT_UID=1000\n"), "%s", entry.text);
}

/* The value of a field of the last entry, up to its end of line. */
static void value_of(const char *name, char ret[static 64])
{
        const char *at = strstr(entry.text, name);

        cr_assert_not_null(at, "%s is not in: %s", name, entry.text);
        at += strlen(name) + 1;
        snprintf(ret, 64, "%.*s", (int)strcspn(at, "\n"), at);
}

static char *read_catalog(void)
{
        static char text[65536];
        FILE *file = fopen(CATALOG_PATH, "re");
        size_t n;

        cr_assert_not_null(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        fclose(file);
        return text;
}

Test(journal, the_catalogue_has_the_words_of_every_event_and_of_no_other)
{
        const char *catalog = read_catalog();
        char id[64], line[80];
        unsigned entries = 0;

        for (LogEvent event = LOG_EVENT_NONE + 1; event < LOG_EVENT_MAX; event++) {
                LogFields fields = all_fields(event);

                log_full(LOG_INFO, &fields, "x");
                value_of("MESSAGE_ID", id);
                cr_expect_eq(strspn(id, "0123456789abcdef"), 32, "%d: %s", (int)event, id);
                snprintf(line, sizeof(line), "\n-- %s\nSubject: ", id);
                cr_expect_not_null(strstr(catalog, line), "%d: %s", (int)event, id);
        }
        for (const char *at = catalog; (at = strstr(at, "\n-- ")); at++)
                entries++;
        cr_expect_eq(entries, LOG_EVENT_MAX - 1);
}

Test(journal, the_catalogue_names_no_field_that_there_is_not)
{
        LogFields fields = all_fields(LOG_EVENT_SESSION_STARTED);

        log_full(LOG_INFO, &fields, "x");
        snprintf(entry.text + entry.n, sizeof(entry.text) - entry.n, "NSROOT_DROPPED=1\n");
        for (const char *at = read_catalog(); (at = strchr(at, '@')); at = strchr(at + 1, '@') + 1) {
                char name[64], found[64];

                snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, "@"), at + 1);
                value_of(name, found);
        }
}
