"""Whoever calls may go at any moment: in the middle of any message, at any state of a session. What was not asked for as a
whole does not happen, and nothing is left running that should not be."""

import contextlib
import json
import os
import secrets

import pytest

import harness
import varlink
from harness import USER, until
from live import call, detach, wait

SESSION = "org.nsroot.session."
STEP = 1 if int(os.environ.get("NSROOT_TEST_RUNS", "1000")) >= 1000 else 7


@pytest.fixture(scope="module")
def daemon(build):
    """One of this file's own: ended sessions are remembered, with descriptors, which other files count."""
    d = harness.Daemon(build)
    yield d
    d.close()


def parameters(id):
    """A good call of every method of the interface, of those that change something one that would."""
    return {
        "Run": {"arguments": ["sleep", "600"]},
        "Run detached": {"arguments": ["sleep", "600"], "detached": True},
        "Exec": {"id": id, "arguments": ["sleep", "600"]},
        "Attach": {"id": id},
        "Resize": {"id": id, "columns": 90, "rows": 30},
        "List": {"id": id},
        "Subscribe": {},
        "Logs": {"id": id, "follow": True},
        "Describe": {},
        "Statistics": {"id": id},
        "Signal": {"id": id, "signal": "KILL"},
        "Pause": {"id": id},
        "Resume": {"id": id},
        "Stop": {"id": id, "timeoutUSec": 0},
        "Wait": {"id": id},
    }


METHODS = list(parameters(""))


def message(method, id):
    name = method.split()[0]
    return varlink.message(SESSION + name, parameters(id)[method], more=name in ("Run", "Exec", "Subscribe", "Logs", "Wait"))


@pytest.fixture
def session(daemon):
    id = detach(daemon, "sh", "-c", "while :; do sleep 1; done", terminal=True)
    yield id
    call(daemon, "Stop", {"id": id, "timeoutUSec": 0})


def end_all(daemon):
    """Those that have not ended meanwhile: of callers who were gone before they were answered."""
    for s in daemon.sessions():
        with contextlib.suppress(varlink.VarlinkError):
            call(daemon, "Stop", {"id": s["id"], "timeoutUSec": 0}, 0)


def test_every_method_is_in_the_table(daemon):
    text = daemon.call("org.varlink.service.GetInterfaceDescription",
                       {"interface": "org.nsroot.session"})["parameters"]["description"]
    names = {line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("method ")}
    assert names == {m.split()[0] for m in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_at_every_byte_of_its_message(daemon, session, method):
    """Up to the last but one: without its NUL it was never sent."""
    data = message(method, session)
    reader, writer = os.pipe()
    for n in range(0, len(data), STEP):
        with varlink.Connection(daemon.socket, USER) as c:
            c.send(data[:n], [reader] if n else [])
    os.close(reader)
    os.close(writer)
    assert [s["id"] for s in daemon.sessions() if s["state"] == "running"] == [session]
    assert until(lambda: len(daemon.commands("sleep")) <= 1 and not daemon.commands("nsroot-keeper"))
    assert call(daemon, "List", {"id": session})["sessions"][0]["state"] == "running"


@pytest.mark.parametrize("method", METHODS)
def test_right_after_its_message(daemon, method):
    """It may have been done, or not: but no command of a caller who is gone runs on, and the daemon is as before."""
    for i in range(20):
        id = detach(daemon, "sh", "-c", "while :; do sleep 1; done", terminal=True)
        with varlink.Connection(daemon.socket, USER) as c:
            c.send(message(method, id))
        with varlink.Connection(daemon.socket, USER) as c:
            c.send(message(method, id))
            c.socket.shutdown(1)
            os.sched_yield()
        assert until(lambda: not daemon.commands("nsroot-keeper"))
        mine = [s["id"] for s in daemon.sessions() if s["id"] != id and s["state"] in ("starting", "running")]
        if method != "Run detached":  # that one may have been answered
            assert until(lambda: [s["id"] for s in daemon.sessions()
                                  if s["id"] != id and s["state"] in ("starting", "running")] == []), (i, mine)
        end_all(daemon)
    assert until(lambda: not daemon.processes())


STATES = {
    "running": lambda daemon, id: None,
    "paused": lambda daemon, id: call(daemon, "Pause", {"id": id}),
    "stopping": lambda daemon, id: stop_slowly(daemon, id),
    "exited": lambda daemon, id: call(daemon, "Stop", {"id": id, "timeoutUSec": 0}),
}


def stop_slowly(daemon, id):
    with varlink.Connection(daemon.socket, USER) as c:
        c.send(varlink.message(SESSION + "Stop", {"id": id, "timeoutUSec": 600_000_000}))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("method", METHODS)
def test_at_every_state_of_a_session(daemon, method, state):
    id = detach(daemon, "sh", "-c", "trap '' TERM; while :; do sleep 1; done", terminal=True)
    STATES[state](daemon, id)
    for _ in range(5):
        with varlink.Connection(daemon.socket, USER) as c:
            c.send(message(method, id))
            if secrets.randbelow(2):
                with_reply(c)
    end_all(daemon)
    assert until(lambda: not daemon.processes()), daemon.processes()
    assert wait(daemon, id)["cause"] in ("stopped", "signaled")


def with_reply(c):
    c.socket.settimeout(0.2)
    try:
        c.receive()
    except (TimeoutError, varlink.Closed, json.JSONDecodeError):
        pass


def kept(daemon):
    """The descriptors of detached sessions that have ended and are remembered: one each, for what they have printed."""
    return sum(s["detached"] for s in daemon.call(SESSION + "List", {"all": True})["parameters"]["sessions"])


def others(daemon):
    return daemon.fd_count() - kept(daemon)


def settled(daemon):
    """How many others there are when there have been as many for a moment."""
    seen = []
    assert until(lambda: seen.append(others(daemon)) or len(seen) >= 10 and len(set(seen[-10:])) == 1), seen
    return seen[-1]


def test_the_descriptors_are_back(daemon):
    """After all of the above, in one daemon: nothing has been kept for callers who are gone."""
    end_all(daemon)
    before = settled(daemon)
    for method in METHODS:
        id = detach(daemon, "sleep", "600", terminal=True)
        for _ in range(10):
            with varlink.Connection(daemon.socket, USER) as c:
                c.send(message(method, id))
        end_all(daemon)
    assert until(lambda: others(daemon) <= before), (daemon.fd_count(), kept(daemon), before)
