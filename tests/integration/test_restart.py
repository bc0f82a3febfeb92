"""Sessions outlive their daemon, where a service manager keeps their descriptors: nothing is lost, and nothing is left."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

import harness
import varlink
from harness import OTHER, USER, until
from live import Command, call, detach, records, text_of
from manager import ManagedDaemon
from terminal import Terminal

LINES = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; usleep 10000; done; exit %d"
PROMPTLY = 5  # seconds; what was kept ready goes after one or two
ROUNDS = int(os.environ.get("NSROOT_TEST_RESTARTS", "20"))


@pytest.fixture
def managed(build):
    """managed(config_text="") is a daemon whose sessions are kept."""
    with contextlib.ExitStack() as stack:
        yield lambda *a, **kw: stack.enter_context(contextlib.closing(ManagedDaemon(build, *a, **kw)))


class Foreground:
    """A client of Run that comes back for the result, at the protocol's level."""

    def __init__(self, daemon, *arguments, uid=USER, **parameters):
        self.daemon, self.uid = daemon, uid
        reader, self.lifeline = os.pipe()
        output, writer = os.pipe()
        self.output = output
        self.connection = varlink.Connection(daemon.socket, uid, timeout=60)
        self.connection.send(varlink.message("org.nsroot.session.Run", {
            "arguments": list(arguments), "lifelineFileDescriptor": 0, "standardOutputFileDescriptor": 1, **parameters},
            more=True), [reader, writer])
        os.close(reader)
        os.close(writer)
        self.id = varlink.parameters_of(self.connection.receive())["session"]["id"]

    def result(self):
        """As the connection says it, or, if that is lost, as Wait does."""
        with contextlib.suppress(varlink.Closed, OSError):
            return varlink.parameters_of(self.connection.receive())["session"]["result"]
        return wait(self.daemon, self.id, self.uid)

    def close(self):
        self.connection.close()
        os.close(self.lifeline)
        os.close(self.output)


def wait(daemon, id, uid=USER, **more):
    deadline = time.monotonic() + 60
    while True:
        try:
            with varlink.Connection(daemon.socket, uid, timeout=60) as c:
                return c.call("org.nsroot.session.Wait", {"id": id, **more})["result"]
        except (varlink.Closed, OSError):
            if time.monotonic() > deadline:
                raise


def printed(daemon, id, uid=USER):
    kept = records(daemon, id, uid)
    assert not any(r.get("lost") for r in kept)
    return text_of(kept)


def counted(n):
    return "".join(f"line {i}\n" for i in range(1, n + 1))


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_session_in_the_foreground_does_not_notice(managed, kill):
    daemon = managed()
    session = Foreground(daemon, "sh", "-c", LINES % (100, 7))
    for _ in range(3):
        daemon.restart(kill)
        time.sleep(0.2)
    assert harness.read_all(session.output, 60).decode() == counted(100)
    assert session.result()["code"] == 7
    session.close()
    assert until(lambda: not daemon.inside(), 10)


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_detached_session_does_not_notice(managed, kill):
    daemon = managed()
    id = detach(daemon, "sh", "-c", LINES % (100, 9))
    for _ in range(3):
        daemon.restart(kill)
        time.sleep(0.2)
    assert wait(daemon, id)["code"] == 9
    assert printed(daemon, id) == counted(100)


def test_what_ended_meanwhile_is_known_exactly(managed):
    daemon = managed()
    exited = Foreground(daemon, "sh", "-c", "usleep 300000; exit 5")
    signaled = detach(daemon, "sh", "-c", "usleep 300000; echo last words; kill -9 $$")
    command = execute(daemon, signaled, "sh", "-c", "usleep 200000; exit 6")
    daemon.kill()
    time.sleep(0.6)
    daemon.launch()
    assert exited.result()["code"] == 5
    result = wait(daemon, signaled)
    assert (result["cause"], result["signal"]) == ("signaled", "SIGKILL")
    assert 250_000 < result["wallUSec"] < 600_000, "of the session, and not of what we were told of it"
    assert result["userUSec"] + result["systemUSec"] > 0
    assert printed(daemon, signaled) == "last words\n"
    assert wait(daemon, signaled, command=command.id)["code"] == 6
    command.close()
    exited.close()


def execute(*args):
    command = Command(*args)
    command.started()
    return command


def test_commands_are_waited_for_by_the_next_daemon(managed):
    daemon = managed()
    id = detach(daemon, "sleep", "60")
    command = execute(daemon, id, "sh", "-c", "usleep 600000; exit 8")
    daemon.restart(kill=True)
    assert wait(daemon, id, command=command.id)["code"] == 8
    with pytest.raises(varlink.VarlinkError, match="NoSuchCommand"):
        wait(daemon, id, command="aaaaaaaaaaaa")
    command.close()


