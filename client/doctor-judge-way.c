/* The way to nsrootd, which one is there, and what keeps it. */
#include "build-config.h"
#include "doctor-judge.h"
#include "protocol.h"
#include "value.h"

static bool is_default_place(const Evidence *e)
{
        return streq(e->socket, SOCKET_PATH_DEFAULT) ||
               (e->units.listens && streq(e->units.listens, e->socket));
}

static const char *name_another(const Evidence *e _unused_)
{
        return "name another socket with --socket";
}

static const char *ask(const Evidence *e _unused_)
{
        return ADVICE_ASK;
}

static const char *ask_for_modes(const Evidence *e _unused_)
{
        return "ask the administrator: its mode is to be 0666, in directories that all may pass";
}

static const char *start(const Evidence *e)
{
        if (!is_default_place(e))
                return "start it as root, 'nsrootd --listen PATH --state-dir DIR', or name another --socket";
        if (!e->machine.systemd)
                return "start it as root, 'nsrootd --listen " SOCKET_PATH_DEFAULT
                       "', or name another --socket";
        if (e->units.known && !e->units.installed)
                return "install nsrootd and its units, then 'systemctl enable --now nsrootd.socket'";
        return "'systemctl enable --now nsrootd.socket'; if that does not help, " ADVICE_LOOK;
}

static const char *revive(const Evidence *e)
{
        if (e->machine.systemd && is_default_place(e))
                return ADVICE_LOOK;
        return "look at its log and at the state of its process, and start it again";
}

/* What each comes from, and what to do. */
static const struct {
        const char *words;
        const char *(*advice)(const Evidence *e);
} ways[] = {
        [REACH_NO_SOCKET] = {"there is no socket",                                        start        },
        [REACH_STALE] = { "nobody listens on this socket, which an nsrootd has left", start        },
        [REACH_NO_PERMISSION] = { "you have no permission to use this socket",                ask_for_modes},
        [REACH_NOT_A_SOCKET] = { "this is no socket of nsrootd",                             name_another },
        [REACH_CANNOT] = { "cannot connect",                                           name_another },
        [REACH_SILENT] = { "somebody listens, and does not answer",                    revive       },
        [REACH_CLOSED] = { "the connection is closed without an answer",               revive       },
        [REACH_STRANGE] = { "what answers is not nsrootd",                              name_another },
        [REACH_REFUSED] = { "nsrootd answers, and does not serve you",                  ask          },
};

/* " (nsrootd.socket is inactive, nsrootd.service failed)", where that is known and may be why. */
static void write_units(const Evidence *e, char *text, size_t size)
{
        text[0] = '\0';
        if (is_default_place(e) && e->units.installed && e->units.socket_state && e->units.service_state)
                snprintf(text, size, " (nsrootd.socket is %s, nsrootd.service %s)", e->units.socket_state,
                         e->units.service_state);
}

static void find_answering(const Evidence *e, Finding *f)
{
        if (!evidence_is_of_units(e))
                found_ok(f, "nsrootd answers on %s", e->socket);
        else if (e->units.service_state && streq(e->units.service_state, "active"))
                found_ok(f, "nsrootd answers on %s, which is nsrootd.socket's", e->socket);
        else
                found_ok(f, "nsrootd answers on %s: nsrootd.socket has just started it", e->socket);
}

void judge_daemon(const Evidence *e, Finding *f)
{
        Reach reach = e->daemon.reach;
        char units[96];

        if (reach == REACH_ANSWERS) {
                find_answering(e, f);
                return;
        }
        write_units(e, units, sizeof(units));
        found_missing(f, ways[reach].advice(e), "%s: %s%s%s%s", e->socket, ways[reach].words,
                      e->daemon.words ? ": " : "", e->daemon.words ?: "", units);
}

void judge_version(const Evidence *e, Finding *f)
{
        static const char advice[] = "restart nsrootd, or use its release of nsrootctl";
        const char *version = value_text(e->daemon.info, "version");

        if (e->daemon.reach != REACH_ANSWERS)
                return;
        if (!version || !streq(version, NSROOT_VERSION))
                found_degraded(f, advice,
                               "nsrootd is %s, nsrootctl " NSROOT_VERSION
                               ": what one knows, the other may not",
                               version ?: "of no known version");
        else if (!evidence_host(e))
                found_degraded(f, advice, "nsrootd %s does not describe itself: much is not looked at",
                               version);
        else
                found_ok(f, "nsrootd and nsrootctl are both " NSROOT_VERSION);
}

/* What nsrootd knows of it, and what systemd says of its unit; -1: nobody knows. */
static int64_t descriptor_store_max(const Evidence *e)
{
        int64_t max = value_number(evidence_host(e), "descriptorStoreMax", -1);

        return max < 0 && evidence_is_of_units(e) ? e->units.descriptor_store_max : max;
}

void judge_descriptor_store(const Evidence *e, Finding *f)
{
        int64_t max = evidence_host(e) ? descriptor_store_max(e) : -1;

        if (max > 0)
                found_ok(f,
                         "the service manager keeps up to %ld descriptors for nsrootd: sessions outlive its "
                         "restart",
                         (long)max);
        else if (max == 0)
                found_degraded(
                        f, "run nsrootd as nsrootd.service, with the FileDescriptorStoreMax= of its unit",
                        "no service manager keeps descriptors for nsrootd: its restart ends all sessions");
}
