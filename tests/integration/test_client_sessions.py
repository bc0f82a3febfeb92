"""nsrootctl and sessions that outlive it, its terminal or nsrootd: against the same stand-in as test_client.py, which here
goes away and comes back."""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from fake import COMMAND, ID, SESSION, session
from harness import blocks, until
from test_client import answer, assert_failed, ctl, fail, nsrootd, terminal  # noqa: F401: fixtures

# -- run -d -----------------------------------------------------------------------------------------------------------


def plain(parameters):
    return {k: v for k, v in parameters.items() if not k.endswith("FileDescriptor")}


def test_a_detached_run_prints_the_id(ctl, nsrootd):
    daemon = nsrootd()
    r = ctl("run", "-d", "-n", "mine", "--", "sleep", "0", input=None, stdin=subprocess.PIPE)
    assert (r.returncode, r.stdout, r.stderr) == (0, f"{ID}\n", "")
    assert daemon.asked("Run") == [
        {"detached": True, "name": "mine", "arguments": ["sleep", "0"], "environment": ["TERM=vt100"]}]
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
    subject = "session" if verb[0] == "run" else "command"
    assert f"the {subject} has ended, and nsrootd, which was away, does not know how" in err and err.count("\n") == 1
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


# -- attach -----------------------------------------------------------------------------------------------------------

class Detached:
    """A stand-in's detached session: self.stream is init's end of what the viewer was given."""

    def __init__(self, nsrootd, handlers=None, **about):
        self.stream = None
        self.about = {"detached": True, **about}
        self.daemon = nsrootd({SESSION + "List": answer({"sessions": [session(**self.about)]}),
                               SESSION + "Attach": self.attach,
                               SESSION + "Wait": answer({"result": {"cause": "exited", "code": 5}}), **(handlers or {})})

    def attach(self, peer, parameters):
        ours, theirs = socket.socketpair()
        with theirs:
            peer.reply({"streamFileDescriptor": 0}, fds=[theirs.fileno()])
        self.stream = ours
        self.stream.settimeout(20)

    def expect(self, data):
        got = b""
        while len(got) < len(data):
            got += self.stream.recv(len(data) - len(got))
        assert got == data

    def expect_nothing(self, seconds):
        self.stream.settimeout(seconds)
        with pytest.raises(TimeoutError):
            print(self.stream.recv(1))
        self.stream.settimeout(20)


@pytest.fixture
def attached(ctl, nsrootd, terminal):
    """attached(*options) is a terminal in which nsrootctl is attached to a session with one, and that session."""
    def make(*options, **kw):
        detached = Detached(nsrootd, terminal=True)
        t = terminal(ctl.program, "attach", *options, "mine", **kw)
        assert until(lambda: not t.echoes() and detached.stream)
        return t, detached
    return make


def test_attach_in_a_terminal(attached):
    t, detached = attached(rows=33, columns=99)
    assert until(lambda: detached.daemon.asked("Resize"))
    t.send("keys\x03\r")
    detached.expect(b"keys\x03\r")
    detached.stream.sendall(b"words\r\n")
    t.expect("words\r\n")
    t.resize(40, 100)
    assert until(lambda: len(detached.daemon.asked("Resize")) == 2)
    detached.stream.sendall(b"last words\r\n")
    detached.stream.close()
    assert t.wait() == 5
    t.expect("last words\r\n")
    assert t.settings() == t.before
    assert detached.daemon.asked("Resize") == [{"id": ID, "rows": 33, "columns": 99}, {"id": ID, "rows": 40, "columns": 100}]
    assert detached.daemon.asked("Attach") == [{"id": ID, "replay": True}]
    assert detached.daemon.asked("Wait") == [{"id": ID}]


def test_attach_without_what_was_before(attached):
    _, detached = attached("--no-replay")
    assert detached.daemon.asked("Attach") == [{"id": ID, "replay": False}]


