/* The cache of roots as the daemon uses it, on a real event loop and a real directory, with sources that are
 * files of this machine. Downloads are in tests/integration/test_roots.py. Needs root, as the daemon does.
 */
#include "roots.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "digest.h"
#include "helper.h"
#include "protocol.h"
#include "tree.h"

#define WAIT_USEC (30 * USEC_PER_SEC) /* a guard against hangs */

static char directory[] = "/var/tmp/test-roots-XXXXXX", state_path[64];
static int base = -1, state = -1;
static sd_event *event;
static Roots *roots;
static RootSource sources[4];
static char urls[32][64];
static size_t n_urls;
static RootConfig root_configs[2] = {
        {.name = (char *)"busybox", .kind = (char *)"busybox", .sources = sources},
        { .name = (char *)"other",  .kind = (char *)"busybox", .sources = sources},
};
static Config config = { .roots = root_configs,
                         .n_roots = 1,
                         .connect_timeout_usec = USEC_PER_SEC,
                         .stall_timeout_usec = USEC_PER_SEC,
                         .download_timeout_usec = 10 * USEC_PER_SEC,
                         .download_attempts = 1 };

static void start(void)
{
        cr_assert_eq(roots_new(event, state, &config, "/nonexistent", &roots), 0);
        roots_tidy(roots, NULL, 0);
}

static void restart(void)
{
        roots = roots_free(roots);
        start();
}

static void set_up(void)
{
        if (geteuid() != 0)
                cr_skip_test("only root can make roots");
        cr_assert_not_null(mkdtemp(directory));
        base = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        snprintf(state_path, sizeof(state_path), "%s/state", directory);
        cr_assert_eq(mkdir(state_path, 0700), 0);
        state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(sd_event_new(&event), 0);
        start();
}

static void tear_down(void)
{
        roots_free(roots);
        sd_event_unref(event);
        close(state);
        umount2(state_path, MNT_DETACH); /* where a test mounted something there */
        cr_expect_eq(tree_remove(AT_FDCWD, directory), 0);
}

TestSuite(roots, .init = set_up, .fini = tear_down, .timeout = 120);

/* ---- Sources ---- */

static void set_sources(size_t n, const char *const *given)
{
        for (size_t i = 0; i < n; i++)
                sources[i] = (RootSource){ .url = (char *)given[i] };
        root_configs[0].n_sources = root_configs[1].n_sources = n;
}

#define SOURCES(...)                                                                                        \
        set_sources(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                               \
                    (const char *[]){ __VA_ARGS__ })

/* A file below the test's directory, as a URL that lives as long as the test. */
static char *url_of(const char *name)
{
        cr_assert_lt(n_urls, ELEMENTSOF(urls));
        snprintf(urls[n_urls], sizeof(urls[0]), "file:%s/%s", directory, name);
        return urls[n_urls++];
}

static char *make_file(const char *name, const void *data, size_t size, mode_t mode)
{
        _cleanup_close_ int fd = openat(base, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, data, size), (ssize_t)size);
        cr_assert_eq(fchmod(fd, mode), 0);
        return url_of(name);
}

/* The stand-in with its text behind it. */
static char *make_binary(const char *name, const char *text)
{
        _cleanup_free_ char *image = NULL, *all = NULL;
        static const char mark[] = "\nMARKED\n";
        size_t length;

        cr_assert_eq(read_file_at(AT_FDCWD, APPLETS_PROGRAM, 8 * MIB, &image, &length), 0);
        all = malloc(length + strlen(mark) + strlen(text));
        cr_assert_not_null(all);
        memcpy(all, image, length);
        memcpy(all + length, mark, strlen(mark));
        memcpy(all + length + strlen(mark), text, strlen(text));
        return make_file(name, all, length + strlen(mark) + strlen(text), 0755);
}

static char *good_binary(void)
{
        return make_binary("good", "bin/sh\nsbin/init\n");
}

/* ---- Waiting ---- */

typedef struct Outcome {
        unsigned finished, progressed;
        int r;
        Error error; /* copied as far as it is looked at */
        char source[256], reason[512], retry[128];
        int64_t number;
        Root *root;
} Outcome;

static void on_progress(const PullProgress *p, void *userdata)
{
        Outcome *o = userdata;

        cr_expect_lt(p->state, PULL_FINISHED);
        o->progressed |= 1u << p->state;
}

static void on_finished(int r, const Error *e, Root *root, void *userdata)
{
        Outcome *o = userdata;

        cr_expect_eq(o->finished, 0, "finished twice");
        cr_expect_eq(r < 0, root == NULL);
        o->finished++;
        o->r = r;
        o->root = root;
        if (r != -EREMOTEIO)
                return;
        o->error.name = e->name;
        for (size_t i = 0; i < e->n_fields; i++) {
                const ErrorField *f = &e->fields[i];

                if (streq(f->key, "source") || streq(f->key, "expected"))
                        snprintf(o->source, sizeof(o->source), "%s", f->text);
                if (streq(f->key, "reason") || streq(f->key, "found"))
                        snprintf(o->reason, sizeof(o->reason), "%s", f->text);
                if (streq(f->key, "retry"))
                        snprintf(o->retry, sizeof(o->retry), "%s", f->text);
                o->number = f->number;
        }
}

static RootsWait *ensure(const char *name, Outcome *o)
{
        static const RootsHandlers handlers = { on_progress, on_finished };
        _cleanup_error_ Error e = {};
        RootsWait *w = NULL;

        cr_assert_eq(roots_ensure(roots, name, &handlers, o, &w, &e), 0);
        cr_assert_eq(o->finished, 0, "finished from inside roots_ensure");
        return w;
}

