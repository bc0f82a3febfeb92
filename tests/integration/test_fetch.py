"""nsroot-fetch alone, started as the daemon starts it, against servers that are good or bad in every way."""

import collections
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
REQUEST = struct.Struct(f"=5Q{URL_MAX}s{URL_MAX}s")
REPORT = struct.Struct("=IIIIqq")
OUTCOMES = re.findall(r"X\(FETCH_(\w+),", (harness.CHECKOUT / "common/fetch.h").read_text()) + ["RUNNING"]

Report = collections.namedtuple("Report", "outcome status retry_after start_over done total")


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

    def request(self, url, proxy="", size_max=64 * MIB, offset=0, connect=5000, stall=30, total=60000):
        self.control.send(REQUEST.pack(size_max, offset, connect, stall, total, url.encode(), proxy.encode()))

    def reports(self):
        """Each, to the end."""
        while True:
            data = self.control.recv(4096)
            if not data:
                return
            outcome, *rest = REPORT.unpack(data)
            yield Report(OUTCOMES[outcome], *rest)

    def close(self):
        self.control.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def fetch(build, output):
    """fetch(url, …) is one attempt to its end: its last report."""
    with contextlib.ExitStack() as stack:
        def run(url, environment=None, output=output, **request):
            f = stack.enter_context(contextlib.closing(Fetch(build, output, environment=environment)))
            f.request(url, **request)
            reports = list(f.reports())
            assert reports, f.process.communicate(timeout=30)
            assert all(r.outcome == "RUNNING" for r in reports[:-1])
            assert f.process.wait(30) == 0
            return reports[-1]
        yield run


def contents(output):
    output.seek(0)
    return output.read()


@pytest.mark.parametrize("path", ["good", "chunked", "no-length", "ranges", "steps/1", "steps/10",
                                  "encoded/identity"])
def test_good(fetch, server, output, path):
    r = fetch(server.url(path))
    assert (r.outcome, r.status, r.done, r.start_over) == ("OK", 0, len(CONTENT), 0)
    assert contents(output) == CONTENT


# Every way to misbehave, and how the attempt must end: the outcome, how much of the file is in the output then, and what
# is asked for beside the URL. Where it is OK, the rest is for who knows the digest.
SIZE, HALF = len(CONTENT), len(CONTENT) // 2
SOON = {"connect": 1500, "stall": 1}  # seconds matter here
MISBEHAVIOUR = {
    # it ends too early
    "truncated": ("TRUNCATED", HALF, {}),
    "cut-at/0": ("TRUNCATED", 0, {}),
    "cut-at/1": ("TRUNCATED", 1, {}),
    f"cut-at/{SIZE - 1}": ("TRUNCATED", SIZE - 1, {}),
    "reset": ("TRUNCATED", None, {}),
    "reset-at/0": ("TRUNCATED", 0, {}),
    "reset-at-once": ("TRUNCATED", 0, {}),
    "nothing": ("TRUNCATED", 0, {}),
    "chunked-cut": ("TRUNCATED", HALF, {}),
    "chunked-bad": ("TRUNCATED", 0, {}),
    "no-length-truncated": ("OK", HALF, {}),
    # it does not go on
    "stall-at/0": ("STALLED", 0, SOON),
    "stall-at/1": ("STALLED", 1, SOON),
    f"stall-at/{SIZE - 1}": ("STALLED", SIZE - 1, SOON),
    "drip/50": ("STALLED", None, SOON),
    "drip/1000": ("TIMEOUT", None, {"total": 1500}),
    "silent": ("SILENT", 0, SOON),
    "header-drip": ("SILENT", 0, SOON),
    "redirect-drip": ("SILENT", 0, SOON),
    # it is no HTTP, or not only
    "garbage": ("PROTOCOL", 0, {}),
    "header-flood": ("PROTOCOL", 0, {}),
    "long-header": (("PROTOCOL", "INTERNAL"), 0, {}),
    "continue-flood": ("PROTOCOL", 0, {}),
    # its length is not its length
    f"length?{SIZE - 1}": ("OK", SIZE - 1, {}),
    f"length?{SIZE + 1}": ("TRUNCATED", SIZE, {}),
    "length?-1": ("PROTOCOL", 0, {}),
    "length?garbage": ("PROTOCOL", 0, {}),
    f"length?{SIZE},{SIZE}": ("OK", SIZE, {}),
    f"length?{SIZE},{SIZE + 1}": ("TRUNCATED", SIZE, {}),
    f"length?{1 << 70}": ("TOO_LARGE", 0, {}),
    "huge-length": ("TOO_LARGE", 0, {}),
    "endless": ("TOO_LARGE", None, {"size_max": 4 * MIB}),
    # it is changed on the way
    "encoded/gzip": ("ENCODED", 0, {}),
    "encoded/br": ("ENCODED", 0, {}),
    "transfer-gzip": ("OK", SIZE, {}),  # of this hop alone: undone, as it must be
    # it is somewhere else
    "loop": ("LOOP", 0, {}),
    "steps/11": ("LOOP", 0, {}),
    "no-location": ("STATUS", 0, {}),
    # a part that nobody asked for
    f"range?bytes 0-{SIZE - 1}/{SIZE}": ("OK", SIZE, {}),
    f"range?bytes 1-{SIZE}/{SIZE + 1}": ("RANGE", 0, {}),
    f"range?bytes 0-{HALF}/{SIZE}": ("RANGE", 0, {}),
    "range?": ("RANGE", 0, {}),
    "no-range?": ("STATUS", 0, {}),
}


