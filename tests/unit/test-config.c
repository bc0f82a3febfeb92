/* nsrootd.conf: what its values become, what is said about bad ones, and that a dump means the same. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
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

/* What is said about a file that loads all the same. */
static char *warnings(const char *text)
{
        static char said[4096];
        int pipe_fds[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        log_setup(LOG_NOTICE);
        cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
        dup2(pipe_fds[1], STDERR_FILENO);
        config_free(load(text));
        dup2(saved, STDERR_FILENO);
        n = read(pipe_fds[0], said, sizeof(said) - 1);
        said[MAX(n, 0)] = '\0';
        return said;
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
        cr_expect_eq(c->everybody.limits.of[LIMIT_MEMORY], GIB);
        cr_expect_eq(c->everybody.limits.of[LIMIT_CPU_QUOTA], 200);
        cr_expect_eq(c->everybody.limits.of[LIMIT_FILE_SIZE], UINT64_MAX);
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
        cr_expect_eq(c->everybody.limits.of[LIMIT_MEMORY], UINT64_MAX);
        cr_expect_eq(c->everybody.limits.of[LIMIT_FILE_SIZE], 2 * MIB);
        cr_expect_eq(c->everybody.limits.of[LIMIT_CPU_QUOTA], 50);
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

Test(config, sources_for_one_architecture)
{
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_free_ char *text = NULL, *printed = NULL;
        bool is_arm = streq(config_architecture, "arm64");
        const char *other = is_arm ? "s390x" : "arm64";
        const RootConfig *root;

        cr_assert_gt(asprintf(&text,
                              "[Root lab]\nSource=http://x/other sha256:" DIGEST " %s\n"
                              "Source=http://x/this sha256:" DIGEST " %s\n"
                              "Source=file:/other %s\nSource=\"file:/a b\" %s\nSource=file:/any\n",
                              other, config_architecture, other, config_architecture),
                     0);
        c = load(text);
        root = config_root(c, "lab");
        cr_assert_eq(root->n_sources, 3);
        cr_expect_str_eq(root->sources[0].url, "http://x/this");
        cr_expect_eq(strlen(root->sources[0].digest), 64);
        cr_expect_str_eq(root->sources[0].architecture, config_architecture);
        cr_expect_str_eq(root->sources[1].url, "file:/a b");
        cr_expect_str_eq(root->sources[2].url, "file:/any");
        cr_expect_null(root->sources[2].architecture);
        printed = dump(c);
        _cleanup_(config_freep) Config *again = load(printed);
        root = config_root(again, "lab");
        cr_assert_eq(root->n_sources, 3);
        cr_expect_str_eq(root->sources[1].url, "file:/a b");
        cr_expect_str_eq(root->sources[1].architecture, config_architecture);
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
        check_refused("[Root busybox]\nKind=\n", ":2: Kind=: it takes busybox");
        check_refused("[Sessions]\n\nDefaultRoot=\n", ":3: DefaultRoot=: it takes the name of a root");
        check_refused("[Root busybox]\nCommand=sh \"-c\n", ":2: Command=");
        check_refused("[Root busybox]\nEnvironment=A\n", ":2: Environment=A: it takes words NAME=VALUE");
        check_refused("[Root busybox]\nEnvironment==A\n", ":2:");
        check_refused("[Root Upper]\nKind=busybox\n", ":1: [Root Upper]: a name has");
        check_refused("[Root -x]\nKind=busybox\n", ":1: [Root -x]: a name has");
}

Test(config, bad_sources_are_refused)
{
        check_refused("[Root a]\nSource=http://x/y\n", ":2: Source=http://x/y: it takes a URL of http");
        check_refused("[Root a]\nSource=ftp://x/y sha256:" DIGEST "\n", ":2:");
        check_refused("[Root a]\nSource=file:x\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:12\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha512:" DIGEST "\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:" DIGEST " amd64\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:" DIGEST " arm64 arm\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y arm64 sha256:" DIGEST "\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y arm64\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:12 arm64\n", ":2:");
        check_refused("[Root a]\nSource=file:/x amd64\n", ":2:");
        check_refused("[Root a]\nSource=http://x/y sha256:" DIGEST "0\n", ":2:");
}

Test(config, contradictions_are_refused)
{
        check_refused("[Sessions]\nDefaultRoot=lab\n", ":2: DefaultRoot= names a root that is not there");
        check_refused("[Sessions]\nIdRangeFirst=600000\nIdRangeLast=700000\n", ":3: IdRangeFirst=");
        check_refused("[Sessions]\nIdRangeFirst=1879040000\n", ":2: IdRangeFirst=");
        check_refused("[Daemon]\nConnectionsMax=32\n", ":2: ConnectionsKeptForRoot=");
        check_refused("[Daemon]\nLogLevel=info\nConnectionsKeptForRoot=1024\n",
                      ":3: ConnectionsKeptForRoot=");
        check_refused("[Root lab]\nKind=busybox\n", ":1: this section [Root NAME] has no Source=");
        check_refused("\n[Root busybox]\nSource=\n", ":2: this section [Root NAME] has no Source=");
}

Test(config, lines_that_inih_would_mangle_are_refused)
{
        _cleanup_free_ char *why = NULL;
        _cleanup_(config_freep) Config *c = NULL;
        static const char with_nul[] = "[Limits]\nMemoryMax=3G\0\n";
        char text[10000];

        snprintf(text, sizeof(text), "[Root busybox]\nSource=file:/%09000d\n", 0);
        check_refused(text, ":2: longer than 8192 characters");
        check_refused("[Daemon]\nProxy=http://\033[2J\n", ":2: there is a control character");
        write_bytes(with_nul, sizeof(with_nul) - 1);
        cr_expect_eq(config_load(path, &c, &why), -EINVAL);
        snprintf(text, sizeof(text), "[Root %064d]\nKind=busybox\n", 0);
        check_refused(text, ":1: [Root 0000");
}

Test(config, what_inih_would_cut_off_is_whole)
{
        char text[9000], name[64], url[2000];
        const RootConfig *root;

        snprintf(name, sizeof(name), "%063d", 1);
        snprintf(url, sizeof(url), "file:/%01990d", 2);
        snprintf(text, sizeof(text), "[Root %s]\nSource = %s \t; a comment\nEnvironment=A='%05000d'\n", name,
                 url, 3);
        _cleanup_(config_freep) Config *c = load(text);
        root = config_root(c, name);
        cr_assert_not_null(root);
        cr_assert_eq(root->n_sources, 1);
        cr_expect_str_eq(root->sources[0].url, url);
        cr_expect_eq(strlen(root->default_environment[0]), 5002);
}

Test(config, values_are_cut_out_of_a_line)
{
        static const struct {
                const char *line, *value;
        } lines[] = {
                {"Proxy=http://a;b",         "http://a;b"  },
                { "Proxy:http://a=b:c",      "http://a=b:c"},
                { "Proxy = http://a ;b c",   "http://a"    },
                { "Proxy =\thttp://a # b\t", "http://a # b"},
                { "Proxy=http://a\t;b;c",    "http://a"    },
                { "Proxy= ;http://a",        NULL          },
                { "Proxy=",                  NULL          },
                { "\t Proxy  =  ",           NULL          },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                char text[100];

                snprintf(text, sizeof(text), "[Daemon]\nProxy=http://before\n%s\n", lines[i].line);
                _cleanup_(config_freep) Config *c = load(text);
                if (lines[i].value)
                        cr_expect_str_eq(c->proxy, lines[i].value, "%s: %s", lines[i].line, c->proxy);
                else
                        cr_expect_null(c->proxy, "%s", lines[i].line);
        }
}

Test(config, what_editors_of_other_systems_write)
{
        cr_expect_str_eq(warnings("\xEF\xBB\xBF[Limits]\r\nTasksMax=9\r\n"), "");
        _cleanup_(config_freep) Config *c = load("\xEF\xBB\xBF[Limits]\r\nTasksMax=9\r\n");
        cr_expect_eq(c->everybody.limits.of[LIMIT_TASKS], 9);
}

static const Rule *rule(const Config *c, const char *name, bool of_group)
{
        const Rule *found = NULL;

        for (size_t i = 0; i < c->n_rules; i++)
                if (streq(c->rules[i].name, name) && c->rules[i].of_group == of_group)
                        found = &c->rules[i];
        cr_assert_not_null(found, "%s", name);
        return found;
}

Test(config, rules)
{
        _cleanup_(config_freep) Config *c =
                load("[User root]\nMemoryMax=3G\nAdmit=no\n"
                     "[Group daemon]\nSessionsPerUser=4\nChangeRoots=yes\nConnectionsPerUser=9\n"
                     "[User 2001]\nTasksMax=7\n[Limits]\nTasksMax=100\nCpuQuota=50%\n"
                     "[User root]\nMemoryMax=4G\nFileSizeMax=infinity\n");
        Allowance a = c->everybody;

        cr_assert_eq(c->n_rules, 3);
        rule_apply(rule(c, "root", false), &a);
        cr_expect_eq(a.limits.of[LIMIT_MEMORY], 4 * GIB);
        cr_expect_not(a.admit);
        cr_expect_not(a.change_roots);
        cr_expect_eq(a.limits.of[LIMIT_TASKS], 100);
        cr_expect_eq(a.sessions_max, 256);
        cr_expect(rule(c, "root", false)->known);
        cr_expect_eq(rule(c, "root", false)->id, 0);

        a = c->everybody;
        rule_apply(rule(c, "daemon", true), &a);
        cr_expect_eq(a.sessions_max, 4);
        cr_expect_eq(a.connections_max, 9);
        cr_expect(a.change_roots);
        cr_expect(a.admit);
        cr_expect_eq(a.limits.of[LIMIT_MEMORY], GIB);
        cr_expect_eq(rule(c, "daemon", true)->id, 1);

        rule_apply(rule(c, "2001", false), &a);
        cr_expect_eq(a.limits.of[LIMIT_TASKS], 7);
        cr_expect_eq(a.sessions_max, 4);
        cr_expect(rule(c, "2001", false)->known, "a number needs no entry");
        cr_expect_eq(rule(c, "2001", false)->id, 2001);
}

Test(config, a_user_and_a_group_of_one_name_are_two)
{
        _cleanup_(config_freep) Config *c = load("[User daemon]\nTasksMax=7\n[Group daemon]\nTasksMax=8\n");

        cr_assert_eq(c->n_rules, 2);
        cr_expect_eq(rule(c, "daemon", false)->allowance.limits.of[LIMIT_TASKS], 7);
        cr_expect_eq(rule(c, "daemon", true)->allowance.limits.of[LIMIT_TASKS], 8);
}

/* Each key that a rule may have changes what it says and nothing else. */
Test(config, each_key_of_a_rule_is_applied)
{
        _cleanup_(config_freep) Config *c = load("");
        unsigned n = 0;

        for (const ConfigKey *key = config_keys; key->name; key++) {
                Rule one = { .name = NULL };
                Allowance a = c->everybody, other;

                if (key->of != KEY_OF_USER)
                        continue;
                memset(&one.allowance, 0xee, sizeof(one.allowance));
                cr_assert_eq(rule_set(&one, key, key->kind == KEY_BOOL ? "yes" : key->default_text), 0);
                cr_expect(rule_says(&one, key));
                rule_apply(&one, &a);
                other = a;
                cr_assert_eq(value_set(key, &other, key->kind == KEY_BOOL ? "yes" : key->default_text), 0);
                cr_expect_eq(memcmp(&a, &other, sizeof(a)), 0, "%s", key->name);
                n++;
        }
        cr_expect_geq(n, 14);
        cr_expect_leq(n, 64, "bits of Rule.given");
}

Test(config, who_may_use_a_root)
{
        _cleanup_(config_freep) Config *c = load("[Root busybox]\nUsers=bin\nUsers=\nUsers=root 2001\n"
                                                 "Users=daemon\nGroups=\"daemon\"\n");
        const RootConfig *root = config_root(c, "busybox");

        cr_assert_eq(root->users.n, 3);
        cr_expect_eq(root->users.ids[0], 0);
        cr_expect_eq(root->users.ids[1], 2001);
        cr_expect_eq(root->users.ids[2], 1);
        cr_expect_str_eq(root->users.words[2], "daemon");
        cr_expect_eq(root->groups.n, 1);
}

Test(config, a_comment_may_be_anything)
{
        char text[10000];

        snprintf(text, sizeof(text), "#%09000d\n ; \033[2J\n[Limits]\nTasksMax=9\n", 0);
        _cleanup_(config_freep) Config *c = load(text);
        cr_expect_eq(c->everybody.limits.of[LIMIT_TASKS], 9);
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
        check_warning("[Daemon]\nSpeed=1\nLogLevel=debug\n", "2: [Daemon] has no key Speed=. The line");
        check_warning("[Daemon]\nLoglevel=1\n", "2: [Daemon] has no key Loglevel=; did you mean LogLevel=?");
        check_warning("[User 5]\nMemoryMx=1\n",
                      "2: [User 5] has no key MemoryMx=; did you mean MemoryMax=?");
        check_warning("[Demon]\nLogLevel=debug\nX=1\n",
                      "1: there is no section [Demon]; did you mean [Daemon]? What stands in it is ignored");
        check_warning("[Whatever]\nLogLevel=debug\n", "1: there is no section [Whatever]. What");
        check_warning("[Daemon x]\nLogLevel=debug\n", "1: there is no section [Daemon x]");
        check_warning("[Root]\nKind=busybox\n", "1: [Root] lacks a name, as in [Root NAME]");
        check_warning("LogLevel=debug\n", "1: LogLevel= stands before the first [Section]");
        check_warning("[Daemon]\nLogLevel\nLogLevel=info\n", "2: neither [Section] nor Key=value nor");
        check_warning("[Daemon\n[Daemon]\nLogLevel=info\n", "1: neither");
        check_warning("[Daemon]\nnonsense", "2: neither");
        cr_expect_str_eq(warnings("; c\n# c\n\n  \n [Daemon] ; c\n  LogLevel=info\n"), "");
}

Test(config, a_key_in_the_wrong_section_is_told_where_it_belongs)
{
        check_warning("[Daemon]\nSessionsMax=1\n",
                      "2: SessionsMax= belongs in [Sessions], not in [Daemon]; the line is ignored");
        check_warning("[Root busybox]\nMemoryMax=1G\n",
                      "2: MemoryMax= belongs in [Limits], [User NAME] or [Group NAME], or in [Pool], not in"
                      " [Root busybox]");
        check_warning("[Group 7]\nProxy=http://x\n", "2: Proxy= belongs in [Daemon], not in [Group 7]");
        check_warning("[Limits]\nSource=file:/x\n", "2: Source= belongs in [Root NAME], not in [Limits]");
}

Test(config, who_is_not_on_this_machine_is_a_warning)
{
        check_warning("[User no-such-user]\nMemoryMax=1G\n",
                      "1: there is no user no-such-user on this machine; what stands here is not in force");
        check_warning("[Group no-such-group]\nMemoryMax=1G\n", "1: there is no group no-such-group");
        check_warning("[User 4294967295]\nMemoryMax=1G\n", "1: there is no user 4294967295");
        check_warning("[Root busybox]\nUsers=root no-such-user\n",
                      "2: there is no user no-such-user on this machine; it is passed over");
        check_warning("[Root busybox]\nGroups=no-such-group\n", "2: there is no group no-such-group");
        _cleanup_(config_freep) Config *c = load("[User no-such-user]\nMemoryMax=1G\n"
                                                 "[Root busybox]\nUsers=no-such-user\n");
        cr_expect_not(rule(c, "no-such-user", false)->known);
        cr_expect_not_null(config_root(c, "busybox")->users.words, "not everybody's");
}

Test(config, a_dump_means_the_same)
{
        _cleanup_(config_freep) Config *c =
                load("[Daemon]\nProxy=https://p\nIdleTimeout=90s\nMessageTimeout=1500ms\nLogLevel=warning\n"
                     "[Limits]\nMemoryMax=infinity\nStorageMax=1536M\nLockedMemoryMax=0\n"
                     "[Admission]\nAllowSystemUsers=on\n"
                     "[Root lab]\nSource=http://x/y sha256:" DIGEST "\nCommand=sh -c 'a  \"b\" \\;c'\n"
                     "Environment='A=b c' D=\nUsers=root 'a b'\n"
                     "[User root]\nAdmit=no\nCpuQuota=infinity\n[Group 7]\nSharedMemoryMax=1M\n");
        _cleanup_free_ char *first = dump(c);
        _cleanup_(config_freep) Config *again = load(first);
        _cleanup_free_ char *second = dump(again);

        cr_expect_str_eq(first, second);
        cr_expect_not_null(strstr(first, "IdleTimeout=90s\n"));
        cr_expect_not_null(strstr(first, "\n[User root]\nCpuQuota=infinity\nAdmit=no\n\n[Group 7]\nShared"));
        cr_expect_not_null(strstr(first, "\nUsers=\nUsers=root \"a b\"\n"));
        cr_expect_not_null(strstr(first, "MessageTimeout=1500ms\n"));
        cr_expect_not_null(strstr(first, "StorageMax=1536M\n"));
        cr_expect_str_eq(config_root(again, "lab")->default_arguments[2], "a  \"b\" \\;c");
        cr_expect_eq(again->everybody.limits.of[LIMIT_MEMORY], UINT64_MAX);
}

/* So that a default reads the same where it is told and where it is dumped. */
Test(config, each_default_is_printed_as_it_is_written)
{
        for (const ConfigKey *key = config_keys; key->name; key++) {
                union {
                        Config config;
                        RootConfig root;
                } base = { 0 };
                char expected[100], *text = NULL;
                size_t size;
                FILE *to = open_memstream(&text, &size);

                cr_assert_eq(value_set(key, &base, key->default_text), 0, "%s", key->name);
                value_print(key, &base, to);
                fclose(to);
                snprintf(expected, sizeof(expected), "%s=%s\n", key->name, key->default_text);
                cr_expect_str_eq(text, expected);
                value_free(key, &base);
                free(text);
        }
}

Test(config, names_of_keys_are_unique_in_a_section)
{
        for (const ConfigKey *a = config_keys; a->name; a++)
                for (const ConfigKey *b = a + 1; b->name; b++)
                        cr_expect(!streq(a->name, b->name) || (!streq(a->section, b->section) &&
                                                               (a->of != KEY_OF_USER || b->of != a->of)),
                                  "%s", a->name);
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

static void check_unreadable(const char *file, int error, const char *expected)
{
        _cleanup_free_ char *why = NULL;
        Config *c = NULL;

        cr_expect_eq(config_load(file, &c, &why), error, "%s", file);
        cr_expect_null(c);
        cr_assert_not_null(why);
        cr_expect_eq(strncmp(why, file, strlen(file)), 0, "%s", why);
        cr_expect_not_null(strstr(why, expected), "%s", why);
}

Test(config, files_that_cannot_be_read)
{
        check_unreadable("/nonexistent/nsrootd.conf", -ENOENT, "cannot be opened: No such file");
        check_unreadable("/", -EINVAL, "is a directory");
        check_unreadable("/dev/zero", -EINVAL, "is no regular file");
        cr_assert_eq(truncate(path, (off_t)MIB + 1), 0);
        check_unreadable(path, -EINVAL, "is longer than 1 MiB");
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(mkfifo(path, 0600), 0);
        check_unreadable(path, -EINVAL, "is no regular file");
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(symlink(path, path), 0);
        check_unreadable(path, -ELOOP, "cannot be opened: Too many levels");
}

Test(config, files_in_which_nothing_is)
{
        _cleanup_free_ char *why = NULL;
        Config *c = NULL;

        cr_expect_eq(config_load("/dev/null", &c, &why), 0);
        cr_expect_null(c->files);
        config_free(c);
        cr_assert_eq(truncate(path, 0), 0);
        cr_expect_eq(config_load(path, &c, &why), 0);
        cr_expect_null(c->files);
        config_free(c);
        c = load("# something\n");
        cr_expect_str_eq(c->files[0], path);
        config_free(c);
}

static void check_owner_warning(bool expected)
{
        bool is_said = strstr(warnings("[Daemon]\n"), "others than root can change it") != NULL;

        cr_expect_eq(is_said, expected);
}

Test(config, a_file_that_others_may_change_is_a_warning)
{
        cr_assert_eq(chmod(path, 0664), 0);
        check_owner_warning(true);
        cr_assert_eq(chmod(path, 0646), 0);
        check_owner_warning(true);
        cr_assert_eq(chmod(path, 0644), 0);
        check_owner_warning(false);
        if (geteuid() != 0)
                return;
        cr_assert_eq(chown(path, 1, 0), 0);
        check_owner_warning(true);
}

/* rule_apply keeps a bit for each. */
Test(config, the_keys_that_a_user_may_have_are_few_enough)
{
        size_t n = 0;

        for (const ConfigKey *key = config_keys; key->name; key++)
                n += key->of == KEY_OF_USER;
        cr_expect_leq(n, 64);
}
