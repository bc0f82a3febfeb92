"""The configuration is read again, whole or not at all, and nobody who is served notices."""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import OTHER, USER, Running, User, stopped, until
from varlink import Connection, VarlinkError

RUNS = int(os.environ.get("NSROOT_TEST_RUNS", "1000"))
SESSIONS = 50
RELOAD = "io.systemd.service.Reload"
BAD = ["[Limits]\nMemoryMax=much\n", "[Sessions]\nDefaultRoot=nowhere\n", "[Daemon]\nIdleTimeout=\n",
       "[Root other]\nKind=cheese\n", "[Sessions]\nIdRangeFirst=600000\nIdRangeLast=600001\n"]
GOOD = ["", "[Sessions]\nSessionsMax=1000\n", "[Limits]\nTasksMax=100\n", "[Daemon]\nIdleTimeout=40s\n",
        "[Root other]\nSource=\nSource=file:/bin/busybox\n", "[User 2001]\nMemoryMax=64M\n[Group 2002]\nAdmit=yes\n"]


@pytest.fixture
def daemon(fresh_daemon):
    d = fresh_daemon()
    assert d.run("true").returncode == 0  # the root is made
    return d


def reload(daemon, text):
    daemon.configure(text)
    return daemon.call(RELOAD)


def check_bad(daemon, reply, *words):
    """The reply is the error, with the reason; the log has the reason too."""
    assert reply["error"] == "io.systemd.System"
    p = reply["parameters"]
    assert p["origin"] == "linux" and p["errno"] == 22 and p["errnoName"] == "EINVAL"
    for word in (str(daemon.config), *words):
        assert word in p["reason"], p["reason"]
    last = [line for line in daemon.log_text().splitlines() if "stays as it was" in line][-1]
    assert last == f"error: The configuration stays as it was: {p['reason']}"


def files_inside(daemon):
    """RLIMIT_NOFILE of a session that starts now: what [Limits] OpenFilesMax= says."""
    return daemon.run("sh", "-c", "ulimit -n").stdout.strip()


# -- whole, or not at all

def test_what_is_good_is_in_force_when_it_is_answered(daemon):
    assert reload(daemon, "[Limits]\nOpenFilesMax=77\n") == {"parameters": {}}
    assert files_inside(daemon) == "77"
    assert "notice: The configuration was read again\n" in daemon.log_text()
    assert reload(daemon, "") == {"parameters": {}}
    assert files_inside(daemon) == "4096"


def test_what_is_bad_is_said_with_its_line_and_changes_nothing(daemon):
    reload(daemon, "[Limits]\nOpenFilesMax=77\n")
    check_bad(daemon, reload(daemon, "[Limits]\nOpenFilesMax=88\n[Daemon]\nIdleTimeout=soon\n"), ":7: ", "IdleTimeout")
    check_bad(daemon, reload(daemon, "[Limits]\nOpenFilesMax=88\n[Sessions]\nDefaultRoot=nowhere\n"), "DefaultRoot")
    assert files_inside(daemon) == "77"
    daemon.config.unlink()
    reply = daemon.call(RELOAD)
    assert reply["error"] == "io.systemd.System" and reply["parameters"]["errnoName"] == "ENOENT"
    assert str(daemon.config) in reply["parameters"]["reason"]
    assert files_inside(daemon) == "77"


