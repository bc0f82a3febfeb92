"""A stand-in for nsrootd, so that the client can be shown what the real one does rarely or never: every error, silence,
garbage, a lost connection. Its Run starts a plain process, without any isolation, on the descriptors that were lent.

Knows the protocol, and keeps what it was asked in self.calls. Knows nothing of the client.
"""

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import termios
import threading
import time

SESSION = "org.nsroot.session."
ID = "abcdefghijkl"


def session(**more):
    return {"id": ID, "root": "busybox", "ownerUid": 2001, "state": "running", "arguments": ["sh"], "hostname": "h",
            "network": "none", "readOnly": False, "terminal": False, "detached": False, **more}


class Peer:
    """One connection, seen from the server."""

    def __init__(self, sock):
        self.socket = sock
        self.fds = []

    def receive(self):
        """One call, or None at the end. Its descriptors replace those of the call before."""
        message = bytearray()
        while not message.endswith(b"\0"):
            part, ancillary, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
            for _, _, content in ancillary:
                self.close_fds()
                self.fds = list(array.array("i", content))
            if not part:
                return None
            message += part
        return json.loads(message[:-1])

    def send_bytes(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], ancillary)

    def reply(self, parameters=None, fds=(), **more):
        self.send_bytes(json.dumps({"parameters": parameters or {}, **more}).encode() + b"\0", fds)

    def error(self, error, **parameters):
        self.reply(parameters, error=error)

    def close_fds(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def close(self):
        self.close_fds()
        self.socket.close()


class Fake:
    """handlers: {method: function(peer, parameters)}; what has none is answered with {} but for Run and Signal."""

    def __init__(self, path, handlers=None, on_accept=None):
        self.path = str(path)
        self.handlers = {SESSION + "Run": self.run, SESSION + "Signal": self.signal, **(handlers or {})}
        self.on_accept = on_accept
        self.calls = []  # (method, parameters), in the order they came
        self.lent = {}   # of the last Run: {parameter: (its stat_result, whether it blocks)}
        self.process = None
        self.delay = 0   # seconds between the start of a process and the reply that says so
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self.process and self.process.poll() is None:
            self.process.kill()

    def asked(self, method):
        """The parameters of every call of this method of org.nsroot.session."""
        return [parameters for name, parameters in self.calls if name == SESSION + method]

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Peer(connection),), daemon=True).start()

    def _serve(self, peer):
        with contextlib.suppress(OSError):
            if self.on_accept:
                self.on_accept(peer)
            while not self.on_accept and (call := peer.receive()) is not None:
                self.calls.append((call["method"], call.get("parameters", {})))
                handler = self.handlers.get(call["method"], lambda peer, _: peer.reply())
                handler(peer, call.get("parameters", {}))
        peer.close()

    # -- a session that is none

    def run(self, peer, parameters):
        lent = {key[:-len("FileDescriptor")]: peer.fds[index] for key, index in parameters.items()
                if key.endswith("FileDescriptor")}
        self.lent = {key: (os.fstat(fd), os.get_blocking(fd)) for key, fd in lent.items()}
        master = slave = None
        if parameters.get("terminal"):
            master, slave = os.openpty()
            termios.tcsetwinsize(slave, (parameters.get("rows", 0), parameters.get("columns", 0)))
        standard = [lent.get(f"standard{name}", slave if slave is not None else subprocess.DEVNULL)
                    for name in ("Input", "Output", "Error")]
        self.process = subprocess.Popen(
            parameters.get("arguments", ["sh"]), stdin=standard[0], stdout=standard[1], stderr=standard[2],
            start_new_session=True, cwd="/",
            preexec_fn=slave and (lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0)))
        lifeline = os.dup(lent["lifeline"])
        peer.close_fds()
        threading.Thread(target=self._watch, args=(lifeline, self.process), daemon=True).start()
        time.sleep(self.delay)
        if slave is not None:
            os.close(slave)
            peer.reply({"session": session(), "ptyFileDescriptor": 0}, fds=[master], continues=True)
            os.close(master)
        else:
            peer.reply({"session": session()}, continues=True)
        status = self.process.wait()
        result = {"cause": "exited", "code": status} if status >= 0 else \
            {"cause": "signaled", "signal": signal.Signals(-status).name}
        peer.reply({"session": session(state="exited", result=result)})

    def _watch(self, lifeline, process):
        select.select([lifeline], [], [])
        os.close(lifeline)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)

    def signal(self, peer, parameters):
        """SIGTSTP does not stop an orphaned process group, which is what this one is."""
        name = "SIGSTOP" if parameters["signal"] == "SIGTSTP" else parameters["signal"]
        os.killpg(self.process.pid, getattr(signal, name))
        peer.reply()