@pytest.mark.parametrize("path", MISBEHAVIOUR)
def test_misbehaviour(fetch, server, output, path):
    expected, size, asked = MISBEHAVIOUR[path]
    server.released.clear()
    start = time.monotonic()
    r = fetch(server.url(path.replace(" ", "%20")), **asked)
    assert r.outcome in (expected if isinstance(expected, tuple) else (expected,))
    assert time.monotonic() - start < 15
    written = contents(output)
    if path == "endless":
        assert len(written) <= asked["size_max"]
    elif size is None:
        assert CONTENT.startswith(written)
    else:
        assert written == CONTENT[:size] and r.done == size


@pytest.mark.parametrize("status", [203, 204, 400, 401, 403, 404, 407, 410, 416, 429, 500, 503])
def test_status(fetch, server, output, status):
    r = fetch(server.url(f"status/{status}"))
    assert (r.outcome, r.status, r.retry_after) == ("STATUS", status, 0)
    assert contents(output) == b"", "the body of an answer that is not the file"


@pytest.mark.parametrize("said, heard", [("7", 7), ("0", 0), ("-5", 0), ("soon", 0), ("99999999999", 24 * 3600),
                                         ("Wed, 21 Oct 2015 07:28:00 GMT", 0)])
def test_when_to_ask_again(fetch, server, said, heard):
    r = fetch(server.url("retry-after/" + said.replace(" ", "%20")))
    assert (r.outcome, r.status, r.retry_after) == ("STATUS", 503, heard)


