"""A Varlink client of raw bytes: it sends what it is told, right or wrong, and shows what comes back, with descriptors."""
import array
import contextlib
import json
import os
import socket

import harness


class Closed(Exception):
    """The other side closed the connection before a whole message came."""


class VarlinkError(Exception):
    """A reply that is an error."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


def message(method, parameters=None, **flags):
    """The bytes of a call, with its NUL."""
    call = {"method": method, **flags}
    if parameters is not None:
        call["parameters"] = parameters
    return json.dumps(call).encode() + b"\0"


class Connection:
    """One connection, as uid says (None: as the tests run); timeout is in seconds, for each wait."""

    def __init__(self, path, uid=None, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(timeout)
        with contextlib.nullcontext() if uid is None else harness.effective(uid):
            self.socket.connect(str(path))
        self.received = b""
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.socket.close()

    def send(self, data, fds=()):
        """Sends raw bytes, all of them; the descriptors go with the first."""
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self.socket.sendmsg([data], rights)
            data = data[sent:]
        if data:
            self.socket.sendall(data)

    def send_call(self, method, parameters=None, fds=(), **flags):
        self.send(message(method, parameters, **flags), fds)

    def receive_bytes(self):
        """The bytes of one message, without its NUL; its descriptors are added to self.fds. Raises Closed."""
        while b"\0" not in self.received:
            room = socket.CMSG_SPACE(253 * 4)
            try:
                data, ancillary, _, _ = self.socket.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
            except (ConnectionResetError, BrokenPipeError):
                data, ancillary = b"", []
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    rights = array.array("i")
                    rights.frombytes(content[:len(content) - len(content) % rights.itemsize])
                    self.fds += rights
            if not data:
                raise Closed(self.received)
            self.received += data
        text, self.received = self.received.split(b"\0", 1)
        return text

    def receive(self):
        """One reply as it is: a dict."""
        return json.loads(self.receive_bytes())

    def call(self, method, parameters=None, fds=(), **flags):
        """The parameters of the one reply; raises VarlinkError for an error."""
        self.send_call(method, parameters, fds, **flags)
        return parameters_of(self.receive())

    def stream(self, method, parameters=None, fds=(), **flags):
        """The parameters of each reply of a call with `more`, to its end."""
        self.send_call(method, parameters, fds, more=True, **flags)
        continues = True
        while continues:
            reply = self.receive()
            continues = reply.get("continues", False)
            yield parameters_of(reply)

    def is_closed(self):
        """Waits until the other side closes (True) or sends something more (False)."""
        try:
            self.receive_bytes()
        except Closed as e:
            assert e.args[0] == b"", f"closed in the middle of a message: {e.args[0]!r}"
            return True
        return False


def parameters_of(reply):
    if "error" in reply:
        raise VarlinkError(reply["error"], reply["parameters"])
    return reply["parameters"]


def call(path, method, parameters=None, fds=(), uid=None):
    """One call on a connection of its own."""
    with Connection(path, uid) as connection:
        return connection.call(method, parameters, fds)