static void turn_until(const Outcome *o)
{
        uint64_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;

        while (!o->finished) {
                cr_assert_lt(now_usec(CLOCK_MONOTONIC), end, "it never finishes");
                cr_assert_geq(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
        }
}

/* As a Run does it. The root, if there is one, is given back. */
static Outcome run(const char *name)
{
        Outcome o = {};

        ensure(name, &o);
        turn_until(&o);
        root_unref(o.root);
        return o;
}

/* As Pull does it: at once, whatever was before. */
static Outcome pull(const char *name)
{
        roots_retry(roots, name);
        return run(name);
}

static void expect_error(const Outcome *o, const char *name, const char *source, const char *reason)
{
        cr_assert_eq(o->r, -EREMOTEIO, "%s", errno_text(o->r));
        cr_expect_str_eq(o->error.name, name);
        cr_expect_str_eq(o->source, source);
        cr_expect_str_eq(o->reason, reason);
}

static RootInfo info(const char *name)
{
        int i = roots_find(roots, name);
        RootInfo ret;

        cr_assert_geq(i, 0);
        cr_assert_eq(roots_info(roots, (size_t)i, &ret), 0);
        return ret;
}

/* How many names there are below the state directory, but for roots and names themselves. */
static unsigned count_names(const char *name)
{
        _cleanup_free_ char *command = NULL;
        char text[16] = "";
        FILE *f;

        cr_assert_gt(asprintf(&command, "ls -A %s/%s | wc -l", state_path, name), 0);
        f = popen(command, "re");
        cr_assert_not_null(fgets(text, sizeof(text), f));
        pclose(f);
        return (unsigned)atoi(text);
}

static void expect_nothing_made(void)
{
        cr_expect_eq(count_names("roots"), 0);
        cr_expect_eq(count_names("names"), 0);
        cr_expect_eq(info("busybox").cached, false);
}

/* ---- Making ---- */

Test(roots, made_once_and_kept)
{
        _cleanup_error_ Error e = {};
        Root *root = NULL;
        struct stat st;
        Outcome o;

        SOURCES(good_binary());
        cr_expect_eq(roots_get(roots, "busybox", &root, &e), 0);
        cr_expect_eq(info("busybox").size_bytes, -1);
        o = pull("busybox");
        cr_assert_eq(o.r, 0, "%s %s %s", errno_text(o.r), o.error.name, o.reason);
        cr_expect_eq(o.progressed & (1u << PULL_VERIFYING | 1u << PULL_UNPACKING),
                     1u << PULL_VERIFYING | 1u << PULL_UNPACKING);
        cr_expect_eq(count_names("roots"), 1);

        restart();
        unlinkat(base, "good", 0);
        cr_assert_eq(roots_get(roots, "busybox", &root, &e), 1);
        cr_expect_eq(fstatat(root_tree_fd(root), "bin/sh", &st, 0), 0);
        cr_expect_str_eq(root_name(root), "busybox");
        cr_expect_eq(root_config(root), &root_configs[0]);
        root_unref(root);
        cr_expect_eq(pull("busybox").r, 0);
        cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
        cr_expect(info("busybox").cached);
        cr_expect_gt(info("busybox").size_bytes, 1000);
        cr_expect_str_eq(info("busybox").source, sources[0].url);
}

Test(roots, idmap_is_tried_on_the_real_filesystem)
{
        Outcome o = {};

        SOURCES(good_binary());
        ensure("busybox", &o);
        turn_until(&o);
        cr_assert_eq(o.r, 0);
        /* What the filesystem of /var/tmp can, this test cannot know; but not that of a tmpfs before 6.3. */
        if (!root_can_idmap(o.root))
                cr_log_warn("no mapped ids on the filesystem of %s", directory);
        root_unref(o.root);
}

Test(roots, the_older_question)
{
        struct stat st;
        Outcome o = {};

        SOURCES(make_binary("old", "OLDsh\ninit\n"));
        ensure("busybox", &o);
        turn_until(&o);
        cr_assert_eq(o.r, 0, "%s", o.reason);
        cr_expect_eq(fstatat(root_tree_fd(o.root), "bin/init", &st, AT_SYMLINK_NOFOLLOW), 0);
        root_unref(o.root);
}

Test(roots, next_source_when_one_cannot_be_had)
{
        SOURCES("file:/nonexistent/busybox", "http://127.0.0.1:1/", good_binary());
        cr_assert_eq(pull("busybox").r, 0);
        cr_expect_str_eq(info("busybox").source, sources[2].url);
}

Test(roots, no_source_can_be_had)
{
        Outcome o;

        SOURCES("file:/nonexistent/busybox", "file:/etc");
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_SOURCE_UNAVAILABLE, "file:/nonexistent/busybox",
                     "No such file or directory; file:/etc: is not a regular file");
        expect_nothing_made();
}

Test(roots, no_source_at_all)
{
        Outcome o;

        root_configs[0].n_sources = 0;
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_SOURCE_UNAVAILABLE, "busybox", "has no source in the configuration");
}

Test(roots, a_file_that_others_can_change)
{
        char *open_to_all = good_binary(), *of_another = make_binary("another", "sh\n");
        Outcome o;

        cr_assert_eq(fchmodat(base, "good", 0757, 0), 0);
        cr_assert_eq(fchownat(base, "another", 1234, 0, 0), 0);
        SOURCES(open_to_all, of_another);
        o = pull("busybox");
        cr_expect_not_null(strstr(o.reason, "can be written by others than root;"));
        cr_expect_not_null(strstr(o.reason, "does not belong to root"));
        expect_nothing_made();
}

