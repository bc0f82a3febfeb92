"""tools/quickstart, the first command of the README: what it prints, how it exits, and that nothing of it stays behind."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from harness import CHECKOUT, User, until
from terminal import Terminal

QUICKSTART = CHECKOUT / "tools/quickstart"
DAEMON = CHECKOUT / "build/quickstart/daemon/nsrootd"


def daemons():
    """The daemons of quickstarts that run now."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/exe"):
        try:
            if os.readlink(entry) == str(DAEMON):
                found.append(int(entry.parent.name))
        except OSError:
            pass  # it has ended, or is the kernel's
    return found


@pytest.fixture
def place():
    """Where quickstart makes its directory; after the test there must be neither that nor a daemon."""
    before = set(daemons())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        yield directory
        assert until(lambda: not set(daemons()) - before), "a daemon stayed"
        assert until(lambda: not os.listdir(directory)), os.listdir(directory)


@pytest.fixture
def start(place):
    """start(*arguments) starts a quickstart in a process group of its own."""
    def start(*arguments):
        return subprocess.Popen([QUICKSTART, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": place}, text=True,
                                start_new_session=True)
    return start


def test_arguments_are_the_command_and_its_status_is_quickstarts(start):
    process = start("sh", "-c", "echo out; echo err >&2; exit 7")
    assert process.communicate(timeout=300) == ("out\n", "err\n")
    assert process.returncode == 7


def test_without_arguments_it_is_a_shell(start):
    out, err = start().communicate("echo $((6 * 7)); ls /\n", timeout=300)
    assert out.split() == "42 bin dev etc lib lib64 proc root run sbin sys tmp var".split(), err


def test_root_runs_the_client_as_somebody_else(start):
    process = start("cat")
    process.stdin.write("here\n")
    process.stdin.flush()
    assert process.stdout.readline() == "here\n"
    clients = subprocess.run(["pgrep", "-P", str(process.pid), "-x", "nsrootctl"], capture_output=True, text=True)
    status = pathlib.Path(f"/proc/{clients.stdout.strip()}/status").read_text()
    uids = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    assert len(set(uids[0])) == 1 and int(uids[0][0]) >= 1000
    assert process.communicate(timeout=60)[0] == "" and process.returncode == 0


@pytest.mark.parametrize("how", ["interrupt", "terminate", "kill"])
def test_nothing_stays_however_it_ends(start, how):
    process = start("sh", "-c", "echo ready; sleep 300")
    assert process.stdout.readline() == "ready\n"
    if how == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    else:
        process.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGKILL)
        process.wait(60)


def test_in_a_terminal_it_is_an_interactive_shell(place):
    terminal = Terminal([str(QUICKSTART)], User(0), {**os.environ, "TMPDIR": place, "TERM": "xterm"})
    with contextlib.closing(terminal):
        terminal.expect("/ # ", timeout=300)
        terminal.line("sh -c 'tty; exec sleep 300'")
        terminal.expect("/dev/pts/0")
        terminal.send("\x03")
        terminal.expect("/ # ")
        terminal.line("exit 3")
        assert terminal.wait() == 3
