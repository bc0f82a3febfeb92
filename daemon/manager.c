/* See manager.h. */
#include "manager.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "build-config.h"
#include "caller.h"
#include "cgroup.h"
#include "charge.h"
#include "config.h"
#include "fdstore.h"
#include "host.h"
#include "idrange.h"
#include "launcher.h"
#include "log.h"
#include "methods.h"
#include "privilege.h"
#include "protocol.h"
#include "roots.h"
#include "server.h"
#include "service.h"
#include "sessions.h"
#include "slots.h"
#include "stage.h"
#include "takeup.h"
#include "unit-job.h"

#define STOP_TIMEOUT (2 * USEC_PER_SEC)

typedef struct Manager {
        const ManagerOptions *options;
        Config *config;
        sd_event *event;
        int state_fd;
        Host *host;
        Launcher *launcher;
        Cgroups *cgroups;
        Starts *starts;
        IdRanges *ranges;
        Roots *roots;
        Sessions *sessions;
        Server *server;
        PassedFds passed; /* by the service manager; until it is used */
        Service service;
        Methods methods;
        sd_event_source *status; /* when the service manager is told what changed */
        sd_event_source *counts; /* when the log says how much was left out of it */
        size_t told_sessions;
        bool leaves_sessions; /* to the descriptor store, and the next daemon */
        char *reload_failure; /* why the last one failed; NULL: it did not */
} Manager;

static int complain(int r, const char *what)
{
        LogFields fields = { .uid = LOG_NO_UID, .error = -r };

        log_full(LOG_ERR, &fields, "Cannot %s: %s", what, errno_text(r));
        return r;
}

/* -- status
 * ------------------------------------------------------------------------------------------------- */

/* `before` is further lines for the service manager, each with its end. */
static void tell_status(Manager *m, const char *before)
{
        const char *failure = m->reload_failure;

        m->told_sessions = sessions_live(m->sessions);
        (void)sd_notifyf(false, "%sSTATUS=%zu session%s.%s%s", before, m->told_sessions,
                         m->told_sessions == 1 ? "" : "s", failure ? " The last reload failed: " : "",
                         failure ? failure : "");
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
        tell_status(userdata, "");
        return 0;
}

static int on_counts(sd_event_source *source, uint64_t usec, void *userdata)
{
        log_dropped();
        return 0;
}