# What there is already, what the server does with who asks for the rest, and what must come of it: the outcome, whether
# all of it was sent, and what is in the output afterwards.
OTHER = bytes(SIZE)
RESUMED = {
    "the rest": (CONTENT[:HALF], "ranges", "OK", False, CONTENT),
    "the last byte": (CONTENT[:-1], "ranges", "OK", False, CONTENT),
    "nothing is left": (CONTENT, "ranges", "OK", False, CONTENT),
    "more than there is": (CONTENT + b"x", "ranges", "RANGE", False, None),
    "of another file": (OTHER[:HALF], "ranges", "OK", False, OTHER[:HALF] + CONTENT[HALF:]),
    "no ranges": (CONTENT[:HALF], "good", "OK", True, CONTENT),
    "no ranges, of another file": (OTHER + OTHER, "good", "OK", True, CONTENT),
    "no ranges, chunked": (OTHER, "chunked", "OK", True, CONTENT),
    "no ranges, cut": (OTHER, "cut-at/10", "TRUNCATED", True, CONTENT[:10]),
    "no ranges, encoded": (CONTENT[:HALF], "encoded/gzip", "ENCODED", False, CONTENT[:HALF]),
    "total not known": (CONTENT[:HALF], f"range?bytes {HALF}-{SIZE - 1}/*", "OK", False, CONTENT),
    "another unit": (CONTENT[:HALF], f"range?lines {HALF}-{SIZE - 1}/{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "too early": (CONTENT[:HALF], f"range?bytes {HALF - 1}-{SIZE - 1}/{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "too late": (CONTENT[:HALF], f"range?bytes {HALF + 1}-{SIZE - 1}/{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "not to the end": (CONTENT[:HALF], f"range?bytes {HALF}-{SIZE - 2}/{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "backwards": (CONTENT[:HALF], f"range?bytes {HALF}-{HALF - 1}/{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "nonsense": (CONTENT[:HALF], "range?bytes x-y/z", "RANGE", False, CONTENT[:HALF]),
    "overflow": (CONTENT[:HALF], f"range?bytes {HALF}-{1 << 65}/{1 << 66}", "RANGE", False, CONTENT[:HALF]),
    "no Content-Range": (CONTENT[:HALF], "range?", "RANGE", False, CONTENT[:HALF]),
    "416": (CONTENT[:HALF], "no-range?", "RANGE", False, CONTENT[:HALF]),
    "416 of another size": (CONTENT[:HALF], f"no-range?bytes */{SIZE}", "RANGE", False, CONTENT[:HALF]),
    "404": (CONTENT[:HALF], "status/404", "STATUS", False, CONTENT[:HALF]),
    "503": (CONTENT[:HALF], "status/503", "STATUS", False, CONTENT[:HALF]),
    "redirect": (CONTENT[:HALF], "redirect?/ranges", "OK", False, CONTENT),
}


@pytest.mark.parametrize("what", RESUMED)
def test_the_rest(fetch, server, output, what):
    before, path, outcome, start_over, after = RESUMED[what]
    output.write(before)
    output.flush()
    server.requests.clear()
    r = fetch(server.url(path.replace(" ", "%20")), offset=len(before))
    assert server.requests[0][1]["Range"] == f"bytes={len(before)}-"
    assert (r.outcome, bool(r.start_over)) == (outcome, start_over)
    assert contents(output) == (before if after is None else after)
    assert r.done == len(contents(output))


def test_what_is_asked_for(fetch, server):
    server.requests.clear()
    fetch(server.url("good"))
    [(_, headers)] = server.requests
    assert headers["Accept-Encoding"] == "identity" and "Range" not in headers


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


def test_nobody_listens(fetch):
    assert fetch(f"http://127.0.0.1:{http_server.closed_port()}/x")[0] == "CONNECT"


def test_no_such_name(fetch):
    assert fetch("http://no-such-name.invalid/x")[0] == "RESOLVE"


def test_a_stall(fetch, server):
    start = time.monotonic()
    assert fetch(server.url("stall"), stall=1)[0] == "STALLED"
    assert time.monotonic() - start < 20


def test_time_in_all(fetch, server):
    start = time.monotonic()
    assert fetch(server.url("silent"), total=500)[0] == "TIMEOUT"
    assert time.monotonic() - start < 20


def test_connecting_takes_too_long(fetch):
    """TLS is a part of it: a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        assert fetch(f"https://127.0.0.1:{mute.getsockname()[1]}/x", connect=500)[0] == "SILENT"
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


@pytest.mark.parametrize("proxy", ["http://no-such-name.invalid", f"http://127.0.0.1:{http_server.closed_port()}",
                                   f"socks5://127.0.0.1:{http_server.closed_port()}"],
                         ids=["no-name", "no-port", "no-socks-port"])
def test_a_proxy_that_is_not_there(fetch, server, proxy):
    assert fetch(server.url("good"), proxy=proxy)[0] == "PROXY"


@pytest.mark.parametrize("mode, outcome", [("good", "TLS"), ("refuse", "PROXY"), ("hang", "SILENT")])
def test_a_tunnel(fetch, tmp_path, mode, outcome):
    """TLS goes through the proxy, not to it: it is still the server that nobody trusts."""
    with http_server.Server(CONTENT, http_server.self_signed(tmp_path)) as server, http_server.Proxy(mode) as proxy:
        assert fetch(server.url("good"), proxy=proxy.url, **SOON)[0] == outcome
        assert proxy.requests == [f"CONNECT 127.0.0.1:{server.server_address[1]} HTTP/1.1"]
        assert server.requests == []


def test_a_proxy_that_hangs(fetch, server):
    with http_server.Proxy("hang") as proxy:
        assert fetch(server.url("good"), proxy=proxy.url, **SOON)[0] == "SILENT"


def test_progress(build, server, output):
    server.released.clear()
    with contextlib.closing(Fetch(build, output)) as f:
        f.request(server.url("held"))
        reports = f.reports()
        report = next(r for r in reports if r.done > 0)
        assert report.outcome == "RUNNING" and 0 < report.done <= len(CONTENT) // 2 and report.total == len(CONTENT)
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