def test_what_a_session_is_stays_as_it_was(managed):
    daemon = managed()
    detach(daemon, "sh", "-c", "sleep 60; true", name="mine", user="nobody", hostname="here", readOnly=True, terminal=True)
    before = daemon.sessions()
    daemon.restart()
    assert until(daemon.answers)
    assert daemon.sessions() == before
    assert daemon.sessions(uid=OTHER) == []
    with pytest.raises(varlink.VarlinkError, match="SessionExists"):
        detach(daemon, "true", name="mine")
    call(daemon, "Stop", {"id": "mine", "timeoutUSec": 0})
    assert until(lambda: not daemon.inside(), PROMPTLY)


def test_quotas_and_ids_hold(managed):
    daemon = managed("[Sessions]\nSessionsPerUser=2\n")
    ids = [detach(daemon, "sleep", "60") for _ in range(2)]
    maps = {uid_map(s) for s in daemon.sessions()}
    daemon.restart(kill=True)
    with pytest.raises(varlink.VarlinkError, match="LimitReached"):
        detach(daemon, "sleep", "60")
    other = detach(daemon, "sleep", "60", uid=OTHER)
    new = [uid_map(s) for s in daemon.sessions() if s["id"] == other]
    assert len(maps) == 2 and new[0] not in maps
    call(daemon, "Stop", {"id": ids[0], "timeoutUSec": 0})
    detach(daemon, "true")


def uid_map(session):
    with open(f"/proc/{session['leader']['pid']}/uid_map") as f:
        return f.read().split()[1]


def test_a_client_that_is_killed_meanwhile_takes_its_session_along(managed):
    daemon = managed()
    session = Foreground(daemon, "sleep", "60")
    daemon.kill()
    session.close()
    assert until(lambda: not daemon.inside(), PROMPTLY)
    daemon.launch()
    assert wait(daemon, session.id)["cause"] == "disconnected"


def test_without_a_lifeline_the_connection_is_one(managed):
    daemon = managed()
    with varlink.Connection(daemon.socket, USER) as c:
        c.send(varlink.message("org.nsroot.session.Run", {"arguments": ["sleep", "60"]}, more=True))
        c.receive()
        daemon.kill()
        assert until(lambda: not daemon.inside(), PROMPTLY)
        daemon.launch()


def test_without_the_store_all_end(managed):
    daemon = managed()
    session = Foreground(daemon, "sleep", "60")
    for _ in range(5):
        detach(daemon, "sleep", "60")
    daemon.stop()
    assert len(daemon.inits()) == 6
    daemon.drop_store()
    assert until(lambda: not daemon.inside(), PROMPTLY)
    daemon.launch()
    with pytest.raises(varlink.VarlinkError, match="NoSuchSession"):
        wait(daemon, session.id)
    session.close()


def test_what_is_nobodys_is_closed(managed):
    daemon = managed()
    reader, writer = os.pipe()
    daemon.keep("something", reader)
    daemon.keep("session", reader)
    daemon.keep("aaaaa", reader)
    os.close(reader)
    daemon.restart()
    assert until(daemon.answers)
    assert until(lambda: daemon.stored() == 0)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)
    assert "none of nsrootd's: \"something\"" in daemon.log_text()
    assert "Session aaaaa of an earlier nsrootd cannot be taken up" in daemon.log_text()


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_session_of_which_a_part_is_missing_ends(managed, left):
    daemon = managed()
    good, bad = detach(daemon, "sleep", "60"), detach(daemon, "sleep", "60")
    daemon.stop()
    fds = [(name, fd) for name in (bad[:5], bad[:5] + "+") for fd in daemon.take(name)]
    assert len(fds) == 4
    for i, (name, fd) in enumerate(fds):
        if i != left:
            daemon.keep(name, fd)
        os.close(fd)
    daemon.launch()
    assert until(daemon.answers)
    assert [s["id"] for s in daemon.sessions()] == [good]
    assert until(lambda: len(daemon.inits()) == 1, PROMPTLY)
    assert until(lambda: daemon.stored(bad[:5]) + daemon.stored(bad[:5] + "+") == 0)
    assert f"Session {bad[:5]} of an earlier nsrootd cannot be taken up" in daemon.log_text()


