"""nsroot-fetch alone, started as the daemon starts it, against servers that are good or bad in every way."""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import harness
import http_server

UID = 65534
MIB = 1 << 20
CONTENT = os.urandom(3 * MIB + 12345)
URL_MAX = 4096
PR_SET_NO_NEW_PRIVS = 38

# common/fetch.h
REQUEST = struct.Struct(f"=4Q{URL_MAX}s{URL_MAX}s")
REPORT = struct.Struct("=IIqq")
OUTCOMES = re.findall(r"X\(FETCH_(\w+),", (harness.CHECKOUT / "common/fetch.h").read_text()) + ["RUNNING"]


@pytest.fixture(scope="module")
def server():
    with http_server.Server(CONTENT) as s:
        yield s


@pytest.fixture
def output():
    with tempfile.TemporaryFile() as f:
        yield f


class Fetch:
    """One nsroot-fetch with its socket."""

    def __init__(self, build, output, uid=UID, no_new_privs=True, environment=None):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(60)
        libc = ctypes.CDLL(None)

        def prepare():
            if no_new_privs:
                libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

        # opened here: the build directory may lie where an ordinary user cannot go
        program = os.open(build.fetch, os.O_RDONLY)
        self.process = subprocess.Popen([f"/proc/self/fd/{program}"], stdin=theirs, stdout=output,
                                        stderr=subprocess.PIPE, pass_fds=[program], preexec_fn=prepare,
                                        env=environment or {}, text=True)
        os.close(program)
        theirs.close()

    def request(self, url, proxy="", size_max=64 * MIB, connect=5000, stall=30, total=60000):
        self.control.send(REQUEST.pack(size_max, connect, stall, total, url.encode(), proxy.encode()))

    def reports(self):
        """(outcome, http status, done, total) each, to the end."""
        while True:
            data = self.control.recv(4096)
            if not data:
                return
            outcome, *rest = REPORT.unpack(data)
            yield OUTCOMES[outcome], *rest

    def close(self):
        self.control.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def fetch(build, output):
    """fetch(url, …) is one download to its end: (outcome, http status, done, total)."""
    with contextlib.ExitStack() as stack:
        def run(url, environment=None, output=output, **request):
            f = stack.enter_context(contextlib.closing(Fetch(build, output, environment=environment)))
            f.request(url, **request)
            reports = list(f.reports())
            assert reports, f.process.communicate(timeout=30)
            assert all(r[0] == "RUNNING" for r in reports[:-1])
            assert f.process.wait(30) == 0
            return reports[-1]
        yield run


def contents(output):
    output.seek(0)
    return output.read()


@pytest.mark.parametrize("path", ["good", "chunked", "no-length", "resumable", "steps/1", "steps/10"])
def test_good(fetch, server, output, path):
    outcome, status, done, _ = fetch(server.url(path))
    assert (outcome, status, done) == ("OK", 0, len(CONTENT))
    assert contents(output) == CONTENT


@pytest.mark.parametrize("path, expected", [
    ("truncated", ("TRUNCATED", 0)),
    ("chunked-cut", ("TRUNCATED", 0)),
    ("reset", ("TRUNCATED", 0)),
    ("resumable-once", ("TRUNCATED", 0)),
    ("reset-at-once", ("TRUNCATED", 0)),
    ("chunked-bad", ("TRUNCATED", 0)),
    ("huge-length", ("TOO_LARGE", 0)),
    ("endless", ("TOO_LARGE", 0)),
    ("status/404", ("STATUS", 404)),
    ("status/500", ("STATUS", 500)),
    ("status/407", ("STATUS", 407)),
    ("status/203", ("STATUS", 203)),
    ("no-location", ("STATUS", 302)),
    ("garbage", ("PROTOCOL", 0)),
    ("nothing", ("PROTOCOL", 0)),
    ("loop", ("LOOP", 0)),
    ("steps/11", ("LOOP", 0)),
])
def test_bad(fetch, server, path, expected):
    assert fetch(server.url(path))[:2] == expected


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://127.0.0.1:70/x", "scp://127.0.0.1/etc/passwd",
                                "ftp://127.0.0.1/x", "dict://127.0.0.1/x", "smb://127.0.0.1/x", "FILE:/etc/passwd"])
def test_redirect_to_what_is_not_http(fetch, server, output, to):
    assert fetch(server.url(f"redirect?{to}"))[0] == "REDIRECT"
    assert contents(output) == b""


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "", "http://",
                                 "nonsense://x"])
def test_url_that_is_not_http(fetch, output, url):
    assert fetch(url)[0] == "BAD_URL"
    assert contents(output) == b""


def test_redirect_to_another_server(fetch, server, output):
    with http_server.Server(b"of the other") as other:
        assert fetch(server.url("redirect?" + other.url("good")))[0] == "OK"
    assert contents(output) == b"of the other"


def test_resumes_where_it_was_cut(fetch, server):
    server.requests.clear()
    assert fetch(server.url("resumable"))[0] == "OK"
    offsets = [headers.get("Range") for _, headers in server.requests]
    third = len(CONTENT) // 3 + 1
    assert offsets == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_nobody_listens(fetch):
    assert fetch(f"http://127.0.0.1:{http_server.closed_port()}/x")[0] == "CONNECT"


