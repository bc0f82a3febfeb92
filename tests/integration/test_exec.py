"""Exec: more commands in a running session. What they are given, how they end, and what ends with them."""

import contextlib
import os
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
import varlink
from harness import OTHER, USER, until
from live import Command, call, detach, wait

COMMANDS = int(os.environ.get("NSROOT_TEST_RUNS", "1000"))


@pytest.fixture(scope="module")
def daemon(build):
    """One of this file's own: ended sessions are remembered, with descriptors, which other files count."""
    d = harness.Daemon(build)
    yield d
    d.close()


@pytest.fixture
def session(daemon):
    id = detach(daemon, "sh", "-c", "while :; do sleep 1; done")
    yield id
    with contextlib.suppress(varlink.VarlinkError):
        call(daemon, "Stop", {"id": id, "timeoutUSec": 0})


@pytest.fixture
def command(daemon, session):
    """command(*arguments, ...) is one in that session."""
    with contextlib.ExitStack() as stack:
        yield lambda *a, **kw: stack.enter_context(contextlib.closing(Command(daemon, session, *a, **kw)))


def test_it_is_in_the_same_world(ctl, session):
    assert ctl("exec", session, "--", "sh", "-c", "echo here >/tmp/mark; hostname").returncode == 0
    assert ctl("exec", session, "--", "cat", "/tmp/mark").stdout == "here\n"
    assert "sleep" in ctl("exec", session, "--", "ps").stdout