/* Lets the timer run out once, after usec, unless it runs already. */
static int start_timer(sd_event_source *timer, uint64_t usec)
{
        int enabled;

        if (sd_event_source_get_enabled(timer, &enabled) > 0)
                return 0;
        (void)sd_event_source_set_time_relative(timer, usec);
        return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* After every turn of the loop; the service manager hears of it once a second at most, and the log of what
 * was left out of it not much more often than that. */
static int on_turn(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;
        int r = 0;

        if (log_owes())
                r = start_timer(m->counts, LOG_DROPPED_USEC);
        if (r >= 0 && sessions_live(m->sessions) != m->told_sessions)
                r = start_timer(m->status, USEC_PER_SEC);
        return r;
}

static int add_timer(Manager *m, sd_event_time_handler_t handler, sd_event_source **ret)
{
        int r = sd_event_add_time(m->event, ret, CLOCK_MONOTONIC, UINT64_MAX, 0, handler, m);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int watch_status(Manager *m)
{
        int r = add_timer(m, on_status, &m->status);

        if (r >= 0)
                r = add_timer(m, on_counts, &m->counts);
        return r < 0 ? r : sd_event_add_post(m->event, NULL, on_turn, m);
}

/* -- configuration
 * ------------------------------------------------------------------------------------------ */

static ServerLimits server_limits(const Config *c)
{
        return (ServerLimits){ .connections_max = (unsigned)c->connections_max,
                               .connections_kept_for_root = (unsigned)c->connections_kept_for_root,
                               .idle_usec = c->idle_usec,
                               .message_usec = c->message_usec,
                               .queue_max = (size_t)c->unread_output_max };
}

/* *ret_why as in service.h. */
static int load_config(const Manager *m, Config **ret, char **ret_why)
{
        const char *path = m->options->config_path;
        int r = config_load(path, ret, ret_why);

        if (r < 0 && !*ret_why &&
            asprintf(ret_why, "%s: %s", path ? path : "the configuration", errno_text(r)) < 0)
                *ret_why = NULL;
        return r;
}

/* What the daemon is built around changes with a restart only: until then the old values are in force. */
static void keep_fixed(Config *next, Config *now)
{
        const char *next_group = next->control_group ? next->control_group : "";
        const char *now_group = now->control_group ? now->control_group : "";
        char *group = next->control_group;

        if (next->id_range_first != now->id_range_first || next->id_range_last != now->id_range_last) {
                log_warning(
                        "IdRangeFirst= and IdRangeLast= take effect when nsrootd is restarted; until then "
                        "they are %" PRIu64 " and %" PRIu64,
                        now->id_range_first, now->id_range_last);
                next->id_range_first = now->id_range_first;
                next->id_range_last = now->id_range_last;
        }
        if (streq(next_group, now_group))
                return;
        log_warning("ControlGroup= takes effect when nsrootd is restarted; until then it is \"%s\"",
                    now_group);
        next->control_group = now->control_group;
        now->control_group = group;
}

/* Everything that looks at the configuration is told of the new one before the old one goes. What can fail
 * comes first, and changes nothing if it does. Sessions that run keep what they have, and so do connections.
 * A level that was set at run time stays, unless the administrator has written another one since. */
static int use_config(Manager *m, Config *config)
{
        ServerLimits limits = server_limits(config);
        int r = roots_set_config(m->roots, config);

        if (r < 0)
                return r;
        keep_fixed(config, m->config);
        server_set_limits(m->server, &limits);
        sessions_set_config(m->sessions, config);
        m->methods.config = config;
        if (config->log_level != m->config->log_level)
                log_set_level(config->log_level);
        config_free(m->config);
        m->config = config;
        return 0;
}

static int try_reload(Manager *m, char **ret_why)
{
        _cleanup_(config_freep) Config *config = NULL;
        int r = m->methods.stopping ? -ESHUTDOWN : load_config(m, &config, ret_why);

        if (r >= 0)
                r = use_config(m, config);
        if (r >= 0)
                (void)TAKE_PTR(config);
        else if (!*ret_why && asprintf(ret_why, "it cannot be taken over: %s", errno_text(r)) < 0)
                *ret_why = NULL;
        return r;
}

static void log_reload(int r, const char *why)
{
        const LogFields good = { .event = LOG_EVENT_RELOADED, .uid = LOG_NO_UID };
        const LogFields bad = {
                .event = LOG_EVENT_RELOAD_FAILED, .reason = why, .uid = LOG_NO_UID, .error = -r
        };

        if (r >= 0)
                log_full(LOG_NOTICE, &good, "The configuration was read again");
        else
                log_full(LOG_ERR, &bad, "The configuration stays as it was: %s", why);
}

/* One at a time, from its beginning to its end: who asks meanwhile waits in the event loop, and signals that
 * wait are one signal. */
static int reload(void *userdata, char **ret_why)
{
        Manager *m = userdata;
        const char *why;
        int r;

        if (!m->methods.stopping)
                (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_usec(CLOCK_MONOTONIC));
        r = try_reload(m, ret_why);
        why = *ret_why ? *ret_why : errno_text(r);
        log_reload(r, why);
        free(m->reload_failure);
        m->reload_failure = r < 0 ? strdup(why) : NULL;
        if (!m->methods.stopping)
                tell_status(m, "READY=1\n");
        return r;
}

/* -- signals
 * ------------------------------------------------------------------------------------------------ */

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        _cleanup_free_ char *why = NULL;

        (void)reload(userdata, &why);
        return 0;
}

static void on_all_ended(void *userdata)
{
        Manager *m = userdata;

        (void)sd_event_exit(m->event, 0);
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        log_warning("Some sessions did not end in time; they end with their control sockets.");
        return sd_event_exit(m->event, 0);
}

/* Where the service manager keeps the sessions' descriptors, it also decides about them: restarted, it hands
 * them on; stopped, it drops them, and they end. In that case it is better told: who waits for a session
 * learns how it ended. Without one sessions end with us, and so first, for the same reason. */
static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *m = userdata;

        if (m->methods.stopping)
                return 0;
        (void)sd_notify(false, "STOPPING=1");
        if (fdstore_exists() && !unit_job_is_stop()) {
                m->leaves_sessions = true;
                return sd_event_exit(m->event, 0);
        }
        m->methods.stopping = true;
        (void)sd_event_add_time_relative(m->event, NULL, CLOCK_MONOTONIC, STOP_TIMEOUT, 0, on_stop_timeout,
                                         m);
        return sessions_end_all(m->sessions, on_all_ended, m);
}