Test(roots, pinned_digest)
{
        char hex[DIGEST_HEX_SIZE], wrong[DIGEST_HEX_SIZE];
        char *good = good_binary();
        _cleanup_close_ int fd = openat(base, "good", O_RDONLY | O_CLOEXEC);
        Outcome o;

        cr_assert_eq(digest_file(fd, hex), 0);
        memcpy(wrong, hex, sizeof(wrong));
        wrong[63] = hex[63] == '0' ? '1' : '0';
        SOURCES(good, good);
        sources[0].digest = wrong;
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_DIGEST_MISMATCH, wrong, hex); /* and not the second source */
        expect_nothing_made();
        sources[0].digest = hex;
        cr_expect_eq(pull("busybox").r, 0);
}

/* Changes the last byte of every file without a name that this process has open for writing. */
static void tamper(void)
{
        for (int fd = 3; fd < 64; fd++) {
                int flags = fcntl(fd, F_GETFL);
                struct stat st;

                if (flags >= 0 && (flags & O_ACCMODE) == O_RDWR && fstat(fd, &st) >= 0 &&
                    S_ISREG(st.st_mode) && st.st_nlink == 0 && st.st_size > 0)
                        cr_assert_eq(pwrite(fd, "x", 1, st.st_size - 1), 1);
        }
}

static void tamper_before_it_is_run(const PullProgress *p, void *userdata)
{
        on_progress(p, userdata);
        if (p->state == PULL_UNPACKING)
                tamper();
}

Test(roots, a_file_that_changes_after_it_was_looked_at)
{
        static const RootsHandlers handlers = { tamper_before_it_is_run, on_finished };
        char hex[DIGEST_HEX_SIZE];
        char *good = good_binary();
        _cleanup_close_ int fd = openat(base, "good", O_RDONLY | O_CLOEXEC);
        _cleanup_error_ Error e = {};
        RootsWait *w;
        Outcome o = {};

        cr_assert_eq(digest_file(fd, hex), 0);
        SOURCES(good);
        cr_assert_eq(roots_ensure(roots, "busybox", &handlers, &o, &w, &e), 0);
        turn_until(&o);
        cr_assert_eq(o.r, -EREMOTEIO);
        cr_expect_str_eq(o.error.name, ERROR_ROOT_DIGEST_MISMATCH);
        cr_expect_str_eq(o.source, hex);
        cr_expect_str_neq(o.reason, hex);
        expect_nothing_made();
}

Test(roots, binaries_that_will_not_do)
{
        static const struct {
                const char *text, *reason;
        } cases[] = {
                {"bin/sh\nbin/../../etc/passwd\nbin/..\n",
                 "lists an applet whose name is not a plain file name"                                          },
                { "a\nb c\n",                              "lists an applet whose name is not a plain file name"},
                { "",                                      "lists no applets"                                   },
                { "FLOOD",                                 "lists too many applets"                             },
                { "CRASH",                                 "cannot list its applets"                            },
                { "HANG",                                  "does not say in time which applets it has"          },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Outcome o;

                SOURCES(make_binary("bad", cases[i].text), good_binary());
                o = pull("busybox");
                expect_error(&o, ERROR_ROOT_BAD_BINARY, sources[0].url, cases[i].reason);
                expect_nothing_made();
        }
}

Test(roots, files_that_are_no_binaries)
{
        static const char script[] = "#!/bin/sh\necho sh\n";
        Outcome o;

        SOURCES(make_file("script", script, strlen(script), 0755));
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_BAD_BINARY, sources[0].url, "is not an executable");
        SOURCES("file:/nonexistent", "file:/bin/ls");
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_BAD_BINARY, "file:/bin/ls",
                     "is dynamically linked (tried before: file:/nonexistent: No such file or directory)");
        SOURCES(make_file("script", "", 0, 0755));
        o = pull("busybox");
        expect_error(&o, ERROR_ROOT_BAD_BINARY, sources[0].url, "is not an executable");
        expect_nothing_made();
}

/* The sandbox as it looks from inside. */
Test(roots, the_binary_sees_and_can_do_nothing)
{
        static const char *const expected[] = {
                "groups-0",
                "pid-1",
                "parent-0",
                "bounding-0",
                "CapPrm-0000000000000000",
                "CapEff-0000000000000000",
                "CapAmb-0000000000000000",
                "NoNewPrivs-1",
                "SigIgn-0000000000000000",
                "SigBlk-0000000000000000",
                "root-1",
                "fds-4",
                "processes-0",
                "environment-0",
                "write-30", /* EROFS */
                "mount-1",
                "unshare-1",
                "core-0", /* EPERM */
        };
        char path[64];
        struct stat st;
        Outcome o = {};
        sigset_t blocked;
        gid_t gid = 4;
        uid_t uid;

        cr_assert_eq(setgroups(1, &gid), 0); /* things to lose */
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
        helper_user(&uid, &gid);
        cr_expect_neq(uid, 0);
        cr_expect_neq(gid, 0);
        SOURCES(make_binary("view", "VIEW"));
        ensure("busybox", &o);
        turn_until(&o);
        cr_assert_eq(o.r, 0, "%s", o.reason);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                snprintf(path, sizeof(path), "bin/%s", expected[i]);
                cr_expect_eq(fstatat(root_tree_fd(o.root), path, &st, AT_SYMLINK_NOFOLLOW), 0, "not %s",
                             expected[i]);
        }
        snprintf(path, sizeof(path), "bin/uid-%u", uid);
        cr_expect_eq(fstatat(root_tree_fd(o.root), path, &st, AT_SYMLINK_NOFOLLOW), 0);
        snprintf(path, sizeof(path), "bin/gid-%u", gid);
        cr_expect_eq(fstatat(root_tree_fd(o.root), path, &st, AT_SYMLINK_NOFOLLOW), 0);
        root_unref(o.root);
}