def test_leaving(attached):
    t, detached = attached()
    t.send("a\x1d\x1d\x1d")
    t.expect("nsrootctl: detached")
    assert t.wait() == 0
    assert t.settings() == t.before
    detached.expect(b"a")
    assert detached.stream.recv(1) == b""
    assert detached.daemon.asked("Wait") == []


def test_keys_that_do_not_leave(attached):
    t, detached = attached()
    t.send("\x1d\x1d")
    detached.expect_nothing(0.3)
    began = time.monotonic()
    detached.expect(b"\x1d\x1d")
    assert time.monotonic() - began < 3
    t.send("\x1d")
    detached.expect_nothing(0.1)
    t.send("x")
    detached.expect(b"\x1dx")
    assert t.status is None


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "SEGV"])
def test_the_terminal_is_given_back_by_attach(attached, name):
    t, _ = attached()
    os.kill(t.pid, getattr(signal, f"SIG{name}"))
    assert t.wait() == -getattr(signal, f"SIG{name}")
    assert t.settings() == t.before


def test_the_terminal_is_given_back_while_attach_is_stopped(attached):
    t, detached = attached()
    raw = t.settings()
    os.kill(t.pid, signal.SIGTSTP)
    assert until(lambda: harness.comm_and_state(t.pid)[1] == "T")
    assert t.settings() == t.before
    os.kill(t.pid, signal.SIGCONT)
    assert until(lambda: t.settings() == raw)
    t.send("x")
    detached.expect(b"x")


def test_a_terminal_goes_on_while_nsrootd_is_away(attached):
    t, detached = attached()
    detached.daemon.go_away()
    t.resize(40, 100)
    t.send("x")
    detached.expect(b"x")
    detached.stream.sendall(b"words")
    t.expect("words", timeout=3)
    detached.stream.close()
    time.sleep(0.3)
    detached.daemon.come_back()
    assert t.wait() == 5


def test_attach_to_one_without_a_terminal(ctl, nsrootd, terminal):
    detached = Detached(nsrootd)
    t = terminal(ctl.program, "attach", "mine")
    assert until(lambda: detached.stream)
    detached.stream.sendall(b"words\n")
    t.expect("words\r\n")
    assert t.echoes()
    t.send("\x03")
    assert t.wait() == -signal.SIGINT
    assert detached.daemon.asked("Resize") == []


def test_attach_without_a_terminal(ctl, nsrootd):
    detached = Detached(nsrootd, terminal=True)
    client = ctl.popen("attach", "mine")
    assert until(lambda: detached.stream)
    client.stdin.write("\x1d\x1d\x1dinput")
    client.stdin.close()
    client.stdin = None
    detached.expect(b"\x1d\x1d\x1dinput")
    detached.stream.sendall(b"words")
    assert client.stdout.read(5) == "words"
    detached.stream.close()
    assert client.communicate(timeout=30) == ("", "")
    assert client.returncode == 5
    assert detached.daemon.asked("Resize") == []


def test_input_is_not_for_one_without_a_terminal(ctl, nsrootd):
    detached = Detached(nsrootd)
    client = ctl.popen("attach", "mine")
    client.stdin.write("input")
    client.stdin.flush()
    assert until(lambda: detached.stream)
    detached.expect_nothing(0.3)
    detached.stream.close()
    client.communicate(timeout=30)


def test_last_words_come_though_what_is_typed_has_no_reader(attached):
    t, detached = attached()
    detached.stream.sendall(b"x" * 100000 + b"last words")
    detached.stream.close()
    t.send("typed\r" * 100)
    assert t.wait() == 5
    t.expect("last words$")


def test_nobody_reads_what_attach_prints(ctl, nsrootd):
    detached = Detached(nsrootd)
    reader, writer = os.pipe()
    client = ctl.popen("attach", "mine", stdout=writer)
    os.close(writer)
    assert until(lambda: detached.stream)
    os.close(reader)
    with contextlib.suppress(BrokenPipeError):  # it may have seen that already
        detached.stream.sendall(b"words")
    _, err = client.communicate(timeout=30)
    assert (client.returncode, err) == (125, "nsrootctl: standard output is gone; the session goes on\n")


