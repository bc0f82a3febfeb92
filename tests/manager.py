"""A service manager for one nsrootd: what systemd does for the daemon's life, at native speed and under sanitizers.

Listens in the daemon's place, keeps what it is given to keep (sd_notify(3): FDSTORE=1), and hands all of it to the next
daemon. That systemd itself does so is what tests/system shows. Knows nothing of what is kept.
"""

import array
import contextlib
import fcntl
import os
import pathlib
import secrets
import select
import signal
import socket
import subprocess
import threading

import harness
from harness import until

FDS_MAX = 253  # of one message: SCM_MAX_FD of the kernel
# Each daemon has ids of its own, for 512 sessions; also beside those of the tests that run at the same time.
ID_FIRST, ID_ROOM, ID_SLOTS = 1 << 24, 512 << 16, 6
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8


class ManagedDaemon(harness.Daemon):
    """As harness.Daemon, started by socket activation and with a descriptor store."""

    def __init__(self, build, config_text="", **kw):
        self.first_id = ID_FIRST + (WORKER * ID_SLOTS + secrets.randbelow(ID_SLOTS)) * ID_ROOM
        self.store = []  # (name, descriptor), in the order they came
        self.lock = threading.Lock()
        self.listener = None
        ids = f"[Sessions]\nIdRangeFirst={self.first_id}\nIdRangeLast={self.first_id + ID_ROOM - 1}\n"
        super().__init__(build, ids + config_text, **{**kw, "start": False})
        self.notify_path = self.directory / "notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.notify_path))
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        os.chmod(self.socket, 0o666)
        self.listener.listen(4096)
        threading.Thread(target=self._receive, daemon=True).start()
        if kw.get("start", True):
            self.start()

    def command(self):
        command = super().command()
        at = command.index("--listen")
        return command[:at] + command[at + 2:]

    def launch(self):
        self._drain()
        with self.lock:
            passed = [("varlink", self.listener.fileno()), *self.store]
            names = ":".join(name for name, _ in passed)
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": str(self.notify_path),
                           "NSROOTD_INIT_PATH": str(self.build.init), "NSROOTD_FETCH_PATH": str(self.build.fetch),
                           "LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": names,
                           **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **self.environment}
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self.command()], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True, close_fds=False,
                    preexec_fn=lambda: pass_on([fd for _, fd in passed]))
        return self

    def restart(self, kill=False):
        """Ends the daemon, by SIGTERM or SIGKILL, and starts the next one, which need not be ready."""
        if kill:
            self.kill()
        else:  # before it has said what is to happen then, SIGTERM kills it
            assert super().stop() in (0, -signal.SIGTERM), self.log_text()
        return self.launch()

    def drop_store(self):
        """As systemd does when the unit is stopped."""
        self._drain()
        with self.lock:
            for _, fd in self.store:
                os.close(fd)
            self.store = []

    def stored(self, name=None):
        """How many descriptors are kept, in all or under a name."""
        self._drain()
        with self.lock:
            return sum(1 for n, _ in self.store if name in (None, n))

    def inside(self):
        """All processes of its sessions, also of those whose daemon is gone: by the ids that only they have."""
        return [pid for pid in harness.process_table()
                if self.first_id <= first_id_of(pid) < self.first_id + ID_ROOM]

    def inits(self):
        """Those of them that are the first of a session."""
        return [pid for pid in self.inside() if is_first(pid)]

    def keep(self, name, fd):
        """Puts a descriptor of the test's own into the store; a copy of it."""
        with self.lock:
            self.store.append((name, os.dup(fd)))

    def take(self, name):
        """Takes all that is kept under a name; the caller's."""
        self._drain()
        with self.lock:
            taken = [fd for n, fd in self.store if n == name]
            self.store = [(n, fd) for n, fd in self.store if n != name]
        return taken

    def close(self):
        try:
            if self.alive():
                assert until(self.answers) and super().stop() == 0, self.log_text()
            self.drop_store()
            self.check_log()
        finally:
            self.listener.close()
            self.notify.close()
            super().close()

    def _receive(self):
        with contextlib.suppress(OSError, ValueError):  # closed, at the end
            while True:
                select.select([self.notify], [], [])
                self._drain()

    def _drain(self):
        """All that the daemon has said so far, also one that has ended: as systemd does before it sees that it has."""
        with self.lock, contextlib.suppress(BlockingIOError):
            while True:
                text, ancillary, _, _ = self.notify.recvmsg(65536, socket.CMSG_SPACE(4 * FDS_MAX), socket.MSG_DONTWAIT)
                self._on_message(dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line),
                                 received(ancillary))

    def _on_message(self, message, fds):
        name = message.get("FDNAME", "stored")
        if message.get("FDSTORE") == "1":
            assert message.get("FDPOLL") == "0", "or what a session has said last would be lost"
            self.store += [(name, fd) for fd in fds]
        elif message.get("FDSTOREREMOVE") == "1":
            for n, fd in self.store:
                if n == name:
                    os.close(fd)
            self.store = [(n, fd) for n, fd in self.store if n != name]
        else:
            for fd in fds:
                os.close(fd)


def received(ancillary):
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    for fd in fds:
        os.set_inheritable(fd, False)
    return list(fds)


def pass_on(fds):
    """In the new process: these become 3, 4, 5 and so on."""
    above = 3 + len(fds)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i, inheritable=True)


def first_id_of(pid):
    """The first of the host's uids that a process's user namespace has; 0 where it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return int(pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()[1])
    return 0


def is_first(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return line.split()[-1] == "1"
    return False
