"""Without a terminal the caller's own pipes and files are the command's: three separate ones, as if it ran here."""

import contextlib
import fcntl
import os
import pathlib
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

import harness
from harness import USER, User, blocks, until

MANY = 50 * 1024 * 1024


@pytest.fixture
def home():
    """A directory of the ordinary user's."""
    directory = pathlib.Path(harness.make_directory())
    os.chown(directory, USER, USER)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def pipeline(daemon, home):
    """pipeline(script) is a bash script of the ordinary user's in which `inside COMMAND…` runs in a session."""
    def run(script, timeout=120, **kw):
        client = f"inside() {{ {shlex.quote(str(daemon.client))} run -- \"$@\"; }}\n"
        return User(USER)(["bash", "-c", client + script], timeout=timeout, cwd=home, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, env=daemon.client_environment(), **kw)
    return run


# -- what goes through --------------------------------------------------------------------------------------------

def test_fifty_megabytes_into_a_session(pipeline, home):
    result = pipeline("head -c 50M /dev/urandom | tee >(sha256sum > outside) | inside sha256sum")
    assert result.returncode == 0, result.stderr
    assert until(lambda: (home / "outside").read_text())
    assert result.stdout == (home / "outside").read_text()
    assert len(result.stdout.split()[0]) == 64


def test_fifty_megabytes_through_a_session(pipeline, home):
    result = pipeline("head -c 50M /dev/urandom > in; inside cat < in | cat > out; cmp in out && stat -c %s out")
    assert (result.returncode, result.stdout.strip()) == (0, str(MANY)), result.stderr


def test_every_byte_value_goes_through_both_ways(daemon):
    every = bytes(range(256)) * 64
    result = daemon.run("cat", input=every, text=False)
    assert result.stdout == every
    result = daemon.run("sh", "-c", "cat >&2", input=every, text=False)
    assert (result.stdout, result.stderr) == (b"", every)