def test_no_such_name(fetch):
    assert fetch("http://no-such-name.invalid/x")[0] == "RESOLVE"


def test_a_stall(fetch, server):
    start = time.monotonic()
    assert fetch(server.url("stall"), stall=1)[0] == "TIMEOUT"
    assert time.monotonic() - start < 20


def test_time_in_all(fetch, server):
    assert fetch(server.url("silent"), total=500)[0] == "TIMEOUT"


def test_connecting_takes_too_long(fetch):
    """TLS is a part of it: a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        assert fetch(f"https://127.0.0.1:{mute.getsockname()[1]}/x", connect=500)[0] == "TIMEOUT"
        assert time.monotonic() - start < 20


def test_certificate_that_nobody_trusts(fetch, output, tmp_path):
    with http_server.Server(CONTENT, http_server.self_signed(tmp_path)) as server:
        assert fetch(server.url("good"))[0] == "TLS"
        assert server.requests == []
    assert contents(output) == b""


def test_the_bound_is_exact(fetch, server, output):
    assert fetch(server.url("chunked"), size_max=len(CONTENT))[0] == "OK"
    assert fetch(server.url("chunked"), size_max=len(CONTENT) - 1)[0] == "TOO_LARGE"
    assert len(contents(output)) == len(CONTENT)


def test_full_disk(fetch, server):
    with open("/dev/full", "wb") as full:
        assert fetch(server.url("good"), output=full)[0] == "NO_SPACE"


def test_output_that_cannot_be_written(fetch, server):
    with open("/dev/null", "rb") as unwritable:
        assert fetch(server.url("good"), output=unwritable)[0] == "WRITE"


@pytest.fixture
def home():
    """A home directory that any user may read."""
    directory = pathlib.Path(harness.make_directory())
    yield directory
    shutil.rmtree(directory)


def test_environment_and_home_do_not_count(fetch, server, home):
    nowhere = f"http://127.0.0.1:{http_server.closed_port()}"
    (home / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (home / ".netrc").chmod(0o644)
    server.requests.clear()
    assert fetch(server.url("good"), environment={"http_proxy": nowhere, "all_proxy": nowhere,
                                                  "HOME": str(home)})[0] == "OK"
    assert "Authorization" not in server.requests[0][1]


def test_configured_proxy(fetch, server, output):
    server.requests.clear()
    assert fetch("http://no-such-name.invalid/good", proxy=server.url(""))[0] == "OK"
    assert server.paths() == ["http://no-such-name.invalid/good"]
    nowhere = f"http://127.0.0.1:{http_server.closed_port()}"
    assert fetch(server.url("good"), proxy=nowhere)[0] == "CONNECT"
    assert fetch(server.url("good"), proxy="http://no-such-name.invalid")[0] == "PROXY"


def test_progress(build, server, output):
    server.released.clear()
    with contextlib.closing(Fetch(build, output)) as f:
        f.request(server.url("held"))
        reports = f.reports()
        report = next(r for r in reports if r[2] > 0)
        assert report[0] == "RUNNING" and 0 < report[2] <= len(CONTENT) // 2 and report[3] == len(CONTENT)
        server.released.set()
        assert list(reports)[-1][0] == "OK"


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def test_its_sandbox(build, server, output):
    server.released.clear()
    with contextlib.closing(Fetch(build, output)) as f:
        f.request(server.url("stall"))
        next(f.reports())
        status = status_of(f.process.pid)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert set(status["CapEff"] + status["CapPrm"]) == {"0"}
        fds = [os.readlink(f"/proc/{f.process.pid}/fd/{n}") for n in os.listdir(f"/proc/{f.process.pid}/fd")]
        files = [fd for fd in fds if fd.startswith("/")]
        assert len(files) == 1, fds  # the output and no other
        server.released.set()


def test_ends_when_nobody_listens_any_more(build, server, output):
    server.released.clear()
    with contextlib.closing(Fetch(build, output)) as f:
        f.request(server.url("stall"))
        next(f.reports())
        f.control.close()
        assert f.process.wait(30) != 0


@pytest.mark.parametrize("how", [{"uid": 0}, {"no_new_privs": False}])
def test_refuses_to_run_with_privileges(build, output, how):
    with contextlib.closing(Fetch(build, output, **how)) as f:
        assert f.process.wait(30) == 1
        assert "nsroot-fetch is started by nsrootd: cannot enter its sandbox" in f.process.stderr.read()


@pytest.mark.parametrize("request_bytes", [b"x", b"\xff" * REQUEST.size, b"\0" * (REQUEST.size - 1),
                                           b"\0" * (REQUEST.size + 1)])
def test_refuses_odd_requests(build, output, request_bytes):
    with contextlib.closing(Fetch(build, output)) as f:
        f.control.send(request_bytes)
        assert f.process.wait(30) == 1
        assert list(f.reports()) == []


def test_links(build):
    """The daemon leaves the network to this program."""
    def libraries(program):
        return subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert "libcurl" in libraries(build.fetch)
    for name in ("libcurl", "libarchive"):
        assert name not in libraries(build.daemon)
