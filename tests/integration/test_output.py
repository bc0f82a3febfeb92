"""What a detached session prints: kept as far as there is room, shown to who attaches, and read by Logs. Nobody who reads
slows what prints."""

import contextlib
import socket
import time

import pytest

import harness
import varlink
from harness import OTHER, USER, User, until
from live import call, detach, detached, records, text_of, wait  # noqa: F401: a fixture
from terminal import Terminal

@pytest.fixture(scope="module")
def daemon(build):
    """One of this file's own: ended sessions are remembered, with descriptors, which other files count."""
    d = harness.Daemon(build)
    yield d
    d.close()


class Viewer:
    """Who attached, by a descriptor or by an upgraded connection."""

    def __init__(self, daemon, id, upgrade=False, **parameters):
        self.connection = varlink.Connection(daemon.socket, USER)
        reply = self.connection.call("org.nsroot.session.Attach", {"id": id, **parameters},
                                     **({"upgrade": True} if upgrade else {}))
        if upgrade:
            assert reply == {}
            self.stream = self.connection.socket
            self.early = self.connection.received
        else:
            self.stream = socket.socket(fileno=self.connection.fds.pop(reply["streamFileDescriptor"]))
            self.early = b""
        self.stream.settimeout(20)

    def until(self, wanted, limit=1 << 22):
        """Everything up to and with that text."""
        text, self.early = self.early, b""
        while wanted not in text:
            part = self.stream.recv(65536)
            assert part and len(text) < limit, text[-300:]
            text += part
        return text

    def rest(self):
        parts = [self.early]
        while parts[-1] or len(parts) == 1:
            parts.append(self.stream.recv(65536))
        return b"".join(parts)

    def close(self):
        self.stream.close()
        self.connection.close()


@pytest.fixture
def attach(daemon):
    with contextlib.ExitStack() as stack:
        yield lambda *a, **kw: stack.enter_context(contextlib.closing(Viewer(daemon, *a, **kw)))


# -- what is kept -------------------------------------------------------------------------------------------------

def test_stdout_and_stderr_are_told_apart(daemon, detached):
    id = detached("sh", "-c", "echo out; sleep 0.1; echo err >&2; sleep 0.1; echo out again")
    wait(daemon, id)
    kept = records(daemon, id)
    assert text_of(kept, "stdout") == "out\nout again\n" and text_of(kept, "stderr") == "err\n"
    times = [r["timestamp"]["realtime"] for r in kept]
    assert times == sorted(times) and abs(times[0] / 1e6 - time.time()) < 60


def test_its_user_may_open_them_again(daemon, detached):
    id = detached("sh", "-c", "echo out >/dev/stdout && echo err >/dev/stderr", user="nobody")
    assert wait(daemon, id)["code"] == 0
    assert text_of(records(daemon, id), "stdout") == "out\n"
    assert text_of(records(daemon, id), "stderr") == "err\n"


def test_input_is_the_null_device(daemon, detached):
    id = detached("sh", "-c", "cat; readlink /proc/self/fd/0")
    wait(daemon, id)
    assert text_of(records(daemon, id)) == "/dev/null\n"


def test_nobody_reads_and_nothing_grows(daemon, detached):
    """Ten million lines that nobody reads."""
    id = detached("sh", "-c", "yes | head -n 10000000; echo done")
    assert wait(daemon, id)["code"] == 0
    kept = records(daemon, id)
    assert text_of(kept).endswith("y\ny\ndone\n")
    assert 900_000 < len(text_of(kept)) <= 1 << 20
    assert kept[0]["lost"] + len(text_of(kept)) == 20_000_005


def test_how_much_is_kept_is_configured(fresh_daemon):
    """A record is a quarter of it at most: so much may just have made room."""
    daemon = fresh_daemon("[Limits]\nOutputKept=16K\n[User 2002]\nOutputKept=64K\n")
    for uid, least, most in ((USER, 12_000, 16 << 10), (OTHER, 48_000, 64 << 10)):
        id = detach(daemon, "sh", "-c", "seq 100000", uid=uid)
        wait(daemon, id, uid)
        assert least < len(text_of(records(daemon, id, uid))) <= most


def test_more_than_one_reply_can_hold_is_no_part_of_it(fresh_daemon):
    daemon = fresh_daemon("[Limits]\nOutputKept=32M\n")
    id = detach(daemon, "sh", "-c", "seq 1 2000000")
    wait(daemon, id)
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        records(daemon, id)
    with varlink.Connection(daemon.socket, USER, timeout=60) as c:
        got = [r for reply in c.stream("org.nsroot.session.Logs", {"id": id}) for r in reply["records"]]
    assert text_of(got) == "".join(f"{i}\n" for i in range(1, 2_000_001))