@pytest.mark.parametrize("script, status", [("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("true", 0)])
def test_it_ends_as_it_does(ctl, session, script, status):
    assert ctl("exec", session, "--", "sh", "-c", script).returncode == status


def test_what_is_not_there_cannot_be_run(ctl, session):
    assert ctl("exec", session, "--", "nonesuch").returncode == 127
    assert ctl("exec", session, "--", "/etc").returncode == 126
    assert ctl("exec", "-u", "nobodyknows", session, "--", "true").returncode == 125
    assert ctl("exec", "-w", "/nowhere", session, "--", "true").returncode == 125
    assert ctl("exec", session, "--", "true").returncode == 0


def test_input_and_output_are_its_own(ctl, session):
    done = ctl("exec", session, "--", "sh", "-c", "cat; echo err >&2", input="in\n")
    assert (done.stdout, done.stderr) == ("in\n", "err\n")


def test_its_user_directory_and_environment(ctl, session):
    done = ctl("exec", "-u", "nobody", "-w", "/tmp", "-e", "A=b", session, "--", "sh", "-c", "id -u; pwd; echo $A $HOME $USER")
    assert done.stdout.splitlines()[:2] == ["65534", "/tmp"] and "b " in done.stdout and "nobody" in done.stdout


def test_its_user_is_who_the_files_say_now(ctl, session):
    """Not who they said before anybody could change them, as for the first command."""
    changed = "sed -i 's|^root:.*|root:x:0:0:root:/elsewhere:/bin/sh|' /etc/passwd"
    assert ctl("exec", session, "--", "sh", "-c", changed).returncode == 0
    assert ctl("exec", session, "--", "sh", "-c", "echo $HOME").stdout == "/elsewhere\n"


def test_who_stops_everything_holds_up_nobody_but_who_was_stopped(daemon, ctl, session, command):
    """Also on the way to their exec: what is stopped there is killed, and nsroot-init waits for none of it."""
    stopper = command("sh", "-c", "trap go=1 USR1; echo; until [ $go ]; do sleep 0.01; done; while :; do kill -STOP -1; done")
    stopper.started()
    os.read(stopper.output, 1)
    call(daemon, "Signal", {"id": session, "command": stopper.id, "signal": "SIGUSR1"})    # who started it is done with that
    clients = [daemon.popen("exec", session, "--", "true") for _ in range(30)]
    assert until(lambda: 126 in {c.poll() for c in clients}, 30)
    time.sleep(2)    # of the others, too
    call(daemon, "Signal", {"id": session, "command": stopper.id, "signal": "SIGKILL"})
    assert ctl("exec", session, "--", "true", timeout=30).returncode == 0
    assert {c.poll() for c in clients} <= {0, 126, 137, None}
    for c in clients:
        c.kill()
        c.communicate(timeout=30)
    assert until(lambda: ctl("exec", session, "--", "sh", "-c", "ps | grep -c '[t]rue$'").stdout == "0\n")


def test_it_has_the_profile_of_any_command(daemon, session):
    status = harness.until(lambda: daemon.ctl("exec", session, "--", "cat", "/proc/self/status").stdout)
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    whole = dict(line.split(":\t", 1) for line in daemon.run("cat", "/proc/self/status").stdout.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Groups"):
        assert fields[name] == whole[name], name
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
    assert daemon.ctl("exec", session, "--", "ls", "/proc/self/fd").stdout.split()[:3] == ["0", "1", "2"]
    assert len(daemon.ctl("exec", session, "--", "ls", "/proc/self/fd").stdout.split()) == 4  # and the directory itself


def test_with_more_only(daemon, session):
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        call(daemon, "Exec", {"id": session, "arguments": ["true"]})


@pytest.mark.parametrize("lifeline", [True, False], ids=["lifeline", "connection"])
def test_the_end_of_its_client_ends_it_and_what_it_started_and_nothing_else(daemon, ctl, session, command, lifeline):
    other = command("sleep", "333")
    other.started()
    mine = command("sh", "-c", "sleep 301 & (setsid sleep 302 &) ; setsid sh -c 'sleep 303 & sleep 304' & exec sleep 305",
                   lifeline=lifeline)
    mine.started()
    assert until(lambda: len(daemon.commands("sleep")) == 7), daemon.commands("sleep")
    mine.let_go()
    assert until(lambda: len(daemon.commands("sleep")) == 2, 5), ctl("exec", session, "--", "ps").stdout
    assert until(lambda: daemon.commands("nsroot-keeper") == ["S"])
    other.let_go()
    assert until(lambda: len(daemon.commands("sleep")) == 1)


def test_what_it_leaves_running_stays(daemon, ctl, session):
    assert ctl("exec", session, "--", "sh", "-c", "sleep 301 >/dev/null 2>&1 & exit 4").returncode == 4
    assert len(daemon.commands("sleep")) == 2
    assert until(lambda: not daemon.commands("nsroot-keeper"))


def test_it_can_be_signalled_and_waited_for_by_its_number(daemon, session, command):
    one, two = command("sleep", "301"), command("sh", "-c", "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done")
    first, second = one.started(), two.started()
    assert os.read(two.output, 6) == b"ready\n"
    call(daemon, "Signal", {"id": session, "signal": "USR1", "command": second})
    assert two.result()["code"] == 6
    assert wait(daemon, session, command=second)["code"] == 6
    call(daemon, "Signal", {"id": session, "signal": "TERM", "command": first})
    result = one.result()
    assert (result["cause"], result["signal"]) == ("signaled", "SIGTERM")
    for bad in ("", "aaaaaaaaaaaa", "b" * 12, "../", first + "a"):
        with pytest.raises(varlink.VarlinkError, match="NoSuchCommand"):
            wait(daemon, session, command=bad)
        with pytest.raises(varlink.VarlinkError, match="NoSuchCommand"):
            call(daemon, "Signal", {"id": session, "signal": "TERM", "command": bad})


def test_the_end_of_the_session_ends_it(daemon, session, command):
    one = command("sleep", "301")
    number = one.started()
    call(daemon, "Stop", {"id": session, "timeoutUSec": 0})
    assert one.result()["signal"] == "SIGKILL"
    assert wait(daemon, session, command=number)["signal"] == "SIGKILL"
    with pytest.raises(varlink.VarlinkError, match="SessionExited"):
        call_exec(daemon, session)


def call_exec(daemon, session):
    with varlink.Connection(daemon.socket, USER) as c:
        return list(c.stream("org.nsroot.session.Exec", {"id": session, "arguments": ["true"]}))


def test_nobody_elses(daemon, session):
    with pytest.raises(varlink.VarlinkError, match="NoSuchSession"):
        with varlink.Connection(daemon.socket, OTHER) as c:
            list(c.stream("org.nsroot.session.Exec", {"id": session, "arguments": ["true"]}))


def test_a_terminal_of_its_own(daemon, session):
    with varlink.Connection(daemon.socket, USER) as c:
        c.send_call("org.nsroot.session.Exec", {"id": session, "arguments": ["sh", "-c", "tty; stty size; read x; echo got $x"],
                                                "terminal": True, "columns": 91, "rows": 17}, more=True)
        reply = varlink.parameters_of(c.receive())
        master = c.fds[reply["ptyFileDescriptor"]]
        os.write(master, b"this\n")
        assert varlink.parameters_of(c.receive())["result"]["code"] == 0
        text = ""
        while "got this" not in text:    # at the end of all that was said this raises EIO
            text += os.read(master, 4096).decode()
        assert "/dev/pts/" in text and "17 91" in text


def test_too_many_at_once_are_refused_and_the_others_unharmed(daemon, command):
    running = [command("sleep", "300") for _ in range(200)]
    for c in running:
        c.started()
    with pytest.raises(varlink.VarlinkError, match="LimitReached"):
        command("true").started()
    running[0].let_go()
    assert until(lambda: len(daemon.commands("nsroot-keeper")) == 199)
    assert until(lambda: can_start(command))


def can_start(command):
    with contextlib.suppress(varlink.VarlinkError):
        return command("true").started()


def at_rest(daemon):
    """How many descriptors and processes it has, once that does not change any more."""
    seen = []
    daemon.cool()
    until(lambda: seen.append((daemon.fd_count(), len(daemon.processes()))) or seen[-5:].count(seen[-1]) == 5, every=0.1)
    return seen[-1]


def run_many(path, session, n):
    """In a process of the user's: threads share their uid."""
    daemon = types.SimpleNamespace(socket=path)

    def one(i):
        with contextlib.closing(Command(daemon, session, "sh", "-c", f"echo {i}; exit {i % 256}", uid=None)) as c:
            c.started()
            code = c.result()["code"]
            return code, harness.read_all(c.output, 60)

    with ThreadPoolExecutor(100) as pool:
        return list(pool.map(one, range(n)))


def test_a_thousand_a_hundred_at_once(daemon, session):
    """Each with a status of its own; nothing of them is left."""
    harness.User(USER)(run_many, str(daemon.socket), session, 1)
    before = at_rest(daemon)
    results = harness.User(USER)(run_many, str(daemon.socket), session, COMMANDS, timeout=300)
    assert results == [(i % 256, f"{i}\n".encode()) for i in range(COMMANDS)]
    assert until(lambda: at_rest(daemon) == before), (at_rest(daemon), before)


def test_a_command_whose_keeper_is_killed_from_inside_is_reported(daemon, ctl, session, command):
    victim = command("sleep", "301")
    victim.started()
    assert ctl("exec", session, "--", "sh", "-c", "kill -9 $(pidof nsroot-keeper | tr ' ' '\\n' | sort -n | head -1)").returncode in (0, 137)
    assert victim.result()["signal"] == "SIGKILL"
    assert until(lambda: len(daemon.commands("sleep")) == 1)
    assert ctl("exec", session, "--", "true").returncode == 0