static int add_signals(Manager *m)
{
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } handled[] = {
                {SIGTERM, on_stop_signal  },
                { SIGINT, on_stop_signal  },
                { SIGHUP, on_reload_signal},
        };
        int r = 0;

        signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; i < ELEMENTSOF(handled) && r >= 0; i++)
                r = sd_event_add_signal(m->event, NULL, handled[i].signal | SD_EVENT_SIGNAL_PROCMASK,
                                        handled[i].handler, m);
        return r;
}

/* -- making everything
 * -------------------------------------------------------------------------------------- */

/* As many descriptors as we may have: a session holds a few, and a connection one. */
static int raise_descriptor_limit(Manager *m)
{
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0)
                return -errno;
        l.rlim_cur = l.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &l) < 0 ? -errno : 0;
}

static int make_event(Manager *m)
{
        int r = sd_event_new(&m->event);

        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        return r < 0 ? r : add_signals(m);
}

static int enter_stage(Manager *m)
{
        const char *what = "";
        int r = stage_enter(m->options->state_dir, &what);

        if (r < 0)
                log_error("Preparing what sessions are made of failed at %s.", what);
        return r;
}

static int isolate(Manager *m)
{
        return stage_isolate();
}

/* Ours alone: 0700, root's, and no second daemon on it. Opened after the stage, or its mount would be a
 * foreign one. */