def test_what_is_lost_is_said_where_it_was_lost(daemon, detached):
    id = detached("sh", "-c", "seq 1 1000000")
    wait(daemon, id)
    kept = records(daemon, id)
    assert kept[0]["lost"] > 0 and not any("lost" in r for r in kept[1:])
    assert text_of(kept).splitlines()[1:] == [str(i) for i in range(1_000_001 - len(text_of(kept).splitlines()[1:]), 1_000_001)]


def test_a_session_in_the_foreground_has_no_logs(daemon):
    with varlink.Connection(daemon.socket, USER) as c:
        c.send_call("org.nsroot.session.Run", {"arguments": ["sleep", "60"], "name": "front"}, more=True)
        c.receive()
        for method in ("Logs", "Attach"):
            with pytest.raises(varlink.VarlinkError, match="NotDetached"):
                call(daemon, method, {"id": "front"})


def test_it_is_charged_to_nobody_when_it_is_forgotten(fresh_daemon):
    daemon = fresh_daemon("[Sessions]\nRemember=1s\n")
    wait(daemon, detach(daemon, "true"))
    assert until(lambda: not call(daemon, "List", {"all": True})["sessions"], 10)
    before = daemon.fd_count()
    ids = [detach(daemon, "echo", "x") for _ in range(5)]
    for id in ids:
        wait(daemon, id)
    assert until(lambda: daemon.fd_count() <= before, 10)


# -- Logs with follow -----------------------------------------------------------------------------------------------

def test_following_goes_to_the_end(daemon, detached):
    id = detached("sh", "-c", "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo $i; sleep 0.01; done")
    with varlink.Connection(daemon.socket, USER, timeout=60) as c:
        got = [r for reply in c.stream("org.nsroot.session.Logs", {"id": id, "follow": True}) for r in reply["records"]]
    assert text_of(got) == "".join(f"{i}\n" for i in range(1, 51))


def test_without_follow_it_says_what_there_is(daemon, detached):
    id = detached("sh", "-c", "echo now; sleep 60; echo never")
    assert until(lambda: text_of(records(daemon, id)) == "now\n")
    with varlink.Connection(daemon.socket, USER) as c:
        got = [r for reply in c.stream("org.nsroot.session.Logs", {"id": id}) for r in reply["records"]]
    assert text_of(got) == "now\n"


def test_follow_needs_more(daemon, detached):
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        call(daemon, "Logs", {"id": detached("sleep", "60"), "follow": True})


def test_a_follower_who_does_not_read_slows_nobody_and_is_told_what_he_missed(daemon, detached):
    id = detached("sh", "-c", "sleep 0.5; seq 1 2000000; echo end; sleep 1")
    with varlink.Connection(daemon.socket, USER, timeout=60) as c:
        c.send_call("org.nsroot.session.Logs", {"id": id, "follow": True}, more=True)
        assert until(lambda: text_of(records(daemon, id)).endswith("end\n"), 60), "it goes on without him"
        got, continues = [], True
        while continues:
            reply = c.receive()
            got += varlink.parameters_of(reply)["records"]
            continues = reply.get("continues", False)
    total = sum(len(f"{i}\n") for i in range(1, 2_000_001)) + 4
    assert len(text_of(got)) + sum(r.get("lost", 0) for r in got) == total
    assert sum(r.get("lost", 0) for r in got) > 0 and text_of(got).endswith("2000000\nend\n")


# -- Attach ---------------------------------------------------------------------------------------------------------

TICKER = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.02; done"


@pytest.mark.parametrize("upgrade", [False, True], ids=["descriptor", "upgrade"])
def test_a_viewer_sees_what_was_and_what_is(detached, attach, upgrade):
    id = detached("sh", "-c", TICKER)
    time.sleep(0.3)
    text = attach(id, upgrade=upgrade).until(b"tick 30\n")
    assert text.startswith(b"tick 1\n")
    lines = [line for line in text.decode().splitlines()]
    assert lines[:30] == [f"tick {i}" for i in range(1, 31)]


def test_without_replay_only_what_is(detached, attach):
    id = detached("sh", "-c", TICKER)
    time.sleep(0.5)
    assert not attach(id, replay=False).until(b"tick 60\n").startswith(b"tick 1\n")


def test_what_is_left_of_a_long_past_begins_with_a_line(daemon, detached, attach):
    id = detached("sh", "-c", "seq 1000001 1400000; echo end; sleep 60")
    assert until(lambda: text_of(records(daemon, id)).endswith("end\n"), 60)
    lines = attach(id).until(b"end\n").decode().splitlines()
    assert lines[:-1] == [str(i) for i in range(int(lines[0]), 1400001)]


def test_several_watch_and_one_leaves(detached, attach):
    id = detached("sh", "-c", TICKER)
    viewers = [attach(id) for _ in range(5)]
    viewers[0].close()
    for v in viewers[1:]:
        v.until(b"tick 40\n")