@pytest.mark.parametrize("name, words", [("NotDetached", "not detached"), ("SessionExited", "already ended")])
def test_errors_of_attach(ctl, nsrootd, name, words):
    Detached(nsrootd, {SESSION + "Attach": fail(SESSION + name, id=ID)})
    assert_failed(ctl("attach", "mine"), words)


def test_attach_to_none(ctl, nsrootd):
    nsrootd({SESSION + "List": fail(SESSION + "NoSuchSession", id="x")})
    assert_failed(ctl("attach", "x"), "no session x")


# -- logs -------------------------------------------------------------------------------------------------------------

def record(data, stream="stdout", lost=None, at=1):
    return {"timestamp": {"realtime": at}, "stream": stream, "dataBase64": base64.b64encode(data).decode(),
            **({"lost": lost} if lost else {})}


def test_logs(ctl, nsrootd):
    def logs(peer, parameters):
        peer.reply({"records": [record(b"one\n", lost=7), record(b"err\n", "stderr")]}, continues=True)
        peer.reply({"records": [record(b"two\n", "terminal")]})
    daemon = nsrootd({SESSION + "Logs": logs})
    r = ctl("logs", "mine")
    assert (r.returncode, r.stdout, r.stderr) == (0, "one\ntwo\n", "[7 bytes were lost here]\nerr\n")
    assert daemon.asked("Logs") == [{"id": "mine"}]


def test_logs_in_order(ctl, nsrootd):
    records = [record(f"{i}\n".encode(), ("stdout", "stderr")[i % 2]) for i in range(100)]
    nsrootd({SESSION + "Logs": answer({"records": records})})
    r = ctl("logs", "mine", stderr=subprocess.STDOUT)
    assert r.stdout == "".join(f"{i}\n" for i in range(100))


def test_logs_in_json(ctl, nsrootd):
    records = [record(b"one\n", lost=7), record(b"\xff", "stderr"), record("\x1b\u202e".encode())]
    nsrootd({SESSION + "Logs": answer({"records": records})})
    r = ctl("logs", "--json", "mine")
    assert [json.loads(line) for line in r.stdout.splitlines()] == [
        {**records[0], "data": "one\n"}, records[1], {**records[2], "data": "\x1b\u202e"}]
    assert "\x1b" not in r.stdout and "\u202e" not in r.stdout
    assert r.stderr == ""


def test_any_bytes_of_logs(ctl, nsrootd):
    data = bytes(range(256)) * 100
    nsrootd({SESSION + "Logs": answer({"records": [record(data)]})})
    done = subprocess.run([str(ctl.program), "logs", "mine"], env=ctl.environment(), user=harness.USER,
                          stdout=subprocess.PIPE)
    assert done.stdout == data


def test_logs_that_are_followed(ctl, nsrootd):
    more = threading.Event()

    def logs(peer, parameters):
        peer.reply({"records": [record(b"one\n")]}, continues=True)
        more.wait()
        peer.reply({"records": [record(b"two\n")]}, continues=True)
        peer.reply({"records": []})
    daemon = nsrootd({SESSION + "Logs": logs})
    client = ctl.popen("logs", "-f", "mine")
    assert client.stdout.readline() == "one\n"
    more.set()
    assert client.communicate(timeout=30) == ("two\n", "")
    assert client.returncode == 0
    assert daemon.asked("Logs") == [{"id": "mine", "follow": True}]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["plain", "json"])
