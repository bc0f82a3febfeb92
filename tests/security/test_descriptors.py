"""Lent descriptors: only the kinds that stdio may be are taken, and every one comes back as it was."""

import array
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import socket
import stat
import tempfile
import time

import pytest

import harness
from fuse import silent_file
from harness import USER, until

SLOTS = ["standardInputFileDescriptor", "standardOutputFileDescriptor", "standardErrorFileDescriptor"]
BAD = "org.nsroot.session.BadFileDescriptor"
libc = ctypes.CDLL(None, use_errno=True)


def checked(fd):
    if fd < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return fd


@pytest.fixture
def place():
    """A directory of the test's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield pathlib.Path(directory)


def file_of(place, flags=os.O_RDWR):
    path = place / "file"
    path.write_bytes(b"content\n")
    return os.open(path, flags)


def node(place, kind, major, minor, flags=os.O_RDWR):
    path = place / "node"
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    return os.open(path, flags)


def reader(_):
    r, w = os.pipe()
    os.close(w)
    return r


def writer(_):
    r, w = os.pipe()
    os.close(r)
    return w


def pseudoterminal(side):
    master, slave = os.openpty()
    os.close((slave, master)[side])
    return (master, slave)[side]


def message_queue(_):
    name = b"/nsroot-test"
    fd = checked(libc.syscall(240, name[1:], os.O_RDWR | os.O_CREAT, 0o600, None))  # mq_open
    libc.syscall(241, name[1:])
    return fd


def path_only(path, flags=0):
    return lambda place: os.open(path, os.O_PATH | flags)


def opened(path, flags=os.O_RDONLY):
    return lambda place: os.open(path, flags)


def packet(_):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).detach()


# Refused in every place.
ODD = {
    "directory": opened("/", os.O_RDONLY | os.O_DIRECTORY),
    "directory of its own": lambda place: os.open(place, os.O_RDONLY | os.O_DIRECTORY),
    "path of a directory": path_only("/"),
    "path of a file": path_only("/etc/passwd"),
    "path of null": path_only("/dev/null"),
    "path of a link": path_only("/proc/self/exe", os.O_NOFOLLOW),
    "block device": lambda place: node(place, stat.S_IFBLK, 7, 0, os.O_RDONLY),
    "kmsg": opened("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK),
    "kmsg under another name": lambda place: node(place, stat.S_IFCHR, 1, 11),
    "fuse": opened("/dev/fuse", os.O_RDWR),
    "tun": opened("/dev/net/tun", os.O_RDWR),
    "terminal's master": lambda place: pseudoterminal(0),
    "terminal": lambda place: pseudoterminal(1),
    "ptmx": opened("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
    "namespace": opened("/proc/self/ns/net"),
    "user namespace": opened("/proc/self/ns/user"),
    "epoll": lambda place: checked(libc.epoll_create1(0)),
    "eventfd": lambda place: checked(libc.eventfd(0, 0)),
    "timerfd": lambda place: checked(libc.timerfd_create(1, 0)),
    "inotify": lambda place: checked(libc.inotify_init1(0)),
    "signalfd": lambda place: checked(libc.signalfd(-1, bytes(128), 0)),
    "pidfd": lambda place: os.pidfd_open(os.getpid()),
    "userfaultfd": lambda place: checked(libc.syscall(323, 1)),
    "mount context": lambda place: checked(libc.syscall(430, b"tmpfs", 0)),  # fsopen
    "mounted tree": lambda place: checked(libc.syscall(428, -100, b"/", 1)),  # open_tree, a clone
}
# The right kind the wrong way round: {name: (maker, the places where it is wrong)}.
WRONG_WAY = {
    "write end": (writer, [0]),
    "read end": (reader, [1, 2]),
    "file for writing": (lambda place: file_of(place, os.O_WRONLY), [0]),
    "file for reading": (lambda place: file_of(place, os.O_RDONLY), [1, 2]),
    "null for writing": (opened("/dev/null", os.O_WRONLY), [0]),
    "null for reading": (opened("/dev/null"), [1, 2]),
}
GOOD = {
    "file": (file_of, [0, 1, 2]),
    "null": (opened("/dev/null", os.O_RDWR), [0, 1, 2]),
    "zero": (opened("/dev/zero", os.O_RDWR), [0, 1, 2]),
    "full": (opened("/dev/full", os.O_RDWR), [0, 1, 2]),
    "random": (opened("/dev/random"), [0]),
    "urandom": (opened("/dev/urandom"), [0]),
    "read end": (reader, [0]),
    "write end": (writer, [1, 2]),
    "file of the kernel": (opened("/proc/self/status"), [0]),
    "file without a name": (lambda place: os.memfd_create("x"), [0, 1, 2]),
    "stream socket": (lambda place: socket.socketpair()[0].detach(), [0, 1, 2]),
}


def make(maker, place):
    try:
        return maker(place)
    except (OSError, AttributeError) as e:
        pytest.skip(f"not to be had on this machine: {e}")


def send_run(daemon, parameters, fds, uid=USER):
    """The connection, with a Run sent over it whose descriptors these are."""
    s = daemon.connect(uid)
    text = json.dumps({"method": "org.nsroot.session.Run", "more": True, "parameters": parameters}).encode() + b"\0"
    s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    return s


def last_reply(s):
    while True:
        reply = harness.receive(s)
        assert reply is not None, "the connection was closed"
        if not reply.get("continues"):
            return reply


def run_with(daemon, slot, fd, arguments=("true",)):
    """The last reply to a Run that lends fd in one place."""
    with send_run(daemon, {"arguments": list(arguments), SLOTS[slot]: 0}, [fd]) as s:
        return last_reply(s)


def seen_from_outside(fd):
    s = os.fstat(fd)
    with contextlib.suppress(OSError):
        return s[:7], s.st_rdev, fcntl.fcntl(fd, fcntl.F_GETFL)
    return s[:7], s.st_rdev


@pytest.mark.parametrize("slot", [0, 1, 2])
@pytest.mark.parametrize("name", ODD)
def test_odd_kinds_are_refused(daemon, place, name, slot):
    fd = make(ODD[name], place)
    before = seen_from_outside(fd)
    try:
        reply = run_with(daemon, slot, fd)
        assert reply.get("error") == BAD, reply
        assert reply["parameters"]["parameter"] == SLOTS[slot]
        assert reply["parameters"]["reason"]
        assert seen_from_outside(fd) == before
    finally:
        os.close(fd)


@pytest.mark.parametrize("name, slot", [(n, s) for n, (_, slots) in WRONG_WAY.items() for s in slots])
def test_the_wrong_way_round_is_refused(daemon, place, name, slot):
    fd = make(WRONG_WAY[name][0], place)
    try:
        reply = run_with(daemon, slot, fd)
        assert (reply.get("error"), reply["parameters"].get("parameter")) == (BAD, SLOTS[slot])
    finally:
        os.close(fd)


@pytest.mark.parametrize("name, slot", [(n, s) for n, (_, slots) in GOOD.items() for s in slots])
def test_what_stdio_may_be_is_taken_and_comes_back_unchanged(daemon, place, name, slot):
    fd = make(GOOD[name][0], place)
    before = seen_from_outside(fd)
    null = os.stat("/dev/null")
    try:
        reply = run_with(daemon, slot, fd)
        assert reply["parameters"]["session"]["result"]["code"] == 0, reply
        assert seen_from_outside(fd) == before
        assert os.stat("/dev/null") == null
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["directory", "path of null", "terminal", "epoll", "namespace"])
def test_odd_lifelines_are_refused(daemon, place, name):
    fd = make(ODD[name], place)
    try:
        with send_run(daemon, {"arguments": ["true"], "lifelineFileDescriptor": 0}, [fd]) as s:
            reply = harness.receive(s)
        assert (reply.get("error"), reply["parameters"].get("parameter")) == (BAD, "lifelineFileDescriptor")
    finally:
        os.close(fd)


@pytest.mark.parametrize("index", [-1, 1, 2, 63, 64, 1 << 31, 1 << 62])
def test_an_index_of_nothing_is_an_error(daemon, index):
    with send_run(daemon, {"arguments": ["true"], SLOTS[0]: index}, [0]) as s:
        reply = harness.receive(s)
    assert reply["error"] in (BAD, "org.varlink.service.InvalidParameter"), reply


def settled_count(daemon):
    """How many descriptors the daemon has when nobody is with it, and it has forgotten who was."""
    assert daemon.run("true").returncode == 0
    assert until(lambda: not daemon.processes(), 10)
    counts = []
    assert until(lambda: counts.append(daemon.fd_count()) or len(set(counts[-5:])) == 1 and len(counts) >= 5, 10)
    return counts[-1]


def test_refused_descriptors_are_closed(daemon, place):
    before = settled_count(daemon)
    for maker in (ODD["directory"], ODD["path of null"], ODD["epoll"]):
        fd = make(maker, place)
        for _ in range(20):
            run_with(daemon, 0, fd)
        os.close(fd)
    assert until(lambda: daemon.fd_count() == before, 10), (daemon.fd_count(), before)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 16, 64])
def test_more_descriptors_than_are_used_are_closed(daemon, n):
    before = settled_count(daemon)
    for _ in range(50):
        with contextlib.suppress(OSError), send_run(daemon, {"arguments": ["true"]}, [0] * n) as s:
            while (harness.receive(s) or {}).get("continues"):
                pass
    assert until(lambda: daemon.fd_count() == before, 10), (daemon.fd_count(), before)


def test_a_full_pipe_holds_nobody_else(daemon, place):
    """A command that cannot write waits; the daemon does not."""
    r, w = os.pipe()
    os.set_blocking(w, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(w, b"x" * 4096)
    os.set_blocking(w, True)
    try:
        with send_run(daemon, {"arguments": ["yes"], SLOTS[1]: 0}, [w]) as s:
            assert harness.receive(s)["continues"]
            start = time.monotonic()
            assert daemon.run("echo", "served").stdout == "served\n"
            assert time.monotonic() - start < 10
    finally:
        os.close(r)
        os.close(w)


@pytest.mark.parametrize("slot", SLOTS + ["lifelineFileDescriptor"])
def test_a_file_whose_server_is_silent_holds_nobody_else(fresh_daemon, place, slot):
    """A filesystem in user space that never answers again: neither looking at the file nor closing it may wait."""
    daemon = fresh_daemon()
    assert daemon.run("true").returncode == 0
    with silent_file(place) as fd, send_run(daemon, {"arguments": ["true"], slot: 0}, [fd]):
        for _ in range(5):
            start = time.monotonic()
            assert daemon.call("org.varlink.service.GetInfo", timeout=10)
            assert time.monotonic() - start < 1
        # not by a program: who forks has a copy of the file, and waits for its server too
        with send_run(daemon, {"arguments": ["true"]}, []) as other:
            assert last_reply(other)["parameters"]["session"]["result"]["code"] == 0


def test_who_lends_files_that_do_not_close_is_refused_after_a_while(fresh_daemon, place):
    """Each holds a process. Nobody else is refused, and the daemon can end."""
    daemon = fresh_daemon()
    assert daemon.run("true").returncode == 0
    with silent_file(place) as fd:
        with contextlib.suppress(OSError, AssertionError):
            for served in range(100):
                with send_run(daemon, {"arguments": ["true"]}, [fd]) as s:
                    if last_reply(s).get("error"):
                        break
        assert served == 16
        with send_run(daemon, {"arguments": ["true"]}, []) as s:
            assert last_reply(s)["parameters"] == {"rule": "files-that-do-not-close"}
        with send_run(daemon, {"arguments": ["true"]}, [], uid=USER + 1) as s:
            assert last_reply(s)["parameters"]["session"]["result"]["code"] == 0
        daemon.process.terminate()
        assert daemon.process.wait(10) == 0