def test_sighup_does_the_same(daemon):
    daemon.configure("[Limits]\nOpenFilesMax=77\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert until(lambda: "The configuration was read again" in daemon.log_text())
    assert files_inside(daemon) == "77"
    daemon.configure(BAD[0])
    daemon.process.send_signal(signal.SIGHUP)
    assert until(lambda: f"stays as it was: {daemon.config}:" in daemon.log_text())
    assert files_inside(daemon) == "77"


def test_only_root_reloads(daemon):
    daemon.configure("[Limits]\nOpenFilesMax=77\n")
    assert daemon.call(RELOAD, uid=USER)["error"] == "org.varlink.service.PermissionDenied"
    assert files_inside(daemon) == "4096"


def test_what_waits_for_a_restart_says_so_and_is_not_half_in_force(daemon):
    first = "[Sessions]\nIdRangeFirst=1000000\nIdRangeLast=2000000\nSessionsMax=33\n"
    assert reload(daemon, first + "[Daemon]\nControlGroup=/elsewhere\n") == {"parameters": {}}
    text = daemon.log_text()
    assert "warning: IdRangeFirst= and IdRangeLast= take effect when nsrootd is restarted; until then they are 524288" \
        in text
    assert 'warning: ControlGroup= takes effect when nsrootd is restarted; until then it is ""' in text
    # who is refused as a session's uid is still who sessions run as
    assert daemon.call("org.varlink.service.GetInfo", uid=600000)["error"] == "org.nsroot.session.Refused"
    assert daemon.call("org.varlink.service.GetInfo", uid=1879048192).get("error") is None
    assert daemon.call("org.varlink.service.GetInfo", uid=1000000)["error"] == "org.nsroot.session.Refused"
    before = len(daemon.log_text())
    assert reload(daemon, "") == {"parameters": {}}
    assert "restarted" not in daemon.log_text()[before:]


# -- nobody notices

def test_a_session_keeps_its_limits_and_a_connection_its_place(daemon):
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(contextlib.closing(Running(daemon, "sleep", "600")))
        before = pathlib.Path(f"/proc/{session.init}/limits").read_text(), daemon.sessions()
        connections = [stack.enter_context(Connection(daemon.socket, USER)) for _ in range(10)]
        assert reload(daemon, "[Daemon]\nConnectionsPerUser=2\n[Sessions]\nSessionsPerUser=1\n"
                              "[Limits]\nTasksMax=2\nMemoryMax=1M\nOpenFilesMax=16\n") == {"parameters": {}}
        assert (pathlib.Path(f"/proc/{session.init}/limits").read_text(), daemon.sessions()) == before
        for c in connections:
            c.call("org.varlink.service.GetInfo")
        refused = daemon.call("org.varlink.service.GetInfo", uid=USER)
        assert refused["error"] == "org.nsroot.session.Refused", "one more there may not be"


def test_a_session_outlives_its_root_in_the_configuration(daemon):
    reload(daemon, "[Root other]\nSource=\nSource=file:/bin/busybox\n")
    assert daemon.run("true", options=("-r", "other")).returncode == 0
    with contextlib.closing(Running(daemon, "sh", "-c", "while sleep .1; do ls / >/dev/null || exit 1; done",
                                    options=("-r", "other"))) as session:
        assert reload(daemon, "") == {"parameters": {}}
        assert daemon.run("true", options=("-r", "other")).returncode == 125
        time.sleep(0.5)
        assert [s["root"] for s in daemon.sessions() if s["id"] == session.id] == ["other"]


def test_who_waits_for_a_root_that_goes_is_told_and_who_waits_for_another_is_served(daemon):
    """Two downloads hang at a server that says nothing, while their roots go and stay."""
    server = socket.create_server(("127.0.0.1", 0))
    source = f"Source=\nSource=http://127.0.0.1:{server.getsockname()[1]}/x sha256:{'0' * 64}\n"
    once = "[Daemon]\nDownloadAttempts=1\n"
    reload(daemon, f"{once}[Root goes]\n{source}[Root stays]\n{source}Source=file:/bin/busybox\n")
    with server, Connection(daemon.socket, USER) as going, Connection(daemon.socket, USER) as staying:
        going.send_call("org.nsroot.session.Run", {"root": "goes", "arguments": ["true"]}, more=True)
        staying.send_call("org.nsroot.session.Run", {"root": "stays", "arguments": ["true"]}, more=True)
        held = [server.accept()[0] for _ in range(2)]
        assert reload(daemon, f"{once}[Root stays]\n{source}Source=file:/bin/busybox\n") == {"parameters": {}}
        assert going.receive()["error"] == "io.systemd.System"
        for s in held:
            s.close()
        replies = []
        while not replies or replies[-1].get("continues"):
            replies.append(staying.receive())
        assert replies[-1]["parameters"]["session"]["result"]["code"] == 0


# -- many times

LAB = "[Root lab]\nSource=\nSource=file:/bin/busybox\n"


@pytest.mark.parametrize("change, answers", [
    ("", {"NoSuchRoot"}),
    (LAB + f"Users={OTHER}\n", {"Refused"}),
], ids=["it goes", "it becomes another's"])
def test_a_root_that_goes_just_when_a_run_has_its_turn(daemon, change, answers):
    """Whatever the daemon looks at first of what has come while it stood still: it does not use what is not in force."""
    seen = set()
    for _ in range(20):
        reload(daemon, LAB)
        assert daemon.run("true", options=["--root", "lab"]).returncode == 0
        daemon.configure(change)
        runs, reloading = [Connection(daemon.socket, USER) for _ in range(12)], Connection(daemon.socket)
        for c in [*runs, reloading]:
            c.call("org.varlink.service.GetInfo")
        with stopped(daemon.pid):
            for c in runs:
                c.send_call("org.nsroot.session.Run", {"arguments": ["true"], "root": "lab"}, more=True)
            reloading.send_call(RELOAD)
        for c in [*runs, reloading]:
            reply = c.receive()
            seen.add(reply["error"].rpartition(".")[2] if "error" in reply else "well")
            c.close()
    assert seen <= answers | {"well"}, daemon.log_text()


def test_reloads_that_come_all_at_once_are_all_answered(daemon):
    """Calls queue up; signals that wait are one."""
    before, calls, signals = len(daemon.log_text()), 20, 100
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(daemon.socket, 0)) for _ in range(calls)]
        daemon.configure("[Limits]\nOpenFilesMax=77\n")
        with stopped(daemon.pid):
            for c in connections:
                c.send_call(RELOAD)
            for _ in range(signals):
                daemon.process.send_signal(signal.SIGHUP)
        assert [c.receive() for c in connections] == [{"parameters": {}}] * calls
    assert files_inside(daemon) == "77"
    assert daemon.log_text()[before:].count("The configuration was read again") == calls + 1


