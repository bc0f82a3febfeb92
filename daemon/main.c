/* nsrootd's command line. */
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "build-config.h"
#include "cgroup.h"
#include "config.h"
#include "log.h"
#include "manager.h"
#include "options.h"
#include "privilege.h"
#include "protocol.h"

typedef enum Action {
        ACTION_RUN,
        ACTION_CHECK_CONFIG,
        ACTION_DUMP_CONFIG,
        ACTION_DEFAULT_CONFIG,
        ACTION_HOLD_SESSIONS,
        ACTION_VERSION
} Action;

typedef struct Arguments {
        const char *listen_path, *state_dir, *config_path;
        int action;
} Arguments;

static const Option options[] = {
        OPTION_ROW_TEXT(0, "listen", "PATH", Arguments, listen_path,
                        "listen on a socket at PATH, without systemd"),
        OPTION_ROW_TEXT(0, "state-dir", "DIR", Arguments, state_dir, "keep the cache of roots in DIR"),
        OPTION_ROW_TEXT(0, "config", "FILE", Arguments, config_path,
                        "read FILE, and no other configuration"),
        OPTION_ROW_CHOICE(0, "check-config", ACTION_CHECK_CONFIG, Arguments, action,
                          "say whether the configuration is good, and which files it is made of"),
        OPTION_ROW_CHOICE(0, "dump-config", ACTION_DUMP_CONFIG, Arguments, action,
                          "print the configuration in force"),
        OPTION_ROW_CHOICE(0, "default-config", ACTION_DEFAULT_CONFIG, Arguments, action,
                          "print all keys with their defaults, as a file of comments"),
        OPTION_ROW_CHOICE(0, "hold-sessions", ACTION_HOLD_SESSIONS, Arguments, action,
                          "hold the cgroup of the sessions (for nsrootd-sessions.service)"),
        OPTION_ROW_CHOICE(0, "version", ACTION_VERSION, Arguments, action, "print the version"),
        OPTION_ROW_HELP,
        OPTION_ROW_END,
};

static const OptionTable table = {
        .name = "nsrootd",
        .summary = "Give users private, disposable root filesystems to run commands in",
        .details = "Without --listen it takes the sockets that systemd passes to nsrootd.service.\n",
        .options = options,
};

static int load_config(const Arguments *a, Config **ret)
{
        _cleanup_free_ char *why = NULL;
        int r = config_load(a->config_path, ret, &why);

        if (r < 0)
                log_error("%s", why ? why : errno_text(r));
        return r;
}

static int check_config(const Arguments *a)
{
        _cleanup_(config_freep) Config *config = NULL;
        int r = load_config(a, &config);

        if (r < 0)
                return r;
        for (char **file = config->files; file && *file; file++)
                printf("%s\n", *file);
        puts(config->files ? "The configuration is good."
                           : "There is no configuration; all is as by default.");
        return fflush(stdout) == EOF ? -EIO : 0;
}

static int dump_config(const Arguments *a)
{
        _cleanup_(config_freep) Config *config = NULL;
        int r = load_config(a, &config);

        return r < 0 ? r : config_dump(config, stdout);
}

static int default_config(const Arguments *a)
{
        return config_print_defaults(stdout);
}

static int print_version(const Arguments *a)
{
        return printf("nsrootd %s\n", NSROOT_VERSION) < 0 ? -EIO : 0;
}

/* The one process of nsrootd-sessions.service, which keeps the sessions' cgroup while the daemon comes and
 * goes. */
static int hold_sessions(const Arguments *a)
{
        int r = cgroup_hold();

        if (r < 0) {
                log_error("Cannot hold the sessions' cgroup: %s", errno_text(r));
                return r;
        }
        (void)sd_notify(false, "READY=1");
        for (;;)
                pause();
}

/* The daemon's working directory will be another one. Replaces *path, which is *ret's then. */
static int make_absolute(const char **path, char **ret)
{
        _cleanup_free_ char *directory = NULL;

        if (!*path || **path == '/')
                return 0;
        directory = getcwd(NULL, 0);
        if (!directory)
                return -errno;
        if (asprintf(ret, "%s/%s", directory, *path) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        *path = *ret;
        return 0;
}

static int serve(const Arguments *a)
{
        /* Those of a build directory, for tests and development. */
        const char *init_path = getenv("NSROOTD_INIT_PATH"), *fetch_path = getenv("NSROOTD_FETCH_PATH");
        const ManagerOptions o = { .config_path = a->config_path,
                                   .listen_path = a->listen_path,
                                   .state_dir = a->state_dir ? a->state_dir : STATE_DIR_DEFAULT,
                                   .init_path = init_path ? init_path : LIBEXECDIR "/nsroot-init",
                                   .fetch_path = fetch_path ? fetch_path : LIBEXECDIR "/nsroot-fetch" };

        umask(022); /* sessions must be able to pass through what is made for them, whoever started us */
        return manager_run(&o);
}

static int run(const Arguments *given)
{
        _cleanup_free_ char *config = NULL, *listen = NULL, *state = NULL, *missing = NULL;
        Arguments a = *given;
        int r = privilege_check(&missing);

        if (r == -EPERM)
                log_error("nsrootd lacks %s: start it as root with its capabilities, best as a service "
                          "('systemctl "
                          "start nsrootd').",
                          missing);
        if (r >= 0)
                r = make_absolute(&a.config_path, &config);
        if (r >= 0)
                r = make_absolute(&a.listen_path, &listen);
        if (r >= 0)
                r = make_absolute(&a.state_dir, &state);
        return r < 0 ? r : serve(&a);
}

/* Before anything opens one of its own: what whoever started us left open is nobody's here, but for the
 * sockets that systemd passes (sd_listen_fds(3)). */
static void close_inherited(void)
{
        int passed = MAX(sd_listen_fds(false), 0);

        (void)close_range((unsigned)(SD_LISTEN_FDS_START + passed), ~0U, 0);
}

int main(int argc, char **argv)
{
        static int (*const actions[])(const Arguments *a) = {
                [ACTION_RUN] = run,
                [ACTION_CHECK_CONFIG] = check_config,
                [ACTION_DUMP_CONFIG] = dump_config,
                [ACTION_DEFAULT_CONFIG] = default_config,
                [ACTION_HOLD_SESSIONS] = hold_sessions,
                [ACTION_VERSION] = print_version,
        };
        _cleanup_free_ char *fault = NULL;
        Arguments a = { 0 };
        int first, r;

        close_inherited();
        log_setup(LOG_INFO);
        r = options_parse(&table, argc, argv, &a, NULL, &first, &fault);
        if (r > 0) {
                options_help(&table, stdout);
                return EXIT_SUCCESS;
        }
        if (r < 0 || first < argc) {
                log_error("%s; see nsrootd --help", fault ? fault : "nsrootd takes no operands");
                return EXIT_FAILURE;
        }
        r = actions[a.action](&a);
        options_done(&table, &a, NULL);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
