/* nsrootd.conf: what its values become, what is said about bad ones, and that a dump means the same. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "config-table.h"
#include "config.h"
#include "log.h"

static char path[] = "/tmp/nsrootd-test-config-XXXXXX";

static void make_file(void)
{
        int fd = mkstemp(path);

        cr_assert_geq(fd, 0);
        close(fd);
        log_setup(LOG_ERR);
}

static void remove_file(void)
{
        unlink(path);
}

TestSuite(config, .init = make_file, .fini = remove_file);

static void write_bytes(const char *text, size_t length)
{
        FILE *f = fopen(path, "we");

        cr_assert(f && fwrite(text, 1, length, f) == length);
        fclose(f);
}

static Config *load(const char *text)
{
        _cleanup_free_ char *why = NULL;
        Config *c = NULL;
        int r;

        write_bytes(text, strlen(text));
        r = config_load(path, &c, &why);
        cr_assert_eq(r, 0, "%s: %d %s", text, r, why ? why : "");
        return c;
}

/* Without the name of the file. */
static void check_refused(const char *text, const char *expected)
{
        _cleanup_free_ char *why = NULL;
        Config *c = NULL;
        int r;

        write_bytes(text, strlen(text));
        r = config_load(path, &c, &why);
        cr_assert_eq(r, -EINVAL, "%s: %d", text, r);
        cr_assert_not_null(why);
        cr_assert_eq(strncmp(why, path, strlen(path)), 0, "%s", why);
        cr_expect_eq(strncmp(why + strlen(path), expected, strlen(expected)), 0, "%s: %s", text, why);
        cr_expect_null(c);
}

static char *dump(const Config *c)
{
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        cr_assert_eq(config_dump(c, to), 0);
        fclose(to);
        return text;
}

Test(config, defaults)
{
        _cleanup_(config_freep) Config *c = load("");
        const RootConfig *root = config_root(c, "busybox");

        cr_expect_eq(c->everybody.connections_max, 128);
        cr_expect_eq(c->connections_max, 1024);
        cr_expect_eq(c->connections_kept_for_root, 32);
        cr_expect_eq(c->idle_usec, 45 * USEC_PER_SEC);
        cr_expect_eq(c->unread_output_max, 256 * KIB);
        cr_expect_eq(c->everybody.limits.memory_max, GIB);
        cr_expect_eq(c->everybody.limits.cpu_percent, 200);
        cr_expect_eq(c->everybody.limits.file_size_max, UINT64_MAX);
        cr_expect_eq(c->log_level, LOG_INFO);
        cr_expect_not(c->allow_system_users);
        cr_expect_null(c->proxy);
        cr_expect_str_eq(c->default_root, "busybox");
        cr_assert_not_null(root);
        cr_expect_str_eq(root->kind, "busybox");
        cr_assert_geq(root->n_sources, 2);
        cr_expect_str_eq(root->sources[root->n_sources - 1].url, "file:/usr/bin/busybox");
        cr_expect_null(root->default_arguments);
        cr_expect_null(config_root(c, "other"));
}

Test(config, values)
{
        _cleanup_(config_freep) Config *c = load("# a comment\n"
                                                 "[Daemon]\n"
                                                 "  IdleTimeout = 2min 30s ; inline\r\n"
                                                 "Proxy=http://proxy:3128\n"
                                                 "LogLevel: debug\n"
                                                 "ConnectionsPerUser=5\nConnectionsPerUser=6\n"
                                                 "[Limits]\n"
                                                 "\tMemoryMax=64M\n  MemoryMax=infinity\n"
                                                 "\tFileSizeMax=2M\n"
                                                 "CpuQuota=50%\n"
                                                 "[Admission]\nAllowSystemUsers=yes");

        cr_expect_eq(c->idle_usec, 150 * USEC_PER_SEC);
        cr_expect_str_eq(c->proxy, "http://proxy:3128");
        cr_expect_eq(c->log_level, LOG_DEBUG);
        cr_expect_eq(c->everybody.connections_max, 6);
        cr_expect_eq(c->everybody.limits.memory_max, UINT64_MAX);
        cr_expect_eq(c->everybody.limits.file_size_max, 2 * MIB);
        cr_expect_eq(c->everybody.limits.cpu_percent, 50);
        cr_expect(c->allow_system_users);
}

#define DIGEST "6E123e7f3202a8c1e9b1f94d8941580a25135382b99e8d3e34fb858bba311348"