static int open_state(Manager *m)
{
        struct stat st;

        if (mkdir(m->options->state_dir, 0700) < 0 && errno != EEXIST)
                return -errno;
        m->state_fd = open(m->options->state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (m->state_fd < 0 || fstat(m->state_fd, &st) < 0)
                return -errno;
        if (st.st_uid != 0 || (st.st_mode & 022)) {
                log_error("%s must be root's, and writable by nobody else: chown root, chmod 0700.",
                          m->options->state_dir);
                return -EPERM;
        }
        if (flock(m->state_fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("Another nsrootd uses %s: stop it, or give this one another --state-dir.",
                          m->options->state_dir);
                return -errno;
        }
        return 0;
}

static int look_at_host(Manager *m)
{
        return host_new(m->state_fd, &m->host);
}

static int make_launcher(Manager *m)
{
        return launcher_new(m->options->init_path, &m->launcher);
}

/* By the state directory, so that the next daemon on it finds, and tidies, what this one leaves. */
static int make_cgroups(Manager *m)
{
        char name[48];
        struct stat st;
        int r;

        if (fstat(m->state_fd, &st) < 0)
                return -errno;
        snprintf(name, sizeof(name), "nsrootd-%lx-%lx", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
        r = cgroups_new(m->config->control_group, name, &m->cgroups);
        if (r == -EOPNOTSUPP) {
                log_notice("This host has no cgroup v2: sessions run without limits of memory, tasks and "
                           "processor time.");
                return 0;
        }
        return r;
}

static int make_ranges(Manager *m)
{
        return idranges_new(m->config->id_range_first, m->config->id_range_last, &m->ranges);
}

static int make_roots(Manager *m)
{
        return roots_new(m->event, m->state_fd, m->config, m->options->fetch_path, &m->roots);
}

/* The root that a session of an earlier daemon has, if it is still the one of that name. */
static void find_root_of(Manager *m, Session *s)
{
        _cleanup_error_ Error e = {};
        struct stat st;
        Root *root;

        if (!session_tree(s) || roots_get(m->roots, session_root(s), &root, &e) <= 0)
                return;
        if (fstat(root_tree_fd(root), &st) >= 0 && st.st_ino == session_tree(s))
                session_use_root(s, root);
        else
                root_unref(root);
}

/* What earlier daemons left and no session uses any more goes. */
static int tidy(Manager *m)
{
        _cleanup_free_ uint64_t *trees = NULL;
        size_t n = 0, cursor = 0;
        Session *s;

        trees = calloc(sessions_live(m->sessions) + 1, sizeof(*trees));
        if (!trees)
                return -ENOMEM;
        while ((s = sessions_next(m->sessions, 0, &cursor)))
                if (session_is_live(s)) {
                        find_root_of(m, s);
                        trees[n++] = session_tree(s);
                }
        roots_tidy(m->roots, trees, n);
        if (m->cgroups)
                cgroups_tidy(m->cgroups);
        if (n > 0)
                log_info("Took up %zu session%s of an earlier nsrootd.", n, n == 1 ? "" : "s");
        return 0;
}

static int make_sessions(Manager *m)
{
        const SessionHost host = { .event = m->event,
                                   .config = m->config,
                                   .launcher = m->launcher,
                                   .cgroups = m->cgroups,
                                   .ranges = m->ranges };

        return sessions_new(&host, &m->sessions);
}

static int admit(const Peer *peer, const char **ret_rule, unsigned *ret_connections_max, void *userdata)
{
        const Manager *m = userdata;
        _cleanup_(caller_done) Caller caller = {};
        Allowance allowance;
        int r = caller_of(peer, &caller);

        if (r == -E2BIG) {
                *ret_rule = "too-many-groups";
                return 0;
        }
        if (r < 0)
                return r;
        policy_allowance(m->config, &caller, &allowance);
        *ret_rule = policy_admit(m->config, &caller);
        *ret_connections_max = (unsigned)allowance.connections_max;
        return 0;
}

static int make_server(Manager *m)
{
        static const ServerIdentity identity = { "nsroot", "nsrootd", NSROOT_VERSION, NSROOT_VERSION_URL };
        const ServerLimits limits = server_limits(m->config);
        int r = server_new(m->event, &identity, &limits, admit, m, &m->server);

        if (r >= 0)
                r = service_add(&m->service, m->server, reload, m);
        m->methods = (Methods){
                .event = m->event,
                .config = m->config,
                .sessions = m->sessions,
                .roots = m->roots,
                .host = m->host,
                .cgroups = m->cgroups,
                .starts = m->starts,
                .policy_host = {.enforcers = cgroups_enforcers(m->cgroups),
                                .never_to_callers = charge_why_never(m->cgroups != NULL)}
        };
        host_limits(&m->methods.policy_host.most);
        sessions_on_changed(m->sessions, methods_on_changed, &m->methods);
        return r < 0 ? r : methods_add(&m->methods, m->server);
}

static bool may_begin(uid_t uid, void *userdata)
{
        Manager *m = userdata;

        return sessions_may_start(m->sessions, uid);
}

static int make_starts(Manager *m)
{
        return starts_new(m->event, may_begin, m, &m->starts);
}

/* Sockets to listen on have whatever name their unit gives them; what else is kept for us has ours. What is
 * neither is closed, and is not to come again. */
static int use_passed(TakeUp *t, const char *name, int *fd)
{
        int r;

        if (sd_is_socket(*fd, AF_UNIX, SOCK_STREAM, true) > 0)
                return 0; /* listen_passed takes it */
        r = take_up_add(t, name, TAKE_FD(*fd));
        if (r != -ENOENT)
                return r;
        log_warning("The service manager keeps something that is none of nsrootd's: \"%s\". It is closed.",
                    name);
        fdstore_remove(name);
        return 0;
}

static int receive_passed(Manager *m)
{
        return fdstore_receive(&m->passed);
}

static int take_up_sessions(Manager *m)
{
        _cleanup_(take_up_freep) TakeUp *t = NULL;
        int r = take_up_new(&t);

        for (size_t i = 0; i < m->passed.n && r >= 0; i++)
                r = use_passed(t, m->passed.names[i], &m->passed.fds[i]);
        if (r < 0)
                return r;
        take_up_all(t, m->sessions);
        return 0;
}

static int listen_passed(Manager *m)
{
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < m->passed.n && r >= 0; i++)
                if (m->passed.fds[i] >= 0) {
                        r = server_listen(m->server, TAKE_FD(m->passed.fds[i]));
                        n++;
                }
        if (n > 0)
                return r;
        log_error(
                "There is nothing to listen on: start nsrootd by 'systemctl start nsrootd.socket', or with "
                "--listen PATH.");
        return -EINVAL;
}

static int listen_on(Manager *m)
{
        const char *path = m->options->listen_path;
        int r = path ? server_listen_path(m->server, path) : listen_passed(m);

        if (r == -EADDRINUSE)
                log_error("Somebody listens on %s already: stop it, or choose another --listen.", path);
        else if (r < 0 && path)
                log_error("The socket was to be %s.", path);
        return r;
}

static int reserve_slots(Manager *m)
{
        return slots_reserve();
}

static int reduce_privileges(Manager *m)
{
        return privilege_reduce();
}

/* In this order; the words complete "Cannot …". */
static const struct {
        int (*make)(Manager *m);
        const char *what;
} steps[] = {
        {raise_descriptor_limit, "raise the limit on descriptors"         },
        { receive_passed,        "receive what the service manager passes"},
        { reduce_privileges,     "give up privileges"                     },
        { make_event,            "make an event loop"                     },
        { isolate,               "make a mount namespace"                 },
        { open_state,            "use the state directory"                },
        { enter_stage,           "prepare device nodes and masks"         },
        { look_at_host,          "look at this machine"                   },
        { reserve_slots,         "reserve descriptors"                    },
        { make_launcher,         "load nsroot-init and the seccomp filter"},
        { make_cgroups,          "find a cgroup for the sessions"         },
        { make_ranges,           "divide the configured range of ids"     },
        { make_roots,            "open the cache of roots"                },
        { make_sessions,         "make the table of sessions"             },
        { take_up_sessions,      "take up the sessions there are"         },
        { tidy,                  "tidy what earlier daemons left"         },
        { watch_status,          "watch the number of sessions"           },
        { make_starts,           "make the queue of starts"               },
        { make_server,           "make the Varlink server"                },
        { listen_on,             "listen"                                 },
};

static int make_all(Manager *m)
{
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i].make(m);
                if (r < 0)
                        return complain(r, steps[i].what);
        }
        return 0;
}

