"""nsrootctl and sessions that outlive it, its terminal or nsrootd: against the same stand-in as test_client.py, which here
goes away and comes back."""

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import fake
import harness
from fake import COMMAND, ID, SESSION, session
from harness import until
from test_client import answer, assert_failed, blocks, ctl, fail, nsrootd, terminal  # noqa: F401: fixtures

# -- run -d -----------------------------------------------------------------------------------------------------------


def plain(parameters):
    return {k: v for k, v in parameters.items() if not k.endswith("FileDescriptor")}


def test_a_detached_run_prints_the_id(ctl, nsrootd):
    daemon = nsrootd()
    r = ctl("run", "-d", "-n", "mine", "--", "sleep", "0", input=None, stdin=subprocess.PIPE)
    assert (r.returncode, r.stdout, r.stderr) == (0, f"{ID}\n", "")
    assert daemon.asked("Run") == [{"detached": True, "name": "mine", "arguments": ["sleep", "0"], "environment": ["TERM=vt100"]}]
    assert daemon.lent == {}


def test_a_detached_run_in_json(ctl, nsrootd):
    nsrootd()
    assert json.loads(ctl("run", "-d", "--json", "true").stdout) == session(detached=True)


def test_standard_input_of_a_detached_run_is_lent_on_demand(ctl, nsrootd):
    daemon = nsrootd()
    with open("/etc/passwd") as file:
        assert ctl("run", "-d", "-i", "cat", stdin=file).returncode == 0
    assert list(daemon.lent) == ["standardInput"]
    assert daemon.lent["standardInput"][0].st_ino == os.stat("/etc/passwd").st_ino


def test_standard_input_that_would_have_to_be_relayed(ctl, nsrootd, terminal):
    daemon = nsrootd()
    t = terminal(ctl.program, "run", "-d", "-i", "cat")
    t.expect("-i with -d needs a file")
    assert t.wait() == 125
    assert daemon.calls == []


def test_a_detached_terminal_needs_none(ctl, nsrootd, terminal):
    daemon = nsrootd()
    assert ctl("run", "-dt", "true").returncode == 0
    t = terminal(ctl.program, "run", "-q", "-dit", "true", rows=33, columns=99)
    assert t.wait() == 0
    assert [plain(p) for p in daemon.asked("Run")] == [
        {"detached": True, "terminal": True, "columns": c, "rows": r, "arguments": ["true"], "environment": ["TERM=vt100"]}
        for c, r in ((80, 24), (99, 33))]
    assert daemon.lent == {}


def test_a_detached_run_without_a_result(ctl, nsrootd):
    daemon = nsrootd()
    assert_failed(ctl("run", "-d", "--result", "/dev/null", "true"), "--result", "wait")
    assert daemon.calls == []


def test_a_detached_run_that_waits_for_its_root(ctl, nsrootd, terminal):
    def run(peer, parameters):
        time.sleep(0.4)
        peer.reply({"preparation": {"root": "tools", "state": "connecting"}}, continues=True)
        peer.reply({"session": session(detached=True)})
    nsrootd({SESSION + "Run": run})
    t = terminal(ctl.program, "run", "-d", "true")
    t.expect("tools: connecting.*" + ID)
    assert t.wait() == 0


def test_a_detached_run_that_fails(ctl, nsrootd):
    nsrootd({SESSION + "Run": fail(SESSION + "CommandNotFound", path="x")})
    assert_failed(ctl("run", "-d", "x"), "x: not found", status=127)


# -- exec -------------------------------------------------------------------------------------------------------------

def test_what_exec_asks_for(ctl, nsrootd):
    daemon = nsrootd()
    r = ctl("exec", "-i", "-T", "-e", "A=1", "-w", "/", "-u", "user", "mine", "sh", "-c", "cat; exit 7", input="hello")
    assert (r.returncode, r.stdout, r.stderr) == (7, "hello", "")
    assert [plain(p) for p in daemon.asked("Exec")] == [
        {"id": "mine", "arguments": ["sh", "-c", "cat; exit 7"], "environment": ["A=1", "TERM=vt100"],
         "workingDirectory": "/", "user": "user"}]
    assert list(daemon.lent) == ["lifeline", "standardInput", "standardOutput", "standardError"]


def test_the_dashes_of_exec(ctl, nsrootd):
    daemon = nsrootd()
    assert ctl("exec", "--", "mine", "--", "echo", "--").stdout == "--\n"
    assert daemon.asked("Exec")[0]["arguments"] == ["echo", "--"]
    assert_failed(ctl("exec", "mine", "--"), "needs a command")
    assert_failed(ctl("exec", "mine"), "needs ID")


