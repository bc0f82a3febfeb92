"""A real terminal for tests: a pty whose slave is some program's controlling terminal, as an ordinary user's login has.

Knows ptys and how to wait for what a program writes. Knows nothing of nsrootd.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time


class Terminal:
    """argv runs as a session leader with this terminal; the test holds the master (a person) and a slave (to look)."""

    def __init__(self, argv, user, env, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        os.fchown(self.slave, user.uid, -1)
        self.before = termios.tcgetattr(self.slave)
        self.output = bytearray()
        self.seen = 0  # how much of the output an expect() has already matched
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            self._exec(argv, user, env)

    def _exec(self, argv, user, env):
        try:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(self.slave, fd)
            os.closerange(3, 1024)
            user.become()
            os.chdir("/")
            os.execve(argv[0], argv, env)
        finally:
            os._exit(120)

    def resize(self, rows, columns):
        """As when a person drags the window: the kernel tells the foreground process group."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def echoes(self):
        return bool(self.settings()[3] & termios.ECHO)

    def foreground(self):
        """The process group that gets ^C."""
        return struct.unpack("i", fcntl.ioctl(self.master, termios.TIOCGPGRP, b"\0" * 4))[0]

    def send(self, data, timeout=60):
        """Types data, and goes on reading meanwhile: a terminal whose output nobody reads takes no input either."""
        data = memoryview(data.encode() if isinstance(data, str) else data)
        deadline = time.monotonic() + timeout
        while data:
            readable, writable, _ = select.select([self.master], [self.master], [], deadline - time.monotonic())
            assert readable or writable, self.failure("takes no more input")
            if readable:
                self._read()
            if writable:  # a pty says writable when it has room for less than a page: write a little
                data = data[os.write(self.master, data[:256]):]

    def line(self, text):
        self.send(text + "\r")

    def expect(self, pattern, timeout=30):
        """Waits until the output that nothing has matched yet has pattern; the match."""
        pattern = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.DOTALL)
        deadline = time.monotonic() + timeout
        while True:
            match = pattern.search(self.output, self.seen)
            if match:
                self.seen = match.end()
                return match
            assert self._wait(deadline), self.failure(f"does not show {pattern.pattern}")
            self._read()

    def _wait(self, deadline):
        return select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]

    def _read(self):
        with contextlib.suppress(OSError):
            self.output += os.read(self.master, 65536)

    def wait(self, timeout=30):
        """Reads on until the program has ended; its status as subprocess gives it."""
        deadline = time.monotonic() + timeout
        while self.status is None:
            if self._wait(time.monotonic() + 0.02):
                self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            assert self.status is not None or time.monotonic() < deadline, self.failure("does not end")
        while self._wait(time.monotonic()):
            self._read()
        return self.status

    def failure(self, what):
        return f"the terminal {what}; since the last match: {bytes(self.output[self.seen:])[-2000:]!r}"

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)
        os.close(self.slave)
