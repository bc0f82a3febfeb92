"""usage: crowd.py N STOP: N sessions in the foreground and N detached ones, each printing a counted line every 10 ms,
until the file STOP is there; then each is told to end with a status of its own. Says on stdout what was lost: nothing.

Runs as an ordinary user within a bed, while the daemon is killed and restarted. Speaks the protocol itself, and does
what nsrootctl does when a connection is lost: it comes back for the result.
"""

import base64
import contextlib
import json
import os
import pathlib
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent),
                str(pathlib.Path(__file__).resolve().parent.parent / "integration")]

import varlink

SOCKET = os.environ.get("NSROOT_SOCKET", "/run/nsrootd/varlink")
# read waits without another process
SCRIPT = "mkfifo /tmp/f; exec 3<>/tmp/f; trap 'exit %d' TERM; i=0; while :; do i=$((i+1)); echo $i; read -t 0.01 x <&3; done"
PATIENCE = 120


def again_and_again(function):
    """Its value, through as many lost connections as there are."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return function()
        except (varlink.Closed, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def call(method, parameters):
    def once():
        with varlink.Connection(SOCKET, timeout=PATIENCE) as c:
            return c.call("org.nsroot.session." + method, parameters)
    return again_and_again(once)


class Foreground:
    def __init__(self, status):
        self.status, self.text = status, b""
        reader, self.lifeline = os.pipe()
        self.output, writer = os.pipe()
        self.connection = varlink.Connection(SOCKET, timeout=PATIENCE)
        self.connection.send_call("org.nsroot.session.Run", {
            "arguments": ["sh", "-c", SCRIPT % status], "lifelineFileDescriptor": 0, "standardOutputFileDescriptor": 1},
            [reader, writer], more=True)
        os.close(reader)
        os.close(writer)
        self.id = varlink.parameters_of(self.connection.receive())["session"]["id"]
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        while part := os.read(self.output, 65536):
            self.text += part

    def result(self):
        with contextlib.suppress(varlink.Closed, OSError):
            return varlink.parameters_of(self.connection.receive())["session"]["result"]
        return call("Wait", {"id": self.id})["result"]

    def printed(self):
        self.thread.join(PATIENCE)
        return self.text


class Detached:
    def __init__(self, status):
        self.status = status
        self.id = call("Run", {"arguments": ["sh", "-c", SCRIPT % status], "detached": True})["session"]["id"]

    def result(self):
        return call("Wait", {"id": self.id})["result"]

    def printed(self):
        def all_of_it():
            with varlink.Connection(SOCKET, timeout=PATIENCE) as c:
                return [r for reply in c.stream("org.nsroot.session.Logs", {"id": self.id}) for r in reply["records"]]
        records = again_and_again(all_of_it)
        assert not any(r.get("lost") for r in records), "the ring was to be large enough"
        return b"".join(base64.b64decode(r["dataBase64"]) for r in records)


def faults_of(session):
    result, lines = session.result(), session.printed().decode().split("\n")
    faults = []
    if result.get("code") != session.status:
        faults.append(f"{session.id} ended with {result}, not {session.status}")
    if lines != [str(i) for i in range(1, len(lines))] + [""]:
        wrong = next(i for i, line in enumerate(lines) if line != str(i + 1))
        faults.append(f"{session.id}: after line {wrong} of {len(lines)} comes {lines[wrong]!r}")
    return faults, len(lines) - 1


def main(n, stop):
    sessions = [kind(i % 100) for i in range(n) for kind in (Foreground, Detached)]
    print("ready", flush=True)
    while not os.path.exists(stop):
        time.sleep(0.05)
    for s in sessions:
        call("Signal", {"id": s.id, "signal": "TERM"})
    faults, lines = [], 0
    for s in sessions:
        found, n_lines = faults_of(s)
        faults += found
        lines += n_lines
    print(json.dumps({"sessions": len(sessions), "lines": lines, "faults": faults}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
