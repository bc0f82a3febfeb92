"""A session lives as long as it is held, and nothing of it is left: whoever ends, and however."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
from harness import OTHER, USER, Running, comm_and_state, still_there, stopped, until
from varlink import Connection

RUNS = int(os.environ.get("NSROOT_TEST_RUNS", "1000"))
NODES = ("null", "zero", "full", "random", "urandom", "tty")
PROMPTLY = 2  # seconds, from design: what is left after a stop, or a kill of whoever holds the session


def is_empty(daemon, baseline):
    """The daemon looks as it did: its descriptors, mounts, processes and cgroups."""
    return until(lambda: state_of(daemon) == baseline, 10) or (state_of(daemon), baseline)


def state_of(daemon):
    return daemon.fd_count(), daemon.mounts(), daemon.processes(), daemon.cgroups(), daemon.sessions()


@pytest.fixture
def baseline(daemon):
    """The state of a daemon that has served once and is idle; it must be the same after the test."""
    assert daemon.run("true").returncode == 0
    daemon.cgroup_node()
    daemon.cool()
    assert until(lambda: not daemon.processes() and not daemon.sessions() and not daemon.cgroups(), 10)
    time.sleep(0.1)
    before = state_of(daemon)
    yield before
    assert is_empty(daemon, before) is True


# -- the client ends ----------------------------------------------------------------------------------------------

@pytest.fixture
def session(daemon, baseline):
    """session(script) is a Running one; it is ended before the baseline is looked at again."""
    with contextlib.ExitStack() as stack:
        yield lambda script: stack.enter_context(contextlib.closing(Running(daemon, "sh", "-c", script)))


@pytest.mark.parametrize("name", ["KILL", "TERM", "HUP", "INT", "QUIT"])
def test_a_session_ends_with_its_client(daemon, session, name):
    # In parentheses: this shell runs its last command without SIGQUIT.
    client = session("sleep 600 & setsid sleep 600 & (exec sleep 600)").client
    assert until(lambda: daemon.commands("sleep") == ["S"] * 3, 10)
    processes = daemon.processes()
    client.send_signal(getattr(signal, f"SIG{name}"))
    assert until(lambda: not still_there(processes), PROMPTLY), still_there(processes)


def test_a_session_ends_with_its_client_though_the_daemon_does_not_answer(daemon, session):
    """The lifeline goes past the daemon: here it is stopped, as it may be busy, or away for an upgrade."""
    held = session("sleep 600 & sleep 600")
    with stopped(daemon.pid):
        held.client.kill()
        assert until(held.gone, PROMPTLY)


def test_a_session_that_ignores_every_signal_ends_with_its_client(session):
    deaf = session("trap '' TERM HUP INT QUIT; while :; do sleep 1; done")
    deaf.client.kill()
    assert until(deaf.gone, PROMPTLY)


def test_when_the_result_is_told_nothing_runs_any_more(daemon):
    """So many that their end takes a while, and are children of the session's init by then."""
    script = "i=0; while [ $i -lt 400 ]; do setsid sleep 600 & i=$((i + 1)); done; exit 3"
    with Connection(daemon.socket, USER) as c:
        for _ in range(5):
            replies = c.stream("org.nsroot.session.Run", {"arguments": ["sh", "-c", script]})
            init = next(replies)["session"]["leader"]["pid"]
            assert next(replies)["session"]["result"]["code"] == 3
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                assert pathlib.Path(f"/proc/{init}/task/{init}/children").read_text() == ""


def test_a_stopped_session_ends_with_its_client(daemon, session):
    stopped = session("kill -STOP $$")
    assert until(lambda: daemon.commands("sh") == ["T"], 10)
    stopped.client.kill()
    assert until(stopped.gone, PROMPTLY)


def test_a_session_that_forks_without_end_ends_with_its_client(daemon, session):
    bomb = session("for i in $(seq 300); do sleep 600 & done; while :; do (sleep 0.1 &); done")
    assert until(lambda: len(daemon.processes()) > 300, 30)
    bomb.client.kill()
    assert until(lambda: not daemon.processes(), 10)