REMEMBER_LITTLE = "[Sessions]\nRememberMax=8\n"  # or the ended sessions would be what grows


def rss(daemon):
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])  # KiB


def is_sanitized(daemon):
    return "asan" in pathlib.Path(f"/proc/{daemon.pid}/maps").read_text()


class Client(threading.Thread):
    """Runs a command again and again on one connection; everything must be as if there were no reload."""

    def __init__(self, connection):
        super().__init__()
        self.connection, self.done, self.over, self.fault = connection, 0, False, None

    def run(self):
        try:
            while not self.over:
                last = list(self.connection.stream("org.nsroot.session.Run", {"arguments": ["sh", "-c", "exit 7"]}))[-1]
                assert last["session"]["result"]["code"] == 7, last
                assert len(self.connection.call("org.nsroot.session.List")["sessions"]) == SESSIONS
                self.done += 1
        except BaseException as e:
            self.fault = e


# The same, each time by a program and connection of its own. It says how many times, or nothing.
LOOP = """
n=0
until [ -e "$1" ]; do "$2" run -- sh -c 'exit 7'; [ $? = 7 ] || exit 1; n=$((n + 1)); done
echo $n
"""


def begin_sessions(daemon, stack):
    """SESSIONS that run; each is held by a connection."""
    for _ in range(SESSIONS):
        c = stack.enter_context(Connection(daemon.socket, USER))
        c.send_call("org.nsroot.session.Run", {"arguments": ["sleep", "6000"]}, more=True)
        assert c.receive()["continues"]
    return {s["id"] for s in daemon.sessions(USER)}


def reload_at_random(daemon, connection, n, kinds):
    """n reloads of good and bad configurations, by call or by signal."""
    failed = expected = 0
    for _ in range(n):
        bad = kinds.random() < 0.5
        daemon.configure(REMEMBER_LITTLE + kinds.choice(BAD if bad else GOOD))
        if kinds.random() < 0.2:
            daemon.process.send_signal(signal.SIGHUP)
            continue
        expected += bad
        try:
            connection.call(RELOAD)
        except VarlinkError as e:
            assert e.name == "io.systemd.System" and str(daemon.config) in e.parameters["reason"]
            failed += 1
    assert failed == expected


def measure(daemon):
    return rss(daemon), daemon.fd_count()


def test_a_thousand_reloads_under_load_lose_nothing(fresh_daemon):
    daemon = fresh_daemon(REMEMBER_LITTLE)
    kinds, over = random.Random(1), daemon.directory / "over"
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(Connection(daemon.socket, 0))
        ids = begin_sessions(daemon, stack)
        assert len(ids) == SESSIONS
        client = Client(stack.enter_context(Connection(daemon.socket, USER)))
        loop = User(OTHER).popen(["sh", "-c", LOOP, "sh", over, daemon.client], env=daemon.client_environment(),
                                 stdout=subprocess.PIPE, text=True)
        client.start()
        try:
            reload_at_random(daemon, root, max(RUNS // 5, 50), kinds)  # until the heap has grown
            before, done = measure(daemon), client.done
            reload_at_random(daemon, root, RUNS, kinds)
        finally:
            client.over = True
            over.touch()
            client.join(60)
            count = loop.communicate(timeout=60)[0]
        assert client.fault is None, repr(client.fault)
        assert client.done > done and int(count) > 0
        assert {s["id"] for s in daemon.sessions(USER)} == ids
        after = measure(daemon)
        assert after[1] <= before[1] + 8, (before, after)
        assert is_sanitized(daemon) or after[0] <= before[0] + 256, (before, after)
    assert until(lambda: not daemon.sessions())