/* ---- Waiting ---- */

Test(roots, several_wait_and_one_leaves)
{
        Outcome o[3] = {};
        RootsWait *leaver;

        SOURCES(good_binary());
        ensure("busybox", &o[0]);
        leaver = ensure("busybox", &o[1]);
        ensure("busybox", &o[2]);
        cr_assert_geq(sd_event_run(event, 0), 0);
        roots_cancel(leaver);
        turn_until(&o[0]);
        turn_until(&o[2]);
        cr_expect_eq(o[0].r, 0);
        cr_expect_eq(o[2].r, 0);
        cr_expect_eq(o[0].root, o[2].root);
        cr_expect_eq(info("busybox").sessions, 2);
        cr_expect_eq(o[1].finished, 0);
        root_unref(o[0].root);
        root_unref(o[2].root);
        cr_expect_eq(info("busybox").sessions, 0);
}

Test(roots, all_leave)
{
        Outcome o = {};
        RootsWait *w;

        SOURCES(make_binary("hang", "HANG"));
        w = ensure("busybox", &o);
        while (!(o.progressed & 1u << PULL_UNPACKING))
                cr_assert_geq(sd_event_run(event, WAIT_USEC), 0);
        roots_cancel(w);
        while (sd_event_run(event, 300 * USEC_PER_MSEC) > 0)
                ;
        cr_expect_eq(o.finished, 0);
        expect_nothing_made();
        SOURCES(good_binary());
        cr_expect_eq(pull("busybox").r, 0, "a later caller gets a new one");
}

Test(roots, freed_while_somebody_waits)
{
        Outcome o = {};

        SOURCES(make_binary("hang", "HANG"));
        ensure("busybox", &o);
        while (!(o.progressed & 1u << PULL_UNPACKING))
                cr_assert_geq(sd_event_run(event, WAIT_USEC), 0);
        roots = roots_free(roots);
        cr_expect_eq(o.finished, 1);
        cr_expect_eq(o.r, -ECANCELED);
}

/* ---- Verifying and removing ---- */

static void spoil(const char *path)
{
        _cleanup_free_ char *command = NULL;

        cr_assert_gt(asprintf(&command, "cd %s/roots/*/ && %s", state_path, path), 0);
        cr_assert_eq(system(command), 0);
}

Test(roots, verify_finds_every_change)
{
        static const char *const changes[] = { "echo x >>etc/passwd",   "rm etc/hosts",    "touch bin/new",
                                               "chmod u+s bin/busybox", "ln -sf x bin/sh", "chown 1 root",
                                               "mkdir -p `seq -s / 30`" };
        char *good = good_binary();

        SOURCES(good);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_error_ Error e = {};

                cr_assert_eq(pull("busybox").r, 0);
                cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
                spoil(changes[i]);
                cr_expect_eq(roots_verify(roots, "busybox", &e), -EREMOTEIO, "%s", changes[i]);
                cr_expect_str_eq(e.name, ERROR_ROOT_DIGEST_MISMATCH);
                cr_expect_str_neq(error_text(&e, "expected"), error_text(&e, "found"));
                expect_nothing_made();
                cr_expect_eq(roots_verify(roots, "busybox", &e), -EREMOTEIO);
                cr_expect_str_eq(e.name, ERROR_ROOT_NO_SUCH_ROOT);
        }
}

