"""A stand-in for nsrootd, so that the client can be shown what the real one does rarely or never: every error, silence,
garbage, a lost connection. Its Run and Exec start plain processes, without any isolation, on the descriptors that were
lent; they live on when it goes away, and it knows them when it comes back.

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
COMMAND = "c1"


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
    """handlers: {method: function(peer, parameters)}; what has none is answered with {}, but for Run, Exec, Signal and
    Wait."""

    def __init__(self, path, handlers=None, on_accept=None):
        self.path = str(path)
        self.handlers = {SESSION + "Run": self.run, SESSION + "Exec": self.exec, SESSION + "Signal": self.signal,
                         SESSION + "Wait": self.wait, **(handlers or {})}
        self.on_accept = on_accept
        self.calls = []  # (method, parameters), in the order they came
        self.lent = {}   # of the last Run: {parameter: (its stat_result, whether it blocks)}
        self.process = None
        self.delay = 0   # seconds between the start of a process and the reply that says so
        self.peers = set()
        self.here = threading.Event()  # else who connects is not served: only the socket is there
        self.socket = None
        self.come_back()

    def come_back(self):
        """Listens, if it does not, and serves."""
        self.here.set()
        if self.socket:
            return
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.listen(16)
        threading.Thread(target=self._accept, args=(self.socket,), daemon=True).start()

    def go_away(self, socket_stays=False):
        """All connections are lost, as when it is killed. The socket stays where a service manager has it."""
        self.here.clear()
        if not socket_stays:
            self._close_socket()
            os.unlink(self.path)
        for peer in list(self.peers):
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)

    def _close_socket(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.socket = None

    def close(self):
        if self.socket:
            self._close_socket()
        self.here.set()
        if self.process and self.process.poll() is None:
            self.process.kill()

    def asked(self, method):
        """The parameters of every call of this method of org.nsroot.session."""
        return [parameters for name, parameters in self.calls if name == SESSION + method]

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Peer(connection),), daemon=True).start()

    def _serve(self, peer):
        self.here.wait()
        self.peers.add(peer)
        with contextlib.suppress(OSError):
            if self.on_accept:
                self.on_accept(peer)
            while not self.on_accept and (call := peer.receive()) is not None:
                self.calls.append((call["method"], call.get("parameters", {})))
                handler = self.handlers.get(call["method"], lambda peer, _: peer.reply())
                handler(peer, call.get("parameters", {}))
        self.peers.discard(peer)
        peer.close()

    # -- a session that is none

    def run(self, peer, parameters):
        if parameters.get("detached"):
            self._start(peer, parameters)
            peer.close_fds()
            peer.reply({"session": session(detached=True, terminal=parameters.get("terminal", False))})
            return
        self._foreground(peer, parameters, {"session": session()},
                         lambda result: {"session": session(state="exited", result=result)})

    def exec(self, peer, parameters):
        self._foreground(peer, parameters, {"command": COMMAND}, lambda result: {"command": COMMAND, "result": result})

    def _start(self, peer, parameters):
        """Sets self.process; the master of its terminal, if it has one, and the lifeline."""
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
        return master, slave, os.dup(lent["lifeline"]) if "lifeline" in lent else None

    def _foreground(self, peer, parameters, first, last):
        master, slave, lifeline = self._start(peer, parameters)
        peer.close_fds()
        threading.Thread(target=self._watch, args=(lifeline, self.process), daemon=True).start()
        time.sleep(self.delay)
        if slave is not None:
            os.close(slave)
            peer.reply({**first, "ptyFileDescriptor": 0}, fds=[master], continues=True)
            os.close(master)
        else:
            peer.reply(first, continues=True)
        peer.reply(last(self.result()))

    def result(self):
        """Of the process, once it has ended."""
        status = self.process.wait()
        return {"cause": "exited", "code": status} if status >= 0 else \
            {"cause": "signaled", "signal": signal.Signals(-status).name}

    def wait(self, peer, parameters):
        peer.reply({"result": self.result()})

    def _watch(self, lifeline, process):
        """As an init: nobody has its lifeline any more when it is gone."""
        while process.poll() is None and not select.select([lifeline], [], [], 0.02)[0]:
            pass
        os.close(lifeline)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)

    def signal(self, peer, parameters):
        """SIGTSTP does not stop an orphaned process group, which is what this one is."""
        name = "SIGSTOP" if parameters["signal"] == "SIGTSTP" else parameters["signal"]
        os.killpg(self.process.pid, getattr(signal, name))
        peer.reply()