Test(config, roots)
{
        _cleanup_(config_freep) Config *c = load("[Root busybox]\nSource=\nSource=file:/opt/busybox\n"
                                                 "[Root lab-1]\n"
                                                 "Source=https://example.org/b sha256:" DIGEST "\n"
                                                 "Source=file:/bin/busybox\n"
                                                 "Command=sh -c \"echo a \\;b\"\n"
                                                 "Environment=A=1 \"B=two words\"\nEnvironment=C=\n"
                                                 "[Sessions]\nDefaultRoot=lab-1\n"
                                                 "[Root busybox]\nSource=file:/opt/more\n");
        const RootConfig *busybox = config_root(c, "busybox"), *lab = config_root(c, "lab-1");

        cr_assert_eq(c->n_roots, 2);
        cr_assert_eq(busybox->n_sources, 2);
        cr_expect_str_eq(busybox->sources[0].url, "file:/opt/busybox");
        cr_expect_null(busybox->sources[0].digest);
        cr_expect_str_eq(busybox->sources[1].url, "file:/opt/more");
        cr_assert_eq(lab->n_sources, 2);
        cr_expect_str_eq(lab->sources[0].url, "https://example.org/b");
        cr_expect_eq(strcasecmp(lab->sources[0].digest, DIGEST), 0);
        cr_expect_eq(lab->sources[0].digest[1], 'e', "lower case");
        cr_expect_str_eq(lab->default_arguments[2], "echo a ;b");
        cr_expect_null(lab->default_arguments[3]);
        cr_expect_str_eq(lab->default_environment[1], "B=two words");
        cr_expect_str_eq(lab->default_environment[2], "C=");
        cr_expect_null(lab->default_environment[3]);
}

Test(config, empty_values_start_lists_over)
{
        _cleanup_(config_freep) Config *c = load("[Root busybox]\nEnvironment=A=1\nEnvironment=\n"
                                                 "Command=sh\nCommand=\n"
                                                 "[Daemon]\nProxy=http://x\nProxy=\n");

        cr_expect_null(c->roots[0].default_environment);
        cr_expect_null(c->roots[0].default_arguments);
        cr_expect_null(c->proxy);
}

Test(config, bad_values_are_refused_with_file_and_line)
{
        check_refused("[Daemon]\n\nIdleTimeout=soon\n", ":3: IdleTimeout=soon: it takes a time");
        check_refused("[Daemon]\nConnectionsMax=0\n",
                      ":2: ConnectionsMax=0: it takes a number, from 1 to 1000000");
        check_refused("[Daemon]\nConnectionsMax=infinity\n", ":2: ConnectionsMax=infinity:");
        check_refused("[Daemon]\nConnectionsMax=-1\n", ":2:");
        check_refused("[Daemon]\nConnectionsMax=\n", ":2:");
        check_refused("[Daemon]\nLogLevel=7\n", ":2: LogLevel=7: it takes error,");
        check_refused("[Daemon]\nProxy=ftp://x\n", ":2: Proxy=ftp://x: it takes a URL");
        check_refused("[Daemon]\nControlGroup=/a/../b\n", ":2: ControlGroup=");
        check_refused("[Daemon]\nControlGroup=a\n", ":2: ControlGroup=");
        check_refused("[Limits]\nCpuQuota=200\n", ":2: CpuQuota=200: it takes a percentage");
        check_refused("[Limits]\nCpuQuota=%\n", ":2:");
        check_refused("[Limits]\nMemoryMax=5K\n",
                      ":2: MemoryMax=5K: it takes a size such as 512M, from 1M to infi");
        check_refused("[Admission]\nAllowSystemUsers=maybe\n", ":2:");
        check_refused("[Root busybox]\nKind=tarball\n", ":2: Kind=tarball: it takes busybox");
        check_refused("[Root busybox]\nCommand=sh \"-c\n", ":2: Command=");
        check_refused("[Root busybox]\nEnvironment=A\n", ":2: Environment=A: it takes words NAME=VALUE");
        check_refused("[Root busybox]\nEnvironment==A\n", ":2:");
        check_refused("[Root Upper]\nKind=busybox\n", ":2: [Root Upper]: a name has");
        check_refused("[Root -x]\nKind=busybox\n", ":2: [Root -x]: a name has");
}

Test(config, bad_sources_are_refused)
{
        check_refused("[Root a]\nSource=http://x/y\n", ":2: Source=http://x/y: it takes http://");
        check_refused("[Root a]\nSource=ftp://x/y sha256:" DIGEST "\n", ":2:");
        check_refused("[Root a]\nSource=file:x\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:12\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha512:" DIGEST "\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:" DIGEST " z\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:" DIGEST "0\n", ":2:");
}

Test(config, contradictions_are_refused)
{
        check_refused("[Sessions]\nDefaultRoot=lab\n", ": DefaultRoot= names a root that is not there");
        check_refused("[Sessions]\nDefaultRoot=\n", ": DefaultRoot=");
        check_refused("[Sessions]\nIdRangeFirst=600000\nIdRangeLast=700000\n", ": IdRangeFirst=");
        check_refused("[Daemon]\nConnectionsMax=32\n", ": ConnectionsKeptForRoot=");
        check_refused("[Root lab]\nKind=busybox\n", ": a section [Root NAME] has no Source=");
        check_refused("[Root busybox]\nSource=\n", ": a section [Root NAME] has no Source=");
}