def test_nothing_in_nothing_out(daemon):
    result = daemon.run("cat")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_stderr_is_separate(daemon):
    result = daemon.run("sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_a_reader_that_has_enough_ends_the_command(pipeline):
    result = pipeline("inside yes | head -1; echo ${PIPESTATUS[0]}", timeout=60)
    assert result.stdout.split() == ["y", str(128 + signal.SIGPIPE)]


def test_pipelines_of_sessions(pipeline):
    result = pipeline("inside seq 1 100000 | inside grep 7 | inside wc -l")
    assert result.stdout.strip() == str(sum("7" in str(i) for i in range(1, 100001)))


def test_a_slow_reader_loses_nothing(daemon):
    client = daemon.popen("run", "--", "sh", "-c", "seq 1 300000; echo done >&2", text=False, stdin=subprocess.DEVNULL)
    with client:
        first = client.stdout.read(10)
        assert not select_readable(client.stderr, 1), "the command ended though nobody read its output"
        rest = client.stdout.read()
        assert client.stderr.read() == b"done\n"
    assert first + rest == b"".join(b"%d\n" % i for i in range(1, 300001))


def select_readable(file, timeout):
    return bool(select.select([file], [], [], timeout)[0])


# -- ends ---------------------------------------------------------------------------------------------------------

def test_bytes_go_at_once_and_the_end_of_input_ends_cat(daemon):
    with daemon.popen("run", "--", "cat", text=False, bufsize=0) as client:
        for line in (b"one\n", b"two\n"):
            client.stdin.write(line)
            assert client.stdout.readline() == line
        client.stdin.close()
        assert client.stdout.read() == b""
        assert client.wait(10) == 0


def test_the_end_of_output_is_seen_while_the_command_goes_on(daemon):
    with daemon.popen("run", "--", "sh", "-c", "echo x; exec >&-; read line; exit 6", text=False, bufsize=0) as client:
        assert client.stdout.read() == b"x\n"
        assert client.poll() is None
        client.stdin.write(b"go\n")
        assert client.wait(10) == 6


def test_a_command_that_closes_its_input_breaks_the_pipe(daemon):
    with daemon.popen("run", "--", "sh", "-c", "exec <&-; echo closed; sleep 60", text=False, bufsize=0) as client:
        assert client.stdout.readline() == b"closed\n"
        def broken():
            try:
                client.stdin.write(b"x")
            except BrokenPipeError:
                return True
        assert until(broken, 10), "somebody outside the session still holds the read end of its input"
        with contextlib.suppress(BrokenPipeError):
            client.stdin.close()
        client.kill()


def test_a_command_that_reads_nothing_ends_all_the_same(daemon):
    with daemon.popen("run", "--", "true") as client:
        assert client.wait(30) == 0


# -- files --------------------------------------------------------------------------------------------------------

def test_input_from_a_file_shares_its_offset(daemon, home):
    path = home / "in"
    path.write_text("0123456789abcdefghij")
    with open(path, "rb") as file:
        file.seek(10)
        result = daemon.run("dd", "bs=1", "count=4", stdin=file)
        assert result.stdout == "abcd"
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 14


def test_output_to_a_file_goes_on_where_it_was(daemon, home):
    path = home / "out"
    with open(path, "wb") as file:
        file.write(b"before\n")
        file.flush()
        daemon.run("echo", "inside", stdout=file)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len("before\ninside\n")
        file.write(b"after\n")
    assert path.read_text() == "before\ninside\nafter\n"


def test_output_to_a_file_opened_to_append(daemon, home):
    path = home / "out"
    path.write_text("before\n")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        with open(path, "ab") as another:
            another.write(b"meanwhile\n")
        daemon.run("echo", "inside", stdout=fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    finally:
        os.close(fd)
    assert path.read_text() == "before\nmeanwhile\ninside\n"


def test_redirections_of_a_shell(pipeline, home):
    result = pipeline("echo old > f; inside echo new > f; inside echo more >> f; inside sort -r < f; "
                      "inside sh -c 'echo o; echo e >&2' > both 2>&1; cat both")
    assert result.stdout.split() == ["new", "more", "o", "e"]


def test_a_file_that_only_the_caller_can_read(daemon, home):
    path = home / "secret"
    path.write_text("of the user")
    path.chmod(0o600)
    os.chown(path, USER, USER)
    result = User(USER)(["sh", "-c", f"{daemon.client} run -- cat < {path}"], env=daemon.client_environment(),
                        text=True)
    assert result.stdout == "of the user"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/urandom"])
def test_input_from_a_device(daemon, device):
    with open(device, "rb") as file:
        result = daemon.run("head", "-c", "5", stdin=file, text=False)
    assert len(result.stdout) == (0 if device == "/dev/null" else 5)


def test_output_to_a_full_device(daemon):
    with open("/dev/full", "wb") as file:
        result = daemon.run("sh", "-c", "echo x || exit 9", stdout=file)
    assert result.returncode == 9 and "No space left" in result.stderr


# -- odd descriptors ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_change_nothing_else(pipeline, closed):
    result = pipeline(f"inside sh -c 'exit 3' {closed}")
    assert (result.returncode, result.stdout, result.stderr) == (3, "", "")


def test_closed_input_reads_as_empty(pipeline):
    result = pipeline("inside sh -c 'cat; readlink /proc/self/fd/0' <&-")
    assert (result.returncode, result.stdout) == (0, "/dev/null\n"), result.stderr


def test_closed_output_takes_what_is_written(pipeline):
    result = pipeline("inside sh -c 'echo x || exit 9; readlink /proc/self/fd/3 3>&1 >&2' >&-")
    assert (result.returncode, result.stderr) == (0, "/dev/null\n")


def test_closed_errors_take_what_is_written(pipeline):
    result = pipeline("inside sh -c 'echo x >&2 && readlink /proc/self/fd/2' 2>&-")
    assert (result.returncode, result.stdout) == (0, "/dev/null\n")


def test_sockets_as_stdio(daemon):
    ours, theirs = socket.socketpair()
    with ours, daemon.popen("run", "--", "cat", stdin=theirs, stdout=theirs) as client:
        theirs.close()
        ours.settimeout(30)
        ours.sendall(b"through a socket\n")
        assert ours.recv(100) == b"through a socket\n"
        ours.shutdown(socket.SHUT_WR)
        assert ours.recv(100) == b""
        assert client.wait(10) == 0


def test_a_named_pipe_as_input(daemon, home):
    os.mkfifo(home / "fifo")
    os.chown(home / "fifo", USER, USER)
    reader = os.open(home / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with open(home / "fifo", "w") as file:    # before the command can find that there is nothing yet
        file.write("through a fifo")
    with daemon.popen("run", "--", "cat", stdin=reader) as client:
        assert client.communicate(timeout=30)[0] == "through a fifo"


def test_flags_of_the_callers_descriptions_stay(daemon):
    """O_NONBLOCK belongs to the open file description: setting it here would set it for the caller."""
    for wanted in (0, os.O_NONBLOCK):
        ends = [os.pipe() for _ in range(3)]
        used = (ends[0][0], ends[1][1], ends[2][1])
        os.close(ends[0][1])
        try:
            for fd in used:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK | wanted)
            before = [(fcntl.fcntl(fd, fcntl.F_GETFL), os.fstat(fd)[:6]) for fd in used]
            result = daemon.run("sh", "-c", "echo x", stdin=used[0], stdout=used[1], stderr=used[2])
            assert result.returncode == 0
            assert [(fcntl.fcntl(fd, fcntl.F_GETFL), os.fstat(fd)[:6]) for fd in used] == before
        finally:
            for fd in (ends[0][0], *ends[1], *ends[2]):
                os.close(fd)


def test_lent_descriptors_are_as_they_were(daemon, home):
    """Owner, mode and times of /dev/null and of a lent file: nobody has changed them."""
    path = home / "out"
    path.write_text("")
    os.chown(path, USER, USER)
    before = os.stat("/dev/null")[:6], os.stat(path)[:6]
    with open(path, "ab") as file:
        daemon.run("sh", "-c", "true", stdout=file)
    assert (os.stat("/dev/null")[:6], os.stat(path)[:6]) == before


def test_a_command_has_only_its_three_descriptors(daemon):
    extra = [os.open("/etc/hostname", os.O_RDONLY) for _ in range(20)]
    try:
        result = daemon.run("sh", "-c", "cd /proc/self/fd && echo *", pass_fds=extra)
    finally:
        for fd in extra:
            os.close(fd)
    inside = set(result.stdout.split())
    assert {"0", "1", "2"} <= inside
    assert len(inside) <= 4  # sh has the directory open that it lists


# -- signals to the client ----------------------------------------------------------------------------------------

def in_charge(daemon, client):
    """The command may be faster than the word that it runs, without which there is nothing to pass on."""
    assert until(lambda: blocks(client.pid, signal.SIGTERM) and "running" in [s["state"] for s in daemon.sessions()])


@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "HUP", "USR1", "USR2"])
def test_a_signal_to_the_client_reaches_the_command(daemon, name):
    script = f"trap 'echo got {name}; exit 8' {name}; echo ready; while :; do sleep 0.05; done"
    with daemon.popen("run", "--", "sh", "-c", script) as client:
        assert client.stdout.readline() == "ready\n"
        in_charge(daemon, client)
        client.send_signal(getattr(signal, f"SIG{name}"))
        assert client.stdout.read() == f"got {name}\n"
        assert client.wait(10) == 8


def test_stopping_and_continuing_the_client_does_so_to_the_command(daemon):
    script = "while :; do echo tick; sleep 0.05; done"
    with daemon.popen("run", "--", "sh", "-c", script, bufsize=1) as client:
        assert client.stdout.readline() == "tick\n"
        in_charge(daemon, client)
        client.send_signal(signal.SIGTSTP)
        assert until(lambda: state_of(client.pid) == "T", 10), "the client did not stop"
        def quiet():
            while select_readable(client.stdout, 0.5):
                os.read(client.stdout.fileno(), 65536)
            return True
        assert until(quiet, 10)
        assert not select_readable(client.stdout, 1), "the command goes on"
        client.send_signal(signal.SIGCONT)
        assert select_readable(client.stdout, 10), "the command does not go on"
        client.send_signal(signal.SIGTERM)
        client.stdout.close()
        assert client.wait(10) in (128 + signal.SIGTERM, 128 + signal.SIGPIPE)


def state_of(pid):
    fields = harness.stat_fields(pid)
    return fields[0] if fields else None