def test_logs_that_are_followed_through_restarts(ctl, nsrootd, options):
    """Each time all that the ring still has is sent, cut in other places."""
    text = b"".join(b"line %d\n" % i for i in range(200))

    def logs(peer, parameters):
        times = len(daemon.asked("Logs"))
        end, lost = min(times * 400, len(text)), (times - 1) * 300
        at = lost
        while at < end:
            size = min(17 * times, end - at)
            peer.reply({"records": [record(text[at:at + size], lost=lost)]}, continues=True)
            at, lost = at + size, 0
        if end == len(text):
            peer.reply({"records": []})
        else:
            time.sleep(0.1)
            peer.socket.shutdown(socket.SHUT_RDWR)
    daemon = nsrootd({SESSION + "Logs": logs})
    r = ctl("logs", "-f", *options, "mine")
    assert (r.returncode, r.stderr) == (0, "")
    assert len(daemon.asked("Logs")) > 3
    out = r.stdout.encode() if not options else b"".join(
        base64.b64decode(json.loads(line)["dataBase64"]) for line in r.stdout.splitlines())
    assert out == text


def test_what_was_lost_while_nsrootd_was_away(ctl, nsrootd):
    def logs(peer, parameters):
        if len(daemon.asked("Logs")) == 1:
            peer.reply({"records": [record(b"0123", lost=10)]}, continues=True)
            peer.socket.shutdown(socket.SHUT_RDWR)
        else:
            peer.reply({"records": [record(b"rest", lost=20)]})
    daemon = nsrootd({SESSION + "Logs": logs})
    r = ctl("logs", "-f", "mine")
    assert (r.returncode, r.stdout, r.stderr) == (0, "0123rest", "[10 bytes were lost here]\n[6 bytes were lost here]\n")


def test_logs_of_one_that_nsrootd_lost(ctl, nsrootd):
    def logs(peer, parameters):
        if len(daemon.asked("Logs")) > 1:
            peer.error(SESSION + "NoSuchSession", id=ID)
        else:
            peer.reply({"records": [record(b"one\n")]}, continues=True)
            peer.socket.shutdown(socket.SHUT_RDWR)
    daemon = nsrootd({SESSION + "Logs": logs})
    r = ctl("logs", "-f", "mine")
    assert (r.returncode, r.stdout) == (125, "one\n")
    assert "no session" in r.stderr


@pytest.mark.parametrize("name, words", [("NotDetached", "not detached"), ("NoSuchSession", "no session")])
def test_errors_of_logs(ctl, nsrootd, name, words):
    nsrootd({SESSION + "Logs": fail(SESSION + name, id=ID)})
    assert_failed(ctl("logs", "mine"), words)


@pytest.mark.parametrize("bad", ["=", "!!!!", "Zg"])
def test_logs_that_are_none(ctl, nsrootd, bad):
    nsrootd({SESSION + "Logs": answer({"records": [{**record(b""), "dataBase64": bad}]})})
    assert_failed(ctl("logs", "mine"), "not nsrootd")


# -- list --watch, top, inspect ---------------------------------------------------------------------------------------

def subscribe(*replies, pause=0.0):
    """A handler of Subscribe: the replies, and then nothing more."""
    def handler(peer, parameters):
        for sessions in replies:
            peer.reply({"sessions": sessions}, continues=True)
            time.sleep(pause)
        peer.receive()
    return handler


B = "b" * 12


def test_a_watched_list_is_a_line_per_change(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Subscribe": subscribe(
        [session(name="mine"), session(id=B)], [session(name="mine", state="paused")],
        [session(name="mine", state="paused")], [session(id=B, state="exited", result={"cause": "exited", "code": 7})])})
    client = ctl.popen("list", "--watch")
    lines = [client.stdout.readline().split() for _ in range(4)]
    client.kill()
    client.communicate()
    assert lines == [[ID, "mine", "busybox", "running", "-", "sh"], [B, "-", "busybox", "running", "-", "sh"],
                     [ID, "mine", "busybox", "paused", "-", "sh"], [B, "-", "busybox", "exited", "7", "-", "sh"]]
    assert daemon.asked("List") == []