def test_nothing_is_kept_of_what_is_forgotten(managed):
    daemon = managed("[Sessions]\nRemember=1s\n")
    Foreground(daemon, "true").result()
    assert until(lambda: daemon.stored() == 0), "whoever asked was told"
    id = detach(daemon, "true")
    wait(daemon, id)
    assert until(lambda: daemon.stored() == 2)
    assert until(lambda: daemon.stored() == 0, 10)
    daemon.restart()
    with pytest.raises(varlink.VarlinkError, match="NoSuchSession"):
        wait(daemon, id)


def test_an_ended_detached_session_is_remembered_with_its_output(managed):
    daemon = managed()
    id = detach(daemon, "sh", "-c", "echo said; exit 3")
    result = wait(daemon, id)
    daemon.restart(kill=True)
    assert wait(daemon, id) == result
    assert printed(daemon, id) == "said\n"


def test_a_stop_goes_on_in_the_next_daemon(managed):
    daemon = managed("[Sessions]\nStopTimeout=1s\n")
    id = detach(daemon, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    with varlink.Connection(daemon.socket, USER) as c:
        c.send(varlink.message("org.nsroot.session.Stop", {"id": id, "timeoutUSec": 60_000_000}))
        assert until(lambda: daemon.call("org.varlink.service.GetInfo"))
        daemon.restart(kill=True)
        assert wait(daemon, id)["cause"] == "stopped"


def test_a_paused_session_stays_paused(managed):
    daemon = managed()
    id = detach(daemon, "sh", "-c", LINES % (100, 0))
    call(daemon, "Pause", {"id": id})
    daemon.restart(kill=True)
    before = printed(daemon, id)
    time.sleep(0.2)
    assert printed(daemon, id) == before
    assert daemon.sessions()[0]["state"] == "paused"
    call(daemon, "Resume", {"id": id})
    assert wait(daemon, id)["code"] == 0
    assert printed(daemon, id) == counted(100)


def test_a_daemon_that_is_stopped_costs_nobody_a_byte(managed):
    daemon = managed()
    session, id = Foreground(daemon, "sh", "-c", LINES % (200, 4)), detach(daemon, "sh", "-c", LINES % (200, 5))
    commands = [execute(daemon, id, "sh", "-c", f"usleep 500000; exit {i}") for i in range(40)]
    os.kill(daemon.pid, signal.SIGSTOP)
    assert harness.read_all(session.output, 60).decode() == counted(200)
    time.sleep(1)
    os.kill(daemon.pid, signal.SIGCONT)
    assert session.result()["code"] == 4
    assert wait(daemon, id)["code"] == 5
    assert printed(daemon, id) == counted(200)
    assert [varlink.parameters_of(c.connection.receive())["result"]["code"] for c in commands] == list(range(40))
    for c in commands:
        c.close()
    session.close()


def test_killed_again_and_again_under_load(managed):
    """Each session prints counted lines, and the daemon is killed as fast as it comes up."""
    daemon = managed()
    n = 10
    foreground = [Foreground(daemon, "sh", "-c", LINES % (150, i)) for i in range(n)]
    detached = [detach(daemon, "sh", "-c", LINES % (150, i)) for i in range(n)]
    for i in range(ROUNDS):
        daemon.restart(kill=i % 2 == 0)
        assert until(daemon.answers, 60)
    assert [harness.read_all(s.output, 60).decode() for s in foreground] == [counted(150)] * n
    assert [s.result()["code"] for s in foreground] == list(range(n))
    assert [wait(daemon, id)["code"] for id in detached] == list(range(n))
    assert [printed(daemon, id) for id in detached] == [counted(150)] * n
    for s in foreground:
        s.close()
    assert until(lambda: not daemon.inside(), 10)


def processes_of(session):
    """A daemon's own processes, those of its sessions left out: by the process session that it was started in."""
    return [pid for pid in harness.process_table()
            if session_of(pid) == session and harness.comm_and_state(pid)[0] == "nsrootd"]


def session_of(pid):
    with contextlib.suppress(OSError):
        return os.getsid(pid)


def test_a_daemon_that_is_killed_while_it_starts_leaves_nobody_behind(managed):
    """Whoever stayed would hold what it held: the next one would find the state directory in use."""
    daemon = managed()
    id = detach(daemon, "sleep", "300")
    for i in range(60):
        daemon.kill()
        assert until(lambda: not processes_of(daemon.pid), PROMPTLY), i
        daemon.launch()
        time.sleep(i * 0.002)
    assert until(daemon.answers)
    assert [s["id"] for s in daemon.sessions()] == [id]


def test_nsrootctl_run_rides_through(managed):
    daemon = managed()
    client = daemon.popen("run", "--", "sh", "-c", LINES % (150, 7), stdin=subprocess.DEVNULL)
    assert client.stdout.read(7) == "line 1\n"
    assert until(lambda: daemon.sessions()[0]["state"] == "running")  # so its client has been told
    for i in range(4):
        daemon.restart(kill=i % 2 == 1)
        time.sleep(0.2)
    out, err = client.communicate(timeout=60)
    assert ("line 1\n" + out, err, client.returncode) == (counted(150), "", 7)


def test_nsrootctl_exec_rides_through(managed):
    daemon = managed()
    id = detach(daemon, "sleep", "60")
    client = daemon.popen("exec", id, "--", "sh", "-c", LINES % (100, 9), stdin=subprocess.DEVNULL)
    assert until(lambda: [pid for pid in daemon.inside() if harness.comm_and_state(pid)[0] == "nsroot-keeper"])
    for i in range(3):
        daemon.restart(kill=i % 2 == 0)
        time.sleep(0.2)
    out, err = client.communicate(timeout=60)
    assert (out, err, client.returncode) == (counted(100), "", 9)


def test_nsrootctl_logs_follows_through(managed):
    daemon = managed()
    id = detach(daemon, "sh", "-c", LINES % (200, 0))
    client = daemon.popen("logs", "-f", id, stdin=subprocess.DEVNULL)
    for i in range(4):
        time.sleep(0.3)
        daemon.restart(kill=i % 2 == 0)
    out, err = client.communicate(timeout=60)
    assert (out, err, client.returncode) == (counted(200), "", 0)


def test_an_attached_terminal_does_not_notice(managed):
    daemon = managed()
    id = detach(daemon, "sh", terminal=True, environment=["PS1=in> "])
    with contextlib.closing(Terminal([str(daemon.client), "attach", id], harness.User(USER), daemon.client_environment())) as t:
        t.expect("in> ")
        daemon.restart(kill=True)
        t.send("echo $((6*7)); exit 5\r")
        t.expect("42")
        assert t.wait() == 5


def test_nsrootctl_run_does_not_wait_for_ever_where_all_is_lost(managed):
    daemon = managed()
    client = daemon.popen("run", "--", "sleep", "60", stdin=subprocess.DEVNULL)
    assert until(daemon.sessions)
    daemon.kill()
    daemon.drop_store()
    daemon.launch()
    out, err = client.communicate(timeout=30)
    assert client.returncode == 125 and "nsrootctl: " in err


def test_the_client_of_a_paused_session_is_killed(managed):
    daemon = managed()
    session = Foreground(daemon, "sleep", "60")
    call(daemon, "Pause", {"id": session.id})
    session.close()
    assert wait(daemon, session.id)["cause"] == "disconnected"
    assert until(lambda: not daemon.inside(), PROMPTLY)


# Where what a daemon recorded of a session lies in its state (daemon/state.h): numbers of 32 bits.
STATE_MAGIC, VERSION, IS_KILLED, KILL_CAUSE, IS_ANNOUNCED = 0x7274736E, 1, 7, 8, 17


def patch_state(daemon, id, place, value):
    """Writes a number into the state that is kept of a session."""
    fds = daemon.take(id[:5])
    for fd in fds:
        if int.from_bytes(os.pread(fd, 4, 0), "little") == STATE_MAGIC:
            os.pwrite(fd, value.to_bytes(4, "little"), 4 * place)
        daemon.keep(id[:5], fd)
        os.close(fd)


def test_the_state_of_a_later_release_is_not_guessed_at(managed):
    daemon = managed()
    id = detach(daemon, "sleep", "60")
    daemon.stop()
    patch_state(daemon, id, VERSION, 99)
    daemon.launch()
    assert until(daemon.answers) and daemon.sessions() == []
    assert until(lambda: not daemon.inside(), PROMPTLY)
    assert "cannot be taken up, and ends: a later release left it" in daemon.log_text()


def test_who_was_decided_to_be_killed_is_killed(managed):
    """A daemon may end between what it has recorded and what it does."""
    daemon = managed()
    id = detach(daemon, "sleep", "60")
    daemon.stop()
    patch_state(daemon, id, KILL_CAUSE, 2)
    patch_state(daemon, id, IS_KILLED, 1)
    daemon.launch()
    assert wait(daemon, id)["cause"] == "stopped"
    assert until(lambda: not daemon.inside(), PROMPTLY)


def test_a_detached_session_that_nobody_was_told_of_ends(managed):
    daemon = managed()
    id = detach(daemon, "sleep", "60")
    daemon.stop()
    patch_state(daemon, id, IS_ANNOUNCED, 0)
    daemon.launch()
    assert wait(daemon, id)["cause"] == "disconnected"
    assert until(lambda: not daemon.inside(), PROMPTLY)
