"""What the daemon says on stderr, of whom and how much: nobody can fill it, forge it, or keep another's lines out of it."""

import os
import re
import time

import pytest

from harness import OTHER, USER, until
from varlink import Closed, Connection, VarlinkError

RUNS = int(os.environ.get("NSROOT_TEST_RUNS", "1000"))
FLOOD = 3 * RUNS
SYSTEM_USER, ANOTHER_SYSTEM_USER = 500, 501  # refused by a rule of their own, before anything is read
BURST, REFILL = 100, 2   # a user's share of lines, and the seconds in which one of them comes back
COUNTS = 10              # seconds after which what was left out is counted out
LEVELS = "emergency|alert|critical|error|warning|notice|info|debug"

QUIET_SESSION = {"arguments": ["true"]}


class Log:
    """The lines that are written from now on."""

    def __init__(self, daemon):
        self.daemon, self.begin, self.since = daemon, len(daemon.log_text()), time.monotonic()

    def lines(self, pattern=""):
        return [line for line in self.daemon.log_text()[self.begin:].splitlines() if re.search(pattern, line)]

    def left_out(self, whose):
        """How many lines the log says were left out."""
        return sum(int(re.search(r"Left out (\d+)", line)[1]) for line in self.lines(rf"Left out \d+ more lines? {whose}$"))

    def share(self):
        """How many lines a user could have had by now."""
        return BURST + (time.monotonic() - self.since) / REFILL + 1


def settle(daemon):
    """It says who has ended after it has told who waited, and before it answers anybody else."""
    daemon.sessions()


@pytest.fixture
def daemon(fresh_daemon):
    """One whose shares nobody has used yet."""
    return fresh_daemon()


@pytest.fixture
def talkative(fresh_daemon):
    return fresh_daemon("[Daemon]\nLogLevel=debug\n")


def check_flood(log, pattern, uid, n):
    """Of n lines a share was written, and the others were counted, to the last one."""
    written = len(log.lines(pattern))
    assert BURST <= written <= log.share(), written
    assert until(lambda: log.left_out(f"of uid {uid}") == n - written, COUNTS + 5), log.lines("Left out")
    assert len(log.lines("Left out")) <= 1 + (time.monotonic() - log.since) / COUNTS


def be_refused(daemon, uid):
    with Connection(daemon.socket, uid) as c:
        c.send_call("org.varlink.service.GetInfo")
        assert c.receive()["error"] == "org.nsroot.session.Refused"


def test_refused_connections_are_counted_and_not_all_written(daemon):
    log = Log(daemon)
    for _ in range(FLOOD):
        be_refused(daemon, SYSTEM_USER)
    be_refused(daemon, ANOTHER_SYSTEM_USER)
    assert len(log.lines(f"Refused a connection of uid {ANOTHER_SYSTEM_USER} by the rule system-users")) == 1
    check_flood(log, f"Refused a connection of uid {SYSTEM_USER} by the rule system-users", SYSTEM_USER, FLOOD)


def refuse_calls(daemon, uid, n):
    with Connection(daemon.socket, uid) as c:
        for _ in range(n):
            with pytest.raises(VarlinkError) as e:
                c.call("io.systemd.service.Reload")
            assert e.value.name == "org.varlink.service.PermissionDenied"


def test_refused_calls_are_counted_and_not_all_written(daemon):
    log = Log(daemon)
    refuse_calls(daemon, USER, FLOOD)
    refuse_calls(daemon, OTHER, 1)
    refused = "Refused io.systemd.service.Reload to uid {} by the rule root-only"
    assert len(log.lines(refused.format(OTHER))) == 1
    check_flood(log, refused.format(USER), USER, FLOOD)


def test_a_limit_that_is_reached_is_a_rule(fresh_daemon):
    daemon = fresh_daemon("[Sessions]\nSessionsMax=1\n")
    log = Log(daemon)
    with Connection(daemon.socket, USER) as c:
        c.send_call("org.nsroot.session.Run", {"arguments": ["sleep", "60"]}, more=True)
        assert c.receive()["continues"]
        assert daemon.run("true", uid=OTHER).returncode == 125
    assert len(log.lines(f"^notice: Refused org.nsroot.session.Run to uid {OTHER} by the rule SessionsMax$")) == 1


def run_session(connection):
    return list(connection.stream("org.nsroot.session.Run", QUIET_SESSION))[-1]["session"]