/* Connections first, then what their calls wait for. */
static void manager_done(Manager *m)
{
        sd_event_source_disable_unref(m->status);
        sd_event_source_disable_unref(m->counts);
        if (m->server)
                server_free(m->server);
        if (m->starts)
                starts_free(m->starts);
        if (m->sessions && m->leaves_sessions)
                sessions_leave(m->sessions);
        else if (m->sessions)
                sessions_free(m->sessions);
        if (m->roots)
                roots_free(m->roots);
        if (m->ranges)
                idranges_free(m->ranges);
        if (m->cgroups)
                cgroups_free(m->cgroups);
        if (m->launcher)
                launcher_free(m->launcher);
        if (m->host)
                host_free(m->host);
        if (m->config)
                config_free(m->config);
        passed_fds_done(&m->passed);
        free(m->reload_failure);
        close_fd(m->state_fd);
        sd_event_unref(m->event);
        log_dropped();
}

int manager_run(const ManagerOptions *options)
{
        _cleanup_(manager_done) Manager m = { .options = options, .state_fd = -EBADF };
        _cleanup_free_ char *why = NULL;
        int r = load_config(&m, &m.config, &why);

        if (r < 0) {
                log_error("%s", why ? why : errno_text(r));
                return r;
        }
        log_set_level(m.config->log_level);
        r = make_all(&m);
        if (r < 0)
                return r;
        log_with_fields();
        log_info("nsrootd %s is ready; sessions' cgroups: %s.", NSROOT_VERSION,
                 m.cgroups ? cgroups_path(m.cgroups) : "none");
        tell_status(&m, "READY=1\n");
        r = sd_event_loop(m.event);
        return r < 0 ? complain(r, "run the event loop") : 0;
}