RUN = {"method": "org.nsroot.session.Run", "more": True}
SLEEP = {"arguments": ["sleep", "600"]}


def raw(message):
    return json.dumps(message).encode() + b"\0"


def lend(s, message, fds):
    """Sends a message whose first byte carries descriptors."""
    socket.send_fds(s, [message], fds)


def leave_after_connecting(s):
    pass


def leave_in_the_middle_of_a_message(s):
    s.sendall(raw({**RUN, "parameters": SLEEP})[:30])


def leave_after_asking(s):
    s.sendall(raw({**RUN, "parameters": SLEEP}))


def leave_after_asking_and_a_moment(s):
    leave_after_asking(s)
    time.sleep(secrets.randbelow(10) / 1000)


def leave_after_half_closing(s):
    leave_after_asking(s)
    s.shutdown(socket.SHUT_WR)


def leave_after_the_first_reply(s):
    leave_after_asking(s)
    reply = harness.receive(s)
    assert reply["continues"] is True and reply["parameters"]["session"]["state"] == "running"


def leave_with_descriptors_lent(s):
    reader, writer = os.pipe()
    lifeline, held = os.pipe()
    try:
        parameters = {**SLEEP, "standardInputFileDescriptor": 0, "standardOutputFileDescriptor": 1,
                      "standardErrorFileDescriptor": 1, "lifelineFileDescriptor": 2}
        lend(s, raw({**RUN, "parameters": parameters}), [reader, writer, lifeline])
    finally:
        for fd in (reader, writer, lifeline, held):
            os.close(fd)


def leave_with_a_terminal(s):
    s.sendall(raw({**RUN, "parameters": {**SLEEP, "terminal": True, "columns": 80, "rows": 24}}))
    message, fds, _, _ = socket.recv_fds(s, 1 << 16, 4)
    for fd in fds:
        os.close(fd)
    assert len(fds) == 1, message


def leave_while_waiting(s):
    s.sendall(raw({**RUN, "parameters": SLEEP}))
    session = harness.receive(s)["parameters"]["session"]["id"]
    s.sendall(raw({"method": "org.nsroot.session.Wait", "parameters": {"id": session}}))


LEAVING = [f for n, f in sorted(globals().items()) if n.startswith("leave_")]


@pytest.mark.parametrize("leave", LEAVING, ids=lambda f: f.__name__.removeprefix("leave_"))
def test_a_client_that_leaves_leaves_nothing(daemon, baseline, leave):
    for _ in range(10):
        with daemon.connect() as s:
            leave(s)
    assert is_empty(daemon, baseline) is True


def test_the_lifeline_alone_ends_a_session(daemon, baseline):
    """The connection stays; only the pipe that the caller holds is closed."""
    lifeline, held = os.pipe()
    with daemon.connect() as s:
        lend(s, raw({**RUN, "parameters": {**SLEEP, "lifelineFileDescriptor": 0}}), [lifeline])
        os.close(lifeline)
        assert harness.receive(s)["continues"] is True
        processes = daemon.processes()
        assert processes
        os.close(held)
        assert until(lambda: not still_there(processes), PROMPTLY)
        result = harness.receive(s)["parameters"]["session"]["result"]
        assert result["cause"] == "disconnected"


# -- the daemon ends ----------------------------------------------------------------------------------------------

def traces(daemon):
    """What of this daemon is to be seen on the machine beside its files."""
    return harness.mountinfo_lines_naming(str(daemon.state_dir))


@pytest.fixture
def busy(fresh_daemon):
    """A daemon with three sessions, one of them deaf to signals, and their processes."""
    d = fresh_daemon()
    sessions = [Running(d, "sleep", "600"),
                Running(d, "sh", "-c", "trap '' TERM HUP INT QUIT; while :; do sleep 1; done", uid=OTHER),
                Running(d, "sh", "-c", "(setsid sleep 600 &); sleep 600", stderr=subprocess.PIPE)]
    assert until(lambda: len(d.processes()) >= 8, 10), d.processes()
    yield d, sessions, d.processes()
    for session in sessions:
        session.client.communicate(timeout=30)