def test_sessions_are_counted_and_not_all_written_but_who_began_in_the_log_ends_in_it(daemon):
    daemon.run("true", uid=OTHER)
    log, n = Log(daemon), max(RUNS // 2, BURST * 2)
    with Connection(daemon.socket, USER) as c:
        ids = [run_session(c)["id"] for _ in range(n)]
    with Connection(daemon.socket, OTHER) as c:
        other = run_session(c)["id"]
    assert until(lambda: len(log.lines(other)) == 2)
    begun = {i for i in ids if log.lines(f"Session {i} of uid {USER} started")}
    ended = {i for i in ids if log.lines(f"Session {i} of uid {USER} ended")}
    assert begun <= ended
    written = len(log.lines(f"Session .* of uid {USER}"))
    assert BURST <= written <= 2 * log.share()
    assert until(lambda: log.left_out(f"of uid {USER}") == 2 * n - written, COUNTS + 5), log.lines("Left out")


def send_garbage(daemon, uid):
    with Connection(daemon.socket, uid) as c:
        c.send(b"{'not': \x1b[2J a call\nerror: FORGED}\0")
        assert c.is_closed()


def test_bad_messages_are_not_written_at_all(daemon):
    log = Log(daemon)
    for _ in range(RUNS):
        send_garbage(daemon, USER)
    assert not log.lines()


def test_bad_messages_are_counted_where_they_are_written(talkative):
    log = Log(talkative)
    for _ in range(RUNS):
        send_garbage(talkative, USER)
    send_garbage(talkative, OTHER)
    assert len(log.lines(f"^debug: Closing a connection of uid {OTHER}")) == 1
    check_flood(log, f"^debug: Closing a connection of uid {USER}", USER, RUNS)


def fail_to_start(daemon, uid, n, **parameters):
    with Connection(daemon.socket, uid) as c:
        for _ in range(n):
            with pytest.raises(VarlinkError):
                list(c.stream("org.nsroot.session.Run", parameters))


def test_starts_that_fail_are_counted_where_they_are_written(talkative):
    talkative.run("true", uid=OTHER)
    log, n = Log(talkative), max(RUNS // 5, BURST + 20)
    fail_to_start(talkative, USER, n, arguments=["/no/such/command"])
    fail_to_start(talkative, OTHER, 1, arguments=["/no/such/command"])
    assert until(lambda: len(log.lines(f"of uid {OTHER} was not set up")) == 1), "it is written when who waits has been told"
    check_flood(log, f"of uid {USER} was not set up", USER, n)


def test_roots_that_cannot_be_made_do_not_keep_other_lines_out(fresh_daemon):
    daemon = fresh_daemon("[Root none]\nSource=\nSource=file:/no/such/file\n")
    log, n = Log(daemon), BURST + 50
    fail_to_start(daemon, USER, n, root="none")
    assert len(log.lines("Root none could not be made")) == 1, "what failed is not tried again at once"
    for _ in range(n - 1):
        assert daemon.call("io.systemd.service.Reload") == {"parameters": {}}  # that forgets it
        fail_to_start(daemon, USER, 1, root="none")
    refuse_calls(daemon, USER, 1)
    assert len(log.lines("Refused")) == 1
    written = len(log.lines("Root none could not be made"))
    assert BURST <= written <= log.share()
    assert until(lambda: log.left_out("about roots") == n - written, COUNTS + 5)


def test_what_was_left_out_is_said_at_the_end(daemon):
    log = Log(daemon)
    refuse_calls(daemon, USER, 2 * BURST)
    assert daemon.stop() == 0
    assert log.left_out(f"of uid {USER}") == 2 * BURST - len(log.lines("Refused"))


# -- what stands in a line

NASTY = ["\nerror: FORGED", "\r\x1b[2Jerror: FORGED", "\u202eerror: FORGED\u2028error: FORGED", "%s%n%5000d",
         "x" * 5000, "\x1b]0;FORGED\x07" * 200]


def attempts(text):
    """Calls that say `text` wherever text can be said."""
    run = "org.nsroot.session.Run"
    for parameters in ({"root": text}, {"name": text}, {"user": text}, {"workingDirectory": text}, {"network": text},
                       {"hostname": text}, {"arguments": [text]}, {"environment": [text]}, {"home": text}, {text: 1}):
        yield run, parameters
    yield text, {}
    yield f"org.nsroot.session.{text}", {}
    yield f"{text}.Run", {}
    yield "org.nsroot.root.Pull", {"name": text}
    yield "org.nsroot.session.Stop", {"id": text}
    yield "org.varlink.service.GetInterfaceDescription", {"interface": text}


def attempt(daemon, method, parameters):
    with Connection(daemon.socket, USER) as c:
        c.send_call(method, parameters, more=True)
        try:
            while c.receive().get("continues"):
                pass
        except Closed:
            pass


def check_lines(log):
    text = log.daemon.log_text()[log.begin:]
    assert re.fullmatch(rf"((?:{LEVELS}): [ -~]{{0,10300}}\n)*", text), text[:5000]
    assert not log.lines("^error: FORGED")
    assert log.lines()


def test_nobody_can_forge_a_line(talkative):
    log = Log(talkative)
    for text in NASTY:
        for method, parameters in attempts(text):
            attempt(talkative, method, parameters)
        send_garbage(talkative, USER)
    check_lines(log)


def test_not_even_the_configuration_can(daemon):
    log = Log(daemon)
    for text in NASTY:
        daemon.configure("[Limits]\nMemoryMax=1G" + text.replace("\n", "\x0b") + "\n")
        assert daemon.call("io.systemd.service.Reload")["error"] == "io.systemd.System"
    check_lines(log)
    assert log.lines(r"MemoryMax=1G\\xe2\\x80\\xaeerror: FORGED\\xe2"), log.lines()


@pytest.mark.parametrize("script, cause, status", [
    ("exit 7", "exited", "7"),
    ("kill -TERM $$", "signaled", "SIGTERM"),
    ("kill -40 $$", "signaled", "SIGRTMIN.6|signal 40"),
])
def test_an_end_says_how_and_what_it_took(daemon, script, cause, status):
    log = Log(daemon)
    daemon.run("sh", "-c", script)
    settle(daemon)
    usage = r"\d+\.\d{3} s in all, \d+\.\d{3} s in user mode, \d+\.\d{3} s in the kernel.*"
    assert len(log.lines(rf"^info: Session \w{{12}} of uid {USER} ended: {cause}, status (?:{status}); {usage}$")) == 1, \
        log.lines("ended")


# -- how much is said

def set_level(daemon, level, uid=0):
    return daemon.call("io.systemd.service.SetLogLevel", {"level": level}, uid=uid)


def lines_of_a_run(daemon):
    log = Log(daemon)
    assert daemon.run("true").returncode == 0
    settle(daemon)
    return len(log.lines(f"Session .* of uid {USER}"))


def test_the_level_changes_at_once_and_only_for_root(daemon):
    assert lines_of_a_run(daemon) == 2
    assert set_level(daemon, 4) == {"parameters": {}}
    assert lines_of_a_run(daemon) == 0
    assert set_level(daemon, 7, uid=USER)["error"] == "org.varlink.service.PermissionDenied"
    assert lines_of_a_run(daemon) == 0
    for level in (-1, 8, "debug", None):
        assert set_level(daemon, level)["error"] == "org.varlink.service.InvalidParameter"
    log = Log(daemon)
    set_level(daemon, 7)
    assert log.lines("^notice: Logging what is debug or more important, as uid 0 asks$")
    assert lines_of_a_run(daemon) == 2
    send_garbage(daemon, USER)
    assert until(lambda: log.lines("^debug: Closing a connection"))


def reload(daemon, config):
    daemon.configure(config)
    assert daemon.call("io.systemd.service.Reload") == {"parameters": {}}


def test_a_level_set_at_run_time_stays_until_the_configuration_names_another(daemon):
    set_level(daemon, 4)
    reload(daemon, "")
    assert lines_of_a_run(daemon) == 0
    reload(daemon, "[Daemon]\nLogLevel=notice\n")
    assert lines_of_a_run(daemon) == 0
    set_level(daemon, 6)
    assert lines_of_a_run(daemon) == 2
    reload(daemon, "[Daemon]\nLogLevel=notice\n")
    assert lines_of_a_run(daemon) == 2
    reload(daemon, "[Daemon]\nLogLevel=error\n")
    assert lines_of_a_run(daemon) == 0
    reload(daemon, "")
    assert lines_of_a_run(daemon) == 2