Test(config, lines_that_inih_would_mangle_are_refused)
{
        _cleanup_free_ char *why = NULL;
        _cleanup_(config_freep) Config *c = NULL;
        static const char with_nul[] = "[Limits]\nMemoryMax=3G\0\n";
        char text[300];

        snprintf(text, sizeof(text), "[Root busybox]\nSource=file:/%0250d\n", 0);
        check_refused(text, ":2: longer than 197 characters");
        check_refused("[Daemon]\nProxy=http://\033[2J\n", ":2: there is a control character");
        write_bytes(with_nul, sizeof(with_nul) - 1);
        cr_expect_eq(config_load(path, &c, &why), -EINVAL);
        snprintf(text, sizeof(text), "[Root %060d]\nKind=busybox\n", 0);
        check_refused(text, ":2: [Root 0000");
}

Test(config, a_long_comment_is_no_line)
{
        char text[400];

        snprintf(text, sizeof(text), "#%0300d\n[Limits]\nTasksMax=9\n", 0);
        _cleanup_(config_freep) Config *c = load(text);
        cr_expect_eq(c->everybody.limits.tasks_max, 9);
}

/* What is said about a file that loads all the same. */
static char *warnings(const char *text)
{
        static char said[4096];
        int pipe_fds[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        log_setup(LOG_WARNING);
        cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
        dup2(pipe_fds[1], STDERR_FILENO);
        config_free(load(text));
        dup2(saved, STDERR_FILENO);
        n = read(pipe_fds[0], said, sizeof(said) - 1);
        said[MAX(n, 0)] = '\0';
        return said;
}

static void check_warning(const char *text, const char *expected)
{
        char *said = warnings(text), line[200];

        snprintf(line, sizeof(line), "warning: %s:%s", path, expected);
        cr_expect_not_null(strstr(said, line), "%s: no '%s' in '%s'", text, line, said);
        cr_expect_eq(strchr(said, '\n'), said + strlen(said) - 1, "one line: %s", said);
}

Test(config, what_is_unknown_is_a_warning_with_file_and_line)
{
        check_warning("[Daemon]\nSpeed=1\nLogLevel=debug\n", "2: [Daemon] has no key Speed");
        check_warning("[Demon]\nLogLevel=debug\n", "2: [Demon] has no key LogLevel");
        check_warning("[Root]\nKind=busybox\n", "2: [Root] has no key Kind");
        check_warning("LogLevel=debug\n", "1: [] has no key LogLevel");
        check_warning("[Root busybox]\nMemoryMax=1G\n", "2: [Root busybox] has no key MemoryMax");
        check_warning("[Daemon]\nLogLevel\nLogLevel=info\n", "2: neither [Section] nor Key=value nor");
        check_warning("[Daemon\n[Daemon]\nLogLevel=info\n", "1: neither");
        check_warning("[Daemon]\nnonsense", "2: neither");
        cr_expect_str_eq(warnings("; c\n# c\n\n  \n [Daemon] ; c\n  LogLevel=info\n"), "");
}

Test(config, a_dump_means_the_same)
{
        _cleanup_(config_freep) Config *c =
                load("[Daemon]\nProxy=https://p\nIdleTimeout=90s\nMessageTimeout=1500ms\nLogLevel=warning\n"
                     "[Limits]\nMemoryMax=infinity\nStorageMax=1536M\nLockedMemoryMax=0\n"
                     "[Admission]\nAllowSystemUsers=on\n"
                     "[Root lab]\nSource=http://x/y sha256:" DIGEST "\nCommand=sh -c 'a  \"b\" \\;c'\n"
                     "Environment='A=b c' D=\n");
        _cleanup_free_ char *first = dump(c);
        _cleanup_(config_freep) Config *again = load(first);
        _cleanup_free_ char *second = dump(again);

        cr_expect_str_eq(first, second);
        cr_expect_not_null(strstr(first, "IdleTimeout=90s\n"));
        cr_expect_not_null(strstr(first, "MessageTimeout=1500ms\n"));
        cr_expect_not_null(strstr(first, "StorageMax=1536M\n"));
        cr_expect_str_eq(config_root(again, "lab")->default_arguments[2], "a  \"b\" \\;c");
        cr_expect_eq(again->everybody.limits.memory_max, UINT64_MAX);
}

Test(config, every_key_is_dumped_and_explained)
{
        _cleanup_(config_freep) Config *c = load("");
        _cleanup_free_ char *text = dump(c);

        for (const ConfigKey *key = config_keys; key->name; key++) {
                char line[64];

                snprintf(line, sizeof(line), "\n%s=", key->name);
                cr_expect_not_null(strstr(text, line), "%s", key->name);
                cr_expect_not_null(key->help, "%s", key->name);
                cr_expect_eq(key->help[strlen(key->help) - 1], '.', "%s", key->name);
        }
}

Test(config, files_that_cannot_be_read)
{
        _cleanup_free_ char *why = NULL;
        Config *c = NULL;

        cr_expect_eq(config_load("/nonexistent/nsrootd.conf", &c, &why), -ENOENT);
        cr_expect_eq(config_load("/", &c, &why), -EIO);
        cr_expect_null(c);
}