def test_a_watched_list_goes_on_after_a_restart(ctl, nsrootd):
    """And says only what is not as it was."""
    daemon = nsrootd({SESSION + "Subscribe": subscribe([session(), session(id=B)])})
    client = ctl.popen("list", "--watch", "--json")
    assert [json.loads(client.stdout.readline())["id"] for _ in range(2)] == [ID, B]
    daemon.go_away()
    daemon.handlers[SESSION + "Subscribe"] = subscribe([session(), session(id=B, state="paused")])
    time.sleep(0.3)
    daemon.come_back()
    assert json.loads(client.stdout.readline()) == session(id=B, state="paused")
    client.kill()
    client.communicate()


def test_a_watched_list_on_a_terminal(ctl, nsrootd, terminal):
    daemon = nsrootd({SESSION + "Subscribe": subscribe(
        [session(name="mine"), session(id=B)], [session(id=B, state="exited")], pause=0.5)})
    t = terminal(ctl.program, "list", "--watch")
    t.expect(f"\x1b\\[HID  .*{ID}  mine.*{B}")
    t.expect(f"\x1b\\[HID  .*{ID}  mine.*\x1b\\[J")
    t.expect(f"\x1b\\[HID[^b]*{ID}  mine[^b]*busybox[^H]*\x1b\\[J")
    assert B not in bytes(t.output[t.seen - 200:]).decode()
    assert len(daemon.calls) == 1
    t.send("\x03")
    assert t.wait() == -signal.SIGINT


def test_ids_of_a_watched_list(ctl, nsrootd):
    nsrootd({SESSION + "Subscribe": subscribe([session(), session(id=B)])})
    client = ctl.popen("list", "--watch", "-q")
    assert [client.stdout.readline() for _ in range(2)] == [ID + "\n", B + "\n"]
    client.kill()
    client.communicate()


USAGE = {"id": ID, "ownerUid": 2001, "cpuUSec": 61_230_000, "memoryBytes": 3 << 20, "memoryPeakBytes": 5 << 20, "tasks": 4}


def test_top_once(ctl, nsrootd):
    started = {"realtime": int((time.time() - 100) * 1e6)}
    nsrootd({SESSION + "Subscribe": subscribe([session(name="mine", startTimestamp=started), session(id=B)]),
             SESSION + "Statistics": answer({"usage": [USAGE]})})
    r = ctl("top")
    assert (r.returncode, r.stderr) == (0, "")
    head, first, second = [line.split() for line in r.stdout.splitlines()]
    assert head == ["ID", "NAME", "STATE", "CPU%", "TIME", "MEMORY", "PEAK", "TASKS", "COMMAND"]
    assert first[:3] + first[4:] == [ID, "mine", "running", "1:01.23", "3.0M", "5.0M", "4", "sh"]
    assert 60 < float(first[3]) < 62
    assert second == [B, "-", "running", "-", "-", "-", "-", "-", "sh"]


def test_top_more_often(ctl, nsrootd):
    """The second time it is what was used in between: half of a processor."""
    def statistics(peer, parameters):
        peer.reply({"usage": [{**USAGE, "cpuUSec": int(time.monotonic() * 500_000)}]})
    daemon = nsrootd({SESSION + "Subscribe": subscribe([session()]), SESSION + "Statistics": statistics})
    r = ctl("top", "-n", "3", "-d", "500ms")
    tables = [t.splitlines()[1].split() for t in r.stdout.split("\n\n")]
    assert len(tables) == 3
    assert 20 < float(tables[1][3]) <= 90 and 20 < float(tables[2][3]) <= 90
    assert len(daemon.asked("Subscribe")) == 1 and len(daemon.asked("Statistics")) == 3


def test_top_on_a_terminal(ctl, nsrootd, terminal):
    nsrootd({SESSION + "Subscribe": subscribe([session()], [session(), session(id=B)], pause=0.5),
             SESSION + "Statistics": answer({"usage": [USAGE]})})
    t = terminal(ctl.program, "top", "-d", "300ms")
    t.expect(f"\x1b\\[HID .*{ID}")
    t.expect(f"\x1b\\[HID .*{B}")
    t.send("\x03")
    assert t.wait() == -signal.SIGINT