Test(roots, remove_and_make_again)
{
        _cleanup_error_ Error e = {};
        Outcome o = {};

        SOURCES(good_binary());
        cr_expect_eq(roots_remove(roots, "busybox", &e), 0, "not there: nothing to do");
        ensure("busybox", &o);
        turn_until(&o);
        cr_assert_eq(o.r, 0);
        root_ref(o.root);
        cr_expect_eq(roots_remove(roots, "busybox", &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_ROOT_IN_USE);
        cr_expect_str_eq(error_text(&e, "name"), "busybox");
        cr_expect_eq(e.fields[1].number, 2);
        root_unref(o.root);
        root_unref(o.root);
        cr_expect_eq(roots_remove(roots, "busybox", &e), 0);
        expect_nothing_made();
        cr_expect_eq(pull("busybox").r, 0);
        restart();
        cr_expect(info("busybox").cached);
}

/* Its files are there until the last session that uses them ends. */
Test(roots, damaged_while_in_use)
{
        _cleanup_error_ Error e = {};
        Outcome o = {};
        struct stat st;

        SOURCES(good_binary());
        ensure("busybox", &o);
        turn_until(&o);
        spoil("touch bin/new");
        cr_expect_eq(roots_verify(roots, "busybox", &e), -EREMOTEIO);
        cr_expect_eq(info("busybox").cached, false);
        cr_expect_eq(fstatat(root_tree_fd(o.root), "bin/busybox", &st, 0), 0);
        cr_expect_eq(pull("busybox").r, 0);
        cr_expect_eq(count_names("roots"), 2);
        root_unref(o.root);
        cr_expect_eq(count_names("roots"), 1);
        cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
}

Test(roots, two_names_for_one_tree)
{
        _cleanup_error_ Error e = {};

        SOURCES(good_binary());
        config.n_roots = 2;
        restart();
        cr_expect_eq(roots_count(roots), 2);
        cr_assert_eq(pull("busybox").r, 0);
        cr_assert_eq(pull("other").r, 0);
        cr_expect_eq(count_names("roots"), 1);
        cr_expect_eq(roots_remove(roots, "busybox", &e), 0);
        cr_expect_eq(roots_verify(roots, "other", &e), 0);
        restart();
        cr_expect_eq(info("busybox").cached, false);
        cr_expect(info("other").cached);
        cr_expect_eq(roots_verify(roots, "other", &e), 0);
}

/* What lies at the place of a new tree is used only if it is what it should be. */
Test(roots, damaged_tree_in_the_place_of_a_new_one)
{
        const Config only_other = { .roots = &root_configs[1], .n_roots = 1 };
        _cleanup_error_ Error e = {};

        SOURCES(good_binary());
        cr_assert_eq(pull("busybox").r, 0);
        cr_assert_eq(roots_set_config(roots, &only_other), 0);
        spoil("touch bin/new");
        cr_assert_eq(pull("other").r, 0);
        cr_expect_eq(count_names("roots"), 1);
        cr_expect_eq(roots_verify(roots, "other", &e), 0);
}

/* ---- Starting ---- */

Test(roots, what_a_crash_left_is_removed)
{
        SOURCES(good_binary());
        cr_assert_eq(pull("busybox").r, 0);
        cr_assert_eq(mkdirat(state, "roots/.build-1", 0700), 0);
        cr_assert_eq(mkdirat(state, "roots/.build-1/bin", 0000), 0);
        cr_assert_eq(mkdirat(state, "roots/.dead-1", 0700), 0);
        cr_assert_eq(mkdirat(state, "roots/0123456789abcdef", 0700), 0); /* a tree without a name */
        close(openat(state, "names/.metadata-1", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        restart();
        cr_expect_eq(count_names("roots"), 1);
        cr_expect_eq(count_names("names"), 1);
        cr_expect(info("busybox").cached);
}

Test(roots, damaged_metadata_is_as_good_as_none)
{
        _cleanup_close_ int fd = -EBADF;

        SOURCES(good_binary());
        cr_assert_eq(pull("busybox").r, 0);
        fd = openat(state, "names/busybox.json", O_WRONLY | O_TRUNC | O_CLOEXEC);
        cr_assert_eq(write(fd, "{", 1), 1);
        restart();
        cr_expect_eq(info("busybox").cached, false);
        cr_expect_eq(pull("busybox").r, 0);
        restart();
        cr_expect(info("busybox").cached);
}

Test(roots, metadata_that_is_no_file)
{
        static const char *const things[] = { "mkdir names/busybox.json", "mkdir -p names/busybox.json/x/y",
                                              "mkfifo names/busybox.json",
                                              "ln -s /dev/zero names/busybox.json",
                                              "ln -s busybox.json names/busybox.json" };

        SOURCES(good_binary());
        for (size_t i = 0; i < ELEMENTSOF(things); i++) {
                _cleanup_free_ char *command = NULL;

                cr_assert_gt(asprintf(&command, "cd %s && rm -rf names/* && %s", state_path, things[i]), 0);
                cr_assert_eq(system(command), 0);
                restart();
                cr_expect_eq(info("busybox").cached, false);
                cr_expect_eq(pull("busybox").r, 0, "%s", things[i]);
                restart();
                cr_expect(info("busybox").cached, "%s", things[i]);
        }
}

Test(roots, downloads_of_no_use_are_removed)
{
        char wanted[DIGEST_HEX_SIZE], old[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
        const char *const names[] = { wanted, old, other, ".hidden", "directory" };
        const struct timespec times[2] = {
                {1000000000,  0},
                { 1000000000, 0}
        };
        struct stat st;

        memset(wanted, 'a', sizeof(wanted));
        memset(old, 'b', sizeof(old));
        memset(other, 'c', sizeof(other));
        wanted[64] = old[64] = other[64] = '\0';
        SOURCES("http://127.0.0.1:1/a", "http://127.0.0.1:1/b", good_binary());
        sources[0].digest = wanted;
        sources[1].digest = old;
        cr_assert_eq(mkdirat(state, "downloads", 0700), 0);
        cr_assert_eq(mkdirat(state, "downloads/directory", 0700), 0);
        for (size_t i = 0; i + 1 < ELEMENTSOF(names); i++) {
                char path[96];
                snprintf(path, sizeof(path), "downloads/%s", names[i]);
                close(openat(state, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
                if (names[i] == old)
                        cr_assert_eq(utimensat(state, path, times, 0), 0);
        }
        restart();
        cr_expect_eq(count_names("downloads"), 1);
        cr_expect_eq(fstatat(state, "downloads", &st, 0), 0);
        cr_expect_eq(pull("busybox").r, 0);
        cr_expect_eq(count_names("downloads"), 0, "there is a root: nobody wants the rest");
}

/* Another daemon's downloader may still write to it. */
Test(roots, downloads_in_use_stay)
{
        char digest[DIGEST_HEX_SIZE], path[96];
        _cleanup_close_ int fd = -EBADF;

        memset(digest, 'a', sizeof(digest) - 1);
        digest[64] = '\0';
        snprintf(path, sizeof(path), "downloads/%s", digest);
        cr_assert_eq(mkdirat(state, "downloads", 0700), 0);
        fd = openat(state, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_eq(flock(fd, LOCK_EX), 0);
        restart();
        cr_expect_eq(count_names("downloads"), 1);
        fd = close_fd(fd);
        restart();
        cr_expect_eq(count_names("downloads"), 0);
}

Test(roots, state_directory_must_be_ours)
{
        Roots *other = NULL;

        cr_expect_eq(roots_new(event, state, &config, "x", &other), -EBUSY);
        roots = roots_free(roots);
        cr_assert_eq(fchmod(state, 0777), 0);
        cr_expect_eq(roots_new(event, state, &config, "x", &other), -EPERM);
        cr_assert_eq(fchmod(state, 0700), 0);
        cr_assert_eq(fchown(state, 1234, 0), 0);
        cr_expect_eq(roots_new(event, state, &config, "x", &other), -EPERM);
        cr_assert_eq(fchown(state, 0, 0), 0);
        cr_assert_eq(fchmodat(state, "roots", 0770, 0), 0);
        cr_expect_eq(roots_new(event, state, &config, "x", &other), -EPERM);
        cr_assert_eq(fchmodat(state, "roots", 0700, 0), 0);
        start();
}

Test(roots, names_that_are_not_configured)
{
        static const RootsHandlers handlers = { on_progress, on_finished };
        _cleanup_error_ Error e = {};
        Root *root;
        RootsWait *w;

        cr_expect_eq(roots_get(roots, "nosuch", &root, &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_ROOT_NO_SUCH_ROOT);
        cr_expect_str_eq(error_text(&e, "name"), "nosuch");
        cr_expect_eq(roots_ensure(roots, "nosuch", &handlers, NULL, &w, &e), -EREMOTEIO);
        cr_expect_eq(roots_remove(roots, "nosuch", &e), -EREMOTEIO);
        cr_expect_eq(roots_find(roots, "nosuch"), -ENOENT);
}

/* ---- What failed is not tried again at once ---- */

Test(roots, a_failure_is_remembered)
{
        const char *again = "tried 0 s ago; tried again in 2 s",
                   *script = make_file("script", "#!", 2, 0755);
        Outcome o;

        SOURCES(script);
        o = run("busybox");
        expect_error(&o, ERROR_ROOT_BAD_BINARY, script, "is not an executable");
        cr_expect_str_eq(o.retry, "");
        SOURCES(good_binary()); /* which nobody looks at now */
        o = run("busybox");
        expect_error(&o, ERROR_ROOT_BAD_BINARY, script, "is not an executable");
        cr_expect_str_eq(o.retry, again);
        cr_expect_eq(o.progressed, 0);
        expect_nothing_made();
        cr_expect_eq(pull("busybox").r, 0, "who insists gets it");
}

Test(roots, a_failure_is_forgotten_after_a_while)
{
        SOURCES("file:/nonexistent");
        cr_assert_eq(run("busybox").r, -EREMOTEIO);
        SOURCES(good_binary());
        cr_assert_eq(run("busybox").r, -EREMOTEIO);
        usleep(2100 * 1000);
        cr_expect_eq(run("busybox").r, 0);
}

Test(roots, a_reload_forgets_failures)
{
        SOURCES("file:/nonexistent");
        cr_assert_eq(run("busybox").r, -EREMOTEIO);
        SOURCES(good_binary());
        cr_assert_eq(roots_set_config(roots, &config), 0);
        cr_expect_eq(run("busybox").r, 0);
}

/* ---- Another digest in the configuration ---- */

/* What the configuration says after a reload: never the same memory as before. */
static Config reloaded(RootConfig *root, RootSource *source, const char *url, const char *digest)
{
        Config c = config;

        *source = (RootSource){ .url = (char *)url, .digest = (char *)digest };
        *root = (RootConfig){
                .name = (char *)"busybox", .kind = (char *)"busybox", .sources = source, .n_sources = 1
        };
        c.roots = root;
        c.n_roots = 1;
        return c;
}

static void digest_of(const char *name, char ret[static DIGEST_HEX_SIZE])
{
        _cleanup_close_ int fd = openat(base, name, O_RDONLY | O_CLOEXEC);

        cr_assert_eq(digest_file(fd, ret), 0);
}

Test(roots, another_digest_makes_another_root)
{
        char *first = make_binary("first", "bin/sh\n"), *second = make_binary("second", "bin/sh\nbin/new\n");
        char first_hex[DIGEST_HEX_SIZE], second_hex[DIGEST_HEX_SIZE];
        RootConfig root[2];
        RootSource source[2];
        Config before, after;
        _cleanup_error_ Error e = {};
        Root *none = NULL;
        Outcome o = {};
        struct stat st;

        digest_of("first", first_hex);
        digest_of("second", second_hex);
        before = reloaded(&root[0], &source[0], first, first_hex);
        after = reloaded(&root[1], &source[1], second, second_hex);
        cr_assert_eq(roots_set_config(roots, &before), 0);
        ensure("busybox", &o);
        turn_until(&o);
        cr_assert_eq(o.r, 0);

        cr_assert_eq(roots_set_config(roots, &after), 0);
        cr_expect_eq(roots_get(roots, "busybox", &none, &e), 0, "it is outdated");
        cr_expect_eq(info("busybox").cached, false);
        cr_expect_eq(roots_verify(roots, "busybox", &e), -EREMOTEIO);
        cr_assert_eq(run("busybox").r, 0);
        cr_expect_str_eq(info("busybox").source, second);
        cr_expect_null(root_config(o.root), "what it points to goes with the next reload");
        cr_expect_eq(fstatat(root_tree_fd(o.root), "bin/sh", &st, 0), 0, "a session still has the old one");
        cr_expect_eq(count_names("roots"), 2);
        root_unref(o.root);
        cr_expect_eq(count_names("roots"), 1);
        restart();
        cr_assert_eq(roots_set_config(roots, &after), 0);
        cr_expect(info("busybox").cached);
        roots = roots_free(roots); /* which knows this function's configuration */
}

/* The pin is what an administrator wants: an error is better than what he does not want any more. It comes
 * back with the old pin. */
Test(roots, another_digest_that_cannot_be_had)
{
        char *url = good_binary();
        char hex[DIGEST_HEX_SIZE], wrong[DIGEST_HEX_SIZE];
        RootConfig root[2];
        RootSource source[2];
        Config before, after;
        Outcome o;

        digest_of("good", hex);
        memset(wrong, '0', sizeof(wrong) - 1);
        wrong[sizeof(wrong) - 1] = '\0';
        before = reloaded(&root[0], &source[0], url, hex);
        after = reloaded(&root[1], &source[1], url, wrong);
        cr_assert_eq(roots_set_config(roots, &before), 0);
        cr_assert_eq(run("busybox").r, 0);
        cr_assert_eq(roots_set_config(roots, &after), 0);
        o = run("busybox");
        expect_error(&o, ERROR_ROOT_DIGEST_MISMATCH, wrong, hex);
        cr_expect_eq(count_names("roots"), 1);
        unlinkat(base, "good", 0);
        cr_assert_eq(roots_set_config(roots, &before), 0);
        cr_expect(info("busybox").cached);
        cr_expect_eq(run("busybox").r, 0);
        roots = roots_free(roots);
}

Test(roots, a_source_that_is_taken_away)
{
        char *good = good_binary();

        SOURCES(good);
        cr_assert_eq(run("busybox").r, 0);
        SOURCES("file:/nonexistent");
        cr_assert_eq(roots_set_config(roots, &config), 0);
        cr_expect_eq(info("busybox").cached, false);
        SOURCES("file:/nonexistent", good);
        cr_assert_eq(roots_set_config(roots, &config), 0);
        cr_expect(info("busybox").cached);
}

/* The old one stays what it was, and where it was. */
Test(roots, another_digest_that_cannot_be_kept)
{
        char *first = make_binary("first", "bin/sh\n"), *second = make_binary("second", "bin/sh\nbin/new\n");
        RootConfig root[2];
        RootSource source[2];
        Config before = reloaded(&root[0], &source[0], first, NULL),
               after = reloaded(&root[1], &source[1], second, NULL);
        _cleanup_error_ Error e = {};
        Outcome o;

        cr_assert_eq(roots_set_config(roots, &before), 0);
        cr_assert_eq(run("busybox").r, 0);
        cr_assert_eq(roots_set_config(roots, &after), 0);
        cr_assert_eq(renameat(state, "names", state, "away"), 0);
        cr_assert_eq(tree_remove(state, "away"), 0);
        o = run("busybox");
        expect_error(&o, ERROR_ROOT_CACHE_UNUSABLE, "",
                     "nsrootd's state directory: No such file or directory: see the kernel's log");
        cr_expect_eq(count_names("roots"), 1);
        cr_assert_eq(roots_set_config(roots, &before), 0);
        cr_expect(info("busybox").cached);
        cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
        roots = roots_free(roots);
}

/* The new root is the old one's tree: it stays where it is. */
Test(roots, another_source_of_the_same)
{
        char *good = good_binary(), *same = make_binary("same", "bin/sh\nsbin/init\n");
        RootConfig root[2];
        RootSource source[2];
        Config before = reloaded(&root[0], &source[0], good, NULL),
               after = reloaded(&root[1], &source[1], same, NULL);
        _cleanup_error_ Error e = {};

        cr_assert_eq(roots_set_config(roots, &before), 0);
        cr_assert_eq(run("busybox").r, 0);
        cr_assert_eq(roots_set_config(roots, &after), 0);
        cr_expect_eq(info("busybox").cached, false);
        cr_assert_eq(run("busybox").r, 0);
        cr_expect_str_eq(info("busybox").source, same);
        cr_expect_eq(count_names("roots"), 1);
        cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
        roots = roots_free(roots);
}

/* Who waits gets what is configured when it is there, not what was when he came. */
Test(roots, a_reload_in_the_middle)
{
        char *hang = make_binary("hang", "HANG"), *good = good_binary();
        RootConfig root[2];
        RootSource source[2];
        Config before = reloaded(&root[0], &source[0], hang, NULL),
               after = reloaded(&root[1], &source[1], good, NULL);
        Outcome o = {};

        cr_assert_eq(roots_set_config(roots, &before), 0);
        ensure("busybox", &o);
        while (!(o.progressed & 1u << PULL_UNPACKING))
                cr_assert_geq(sd_event_run(event, WAIT_USEC), 0);
        cr_assert_eq(roots_set_config(roots, &after), 0);
        turn_until(&o);
        cr_expect_eq(o.r, 0);
        cr_expect_str_eq(info("busybox").source, good);
        root_unref(o.root);
        roots = roots_free(roots);
}

/* Who comes late is told at once how far it is. */
Test(roots, late_and_told)
{
        Outcome first = {}, late = {};

        SOURCES(make_binary("hang", "HANG"));
        ensure("busybox", &first);
        while (!(first.progressed & 1u << PULL_UNPACKING))
                cr_assert_geq(sd_event_run(event, WAIT_USEC), 0);
        ensure("busybox", &late);
        for (unsigned i = 0; i < 3 && !late.progressed; i++)
                cr_assert_geq(sd_event_run(event, 0), 0);
        cr_expect_eq(late.progressed, 1u << PULL_UNPACKING);
        roots = roots_free(roots);
}

/* A reload takes a name away while one waits for it, and gives it back. */
Test(roots, reload)
{
        Config none = { .connect_timeout_usec = USEC_PER_SEC };
        Outcome waiting = {}, o = {};

        SOURCES(good_binary());
        ensure("busybox", &o);
        turn_until(&o);
        config.n_roots = 2;
        cr_assert_eq(roots_set_config(roots, &config), 0);
        cr_expect(info("busybox").cached);
        ensure("other", &waiting);
        cr_assert_eq(roots_set_config(roots, &none), 0);
        cr_expect_eq(waiting.r, -ECANCELED);
        cr_expect_eq(roots_count(roots), 0);
        cr_expect_null(root_config(o.root));
        cr_expect_str_eq(root_name(o.root), "busybox");
        root_unref(o.root);
        cr_assert_eq(roots_set_config(roots, &config), 0);
        cr_expect(info("busybox").cached);
}

/* In a forked child nothing can be added to the event loop, so nothing that is new can be made. */
Test(roots, a_reload_that_fails_changes_nothing)
{
        RootConfig new_first[] = { root_configs[1], root_configs[0] };
        Config next = config;
        int status;
        pid_t pid;

        next.roots = new_first;
        next.n_roots = 2;
        pid = fork();
        if (pid == 0)
                _exit(roots_set_config(roots, &next) == -ECHILD && roots_count(roots) == 1 &&
                                      roots_find(roots, "busybox") == 0 && roots_find(roots, "other") < 0
                              ? 0
                              : 1);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect_eq(status, 0);
}

/* ---- The disk ---- */

/* A filesystem of its own below the state directory, in a mount namespace of the test's own. */
static void mount_state(const char *options, unsigned long flags)
{
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        roots = roots_free(roots);
        cr_assert_eq(mount("test", state_path, "tmpfs", flags, options), 0);
        close(state);
        state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* At every size from nothing to enough: either all of it is there afterwards, or nothing and the right
 * error. */
Test(roots, full_disk)
{
        unsigned made = 0, failed = 0;
        char options[64];

        SOURCES(good_binary());
        for (unsigned kib = 64; kib <= 4096 && made == 0; kib += kib < 256 ? 16 : 64) {
                Outcome o;

                snprintf(options, sizeof(options), "mode=0700,size=%uk", kib);
                mount_state(options, 0);
                start();
                o = pull("busybox");
                made += o.r == 0;
                failed += o.r != 0;
                if (o.r != 0) {
                        cr_expect_eq(o.r, -EREMOTEIO, "%s", errno_text(o.r));
                        cr_expect_str_eq(o.error.name, ERROR_ROOT_NO_SPACE, "%s %s", o.error.name, o.reason);
                        expect_nothing_made();
                }
                roots = roots_free(roots);
                close(state);
                umount2(state_path, MNT_DETACH);
                state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                start();
        }
        cr_expect_eq(made, 1);
        cr_expect_gt(failed, 5);
}

Test(roots, full_of_files)
{
        unsigned made = 0;
        char options[64];

        SOURCES(good_binary());
        for (unsigned inodes = 4; inodes <= 64 && made == 0; inodes++) {
                Outcome o;

                snprintf(options, sizeof(options), "mode=0700,nr_inodes=%u", inodes);
                mount_state(options, 0);
                start();
                o = pull("busybox");
                made += o.r == 0;
                if (o.r != 0) {
                        cr_expect_str_eq(o.error.name, ERROR_ROOT_NO_SPACE, "%u: %s", inodes,
                                         errno_text(o.r));
                        expect_nothing_made();
                }
                roots = roots_free(roots);
                close(state);
                umount2(state_path, MNT_DETACH);
                state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                start();
        }
        cr_expect_eq(made, 1);
}

Test(roots, read_only_disk)
{
        Outcome o;

        SOURCES(good_binary());
        mount_state("mode=0700", 0);
        start();
        cr_assert_eq(mount(NULL, state_path, NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL), 0);
        o = pull("busybox");
        expect_error(
                &o, ERROR_ROOT_CACHE_UNUSABLE, "",
                "nsrootd's state directory is on a read-only filesystem: remount it writable, or choose "
                "another");
        expect_nothing_made();
}

/* All that was there before can be used, by a daemon that starts then too. */
Test(roots, read_only_disk_with_a_root)
{
        _cleanup_error_ Error e = {};
        Root *root = NULL;
        struct stat st;

        SOURCES(good_binary());
        mount_state("mode=0700", 0);
        start();
        cr_assert_eq(pull("busybox").r, 0);
        cr_assert_eq(mkdirat(state, "roots/.build-1", 0700), 0);
        cr_assert_eq(mount(NULL, state_path, NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
                cr_assert_eq(roots_get(roots, "busybox", &root, &e), 1);
                cr_expect_eq(fstatat(root_tree_fd(root), "bin/sh", &st, 0), 0);
                root = root_unref(root);
                cr_expect_eq(roots_verify(roots, "busybox", &e), 0);
                restart();
        }
        cr_expect_eq(roots_remove(roots, "busybox", &e), -EREMOTEIO);
        cr_expect_str_eq(e.name, ERROR_ROOT_CACHE_UNUSABLE);
        cr_expect(info("busybox").cached);
}

Test(roots, read_only_disk_with_nothing_on_it)
{
        Roots *none = NULL;

        mount_state("mode=0700", 0);
        cr_assert_eq(mount(NULL, state_path, NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL), 0);
        cr_expect_eq(roots_new(event, state, &config, "x", &none), -EROFS);
}