def test_kill_of_the_daemon_ends_sessions_whose_clients_hold_on(busy):
    """The clients cannot notice anything, and let go of nothing."""
    daemon, sessions, processes = busy
    with stopped(*(session.client.pid for session in sessions)):
        daemon.kill()
        assert until(lambda: not still_there(processes), PROMPTLY), still_there(processes)


def test_kill_of_the_daemon_leaves_nothing(busy):
    daemon, sessions, processes = busy
    namespace = os.readlink(f"/proc/{daemon.pid}/ns/mnt")
    daemon.kill()
    assert until(lambda: not still_there(processes), PROMPTLY), still_there(processes)
    assert until(lambda: not traces(daemon), PROMPTLY), traces(daemon)
    assert until(lambda: namespace not in {namespace_of(p) for p in os.listdir("/proc") if p.isdigit()}, PROMPTLY)


def namespace_of(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/mnt")


def test_stop_of_the_daemon_leaves_nothing(busy):
    daemon, sessions, processes = busy
    node = daemon.cgroup_node()
    started = time.monotonic()
    assert daemon.stop() == 0, daemon.log_text()
    assert until(lambda: not still_there(processes), PROMPTLY), still_there(processes)
    assert time.monotonic() - started < 10
    assert not traces(daemon)
    assert not node or not node.exists()


def test_clients_of_a_daemon_that_was_killed_say_so(busy):
    daemon, sessions, _ = busy
    daemon.kill()
    message = sessions[2].client.communicate(timeout=10)[1]
    assert sessions[2].client.returncode == 125
    assert message.startswith("nsrootctl: ") and len(message.splitlines()) == 1


def test_a_daemon_after_one_that_was_killed(busy):
    """The same socket path, state directory and cached root; the clients of the first are not its."""
    daemon, _, processes = busy
    daemon.kill()
    assert until(lambda: not still_there(processes), PROMPTLY)
    daemon.start()
    assert daemon.sessions() == []
    assert daemon.run("echo", "again").stdout == "again\n"


def test_a_forker_that_is_killed_is_followed_by_another(fresh_daemon):
    daemon = fresh_daemon("[Pool]\nSlotsPerUser=0\n")
    first = daemon.forker()
    with contextlib.closing(Running(daemon, "sleep", "600")) as session:
        os.kill(first, signal.SIGKILL)
        assert daemon.run("echo", "again").stdout == "again\n"
        assert daemon.forker() != first
        assert session.client.poll() is None, "what it has made is not its"


def test_a_forker_ends_with_its_daemon(fresh_daemon):
    daemon = fresh_daemon()
    forker = daemon.forker()
    daemon.kill()
    assert until(lambda: comm_and_state(forker)[0] is None or comm_and_state(forker)[1] == "Z")


def test_a_forker_has_nothing_of_a_client_nor_of_a_session(daemon):
    with contextlib.closing(Running(daemon, "sleep", "600")):
        links = sorted(os.readlink(f"/proc/{daemon.forker()}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon.forker()}/fd"))
    assert len(links) == 2 and links[0].startswith("/memfd:nsroot-init") and links[1].startswith("socket:")


def test_a_forker_has_no_mounts_of_the_host(fresh_daemon, tmp_path):
    """So that it costs a session nothing how many there are."""
    script = f'for i in 1 2 3; do mkdir {tmp_path}/$i; mount -t tmpfs of-the-host {tmp_path}/$i; done; exec "$@"'
    daemon = fresh_daemon(wrapper=["sh", "-c", script, "sh"])
    mounts = [line.split(" - ") for line in pathlib.Path(f"/proc/{daemon.forker()}/mountinfo").read_text().splitlines()]
    assert {left.split()[4] for left, _ in mounts} == {"/", "/proc", "/sys", *(f"/dev/{name}" for name in NODES)}
    assert daemon.run("cat", "/proc/self/mounts").stdout.count("of-the-host") == 0
    assert sum("of-the-host" in line for line in daemon.mounts()) == 3


def test_two_daemons_side_by_side(fresh_daemon):
    one, two = fresh_daemon(), fresh_daemon()
    with contextlib.closing(Running(one, "sleep", "600")) as session:
        assert two.sessions() == [] and len(one.sessions()) == 1
        two.stop()
        assert one.run("true").returncode == 0
        assert session.client.poll() is None


def test_a_second_daemon_on_the_same_socket_is_refused(fresh_daemon, daemon):
    d = fresh_daemon(start=False)
    d.socket = daemon.socket
    assert d.launch().process.wait(20) != 0
    assert str(daemon.socket) in d.log_text()
    assert daemon.run("true").returncode == 0


# -- nothing of the daemon is in a session ------------------------------------------------------------------------

def memory_of(pid):
    """All that can be read of a process's memory, but for what a sanitizer keeps of it: that is terabytes."""
    memory = bytearray()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            with contextlib.suppress(OSError, ValueError, OverflowError):
                mem.seek(first)
                memory += mem.read(last - first) if last - first < 1 << 28 else b""
    return bytes(memory)


def test_the_daemons_environment_and_memory_are_nowhere_in_a_session(fresh_daemon):
    marker = "marker-" + secrets.token_hex(16)
    d = fresh_daemon(environment={"NSROOT_TEST_MARKER": marker})
    assert marker.encode() in memory_of(d.pid)
    inside = d.run("sh", "-c", "cat /proc/*/environ /proc/*/cmdline /proc/*/mounts 2>/dev/null; env; set")
    assert "container=nsrootd" in inside.stdout
    assert marker not in inside.stdout and str(d.state_dir) not in inside.stdout
    with contextlib.closing(Running(d, "sleep", "600")) as session:
        assert len(session.processes) >= 2
        for pid in session.processes:
            memory = memory_of(pid)
            assert len(memory) > 4096
            assert marker.encode() not in memory
            assert str(d.state_dir).encode() not in memory


def descriptors(pid):
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return links


def test_the_daemons_descriptors_are_nowhere_in_a_session(daemon):
    with contextlib.closing(Running(daemon, "sleep", "600")) as session:
        own = [link for link in descriptors(daemon.pid) if link.startswith(("socket:", "/"))]
        own = set(own) - {"/dev/null"}
        assert any(link.startswith("socket:") for link in own)
        for pid in session.processes:
            links = descriptors(pid)
            assert links and not own & set(links), (own & set(links))
            assert not [link for link in links if str(daemon.directory) in link]
        command = max(session.processes)
        assert sorted(os.listdir(f"/proc/{command}/fd")) == ["0", "1", "2"]


def test_inherited_descriptors_of_the_daemon_are_nowhere_in_a_session(build, fresh_daemon):
    """200 descriptors leaked into the daemon: none gets further."""
    d = fresh_daemon(start=False, wrapper=["bash", "-c", 'for i in {10..209}; do eval "exec $i</etc/hostname"; done; '
                                                         'exec "$0" "$@"'])
    d.start()
    with contextlib.closing(Running(d, "sleep", "600")) as session:
        for pid in session.processes:
            assert not [link for link in descriptors(pid) if "hostname" in link]
        command = max(session.processes)
        assert sorted(os.listdir(f"/proc/{command}/fd")) == ["0", "1", "2"]


def test_init_shows_nothing_of_itself_to_the_session(daemon):
    files = "environ maps mem auxv exe cwd root fd/0 fd/3 ns/user"
    result = daemon.run("sh", "-c", f"cd /proc/1; for f in {files}; do cat $f; readlink $f; done; ls cwd/ root/")
    assert result.stdout == ""
    assert result.stderr.lower().count("permission denied") >= 9, result.stderr


# -- many ---------------------------------------------------------------------------------------------------------

def test_many_runs_leave_nothing(daemon, baseline):
    """Two at a time; what the daemon and the machine look like afterwards is what they looked like before."""
    mounts = harness.mountinfo_lines_naming(str(daemon.state_dir))
    def one(i):
        result = daemon.run("sh", "-c", f"echo {i}; exit {i % 100}")
        return (result.stdout, result.returncode) == (f"{i}\n", i % 100) or (i, result)
    with ThreadPoolExecutor(2) as pool:
        wrong = [r for r in pool.map(one, range(RUNS)) if r is not True]
    assert not wrong, wrong[:3]
    assert is_empty(daemon, baseline) is True
    assert harness.mountinfo_lines_naming(str(daemon.state_dir)) == mounts


def test_many_runs_do_not_grow_the_daemon(fresh_daemon):
    """One that remembers nothing; a sanitizer keeps what was freed, unless it is told not to."""
    d = fresh_daemon("[Sessions]\nRememberMax=0\n", environment={"ASAN_OPTIONS": "quarantine_size_mb=0"})
    def resident():
        status = pathlib.Path(f"/proc/{d.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])
    def runs(n):
        for _ in range(n):
            assert d.run("true").returncode == 0
        return resident()
    before = runs(RUNS // 5 + 20)
    after = runs(RUNS // 2)
    assert after - before < 512, f"{before} KiB, then {after} KiB"
    assert d.call("org.nsroot.session.List", {"all": True})["parameters"]["sessions"] == []


def test_fifty_at_once(daemon, baseline):
    clients = [daemon.popen("run", "--", "sh", "-c", f"read line; echo $line-{i}; exit {i}", uid=USER + i % 2)
               for i in range(50)]
    try:
        assert until(lambda: len(daemon.sessions()) == 50, 60), len(daemon.sessions())
        hosts = {s["id"] for s in daemon.sessions()}
        assert len(hosts) == 50
        for i, client in enumerate(clients):
            assert client.communicate("in\n", timeout=60)[0] == f"in-{i}\n"
            assert client.returncode == i
    finally:
        for client in clients:
            client.kill()
            client.communicate()


# -- what it needs to start ---------------------------------------------------------------------------------------

def started_as(build, command, **kw):
    """A daemon that is started wrongly; its program lies where an ordinary user can run it."""
    directory = pathlib.Path(harness.make_directory())
    try:
        program = shutil.copy2(build.daemon, directory)
        os.chmod(program, 0o755)
        arguments = [program, "--listen", directory / "socket", "--state-dir", directory / "state"]
        return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=30, cwd="/", **kw)
    finally:
        shutil.rmtree(directory)


def test_without_root_it_says_what_to_do(build):
    result = started_as(build, [], user=USER, group=USER, extra_groups=[])
    assert result.returncode not in (0, -6, -11)
    assert "root" in result.stderr
    assert re.search(r"sudo|systemctl|start it as root|as root", result.stderr)


@pytest.mark.parametrize("capability", ["sys_admin", "setuid", "setgid", "chown", "kill"])
def test_without_a_capability_it_names_it(build, capability):
    result = started_as(build, ["setpriv", f"--bounding-set=-{capability}"])
    assert result.returncode not in (0, -6, -11)
    assert f"cap_{capability}" in result.stderr.lower()


def test_a_configuration_that_is_wrong_is_named_with_its_line(fresh_daemon):
    d = fresh_daemon("[Sessions]\nSessionsPerUser=many\n", start=False)
    assert d.launch().process.wait(20) != 0
    assert re.search(rf"{re.escape(str(d.config))}:\d+: ", d.log_text())


def test_a_state_directory_that_others_may_write_is_refused(fresh_daemon):
    d = fresh_daemon(start=False)
    d.state_dir.chmod(0o777)
    assert d.launch().process.wait(20) != 0
    assert str(d.state_dir) in d.log_text()


def test_paths_may_be_relative_though_the_working_directory_changes(build):
    directory = harness.make_directory()
    daemon = harness.Daemon(build, directory=directory, wrapper=["env", "-C", directory], arguments=[
        "--listen", "varlink", "--state-dir", "state", "--config", "nsrootd.conf"])
    try:
        assert daemon.run("true").returncode == 0
        daemon.configure("[Limits]\nOpenFilesMax=77\n")
        assert "error" not in daemon.call("io.systemd.service.Reload")
        assert daemon.run("sh", "-c", "ulimit -n").stdout == "77\n"
    finally:
        daemon.stop()
        shutil.rmtree(directory)