def test_a_viewer_who_does_not_read_slows_nobody_and_is_told(daemon, detached, attach):
    id = detached("sh", "-c", "sleep 0.5; seq 1 2000000; echo end; sleep 5")
    slow, quick = attach(id), attach(id)
    assert until(lambda: text_of(records(daemon, id)).endswith("end\n"), 60)
    quick.stream.settimeout(60)
    text = slow.until(b"end\n", 1 << 25)
    assert b"bytes were lost here]" in text and text.endswith(b"2000000\nend\n")


def test_the_end_of_the_session_is_the_end_of_the_stream(daemon, detached, attach):
    id = detached("sh", "-c", "sleep 0.5; seq 1 20000; echo last words")
    assert attach(id).rest().endswith(b"20000\nlast words\n")
    assert wait(daemon, id)["code"] == 0


def test_a_viewer_who_never_reads_does_not_keep_the_session(daemon, detached, attach):
    id = detached("sh", "-c", "sleep 0.3; yes | head -n 1000000; exit 3")
    viewer = attach(id)
    begin = time.monotonic()
    assert wait(daemon, id)["code"] == 3
    assert time.monotonic() - begin < 20
    viewer.close()


def test_typing_goes_to_the_terminal(detached, attach):
    viewer = attach(detached("sh", "-c", "stty -echo; echo ready; read x; echo got $x; read y", terminal=True))
    viewer.until(b"ready")
    viewer.stream.sendall(b"hello\n")
    viewer.until(b"got hello")


def test_typing_without_a_terminal_is_nothing(daemon, detached, attach):
    id = detached("sh", "-c", "read x; echo got $x; sleep 60")
    viewer = attach(id)
    viewer.stream.sendall(b"hello\n" * 10000)
    viewer.until(b"got\n")


def test_a_flood_of_typing_blocks_nobody(daemon, detached, attach):
    """The program reads nothing: its terminal is full, and the session's init is not."""
    id = detached("sh", "-c", "stty raw -echo; while :; do echo alive; sleep 0.1; done", terminal=True)
    viewer, other = attach(id), attach(id)
    viewer.until(b"alive")
    viewer.stream.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 1 << 22:
            sent += viewer.stream.send(b"x" * 4096)
    assert sent < 1 << 22
    time.sleep(0.5)
    for _ in range(3):
        other.until(b"alive")
    assert call(daemon, "List", {"id": id})["sessions"][0]["state"] == "running"


def test_a_resize_is_told_also_where_nothing_changes(daemon, detached, attach):
    id = detached("sh", "-c", "trap 'echo size $(stty size)' WINCH; echo ready; while :; do sleep 0.05; done",
                  terminal=True, columns=70, rows=20)
    viewer = attach(id)
    viewer.until(b"ready")
    call(daemon, "Resize", {"id": id, "columns": 99, "rows": 33})
    viewer.until(b"size 33 99")
    call(daemon, "Resize", {"id": id, "columns": 99, "rows": 33})
    viewer.until(b"size 33 99")


def test_there_is_nothing_to_resize(daemon, detached):
    with pytest.raises(varlink.VarlinkError, match="NoTerminal"):
        call(daemon, "Resize", {"id": detached("sleep", "60"), "columns": 80, "rows": 24})


def test_a_program_that_leaves_its_terminal_may_come_back(daemon, detached, attach):
    id = detached("sh", "-c", "exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back >/dev/pts/0; sleep 60", terminal=True)
    attach(id).until(b"back")


def test_more_viewers_than_there_is_room_for(detached, attach):
    id = detached("sh", "-c", TICKER)
    viewers = [attach(id) for _ in range(40)]
    for v in viewers[:32]:
        v.until(b"tick 5\n")
    assert all(v.rest() == b"" for v in viewers[32:])
    assert attach(id, upgrade=True).rest() == b""


# -- as people use it -----------------------------------------------------------------------------------------------

def test_attach_on_a_terminal_and_leave_it(daemon, ctl, detached):
    id = ctl("run", "-d", "-t", "--", "sh", "-c", "PS1='in> ' exec sh").stdout.strip()
    with contextlib.closing(Terminal([str(daemon.client), "attach", id], User(USER), daemon.client_environment(),
                                     rows=31, columns=101)) as t:
        t.expect("in> ")
        t.send("echo $((6*7)); stty size\r")
        t.expect("42\r\n31 101")
        t.send("\x1d\x1d\x1d")
        assert t.wait() == 0
        assert t.settings() == t.before
    assert call(daemon, "List", {"id": id})["sessions"][0]["state"] == "running"
    call(daemon, "Stop", {"id": id, "timeoutUSec": 0})
