"""Callers of the methods of sessions that live on, at the protocol's level, as an ordinary uid. Knows the interface; knows
nothing of how daemons are started."""

import base64
import contextlib
import os

import pytest

import varlink
from harness import USER

SESSION = "org.nsroot.session."


def call(daemon, method, parameters=None, uid=USER, timeout=60):
    with varlink.Connection(daemon.socket, uid, timeout=timeout) as c:
        return c.call(SESSION + method, parameters or {})


def detach(daemon, *arguments, uid=USER, **parameters):
    """Its id."""
    return call(daemon, "Run", {"arguments": list(arguments), "detached": True, **parameters}, uid)["session"]["id"]


@pytest.fixture
def detached(daemon):
    """detached(*arguments, **parameters) is one that is ended afterwards; its id."""
    ids = []

    def make(*arguments, **parameters):
        ids.append(detach(daemon, *arguments, **parameters))
        return ids[-1]
    yield make
    for id in ids:
        with contextlib.suppress(varlink.VarlinkError):  # it has ended
            call(daemon, "Stop", {"id": id, "timeoutUSec": 0})


def wait(daemon, id, uid=USER, **more):
    return call(daemon, "Wait", {"id": id, **more}, uid, 120)["result"]


def records(daemon, id, uid=USER):
    return call(daemon, "Logs", {"id": id}, uid)["records"]


def text_of(records, stream=None):
    return b"".join(base64.b64decode(r["dataBase64"]) for r in records if stream in (None, r["stream"])).decode()


class Command:
    """One Exec, with what it printed on a pipe and a lifeline of its own."""

    def __init__(self, daemon, session, *arguments, uid=USER, lifeline=True, **parameters):
        self.output, writer = os.pipe()
        fds, self.lifeline = [writer], None
        parameters |= {"id": session, "arguments": list(arguments), "standardOutputFileDescriptor": 0}
        if lifeline:
            reader, self.lifeline = os.pipe()
            fds.append(reader)
            parameters["lifelineFileDescriptor"] = 1
        self.connection = varlink.Connection(daemon.socket, uid, timeout=120)
        self.connection.send_call(SESSION + "Exec", parameters, fds, more=True)
        for fd in fds:
            os.close(fd)

    def started(self):
        """Waits for it; its id."""
        self.id = varlink.parameters_of(self.connection.receive())["command"]
        return self.id

    def result(self):
        return varlink.parameters_of(self.connection.receive())["result"]

    def let_go(self):
        """As when its client is killed."""
        self.connection.close()
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def close(self):
        self.let_go()
        with contextlib.suppress(OSError):
            os.close(self.output)