def test_top_goes_on_after_a_restart(ctl, nsrootd, terminal):
    daemon = nsrootd({SESSION + "Subscribe": subscribe([session()]), SESSION + "Statistics": answer({"usage": [USAGE]})})
    t = terminal(ctl.program, "top", "-d", "100ms")
    t.expect(ID)
    daemon.go_away()
    daemon.handlers[SESSION + "Subscribe"] = subscribe([session(id=B)])
    time.sleep(0.5)
    daemon.come_back()
    t.expect(B)


def test_top_in_json(ctl, nsrootd):
    nsrootd({SESSION + "Subscribe": subscribe([session()]), SESSION + "Statistics": answer({"usage": [USAGE]})})
    assert json.loads(ctl("top", "--json").stdout) == [USAGE]


def test_inspect(ctl, nsrootd):
    about = session(name="mine", terminal=True, user="nobody", limits={"memoryMaxBytes": 1 << 30, "tasksMax": 100},
                    leader={"pid": 4711}, result={"cause": "exited", "code": 3, "wallUSec": 1500}, arguments=["\x1b", "x"])
    daemon = nsrootd({SESSION + "List": lambda peer, p: peer.reply({"sessions": [about]}) if p["id"] != "x"
                      else peer.error(SESSION + "NoSuchSession", id="x")})
    r = ctl("inspect", "mine")
    assert (r.returncode, r.stderr) == (0, "")
    shown = dict(line.split(":", 1) for line in r.stdout.splitlines())
    assert {k: v.strip() for k, v in shown.items()} == {
        "Id": ID, "Name": "mine", "State": "exited 3", "Owner": shown["Owner"].strip(), "Root": "busybox",
        "Command": "\\x1b x", "User": "nobody", "Hostname": "h", "Network": "none", "Read-only": "no", "Terminal": "yes",
        "Detached": "no",
        "Leader": "4711", "Memory limit": "1.0G", "Task limit": "100", "Wall time": "0.002s"}
    assert {len(line) - len(line.split(":", 1)[1].lstrip()) for line in r.stdout.splitlines()} == {14}
    assert json.loads(ctl("inspect", "--json", "mine").stdout) == [about]
    r = ctl("inspect", "x", "mine", "mine")
    assert r.returncode == 125 and "no session x" in r.stderr and r.stdout.count("Id:") == 2
    assert daemon.asked("List")[0] == {"id": "mine"}


def test_inspect_shows_every_limit(ctl, nsrootd):
    shown = {"memoryMaxBytes": (1 << 30, "Memory limit", "1.0G"), "tasksMax": (100, "Task limit", "100"),
             "cpuQuotaPercent": (50, "CPU limit", "50"), "cpuWeight": (200, "CPU weight", "200"), "ioWeight": (300, "IO weight", "300"),
             "cpuTimeMaxUSec": (1_500_000, "CPU time max", "1.500s"), "runtimeMaxUSec": (2_500_000, "Time limit", "2.500s"),
             "storageMaxBytes": (2 << 20, "Storage max", "2.0M"), "storageMaxInodes": (2000, "Inodes max", "2000"),
             "sharedMemoryMaxBytes": (3 << 20, "Shm max", "3.0M"), "fileSizeMaxBytes": (4 << 20, "File max", "4.0M"),
             "openFilesMax": (99, "Open files", "99"), "processesMax": (98, "Processes", "98"),
             "lockedMemoryMaxBytes": (5 << 20, "Locked max", "5.0M")}
    text = (pathlib.Path(__file__).parents[2] / "common/org.nsroot.session.varlink").read_text()
    assert set(shown) == set(re.findall(r"(\w+):", re.search(r"type Limits \((.*?)\)", text, re.S)[1]))
    about = session(limits={field: value for field, (value, _, _) in shown.items()})
    nsrootd({SESSION + "List": answer({"sessions": [about]})})
    lines = dict(line.split(":", 1) for line in ctl("inspect", ID).stdout.splitlines())
    assert {label: lines[label].strip() for _, label, _ in shown.values()} == {label: text for _, label, text in shown.values()}


