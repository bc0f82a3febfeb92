"""Charge=caller: a session is below the control group of the process that asked for it, and whoever owns that group can do
with it what he likes, and loses nothing but what is his.

Needs a control group of cgroup v2 that can be written; controllers it needs none."""

import contextlib
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import time

import pytest

import harness
import varlink
from harness import OTHER, USER, cgroup_of, until
from live import SESSION, call, wait
from manager import ManagedDaemon

CHARGE = "[Sessions]\nCharge=caller\n"
GROUPS = harness.cgroup2_mount()
LIMIT = SESSION + "LimitUnavailable"


class Group:
    """A control group of the test's own, which a user may own."""

    def __init__(self, parent=None, name=None):
        self.path = (parent.path if parent else GROUPS) / (name or f"nsroot-test-{secrets.token_hex(4)}")
        self.path.mkdir()

    @property
    def name(self):
        """As /proc/PID/cgroup has it."""
        return "/" + str(self.path.relative_to(GROUPS))

    def give(self, uid):
        """As a delegation does."""
        for file in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(self.path / file, uid, uid)

    def write(self, file, text):
        (self.path / file).write_text(text)

    def below(self):
        """The directories below it."""
        return sorted(p.name for p in self.path.iterdir() if p.is_dir())

    def pids(self):
        return [int(pid) for p in (self.path, *self.path.iterdir()) if p.is_dir()
                for pid in (p / "cgroup.procs").read_text().split()]

    def close(self):
        with contextlib.suppress(OSError):
            self.write("cgroup.freeze", "0")
        self.write("cgroup.kill", "1")
        for path, _, _ in os.walk(self.path, topdown=False):
            assert until(lambda: remove(path)), path


def remove(path):
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)


class Caller(varlink.Connection):
    """A connection that a process in a control group has made, and left to us; that process lives until it is ended."""

    def __init__(self, daemon, group, uid=USER):
        ours, theirs = socket.socketpair()
        self.held, hold = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._connect(daemon, group, uid, theirs, hold)
        theirs.close()
        os.close(hold)
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        self.socket = socket.socket(fileno=fds[0])
        self.socket.settimeout(30)
        self.received, self.fds = b"", []

    def _connect(self, daemon, group, uid, channel, hold):
        try:
            group.write("cgroup.procs", "0")
            os.close(self.held)
            harness.User(uid).become()
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(daemon.socket))
            socket.send_fds(channel, [b"x"], [s.fileno()])
            signal.pause()
        finally:
            os._exit(0)

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def run(self, *arguments, **parameters):
        """A detached session, as it is described."""
        return self.call(SESSION + "Run", {"arguments": list(arguments), "detached": True, **parameters})["session"]

    def close(self):
        super().close()
        os.close(self.held)
        self.end()


@pytest.fixture
def group():
    if not GROUPS or not os.access(GROUPS / "cgroup.procs", os.W_OK):
        pytest.skip("no cgroup v2 that can be written")
    g = Group()
    yield g
    g.close()


@pytest.fixture
def charging(fresh_daemon):
    return fresh_daemon(CHARGE)


@pytest.fixture
def caller(charging, group):
    with contextlib.closing(Caller(charging, group)) as c:
        yield c


def unavailable(caller, limit, *arguments, **parameters):
    """The reason why not."""
    with pytest.raises(varlink.VarlinkError) as e:
        caller.run(*arguments or ("true",), **parameters)
    assert (e.value.name, e.value.parameters["limit"]) == (LIMIT, limit), e.value
    return e.value.parameters["reason"]


def test_a_session_is_below_its_callers_group(charging, group, caller):
    session = caller.run("sleep", "60")
    assert session["controlGroup"] == f"{group.name}/nsrootd-{session['id']}"
    directory = GROUPS / session["controlGroup"].strip("/")
    pids = [int(p) for p in (directory / "cgroup.procs").read_text().split()]
    assert session["leader"]["pid"] in pids and len(pids) == 2, "its init and its command"
    assert {cgroup_of(p) for p in pids} == {session["controlGroup"]}
    assert directory.stat().st_uid == 0 and (directory / "cgroup.max.descendants").read_text() == "0\n"
    call(charging, "Stop", {"id": session["id"], "timeoutUSec": 0})
    assert until(lambda: group.below() == [])
    assert wait(charging, session["id"])["cause"] == "stopped"


