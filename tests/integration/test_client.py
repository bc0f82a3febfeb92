"""nsrootctl alone, against a stand-in for nsrootd: what it asks for, what it says when something goes wrong, what it lends
and copies, and what it does to a terminal. The real nsrootd's sessions are the other files' business.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

import fake
import harness
from fake import ID, SESSION, session
from harness import USER, User, blocks, until
from terminal import Terminal

VERBS = ["run", "exec", "attach", "logs", "list", "inspect", "top", "kill", "stop", "wait", "pause", "resume", "root list",
         "root pull", "root verify", "root remove", "version"]


class Client:
    """nsrootctl of an ordinary user, with a directory to put a socket in."""

    def __init__(self, build):
        self.directory = pathlib.Path(harness.make_directory())
        self.program = self.directory / "nsrootctl"
        shutil.copy2(build.client, self.program)
        self.socket = self.directory / "varlink"

    def environment(self, **more):
        sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        return {"PATH": "/usr/bin:/bin", "NSROOT_SOCKET": str(self.socket), "TERM": "vt100", **sanitizers, **more}

    def popen(self, *args, env=None, **kw):
        for name in ("stdin", "stdout", "stderr"):
            kw.setdefault(name, subprocess.PIPE)
        return subprocess.Popen([str(self.program), *args], env=self.environment(**(env or {})), text=True, user=USER,
                                group=USER, extra_groups=[], cwd="/", **kw)

    def __call__(self, *args, input="", timeout=60, **kw):
        """To its end."""
        process = self.popen(*args, **kw)
        try:
            output = process.communicate(input if process.stdin else None, timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(args, process.returncode, *output)

    def terminal(self, argv, **kw):
        return Terminal([str(a) for a in argv], User(USER), self.environment(PS1="outside> ", ENV=""), **kw)


@pytest.fixture
def ctl(build):
    client = Client(build)
    yield client
    shutil.rmtree(client.directory)


@pytest.fixture
def nsrootd(ctl):
    """nsrootd(handlers, on_accept) listens where ctl connects."""
    with contextlib.ExitStack() as stack:
        def make(handlers=None, on_accept=None):
            made = fake.Fake(ctl.socket, handlers, on_accept)
            stack.callback(made.close)
            return made
        yield make


@pytest.fixture
def terminal(ctl):
    """terminal(*argv) runs it in a terminal of its own."""
    with contextlib.ExitStack() as stack:
        def make(*argv, **kw):
            t = ctl.terminal(argv, **kw)
            stack.callback(t.close)
            return t
        yield make


def assert_failed(r, *words, status=125):
    """It said one line, with these words in it, and nothing on stdout."""
    assert r.returncode == status, (r.returncode, r.stderr)
    assert r.stdout == ""
    assert r.stderr.startswith("nsrootctl: ") and r.stderr.count("\n") == 1 and r.stderr.endswith("\n"), r.stderr
    for word in words:
        assert word in r.stderr, r.stderr


def answer(parameters=None, **more):
    return lambda peer, _: peer.reply(parameters, **more)


def fail(error, **parameters):
    return lambda peer, _: peer.error(error, **parameters)


# -- no nsrootd, or one that says no ----------------------------------------------------------------------------------

@pytest.mark.parametrize("args", [["run", "--", "true"], ["list"], ["kill", "x"], ["stop", "x"], ["wait", "x"],
                                  ["exec", "x", "true"], ["attach", "x"], ["logs", "-f", "x"], ["inspect", "x"], ["top"],
                                  ["list", "--watch"], ["pause", "x"], ["run", "-d", "true"], ["root", "list"], ["root", "pull", "busybox"]], ids=" ".join)
def test_no_daemon(ctl, args):
    assert_failed(ctl(*args), str(ctl.socket), "systemctl start nsrootd.socket", "--socket")


def test_nobody_listens_any_more(ctl):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(ctl.socket))
    ctl.socket.chmod(0o666)
    assert_failed(ctl("list"), "no nsrootd listens")


def test_no_permission(ctl, nsrootd):
    nsrootd()
    ctl.socket.chmod(0o600)
    assert_failed(ctl("list"), "no permission", str(ctl.socket))


def test_path_too_long(ctl):
    assert_failed(ctl("--socket", "/" + "x" * 108, "list"), "at most 107 bytes")


def test_busy(ctl):
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(ctl.socket))
        ctl.socket.chmod(0o666)
        listener.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(ctl.socket))
        assert_failed(ctl("list"), "busy", "try again")


def test_refused_at_the_door(ctl, nsrootd):
    """The reason is there before anything was asked, and the connection may be closed by then."""
    def refuse(peer):
        peer.error(SESSION + "Refused", rule="system-users")
        peer.close()
    nsrootd(on_accept=refuse)
    for _ in range(20):
        assert_failed(ctl("run", "--", "true"), "refused: system users may not use nsrootd")


@pytest.mark.parametrize("name, parameters, status, words", [
    ("CommandNotFound", {"path": "nosuch"}, 127, "nosuch: not found"),
    ("ExecFailed", {"path": "/etc/passwd", "errnoName": "EACCES"}, 126, "/etc/passwd: cannot be executed: Permission denied"),
    ("SetupFailed", {"step": "mount /proc", "errnoName": "EPERM", "detail": "do this"}, 125,
     "mount /proc: Operation not permitted: do this"),
    ("LimitReached", {"limit": "SessionsPerUser"}, 125, "end one"),
    ("NoSuchRoot", {"root": "x"}, 125, "no root x"),
    ("NoSuchUser", {"user": "x"}, 125, "no user x"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_errors_of_run(ctl, nsrootd, name, parameters, status, words):
    nsrootd({SESSION + "Run": fail(SESSION + name, **parameters)})
    assert_failed(ctl("run", "--", "true"), words, status=status)


def test_lost_connection(ctl, nsrootd):
    """Before there is a session: nobody knows whether there will be one."""
    def vanish(peer, parameters):
        peer.socket.shutdown(socket.SHUT_RDWR)
    nsrootd({SESSION + "Run": vanish})
    assert_failed(ctl("run", "--", "true"), "closed the connection", "journalctl")


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\0", b'{"parameters":{}', b"\0", b"[]\0", b'{"a":1}\0',
                                     b'{"parameters":{"x":1},"parameters":{}}\0'])
def test_garbage(ctl, nsrootd, garbage):
    def spout(peer, parameters):
        peer.send_bytes(garbage)
        peer.socket.shutdown(socket.SHUT_RDWR)
    nsrootd({SESSION + "Run": spout, SESSION + "List": spout})
    assert_failed(ctl("run", "--", "true"))
    assert_failed(ctl("list"))


def test_terminal_that_was_not_asked_for_or_did_not_come(ctl, nsrootd, terminal):
    reader, writer = os.pipe()
    nsrootd({SESSION + "Run": lambda peer, _: peer.reply({"session": session(), "ptyFileDescriptor": 0}, fds=[reader],
                                                         continues=True)})
    assert_failed(ctl("run", "--", "true"), "is not nsrootd")
    os.close(reader)
    os.close(writer)


# -- the command line -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("verb", VERBS)
def test_help(ctl, verb):
    r = ctl(*verb.split(), "--help")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith(f"Usage: nsrootctl {verb} ")
    for option in ("--socket PATH", "--json", "--help"):
        assert option in r.stdout


def test_help_lists_the_verbs(ctl):
    for args in (["--help"], ["-h"]):
        r = ctl(*args)
        assert r.returncode == 0
        assert all(f"\n  {verb} " in r.stdout for verb in VERBS)
    r = ctl("root", "--help")
    assert r.returncode == 0
    assert all((f"\n  {verb} " in r.stdout) == verb.startswith("root ") for verb in VERBS)


@pytest.mark.parametrize("args, words", [
    ([], "a verb is needed"),
    (["nonsense"], "no verb 'nonsense'"),
    (["root"], "list, pull, verify or remove"),
    (["root", "nonsense"], "list, pull, verify or remove"),
    (["--nonsense"], "'--nonsense'"),
    (["list", "--nonsense"], "'nsrootctl list --help'"),
    (["list", "x"], "no use for 'x'"),
    (["run", "-Z"], "unknown option '-Z'"),
    (["run", "-r"], "needs an argument"),
    (["run", "-e", "=x", "--", "true"], "needs a name"),
    (["run", "-t", "--", "true"], "-t needs a terminal"),
    (["run", "--result", "/nonexistent/x", "--", "true"], "/nonexistent/x: No such file"),
    (["kill"], "needs ID"),
    (["kill", "-s", "NONSENSE", "x"], "no signal"),
    (["stop", "--timeout", "soon", "x"], "no time"),
    (["stop", "--timeout", "infinity", "x"], "no time"),
    (["wait"], "needs ID"),
    (["attach"], "needs ID"),
    (["attach", "a", "b"], "no use for 'b'"),
    (["logs"], "needs ID"),
    (["inspect"], "needs ID"),
    (["pause"], "needs ID"),
    (["top", "-d", "soon"], "no time"),
    (["top", "-n", "0"], "no number of times"),
    (["root", "pull"], "needs NAME"),
    (["root", "pull", "a", "b"], "no use for 'b'"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_usage_errors(ctl, nsrootd, args, words):
    daemon = nsrootd()
    assert_failed(ctl(*args), words)
    assert daemon.calls == []


def test_socket_option_and_variable(ctl, nsrootd):
    nsrootd()
    there, nowhere = str(ctl.socket), str(ctl.directory / "nowhere")
    assert ctl("list").returncode == 0
    assert ctl("--socket", there, "list", env={"NSROOT_SOCKET": nowhere}).returncode == 0
    assert ctl("list", "--socket", there, env={"NSROOT_SOCKET": nowhere}).returncode == 0
    assert_failed(ctl("--socket", nowhere, "list"), nowhere)


def run_parameters(ctl, nsrootd, *args, **kw):
    """What Run was asked, but for the descriptors."""
    daemon = nsrootd({SESSION + "Run": answer({"session": session(result={"cause": "exited", "code": 0})})})
    r = ctl("run", *args, **kw)
    assert (r.returncode, r.stderr) == (0, "")
    (parameters,) = daemon.asked("Run")
    return {k: v for k, v in parameters.items() if not k.endswith("FileDescriptor")}


def test_run_asks_for_nothing_that_was_not_said(ctl, nsrootd):
    assert run_parameters(ctl, nsrootd) == {"environment": ["TERM=vt100"]}


def test_run_asks_for_what_was_said(ctl, nsrootd):
    args = ["-r", "tools", "-n", "mine", "-i", "-T", "-e", "A=1", "-e", "TOLD", "-e", "UNSET", "-e", "B=", "-w", "/tmp",
            "-u", "user:group", "--hostname", "h", "--read-only", "-q", "ls", "-l", "--help"]
    assert run_parameters(ctl, nsrootd, *args, env={"TOLD": "a b"}) == {
        "root": "tools", "name": "mine", "environment": ["A=1", "TOLD=a b", "B=", "TERM=vt100"], "workingDirectory": "/tmp",
        "user": "user:group", "hostname": "h", "readOnly": True, "arguments": ["ls", "-l", "--help"]}


def test_arguments_arrive_as_they_are(ctl, nsrootd):
    odd = ["printf", "", "a b", "\"'\\", "\n\t\x01\x7f", "grüß", "-", "--", "\U0001f600" * 1000]
    assert run_parameters(ctl, nsrootd, "--", *odd)["arguments"] == odd


def test_arguments_that_cannot_travel(ctl, nsrootd):
    nsrootd()
    assert_failed(ctl("run", "--", b"caf\xe9"), "UTF-8")
    assert_failed(ctl("kill", b"\xff"), "UTF-8")
    assert_failed(ctl("run", "--", "echo", *["x" * 100000] * 3), "too long")


# -- what is printed --------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\x9b31m\u202egnp\r\n"


def test_list(ctl, nsrootd):
    started = int((time.time() - 300) * 1e6)
    daemon = nsrootd({SESSION + "List": answer({"sessions": [
        session(name="mine", arguments=["sleep", "100"], startTimestamp={"realtime": started}),
        session(id="b" * 12, state="exited", result={"cause": "exited", "code": 7})]})})
    r = ctl("list")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout == ("ID            NAME  ROOT     STATE     AGE   COMMAND\n"
                        f"{ID}  mine  busybox  running   5min  sleep 100\n"
                        "bbbbbbbbbbbb  -     busybox  exited 7  -     sh\n")
    assert ctl("list", "-a", "-q").stdout == f"{ID}\n{'b' * 12}\n"
    assert [p.get("all") for p in daemon.asked("List")] == [None, True]


def test_a_list_may_come_in_parts(ctl, nsrootd):
    def parts(peer, parameters):
        peer.reply({"sessions": [session()]}, continues=True)
        peer.reply({"sessions": [session(id="b" * 12)]})
    nsrootd({SESSION + "List": parts})
    assert ctl("list", "-q").stdout == f"{ID}\n{'b' * 12}\n"


def test_what_others_wrote_cannot_move_the_cursor(ctl, nsrootd):
    """For people nor for programs, which often are a terminal all the same."""
    hostile = session(name=HOSTILE, arguments=[HOSTILE], root=HOSTILE, id=HOSTILE)
    nsrootd({SESSION + "List": answer({"sessions": [hostile]}),
             "org.nsroot.root.List": answer({"roots": [{"name": HOSTILE, "kind": "busybox", "cached": True}]}),
             SESSION + "Run": fail(SESSION + "CommandNotFound", path=HOSTILE),
             SESSION + "Signal": fail("a." + HOSTILE)})
    texts = [ctl("list").stdout, ctl("list", "-q").stdout, ctl("root", "list").stdout, ctl("list", "--json").stdout,
             ctl("run").stderr, ctl("kill", "x").stderr]
    for text in texts:
        assert text
        assert not any(c in text.replace("\n", "") for c in "\x1b\x9b\u202e\r"), text
    assert json.loads(texts[3]) == [hostile]


def test_json(ctl, nsrootd):
    root = {"name": "busybox", "kind": "busybox", "cached": True, "digest": "sha256:0", "sizeBytes": 1131168, "sessions": 0,
            "warm": 0}
    nsrootd({"org.nsroot.root.List": answer({"roots": [root]}), "org.nsroot.root.Pull": answer({"state": "finished", "root": root}),
             "org.nsroot.root.Verify": answer({"root": root}), SESSION + "List": answer({"sessions": []}),
             SESSION + "Wait": answer({"result": {"cause": "exited", "code": 3}}),
             "org.varlink.service.GetInfo": answer({"version": "9"})})
    assert json.loads(ctl("root", "list", "--json").stdout) == [root]
    assert json.loads(ctl("--json", "root", "pull", "busybox").stdout) == root
    assert json.loads(ctl("root", "verify", "busybox", "--json").stdout) == root
    assert json.loads(ctl("list", "--json").stdout) == []
    assert json.loads(ctl("wait", "x", "--json").stdout) == [{"id": "x", "result": {"cause": "exited", "code": 3}}]
    assert json.loads(ctl("version", "--json").stdout)["daemon"] == {"version": "9"}


def test_root_verbs(ctl, nsrootd):
    root = {"name": "busybox", "kind": "busybox", "cached": True, "digest": "sha256:0", "sizeBytes": 1131168, "sessions": 2}
    daemon = nsrootd({"org.nsroot.root.List": answer({"roots": [root]}),
                      "org.nsroot.root.Pull": answer({"state": "finished", "root": root}),
                      "org.nsroot.root.Verify": fail("org.nsroot.root.DigestMismatch", expected="a", found="b"),
                      "org.nsroot.root.Remove": fail("org.nsroot.root.RootInUse", name="busybox", sessions=2)})
    assert ctl("root", "list").stdout.splitlines()[1].split() == ["busybox", "busybox", "yes", "1.1M", "2", "-"]
    assert ctl("root", "pull", "busybox").stdout == "busybox is here: sha256:0\n"
    assert_failed(ctl("root", "verify", "busybox"), "busybox is not as it was made", "makes it again: its digest is b, not a")
    assert_failed(ctl("root", "remove", "busybox"), "in use by 2 sessions")
    assert [p for _, p in daemon.calls] == [{}] + [{"name": "busybox"}] * 3


def test_version(ctl, nsrootd):
    assert ctl("version").returncode == 125
    assert ctl("version").stdout.startswith("nsrootctl ")
    nsrootd({"org.varlink.service.GetInfo": answer({"version": "9.9"})})
    r = ctl("version")
    assert r.returncode == 0
    assert r.stdout.splitlines()[1] == "nsrootd 9.9"


@pytest.mark.parametrize("args", [["list"], ["list", "--json"], ["--help"], ["version"]], ids=" ".join)
def test_output_that_cannot_be_written(ctl, nsrootd, args):
    nsrootd()
    with open("/dev/full", "w") as full:
        r = ctl(*args, stdout=full)
    assert r.returncode == 125
    assert "cannot write to standard output: No space left" in r.stderr


# -- the other verbs --------------------------------------------------------------------------------------------------

def test_kill(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Signal": lambda peer, p: peer.error(SESSION + "NoSuchSession", id="b")
                      if p["id"] == "b" else peer.reply()})
    assert ctl("kill", "a").returncode == 0
    assert_failed(ctl("kill", "--all", "-s", "9", "a", "b", "c"), "no session b")
    assert daemon.asked("Signal") == [{"id": "a", "signal": "SIGTERM"}] + \
        [{"id": i, "signal": "SIGKILL", "everyone": True} for i in "abc"]


def test_stop(ctl, nsrootd):
    daemon = nsrootd()
    assert ctl("stop", "a").returncode == 0
    assert ctl("stop", "--timeout", "1min 1ms", "a", "b").returncode == 0
    assert daemon.asked("Stop") == [{"id": "a"}] + [{"id": i, "timeoutUSec": 60001000} for i in "ab"]


def test_wait_exits_as_the_session_did(ctl, nsrootd):
    results = {"a": {"cause": "exited", "code": 3}, "b": {"cause": "signaled", "signal": "SIGTERM"}}
    nsrootd({SESSION + "Wait": lambda peer, p: peer.reply({"result": results[p["id"]]})})
    assert ctl("wait", "a").returncode == 3
    assert ctl("wait", "a", "b").returncode == 143
    assert ctl("wait", "a", "b").stdout == ""


# -- run: statuses and results ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("result, status, words", [
    ({"cause": "exited", "code": 0}, 0, None),
    ({"cause": "exited", "code": 7}, 7, None),
    ({"cause": "signaled", "signal": "SIGKILL"}, 137, None),
    ({"cause": "timedOut", "signal": "SIGKILL"}, 124, "time limit"),
    ({"cause": "outOfMemory", "signal": "SIGKILL"}, 137, "memory limit"),
    ({"cause": "stopped", "signal": "SIGTERM"}, 143, "stopped"),
    ({"cause": "setupFailed", "failedStep": "mount /proc", "errnoName": "EPERM"}, 125,
     "mount /proc: Operation not permitted"),
    ({"cause": "initDied"}, 125, "first process died"),
    (None, 125, "did not say how"),
], ids=str)
def test_exit_status(ctl, nsrootd, result, status, words):
    nsrootd({SESSION + "Run": answer({"session": session(state="exited", **({"result": result} if result else {}))})})
    r = ctl("run", "--", "true")
    assert (r.returncode, r.stdout) == (status, "")
    assert words in r.stderr if words else r.stderr == ""


def test_result_file(ctl, nsrootd):
    result = {"cause": "exited", "code": 7, "wallUSec": 12, "userUSec": 3}
    daemon = nsrootd({SESSION + "Run": answer({"session": session(result=result)})})
    directory = ctl.directory / "user"
    directory.mkdir()
    os.chown(directory, USER, USER)
    path = directory / "result"
    assert ctl("run", "--result", str(path), "--", "true").returncode == 7
    assert json.loads(path.read_text()) == result

    daemon.handlers[SESSION + "Run"] = fail(SESSION + "CommandNotFound", path="x")
    assert ctl("run", "--result", str(path), "--", "x").returncode == 127
    assert json.loads(path.read_text()) == {"error": SESSION + "CommandNotFound", "parameters": {"path": "x"}}

    daemon.handlers[SESSION + "Run"] = answer({"session": session(result=result)})
    assert_failed(ctl("run", "--result", "/dev/full", "--", "true"), "cannot write /dev/full: No space")


# -- run: descriptors -------------------------------------------------------------------------------------------------

def run_and_look(ctl, daemon, *command, **kw):
    """What was lent in a run: {parameter: stat_result}."""
    process = ctl.popen("run", "--", *(command or ["true"]), **kw)
    process.communicate(timeout=60)
    assert process.returncode == 0
    return {name: st for name, (st, _) in daemon.lent.items()}


def same(a, b):
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def test_pipes_files_sockets_and_null_are_lent_as_they_are(ctl, nsrootd):
    daemon = nsrootd()
    with contextlib.ExitStack() as stack:
        reader, writer = os.pipe()
        a, b = socket.socketpair()
        stack.enter_context(a), stack.enter_context(b)
        files = [stack.enter_context(open(reader, "rb")), stack.enter_context(open(writer, "wb")),
                 stack.enter_context(open("/etc/passwd")), stack.enter_context(open("/dev/null", "w"))]
        lent = run_and_look(ctl, daemon, stdin=files[0], stdout=files[1], stderr=files[3])
        assert same(lent["standardInput"], os.fstat(reader))
        assert same(lent["standardOutput"], os.fstat(writer))
        assert same(lent["standardError"], os.stat("/dev/null"))
        lent = run_and_look(ctl, daemon, stdin=files[2], stdout=a.fileno(), stderr=a.fileno())
        assert same(lent["standardInput"], os.stat("/etc/passwd"))
        assert same(lent["standardOutput"], os.fstat(a.fileno()))


def test_closed_descriptors_are_the_null_device(ctl, nsrootd):
    daemon = nsrootd()
    shell = f"exec {ctl.program} run -- true <&- >&- 2>&-"
    assert User(USER)(["sh", "-c", shell], env=ctl.environment()).returncode == 0
    lent = {name: st for name, (st, _) in daemon.lent.items()}
    for name in ("standardInput", "standardOutput", "standardError"):
        assert lent[name].st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO(lent["lifeline"].st_mode)


def test_the_wrong_way_round(ctl, nsrootd):
    """As nohup(1) has it: nothing can be read from there, so the command sees the end of the file."""
    daemon = nsrootd()
    with open("/dev/null", "w") as null:
        lent = run_and_look(ctl, daemon, "cat", stdin=null)
    assert stat.S_ISFIFO(lent["standardInput"].st_mode)


def test_a_directory_reads_as_nothing(ctl, nsrootd):
    nsrootd()
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    assert ctl("run", "--", "cat", stdin=fd).returncode == 0
    os.close(fd)


def test_nothing_is_made_non_blocking(ctl, nsrootd):
    """O_NONBLOCK would belong to everyone who shares the open file."""
    daemon = nsrootd()
    (reader, writer), (theirs, ours) = os.pipe(), socket.socketpair()
    with theirs, ours:
        r = ctl("run", "--", "true", stdin=reader, stdout=theirs.fileno(), stderr=writer)
        assert r.returncode == 0
        assert os.get_blocking(reader) and os.get_blocking(writer) and theirs.getblocking()
        assert not fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK
    assert all(blocking for _, blocking in daemon.lent.values())
    os.close(reader), os.close(writer)


def test_what_is_lent_is_the_commands_alone(ctl, nsrootd):
    """Who is at the other end of a pipe notices that the command has closed it, though the client lives on."""
    nsrootd()
    client = ctl.popen("run", "--", "sh", "-c", "exec <&- >&-; sleep 100")
    assert client.stdout.read() == ""
    with pytest.raises(BrokenPipeError):
        while True:
            os.write(client.stdin.fileno(), b"x")
            time.sleep(0.01)
    assert client.poll() is None
    client.kill()
    client.wait()


def test_bytes_go_through_unchanged(ctl, nsrootd):
    nsrootd()
    data = bytes(range(256)) * 4096
    process = subprocess.Popen([str(ctl.program), "run", "--", "cat"], env=ctl.environment(), user=USER,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.communicate(data, timeout=60)[0] == data


def test_relayed_bytes_go_through_unchanged(ctl, nsrootd, terminal):
    """From a pipe, through the command, to a terminal that is only stdout."""
    nsrootd()
    t = terminal("/bin/sh", "-c", f"stty -opost; seq 20000 | {ctl.program} run -- cat; echo status=$?")
    t.expect("\n20000\nstatus=0", timeout=60)
    assert bytes(t.output).startswith("".join(f"{i}\n" for i in range(1, 20001)).encode())


def test_relayed_stdin_ends(ctl, nsrootd, terminal):
    nsrootd()
    t = terminal("/bin/sh", "-c", f"{ctl.program} run -- sort | cat; echo done")
    t.line("b")
    t.line("a")
    t.send("\x04")
    t.expect("a\r\nb\r\ndone")


def test_a_session_ends_with_its_client(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100")
    assert until(lambda: daemon.process)
    client.kill()
    client.communicate()
    assert daemon.process.wait(20) == -signal.SIGKILL


def test_nobody_else_holds_the_lifeline(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100")
    assert until(lambda: daemon.process)
    lifeline = daemon.lent["lifeline"][0]
    holders = {}
    for pid in (client.pid, daemon.process.pid):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if same(os.stat(f"/proc/{pid}/fd/{fd}"), lifeline):
                holders.setdefault(pid, []).append(fd)
    client.kill()
    client.communicate()
    assert list(holders) == [client.pid] and len(holders[client.pid]) == 1


# -- run: signals -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "HUP", "USR1", "USR2"])
def test_signals_are_passed_on(ctl, nsrootd, name):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100")
    assert until(lambda: blocks(client.pid, getattr(signal, f"SIG{name}")))
    client.send_signal(getattr(signal, f"SIG{name}"))
    client.communicate(timeout=30)
    assert client.returncode == 128 + getattr(signal, f"SIG{name}")
    assert daemon.asked("Signal") == [{"id": ID, "signal": f"SIG{name}"}]


def test_a_signal_that_the_command_handles(ctl, nsrootd):
    nsrootd()
    client = ctl.popen("run", "--", "sh", "-c", "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.1; done")
    assert client.stdout.readline() == "ready\n"
    assert until(lambda: blocks(client.pid, signal.SIGUSR1))
    client.send_signal(signal.SIGUSR1)
    assert client.communicate(timeout=30)[0] == "caught\n"
    assert client.returncode == 3


def test_stopping_and_going_on(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100")
    assert until(lambda: blocks(client.pid, signal.SIGTSTP))
    client.send_signal(signal.SIGTSTP)
    assert until(lambda: harness.comm_and_state(client.pid)[1] == "T")
    assert until(lambda: harness.comm_and_state(daemon.process.pid)[1] == "T")
    client.send_signal(signal.SIGCONT)
    assert until(lambda: harness.comm_and_state(daemon.process.pid)[1] == "S")
    client.kill()
    client.communicate()


def test_ignored_signals_stay_ignored(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert until(lambda: blocks(client.pid, signal.SIGTERM))
    client.send_signal(signal.SIGHUP)
    client.send_signal(signal.SIGUSR1)
    client.communicate(timeout=30)
    assert [p["signal"] for p in daemon.asked("Signal")] == ["SIGUSR1"]


def test_a_signal_when_nsrootd_is_gone(ctl, nsrootd):
    daemon = nsrootd()
    client = ctl.popen("run", "--", "sleep", "100")
    assert until(lambda: blocks(client.pid, signal.SIGTERM))
    ctl.socket.unlink()
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=30)
    assert client.returncode == -signal.SIGTERM
    assert daemon.process.wait(20) == -signal.SIGKILL


def test_a_signal_before_there_is_a_session(ctl, nsrootd):
    daemon = nsrootd({SESSION + "Run": lambda peer, _: time.sleep(60)})
    client = ctl.popen("run", "--", "true")
    assert until(lambda: daemon.calls)
    client.send_signal(signal.SIGINT)
    assert client.wait(30) == -signal.SIGINT


def test_a_signal_before_the_client_has_read_that_there_is_a_session(ctl, nsrootd):
    daemon = nsrootd()
    daemon.delay = 0.3
    client = ctl.popen("run", "--", "sh", "-c", "trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.05; done")
    assert client.stdout.readline() == "ready\n"
    client.send_signal(signal.SIGINT)
    assert client.communicate(timeout=30)[0] == "caught\n"
    assert client.returncode == 8


# -- run: terminals ---------------------------------------------------------------------------------------------------

@pytest.fixture
def inside(ctl, nsrootd, terminal):
    """inside(*command) is a terminal in which `nsrootctl run` holds the command; also the stand-in for nsrootd."""
    def make(*command, options=(), **kw):
        daemon = nsrootd()
        t = terminal(ctl.program, "run", *options, "--", *command, **kw)
        assert until(lambda: not t.echoes()), "the terminal does not become raw"
        return t, daemon
    return make


def test_what_is_asked_for_in_a_terminal(inside):
    t, daemon = inside("sleep", "100", rows=33, columns=99)
    (asked,) = daemon.asked("Run")
    assert {k: asked.get(k) for k in ("terminal", "rows", "columns", "environment")} == \
        {"terminal": True, "rows": 33, "columns": 99, "environment": ["TERM=vt100"]}
    assert list(daemon.lent) == ["lifeline"]


def test_term_may_be_another(inside):
    _, daemon = inside("sleep", "100", options=["-e", "TERM=dumb"])
    assert daemon.asked("Run")[0]["environment"] == ["TERM=dumb"]


def test_no_terminal_when_it_is_not_wanted(nsrootd, ctl, terminal):
    daemon = nsrootd()
    t = terminal(ctl.program, "run", "-T", "--", "sh", "-c", "test -t 0 || echo no; cat")
    t.expect("no")
    assert t.echoes()
    t.line("hello")
    t.expect("hello\r\nhello")
    t.send("\x04")
    assert t.wait() == 0
    assert "terminal" not in daemon.asked("Run")[0]


def test_keys_and_window(inside):
    t, _ = inside("sh", "-i")
    t.line("stty size")
    t.expect("24 80")
    t.resize(40, 100)
    t.line("sh -c 'echo u''p; exec sleep 100'")
    t.expect("up\r\n")
    t.send("\x03")
    t.line("stty size; echo st$?")
    t.expect("40 100\r\nst0")
    t.line("exit 9")
    assert t.wait() == 9
    assert t.settings() == t.before


def test_last_words(inside):
    """All that the command wrote comes out, though it ended at once."""
    t, _ = inside("sh", "-c", "sleep 1; seq 3000; echo last words")
    assert t.wait(60) == 0
    t.expect("3000\r\nlast words\r\n$")


def test_stderr_of_its_own(inside, ctl):
    path = ctl.directory / "errors"
    path.touch()
    os.chown(path, USER, USER)
    with contextlib.ExitStack() as stack:
        daemon = fake.Fake(ctl.socket)
        stack.callback(daemon.close)
        t = ctl.terminal(["/bin/sh", "-c", f"exec {ctl.program} run -- sh -c 'test -t 2 || echo apart; echo error >&2' 2>{path}"])
        stack.callback(t.close)
        assert t.wait() == 0
        t.expect("apart")
        assert same(daemon.lent["standardError"][0], path.stat())
    assert path.read_text() == "error\n"


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "QUIT", "SEGV", "ABRT", "USR1", "ALRM"])
def test_terminal_is_given_back(inside, name):
    t, daemon = inside("sleep", "100")
    os.kill(t.pid, getattr(signal, f"SIG{name}"))
    assert t.wait() == -getattr(signal, f"SIG{name}")
    assert t.settings() == t.before
    assert daemon.process.wait(20) < 0


def test_terminal_is_given_back_when_nsrootd_goes(inside):
    t, daemon = inside("sleep", "100")
    daemon.process.kill()
    assert t.wait() == 137
    assert t.settings() == t.before


def test_terminal_is_given_back_while_stopped(inside):
    t, _ = inside("cat")
    raw = t.settings()
    os.kill(t.pid, signal.SIGTSTP)
    assert until(lambda: harness.comm_and_state(t.pid)[1] == "T")
    assert t.settings() == t.before
    t.resize(50, 120)
    os.kill(t.pid, signal.SIGCONT)
    assert until(lambda: t.settings() == raw)


def test_terminal_is_given_back_after_a_stop_that_nobody_sees_coming(inside):
    t, _ = inside("cat")
    os.kill(t.pid, signal.SIGSTOP)
    assert until(lambda: harness.comm_and_state(t.pid)[1] == "T")
    os.kill(t.pid, signal.SIGCONT)
    t.line("still here")
    t.expect("still here\r\nstill here")
    os.kill(t.pid, signal.SIGTERM)
    assert t.wait() == -signal.SIGTERM
    assert t.settings() == t.before


def test_the_session_ends_with_its_terminal(ctl, nsrootd):
    daemon = nsrootd()
    t = ctl.terminal([ctl.program, "run", "--", "sleep", "100"])
    try:
        assert until(lambda: not t.echoes())
        os.close(t.slave)
        os.close(t.master)
        assert daemon.process.wait(20) < 0
    finally:
        os.kill(t.pid, signal.SIGKILL)
        os.waitpid(t.pid, 0)


def test_the_session_ends_with_its_terminal_though_hang_ups_are_ignored(ctl, nsrootd):
    daemon = nsrootd()
    t = ctl.terminal(["/bin/sh", "-c", f"trap '' HUP; exec {ctl.program} run -- sh -c 'trap \"\" HUP; echo deaf; sleep 100'"])
    try:
        t.expect("deaf")
        assert until(lambda: not t.echoes())
        os.close(t.slave)
        os.close(t.master)
        assert daemon.process.wait(20) == -signal.SIGKILL
        assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 128 + signal.SIGHUP
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(t.pid, signal.SIGKILL)


def test_job_control_of_the_shell_outside(ctl, nsrootd, terminal):
    daemon = nsrootd()
    t = terminal("/bin/bash", "--norc", "-i")
    t.expect("outside> ")
    t.line(f"{ctl.program} run -- sleep 100 | cat &")
    t.expect("outside> ")
    assert until(lambda: daemon.process)
    t.line("echo typed")                   # this line is the shell's, not the background job's
    t.expect("typed\r\n.*outside> ")
    t.line("jobs")
    t.expect("Running.*outside> ")
    t.line("fg")
    t.expect("run -- sleep 100")
    assert until(lambda: t.foreground() != t.pid)  # it says so before it hands the terminal over
    t.send("\x03")
    t.expect("outside> ")
    assert daemon.process.wait(20) == -signal.SIGINT


def preparing(peer, pause, *states):
    for state in states:
        time.sleep(pause)
        peer.reply({"preparation": {"root": "tools", **state}}, continues=True)
    peer.reply({"session": session(result={"cause": "exited", "code": 0})})


def test_progress_while_a_root_is_made(ctl, nsrootd, terminal):
    states = [{"state": "connecting"}, {"state": "downloading", "doneBytes": 512, "totalBytes": 2048}]
    daemon = nsrootd({SESSION + "Run": lambda peer, _: preparing(peer, 0.4, *states)})
    t = terminal(ctl.program, "run", "-r", "tools", "--", "true")
    t.expect("tools: connecting")
    t.expect("tools: downloading \\[##* *] 25% of 2.0K\r\x1b\\[K")
    assert t.wait() == 0
    assert daemon.asked("Run")[0]["progress"] is True


def test_nobody_is_bothered_with_a_short_wait(ctl, nsrootd, terminal):
    nsrootd({SESSION + "Run": lambda peer, _: preparing(peer, 0, {"state": "connecting"})})
    t = terminal(ctl.program, "run", "--", "true")
    assert t.wait() == 0
    assert t.output == b""


def test_no_progress_that_nobody_wants(ctl, nsrootd, terminal):
    daemon = nsrootd({SESSION + "Run": lambda peer, _: preparing(peer, 0.4, {"state": "connecting"})})
    t = terminal(ctl.program, "run", "-q", "--", "true")
    assert t.wait() == 0
    assert t.output == b""
    assert ctl("run", "--", "true").stderr == ""  # no terminal
    assert all("progress" not in asked for asked in daemon.asked("Run"))
