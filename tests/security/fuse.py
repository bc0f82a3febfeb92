"""A filesystem in user space with one file in it, which answers until that file is open and then never again.

Any user can have one where fusermount is installed; whoever asks it something afterwards, or closes the file, waits.
The protocol: linux/fuse.h.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct

LOOKUP, OPEN, INIT = 1, 14, 26
REQUEST = struct.Struct("<IIQQIIII")
ATTRIBUTES = struct.pack("<QQQQQQIIIIIIIIII", 2, 8, 1, 0, 0, 0, 0, 0, 0, 0o100666, 1, 0, 0, 0, 4096, 0)
ANSWERS = {
    INIT: struct.pack("<IIIIHHII", 7, 31, 0, 0, 16, 12, 65536, 1) + bytes(36),
    LOOKUP: struct.pack("<QQQQII", 2, 0, 3600, 0, 0, 0) + ATTRIBUTES,
    OPEN: struct.pack("<QII", 1, 0, 0),
}
CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14
libc = ctypes.CDLL(None, use_errno=True)


def serve(device):
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, *_ = REQUEST.unpack_from(request)
        answer = ANSWERS.get(opcode, b"")
        os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        if opcode == OPEN:
            return


def mount(place):
    """In a mount namespace of its own, so that the mount goes with this process and its children. The device."""
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_PRIVATE | MS_REC, None):
        raise OSError(ctypes.get_errno(), "no mount namespace")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"silent", os.fsencode(place), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "no fuse")
    return device


def open_and_send(device, path, channel):
    """From another process than the server: one that held the file would wait for itself when it ends."""
    os.close(device)
    fd = os.open(path, os.O_RDWR)
    socket.send_fds(channel, [b"x"], [fd])
    signal.pause()


def be_server(place, channel):
    device = mount(place)
    pid = os.fork()
    if pid == 0:
        open_and_send(device, place / "file", channel)
    channel.close()
    serve(device)
    signal.pause()


@contextlib.contextmanager
def silent_file(place):
    """A descriptor of the file. At the end the server is killed, and who waited gets an error."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            ours.close()
            be_server(place, theirs)
        finally:
            os._exit(1)
    theirs.close()
    fds = []
    try:
        with ours:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not fds:
            raise OSError("no filesystem in user space to be had here")
        yield fds[0]
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
