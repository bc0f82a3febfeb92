"""Subscribe and Statistics: who may see a session is told what becomes of it."""

import contextlib
import time

import pytest

import harness
import varlink
from harness import OTHER, USER, until
from live import call, detach, wait

@pytest.fixture(scope="module")
def daemon(build):
    """One of this file's own: ended sessions are remembered, with descriptors, which other files count."""
    d = harness.Daemon(build)
    yield d
    d.close()


class Subscription:
    def __init__(self, daemon, uid=USER):
        self.connection = varlink.Connection(daemon.socket, uid, timeout=20)
        self.connection.send_call("org.nsroot.session.Subscribe", more=True)
        self.first = self.next()

    def next(self):
        reply = self.connection.receive()
        assert reply["continues"]
        return reply["parameters"]["sessions"]

    def changes(self, id):
        """The states of that session, up to its end."""
        states = []
        while not states or states[-1] != "exited":
            states += [s["state"] for s in self.next() if s["id"] == id]
        return states

    def close(self):
        self.connection.close()


@pytest.fixture
def subscribe(daemon):
    with contextlib.ExitStack() as stack:
        yield lambda *a: stack.enter_context(contextlib.closing(Subscription(daemon, *a)))


def test_it_needs_more(daemon):
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        call(daemon, "Subscribe")


def test_first_what_is_then_each_change(daemon, subscribe):
    running = detach(daemon, "sleep", "60")
    watcher = subscribe()
    assert [s["id"] for s in watcher.first] == [running]
    call(daemon, "Pause", {"id": running})
    call(daemon, "Resume", {"id": running})
    call(daemon, "Stop", {"id": running, "timeoutUSec": 0})
    assert watcher.changes(running) == ["paused", "running", "exited"]
    new = detach(daemon, "sh", "-c", "exit 5")
    states = watcher.changes(new)
    assert states == ["running", "exited"]


def test_nobody_elses_changes(daemon, subscribe):
    mine, roots = subscribe(OTHER), subscribe(0)
    id = detach(daemon, "true")
    assert roots.changes(id) == ["running", "exited"]
    other = detach(daemon, "true", uid=OTHER)
    assert {s["id"] for s in mine.next()} == {other}


def test_who_does_not_read_is_told_of_the_last_state_of_each(daemon, subscribe):
    """So many changes that they would not fit into what may wait to be read."""
    watcher = subscribe()
    id = detach(daemon, "sh", "-c", "sleep 600; true", name="n" * 60)
    with varlink.Connection(daemon.socket, USER, timeout=60) as c:
        for _ in range(600):
            c.call("org.nsroot.session.Pause", {"id": id})
            c.call("org.nsroot.session.Resume", {"id": id})
    call(daemon, "Stop", {"id": id, "timeoutUSec": 0})
    states = watcher.changes(id)
    assert states[-1] == "exited" and 1 < len(states) < 1202
    assert daemon.call("org.varlink.service.GetInfo")


def test_a_subscription_is_forgotten_with_its_connection(daemon):
    before = daemon.fd_count()
    for _ in range(50):
        Subscription(daemon).close()
    assert until(lambda: daemon.fd_count() <= before)
    wait(daemon, detach(daemon, "true"))


def test_statistics(daemon):
    busy = detach(daemon, "sh", "-c", "while :; do :; done")
    other = detach(daemon, "sleep", "60", uid=OTHER)
    usage = until(lambda: [u for u in call(daemon, "Statistics")["usage"] if u.get("cpuUSec", 0) > 200_000])
    assert [u["id"] for u in usage] == [busy] and usage[0]["ownerUid"] == USER
    assert usage[0]["tasks"] == 2
    assert call(daemon, "Statistics", {"id": busy})["usage"][0]["cpuUSec"] >= usage[0]["cpuUSec"]
    assert {u["id"] for u in call(daemon, "Statistics", uid=0)["usage"]} >= {busy, other}
    for id, uid in ((busy, USER), (other, OTHER)):
        call(daemon, "Stop", {"id": id, "timeoutUSec": 0}, uid)
    with pytest.raises(varlink.VarlinkError, match="SessionExited"):
        call(daemon, "Statistics", {"id": busy})


def test_paused_nothing_runs_and_stop_ends_it_all_the_same(daemon):
    id = detach(daemon, "sh", "-c", "while :; do :; done")
    call(daemon, "Pause", {"id": id})
    assert until(lambda: call(daemon, "List", {"id": id})["sessions"][0]["state"] == "paused")
    used = [call(daemon, "Statistics", {"id": id})["usage"][0]["cpuUSec"] for _ in range(2) if not time.sleep(0.3)]
    assert used[1] - used[0] < 20_000
    call(daemon, "Stop", {"id": id})
    assert wait(daemon, id)["cause"] == "stopped"