# -- pause, resume, kill, wait ----------------------------------------------------------------------------------------

def test_pause_and_resume(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Pause": lambda peer, p: peer.error(
        SESSION + "LimitUnavailable", limit="pause", reason="no freezer") if p["id"] == "b" else peer.reply()})
    assert_failed(ctl("pause", "a", "b", "c"), "this host cannot enforce a pause: no freezer")
    assert ctl("resume", "a", "b").returncode == 0
    assert daemon.asked("Pause") == [{"id": i} for i in "abc"]
    assert daemon.asked("Resume") == [{"id": i} for i in "ab"]


def test_kill_of_one_command(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Signal": answer()})
    assert ctl("kill", "--command", "c1", "-s", "INT", "a").returncode == 0
    assert daemon.asked("Signal") == [{"id": "a", "signal": "SIGINT", "command": "c1"}]
    assert_failed(ctl("kill", "--command", "c1", "--all", "a"), "leave one of them out")
    daemon.handlers[SESSION + "Signal"] = fail(SESSION + "NoSuchCommand", command="c1")
    assert_failed(ctl("kill", "--command", "c1", "a"), "no command c1")


def test_wait_for_one_command(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Wait": answer({"result": {"cause": "exited", "code": 3}})})
    assert ctl("wait", "--command", "c1", "a").returncode == 3
    assert daemon.asked("Wait") == [{"id": "a", "command": "c1"}]


def test_wait_for_many_at_once(ctl, nsrootd):
    """None is answered before all have asked."""
    barrier = threading.Barrier(20)

    def wait(peer, parameters):
        barrier.wait(20)
        peer.reply({"result": {"cause": "exited", "code": int(parameters["id"])}})
    nsrootd({SESSION + "Wait": wait})
    ids = [str(i) for i in range(20)]
    r = ctl("wait", "--json", *ids)
    assert r.returncode == 19
    assert [(w["id"], w["result"]["code"]) for w in json.loads(r.stdout)] == [(i, int(i)) for i in ids]


def test_wait_fails_for_one_of_many(ctl, nsrootd):
    nsrootd({SESSION + "Wait": lambda peer, p: peer.error(SESSION + "NoSuchSession", id="b") if p["id"] == "b"
             else peer.reply({"result": {"cause": "exited", "code": 4}})})
    r = ctl("wait", "b", "a")
    assert (r.returncode, r.stderr.count("no session b")) == (4, 1)
    assert ctl("wait", "a", "b").returncode == 125


@SOCKET
def test_wait_goes_on_after_a_restart(ctl, nsrootd, socket_stays):
    gate = threading.Event()

    def wait(peer, parameters):
        gate.wait(20)
        peer.reply({"result": {"cause": "exited", "code": 4}})
    daemon = nsrootd({SESSION + "Wait": wait})
    client = ctl.popen("wait", "a", "b")
    assert until(lambda: len(daemon.asked("Wait")) == 2)
    daemon.go_away(socket_stays)
    time.sleep(0.5)
    daemon.come_back()
    assert until(lambda: len(daemon.asked("Wait")) == 4)
    gate.set()
    assert client.communicate(timeout=30) == ("", "")
    assert client.returncode == 4


def test_wait_does_not_wait_for_an_nsrootd_that_stays_away(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Wait": lambda peer, p: peer.receive()})
    client = ctl.popen("wait", "a")
    assert until(lambda: daemon.asked("Wait"))
    daemon.go_away()
    _, err = client.communicate(timeout=30)
    assert client.returncode == 125 and "no nsrootd listens" in err