def test_exec_in_a_terminal(ctl, nsrootd, terminal):
    daemon = nsrootd()
    t = terminal(ctl.program, "exec", "mine", "sh", "-c", "stty size; exit 3", rows=40, columns=100)
    t.expect("40 100")
    assert t.wait() == 3
    assert t.settings() == t.before
    assert list(daemon.lent) == ["lifeline"]


@pytest.mark.parametrize("name, parameters, status, words", [
    ("NoSuchSession", {"id": "x"}, 125, "no session x"),
    ("SessionExited", {"result": {}}, 125, "already ended"),
    ("CommandNotFound", {"path": "x"}, 127, "x: not found"),
    ("ExecFailed", {"path": "x", "errnoName": "EACCES"}, 126, "Permission denied"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_errors_of_exec(ctl, nsrootd, name, parameters, status, words):
    nsrootd({SESSION + "Exec": fail(SESSION + name, **parameters)})
    assert_failed(ctl("exec", "x", "x"), words, status=status)


def test_signals_go_to_the_command_of_exec(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("exec", "mine", "sleep", "100")
    assert until(lambda: blocks(client.pid, signal.SIGTERM) and daemon.process)
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=30)
    assert client.returncode == 143
    assert daemon.asked("Signal") == [{"id": "mine", "command": COMMAND, "signal": "SIGTERM"}]


def test_what_exec_started_ends_with_it(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("exec", "mine", "sleep", "100")
    assert until(lambda: daemon.process)
    client.kill()
    client.communicate()
    assert daemon.process.wait(20) == -signal.SIGKILL


# -- nsrootd goes away and comes back ---------------------------------------------------------------------------------

VERBS = pytest.mark.parametrize("verb", [["run", "--"], ["exec", "mine"]], ids=lambda v: v[0])
SOCKET = pytest.mark.parametrize("socket_stays", [True, False], ids=["socket", "no socket"])
EXIT_ON_A_LINE = ["sh", "-c", "echo ready; read line; echo got $line; exit 7"]


@pytest.fixture
def riding(ctl, nsrootd):
    """riding(verb, command): a client that has its first reply, and its daemon."""
    made = []

    def make(verb, command, handlers=None, **kw):
        daemon = nsrootd(handlers)
        client = ctl.popen(*verb, *command, **kw)
        made.append(client)
        assert client.stdout.readline() == "ready\n"
        assert until(lambda: blocks(client.pid, signal.SIGTERM))
        time.sleep(0.2)  # the first reply comes after the first words of the process
        return client, daemon
    yield make
    for client in made:
        client.kill()
        client.wait()


def waits_of(daemon):
    return [p for p in daemon.asked("Wait")]


@VERBS
@SOCKET
def test_a_restart_is_not_noticed(riding, verb, socket_stays):
    client, daemon = riding(verb, EXIT_ON_A_LINE)
    daemon.go_away(socket_stays)
    time.sleep(0.5)
    daemon.come_back()
    assert until(lambda: daemon.asked("Wait"))
    out, err = client.communicate("x\n", timeout=30)
    assert (client.returncode, out, err) == (7, "got x\n", "")
    about = {"id": ID} if verb[0] == "run" else {"id": "mine", "command": COMMAND}
    assert daemon.asked("Wait") == [about]


@VERBS
@SOCKET
def test_one_that_ends_in_the_gap(riding, verb, socket_stays):
    client, daemon = riding(verb, EXIT_ON_A_LINE)
    daemon.go_away(socket_stays)
    out, err = None, None
    client.stdin.write("x\n")
    client.stdin.flush()
    assert client.stdout.readline() == "got x\n"
    daemon.process.wait()
    time.sleep(1)
    daemon.come_back()
    client.communicate(timeout=30)
    assert client.returncode == 7


def test_many_restarts(riding):
    client, daemon = riding(["run", "--"], EXIT_ON_A_LINE)
    for i in range(10):
        daemon.go_away(i % 2)
        time.sleep(0.05)
        daemon.come_back()
        assert until(lambda: len(daemon.asked("Wait")) > i)
    client.communicate("x\n", timeout=30)
    assert client.returncode == 7


def test_bytes_go_on_without_nsrootd(ctl, nsrootd, terminal):
    """Relayed both ways, as with a terminal that the command does not get."""
    daemon = nsrootd()
    t = terminal(ctl.program, "run", "-T", "--", "sh", "-c", "echo up; cat; exit 4")
    t.expect("up")
    time.sleep(0.2)
    daemon.go_away()
    for i in range(20):
        t.line(f"line {i}")
        t.expect(f"line {i}\r\nline {i}\r\n", timeout=2)
    t.send("\x04")
    daemon.process.wait(20)
    daemon.come_back()
    assert t.wait() == 4


def test_a_terminal_goes_on_without_nsrootd(ctl, nsrootd, terminal):
    daemon = nsrootd()
    t = terminal(ctl.program, "run", "--", "sh", "-i")
    assert until(lambda: not t.echoes())
    daemon.go_away()
    t.line("echo st''ill")
    t.expect("still\r\n", timeout=5)
    t.resize(40, 100)
    t.line("stty size")
    t.expect("40 100")
    daemon.come_back()
    t.line("exit 6")
    assert t.wait() == 6
    assert t.settings() == t.before


@VERBS
def test_a_client_that_is_killed_in_the_gap(riding, verb):
    client, daemon = riding(verb, ["sh", "-c", "echo ready; exec sleep 100"])
    daemon.go_away()
    client.kill()
    client.wait()
    assert daemon.process.wait(20) == -signal.SIGKILL


def test_a_signal_in_the_gap_is_passed_on_after_it(riding):
    client, daemon = riding(["run", "--"], ["sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"])
    daemon.go_away()
    client.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert client.poll() is None
    daemon.come_back()
    client.communicate(timeout=30)
    assert client.returncode == 9
    assert daemon.asked("Signal") == [{"id": ID, "signal": "SIGINT"}]


def test_signals_stay_in_order(riding):
    client, daemon = riding(["run", "--"], ["sh", "-c", "trap 'echo usr1' USR1; trap 'exit 5' USR2; echo ready; "
                                            "while :; do sleep 0.05; done"])
    daemon.go_away(True)
    client.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    client.send_signal(signal.SIGUSR2)
    time.sleep(0.2)
    daemon.come_back()
    assert client.communicate(timeout=30)[0] == "usr1\n"
    assert client.returncode == 5
    assert [p["signal"] for p in daemon.asked("Signal")] == ["SIGUSR1", "SIGUSR2"]


def test_a_session_that_is_lost_with_nsrootd(riding):
    client, daemon = riding(["run", "--"], ["sh", "-c", "echo ready; exec sleep 100"])
    began = time.monotonic()
    daemon.go_away()
    daemon.process.kill()
    _, err = client.communicate(timeout=30)
    assert client.returncode == 125
    assert "nsrootd went away, and the session with it" in err and err.count("\n") == 1
    assert 1.5 < time.monotonic() - began < 6


def test_a_session_that_lives_is_not_given_up(riding):
    client, daemon = riding(["run", "--"], EXIT_ON_A_LINE)
    daemon.go_away()
    time.sleep(4)
    assert client.poll() is None
    daemon.come_back()
    client.communicate("x\n", timeout=30)
    assert client.returncode == 7


@VERBS
def test_one_that_nobody_knows_the_end_of(riding, verb):
    error = "NoSuchSession" if verb[0] == "run" else "NoSuchCommand"
    handlers = {SESSION + "Wait": fail(SESSION + error, id=ID, command=COMMAND)}
    client, daemon = riding(verb, EXIT_ON_A_LINE, handlers)
    daemon.go_away()
    daemon.come_back()
    assert until(lambda: len(daemon.asked("Wait")) > 2)
    assert client.poll() is None, "it lives: nsrootd may learn of it"
    began = time.monotonic()
    _, err = client.communicate("x\n", timeout=30)
    assert client.returncode == 125
    assert "does not know how" in err and err.count("\n") == 1
    assert 8 < time.monotonic() - began < 15


def test_an_nsrootd_that_learns_of_it_later(riding):
    client, daemon = riding(["run", "--"], EXIT_ON_A_LINE, {SESSION + "Wait": fail(SESSION + "NoSuchSession", id=ID)})
    daemon.go_away()
    daemon.come_back()
    client.stdin.write("x\n")
    client.stdin.flush()
    daemon.process.wait(20)
    time.sleep(0.5)
    daemon.handlers[SESSION + "Wait"] = daemon.wait
    client.communicate(timeout=30)
    assert client.returncode == 7


def test_an_nsrootd_that_is_slow_to_answer(riding):
    """As long as it has the question, its answer will come."""
    client, daemon = riding(["run", "--"], EXIT_ON_A_LINE,
                            {SESSION + "Wait": lambda peer, p: (time.sleep(3), daemon.wait(peer, p))})
    daemon.go_away()
    client.stdin.write("x\n")
    client.stdin.flush()
    daemon.process.wait(20)
    daemon.come_back()
    client.communicate(timeout=30)
    assert client.returncode == 7


def test_the_result_file_after_a_restart(ctl, riding):
    directory = ctl.directory / "user"
    directory.mkdir()
    os.chown(directory, harness.USER, harness.USER)
    client, daemon = riding(["run", "--result", str(directory / "result"), "--"], EXIT_ON_A_LINE)
    daemon.go_away()
    daemon.come_back()
    client.communicate("x\n", timeout=30)
    assert json.loads((directory / "result").read_text()) == {"cause": "exited", "code": 7}
