"""usage: neighbours.py SOCKET SECONDS SESSIONS CONNECTIONS

How long one user's starts take, in rounds: alone; beside another user's SESSIONS that abuse processors, memory, tasks, storage
and starts for SECONDS in all, each begun again when it has ended (left out where there are no controllers: it would be
the machine that is abused); and beside CONNECTIONS of that user that start and start. Prints the controllers and, for each
kind of round, the milliseconds of all starts, as JSON. Runs as root; the users are 2001 (the other) and 2002.

Rounds take turns, because a machine may become busy with something else meanwhile. A start is from the call to the reply
that says that the command runs.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent),
                str(pathlib.Path(__file__).resolve().parent.parent / "integration")]

import varlink
from harness import OTHER, USER, User

SESSION = "org.nsroot.session."
ROUNDS = 3
ABUSES = [
    "(while :; do :; done) & while :; do :; done",
    "dd if=/dev/zero of=/dev/null bs=1G count=1",
    "b() { while :; do (while :; do sleep 1 & done); done; }; b & b & b & exec sleep 3600",
    "while :; do dd if=/dev/zero of=/tmp/x bs=1M; rm /tmp/x; done",
    "true",
]


def call(socket, method):
    with varlink.Connection(socket, timeout=120) as c:
        return c.call(SESSION + method)


def run(socket, arguments, on_start=lambda: None):
    """One session to its end, in the foreground."""
    with varlink.Connection(socket, timeout=120) as c:
        for reply in c.stream(SESSION + "Run", {"arguments": arguments}):
            if "result" not in reply["session"]:
                on_start()


def starts(socket, seconds):
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        run(socket, ["true"], lambda: times.append(1000 * (time.monotonic() - begin)))
    return times


def again_and_again(socket, arguments):
    """For ever; refused is as good as ended."""
    while True:
        with contextlib.suppress(varlink.VarlinkError, varlink.Closed, OSError):
            run(socket, arguments)


def trouble(what, socket, n):
    for i in range(int(n)):
        arguments = ["sh", "-c", ABUSES[i % len(ABUSES)] + " 2>/dev/null"] if what == "abuse" else ["true"]
        threading.Thread(target=again_and_again, args=(socket, arguments)).start()


@contextlib.contextmanager
def neighbour(what, socket, n):
    """The busy user; where there is systemd in a unit of his own, as a login would be."""
    command = [sys.executable, __file__, what, socket, str(n)]
    if os.path.exists("/run/systemd/system"):
        clients = subprocess.Popen(["systemd-run", "--quiet", "--scope", f"--uid={USER}", f"--gid={USER}", *command])
    else:
        clients = User(USER).popen(command)
    try:
        time.sleep(2)  # until they are under way
        yield
    finally:
        clients.kill()
        clients.wait()
        wait_for_the_end(socket)


def wait_for_the_end(socket):
    while call(socket, "List")["sessions"]:
        time.sleep(0.2)


def main(socket, seconds, sessions, connections):
    beside = {
        "alone": (0.5, contextlib.nullcontext),
        "beside abuse": (1, lambda: neighbour("abuse", socket, sessions)),
        "beside starts": (0.5, lambda: neighbour("starts", socket, connections)),
    }
    controllers = call(socket, "Describe")["host"]["controllers"]
    if not {"memory", "pids", "cpu"} <= set(controllers):
        del beside["beside abuse"]
    times = {name: [] for name in beside}
    for _ in range(ROUNDS):
        for name, (part, enter) in beside.items():
            with enter():
                times[name] += User(OTHER)(starts, socket, part * int(seconds) / ROUNDS, timeout=600)
    print(json.dumps({"controllers": controllers, "times": times}))


if __name__ == "__main__":
    (trouble if sys.argv[1] in ("abuse", "starts") else main)(*sys.argv[1:])