def test_one_in_the_foreground_is_too(charging, group):
    script = 'echo 0 >"$0/cgroup.procs"; exec setpriv --reuid=2001 --regid=2001 --clear-groups "$@"'
    client = subprocess.run(["sh", "-c", script, group.path, charging.client, "run", "--", "cat", "/proc/self/cgroup"],
                            env=charging.client_environment(), capture_output=True, text=True, timeout=60)
    assert client.returncode == 0 and "0::/\n" in client.stdout, client.stderr
    assert all(line.endswith(":/") for line in client.stdout.split()), "nothing is seen of where that is"
    assert until(lambda: group.below() == [])


def test_the_daemons_own_group_is_left(charging, group, caller):
    """The child is made there, and has to be gone from it before anything is charged."""
    session = caller.run("sh", "-c", "sleep 60 & sleep 60")
    own = cgroup_of(charging.pid)
    assert until(lambda: len(group.pids()) == 1 + 3)
    assert {cgroup_of(p) for p in charging.processes()} == {session["controlGroup"]} != {own}


def test_a_second_command_is_charged_to_the_same(charging, group, caller):
    id = caller.run("sleep", "60")["id"]
    with varlink.Connection(charging.socket, USER) as other:
        other.send_call(SESSION + "Exec", {"id": id, "arguments": ["sleep", "60"]}, more=True)
        other.receive()
        assert all(cgroup_of(p).endswith(f"/nsrootd-{id}") for p in charging.processes())


def test_who_is_charged_is_who_connected(charging, group, caller):
    """The connection was made over there, and is used here."""
    assert cgroup_of(os.getpid()) != group.name
    assert caller.run("sleep", "60")["controlGroup"].startswith(group.name + "/")


def test_whose_caller_has_ended_is_not_charged_to_whoever_comes_after(charging, group, caller):
    caller.end()
    assert "has ended" in unavailable(caller, "Charge")
    assert group.below() == []


def test_where_a_caller_goes_his_next_session_goes(charging, group, caller):
    first = caller.run("sleep", "60")
    other = Group(group, "other")
    other.write("cgroup.procs", str(caller.pid))
    assert caller.run("sleep", "60")["controlGroup"].startswith(other.name + "/")
    assert cgroup_of(first["leader"]["pid"]) == first["controlGroup"]


@pytest.mark.parametrize("field, key", [("memoryMaxBytes", "MemoryMax"), ("tasksMax", "TasksMax"), ("cpuQuotaPercent", "CpuQuota"),
                                        ("cpuWeight", "CpuWeight"), ("ioWeight", "IoWeight")])
def test_limits_that_it_would_need_controllers_for_are_unavailable(charging, caller, field, key):
    reason = unavailable(caller, key, limits={field: 64 << 20 if field == "memoryMaxBytes" else 50})
    assert "charged to its caller" in reason


def test_other_limits_can_be_had(charging, caller):
    limits = caller.run("sleep", "60", limits={"openFilesMax": 99, "runtimeMaxUSec": 60_000_000})["limits"]
    assert limits["openFilesMax"] == 99 and limits["runtimeMaxUSec"] == 60_000_000
    assert not {"memoryMaxBytes", "tasksMax", "cpuQuotaPercent"} & set(limits), "nor the configured ones"


def test_a_result_has_no_peaks(charging, caller):
    id = caller.run("sh", "-c", "exit 7")["id"]
    result = wait(charging, id)
    assert result["code"] == 7 and not {"memoryPeakBytes", "tasksPeak"} & set(result), result


def test_only_those_are_charged_who_are_to_be(fresh_daemon, group):
    daemon = fresh_daemon(f"[User {USER}]\nCharge=caller\n")
    for uid, is_charged in ((USER, True), (OTHER, False)):
        with contextlib.closing(Caller(daemon, group, uid)) as c:
            assert c.run("sleep", "60")["controlGroup"].startswith(group.name + "/") == is_charged
            charge = call(daemon, "Describe", uid=uid)["allowance"]["charge"]
            assert charge == ("caller" if is_charged else "user")


def test_without_cgroup_v2_nothing_can_be_charged(fresh_daemon):
    daemon = fresh_daemon(CHARGE, wrapper=["sh", "-c", 'umount -R -l /sys/fs/cgroup && exec "$@"', "sh"])
    with varlink.Connection(daemon.socket, USER) as c, pytest.raises(varlink.VarlinkError) as e:
        c.call(SESSION + "Run", {"arguments": ["true"], "detached": True})
    assert e.value.name == LIMIT and e.value.parameters == {"limit": "Charge", "reason": "nsrootd has no cgroup v2 here"}
    assert call(daemon, "Describe")["host"]["chargesCallers"] is False


def test_where_other_users_processes_are_hidden_callers_are_found(fresh_daemon, group):
    """As for the daemon's unit, by ProtectProc=invisible."""
    daemon = fresh_daemon(CHARGE, wrapper=["sh", "-c", 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"', "sh"])
    with contextlib.closing(Caller(daemon, group)) as c:
        pathlib.Path(f"/proc/{c.pid}/oom_score_adj").write_text("777")
        session = c.run("sleep", "60")
        assert session["controlGroup"].startswith(group.name + "/")
        assert pathlib.Path(f"/proc/{session['leader']['pid']}/oom_score_adj").read_text() == "777\n"


# -- what its owner can do to it ----------------------------------------------------------------------------------

def prompt(daemon, statuses=(0,)):
    """How long another user's whole run takes, and that it ends with one of these."""
    begin = time.monotonic()
    done = daemon.run("true", uid=OTHER)
    assert done.returncode in statuses, done.stderr
    return time.monotonic() - begin


def test_who_freezes_his_group_holds_nobody_else(fresh_daemon, group):
    daemon = fresh_daemon(f"[User {USER}]\nCharge=caller\n")
    prompt(daemon)
    with contextlib.closing(Caller(daemon, group)) as c:
        group.write("cgroup.freeze", "1")
        c.send_call(SESSION + "Run", {"arguments": ["true"], "detached": True})
        assert until(lambda: group.below())
        assert prompt(daemon) < 2
        session = call(daemon, "List")["sessions"][0]
        assert session["state"] == "starting"
        call(daemon, "Stop", {"id": session["id"], "timeoutUSec": 0})
        assert until(lambda: group.below() == []), "it can be ended all the same"


def test_what_is_frozen_while_it_runs_can_be_ended(charging, group, caller):
    id = caller.run("sleep", "60")["id"]
    group.write("cgroup.freeze", "1")
    call(charging, "Stop", {"id": id, "timeoutUSec": 100_000})
    assert until(lambda: group.below() == [])
    group.write("cgroup.freeze", "0")
    assert wait(charging, id)["cause"] == "stopped"


def test_who_takes_the_processes_out_and_removes_the_group_has_a_session_that_can_be_ended(charging, group, caller):
    group.give(USER)
    session = caller.run("sleep", "60")
    id, directory = session["id"], GROUPS / session["controlGroup"].strip("/")

    def take_out():
        for pid in (directory / "cgroup.procs").read_text().split():
            (group.path / "cgroup.procs").write_text(pid)
        os.rmdir(directory)
    harness.User(USER)(take_out)
    assert call(charging, "Statistics", {"id": id})["usage"][0]["id"] == id
    with contextlib.suppress(varlink.VarlinkError):
        call(charging, "Pause", {"id": id})
        call(charging, "Resume", {"id": id})
    call(charging, "Stop", {"id": id, "timeoutUSec": 100_000})
    assert wait(charging, id)["cause"] == "stopped" and prompt(charging) < 5
    assert until(lambda: group.pids() == [caller.pid])


def test_a_group_that_may_have_none_below_it(charging, group, caller):
    group.write("cgroup.max.descendants", "0")
    assert "may have no more below it" in unavailable(caller, "Charge")


def test_a_group_whose_threads_are_apart(charging, group):
    threaded = Group(group, "threaded")
    threaded.write("cgroup.type", "threaded")
    with contextlib.closing(Caller(charging, group)) as c:
        assert "threaded" in unavailable(c, "Charge")
    assert group.below() == ["threaded"]


@pytest.mark.parametrize("name, words", [("b\xe4h", "ASCII"), ("x" * 250, "too long")])
def test_names_that_are_not_written_down(charging, group, name, words):
    inner = group
    for _ in range(5 if words == "too long" else 1):
        inner = Group(inner, name)
    with contextlib.closing(Caller(charging, inner)) as c:
        assert words in unavailable(c, "Charge")
    assert inner.below() == []


def test_who_keeps_a_sessions_group_busy_does_not_keep_the_daemon(charging, group, caller):
    session = caller.run("sleep", "60")
    directory = GROUPS / session["controlGroup"].strip("/")
    (directory / "cgroup.max.descendants").write_text("1")  # as its owner could, had somebody given it to him
    (directory / "kept").mkdir()
    call(charging, "Stop", {"id": session["id"], "timeoutUSec": 0})
    assert wait(charging, session["id"])["cause"] == "stopped" and directory.exists()
    begin = time.monotonic()
    assert charging.stop() == 0 and time.monotonic() - begin < 8
    (directory / "kept").rmdir()


# -- how it ends --------------------------------------------------------------------------------------------------

def test_who_stops_all_of_the_group_stops_the_session(charging, group, caller):
    """As a service manager stops a unit: SIGTERM to each process in it."""
    id = caller.run("sh", "-c", "trap '' TERM; sleep 60")["id"]
    for pid in reversed(group.pids()):
        os.kill(pid, signal.SIGTERM)
    assert wait(charging, id)["cause"] == "stopped"
    assert until(lambda: group.below() == [])


def test_who_kills_the_session_is_not_taken_for_the_lack_of_memory(charging, group, caller):
    id = caller.run("sleep", "60")["id"]
    call(charging, "Signal", {"id": id, "signal": "SIGKILL"})
    result = wait(charging, id)
    assert (result["cause"], result["signal"]) == ("signaled", "SIGKILL")


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_the_next_daemon_finds_it_again(build, group, kill):
    with contextlib.closing(ManagedDaemon(build, CHARGE)) as daemon, contextlib.closing(Caller(daemon, group)) as c:
        session = c.run("sleep", "60")
        ended = c.run("sh", "-c", "usleep 300000; exit 3")["id"]
        daemon.restart(kill)
        assert until(daemon.answers)
        again = next(s for s in call(daemon, "List")["sessions"] if s["id"] == session["id"])
        assert again["controlGroup"] == session["controlGroup"] and "memoryMaxBytes" not in again["limits"]
        assert wait(daemon, ended)["code"] == 3
        call(daemon, "Stop", {"id": session["id"], "timeoutUSec": 0})
        assert wait(daemon, session["id"])["cause"] == "stopped"
        assert until(lambda: group.below() == [])


def test_what_ended_while_there_was_no_daemon_leaves_nothing(build, group):
    with contextlib.closing(ManagedDaemon(build, CHARGE)) as daemon, contextlib.closing(Caller(daemon, group)) as c:
        id = c.run("sh", "-c", "usleep 300000; exit 4")["id"]
        daemon.kill()
        assert until(lambda: not daemon.inside())
        assert group.below() == [f"nsrootd-{id}"]
        daemon.launch()
        assert wait(daemon, id)["code"] == 4
        assert until(lambda: group.below() == [])


def test_many_leave_nothing(fresh_daemon, group):
    daemon = fresh_daemon(CHARGE + "RememberMax=0\n")
    with contextlib.closing(Caller(daemon, group)) as c:
        c.run("true")
        before = daemon.fd_count()
        for _ in range(20):
            c.run("true")
        assert until(lambda: group.below() == [] and not daemon.sessions())
        assert until(lambda: daemon.fd_count() <= before)
