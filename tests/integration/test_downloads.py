"""Downloads that break: taken up where they stopped, tried again where that helps, and never a wrong file."""

import fcntl
import os
import time

import pytest

import http_server
from harness import comm_and_state, until
from roots import (BUSYBOX, FALLBACK, MISMATCH, ROOT, UNAVAILABLE, config, expect_nothing_made, expect_works, fetchers,
                   partial, partials, pinned, pull, root_of, sha256)

SIZE = len(BUSYBOX)


@pytest.fixture
def server():
    with http_server.Server(BUSYBOX) as s:
        yield s


def ranges(server):
    """What each request asked for: the first byte, 0 for all of it."""
    return [int(headers.get("Range", "bytes=0-")[len("bytes="):-1]) for _, headers in server.requests]


# -- from where it stopped ------------------------------------------------------------------------------------------

def test_killed_ten_times(fresh_daemon, server):
    """Each daemon gets a tenth, and is killed; the last one finishes. No byte is sent twice."""
    step = SIZE // 10
    d = fresh_daemon(config(pinned(server.url(f"step/{step}"))))
    for i in range(10):
        client = d.popen("run", "--", "true")
        assert until(lambda: partial(d).exists() and partial(d).stat().st_size == min((i + 1) * step, SIZE))
        d.kill()
        client.communicate(timeout=30)
        d.start()
    expect_works(d)
    assert ranges(server) == [i * step for i in range(11)]
    assert server.sent == SIZE
    assert partials(d) == []


def test_cut_and_taken_up_in_one_go(fresh_daemon, server):
    third = SIZE // 3 + 1
    d = fresh_daemon(config(pinned(server.url("resumable")), attempts=3))
    expect_works(d)
    assert ranges(server) == [0, third, 2 * third]
    assert server.sent == SIZE
    assert partials(d) == []


def test_taken_up_by_a_later_run(fresh_daemon, server):
    """The attempts of one run do not suffice; what came stays for the next."""
    d = fresh_daemon(config(pinned(server.url("resumable")), attempts=1))
    for i in (1, 2):
        assert pull(d)["error"] == ROOT + UNAVAILABLE
        assert partial(d).stat().st_size == i * (SIZE // 3 + 1)
    assert "error" not in pull(d)
    assert server.sent == SIZE
    expect_works(d)


def test_taken_up_after_the_last_waiter_left(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("step/" + str(SIZE // 2)))))
    client = d.popen("run", "--", "true")
    assert until(lambda: partial(d).exists() and partial(d).stat().st_size == SIZE // 2)
    client.kill()
    client.communicate()
    assert until(lambda: not d.processes(), 10)
    expect_works(d)
    assert ranges(server) == [0, SIZE // 2]


def test_taken_up_from_another_source(fresh_daemon, server):
    """The digest says what is wanted; who has it does not matter."""
    d = fresh_daemon(config(pinned(server.url("truncated")), pinned(server.url("ranges")), attempts=1))
    expect_works(d)
    assert ranges(server) == [0, SIZE // 2]
    assert root_of(d)["source"] == server.url("ranges")


def start_with(daemon, content):
    """As if this had come in an earlier life."""
    partial(daemon).parent.mkdir(mode=0o700)
    partial(daemon).write_bytes(content)
    daemon.start()


@pytest.mark.parametrize("before, path, asked", [
    (BUSYBOX[:SIZE // 2], "good", [SIZE // 2]),                      # no ranges: all of it comes
    (b"x" * (SIZE // 2), "good", [SIZE // 2]),
    (BUSYBOX, "ranges", [SIZE]),                                     # killed at the very end
    (b"x" * SIZE, "ranges", [SIZE, 0]),                              # what a crash of the machine may leave
    (b"\0" * (SIZE - 5), "ranges", [SIZE - 5, 0]),
    (BUSYBOX + b"x", "ranges", [SIZE + 1, 0]),
    (b"x" * (64 << 20), "ranges", [0]),
    (b"", "ranges", [0]),
    (BUSYBOX[:9], "ranges-once-bad?bytes%201-8/9", [9, 0]),
    (BUSYBOX[:9], "ranges-once-bad?", [9, 0]),
])
def test_what_earlier_daemons_left(fresh_daemon, server, before, path, asked):
    if path.startswith("ranges-once"):
        server.requests.append(("", {}))  # as if somebody had been here before
    d = fresh_daemon(config(pinned(server.url(path))), start=False)
    start_with(d, before)
    expect_works(d)
    assert [r for r, (p, _) in zip(ranges(server), server.requests) if p] == asked
    assert partials(d) == []


def test_a_wrong_digest_of_parts_gets_one_more_chance(fresh_daemon, server):
    """And only one: then it is what the server has that is wrong."""
    d = fresh_daemon(config(pinned(server.url("ranges"), b"another"), FALLBACK), start=False)
    partial(d, b"another").parent.mkdir(mode=0o700)
    partial(d, b"another").write_bytes(b"x" * 1000)
    d.start()
    r = pull(d)
    assert r["error"] == ROOT + MISMATCH
    assert r["parameters"] == {"source": server.url("ranges"), "expected": sha256(b"another"), "found": sha256(BUSYBOX)}
    assert ranges(server) == [1000, 0]
    assert partials(d) == []
    expect_nothing_made(d)


def test_a_wrong_digest_of_parts_twice(fresh_daemon, server):
    """The second one is in parts as well: that is the end all the same."""
    third = SIZE // 3 + 1
    d = fresh_daemon(config(pinned(server.url("resumable"), b"another"), attempts=3))
    assert pull(d)["error"] == ROOT + MISMATCH
    assert ranges(server) == [0, third, 2 * third] * 2
    assert partials(d) == []


def test_a_wrong_digest_of_one_piece_gets_none(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("ranges"), b"another"), FALLBACK))
    assert pull(d)["error"] == ROOT + MISMATCH
    assert ranges(server) == [0] and partials(d) == []


def test_another_writer_is_waited_for(fresh_daemon, server):
    """The downloader of a daemon that was killed may still write: it has the lock."""
    d = fresh_daemon(config(pinned(server.url("ranges"))), start=False)
    partial(d).parent.mkdir(mode=0o700)
    with open(partial(d), "wb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        d.start()
        client = d.popen("run", "--", "true")
        time.sleep(0.3)
        assert server.requests == [], "two write to one file"
        other.write(BUSYBOX[:1000])
    assert client.wait(30) == 0
    client.communicate()
    assert ranges(server) == [1000]


def test_another_writer_that_stays(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("ranges"))), start=False)
    partial(d).parent.mkdir(mode=0o700)
    with open(partial(d), "wb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"x" * 1000)
        d.start()
        expect_works(d)
        assert ranges(server) == [0]
        assert partial(d).read_bytes() == b"x" * 1000, "it is not ours"


def test_the_downloader_ends_with_its_daemon(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("step/1000"))))
    client = d.popen("run", "--", "true")
    [fetcher] = until(lambda: partial(d).exists() and partial(d).stat().st_size == 1000 and fetchers(d))
    d.kill()
    client.communicate(timeout=30)
    assert until(lambda: not comm_and_state(fetcher)[1], 10)
    with open(partial(d), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_roots_of_one_file(fresh_daemon, server):
    """Nothing is mixed, whoever has the file first."""
    source = pinned(server.url("step/" + str(SIZE // 2)))
    d = fresh_daemon(config(source) + f"[Root other]\nSource={source}\n")
    clients = [d.popen("run", "--root", name, "--", "sha256sum", "/bin/busybox") for name in ("busybox", "other")]
    assert until(lambda: len(server.requests) == 2)
    server.released.set()
    for client in clients:
        out, err = client.communicate(timeout=60)
        assert out[:64] == sha256(BUSYBOX), err


# -- again, or the next one -----------------------------------------------------------------------------------------

def test_pauses_grow(fresh_daemon, server):
    times = []
    server.on_request = lambda: times.append(time.monotonic())
    d = fresh_daemon(config(pinned(server.url("status/503")), attempts=4))
    r = pull(d)
    assert r["parameters"]["reason"] == "the server refused it with HTTP status 503, at the last of 4 attempts"
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert len(pauses) == 3 and all(p > least for p, least in zip(pauses, (0.5, 1, 2))), pauses


def test_busy_for_a_while(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("busy/2")), FALLBACK, attempts=3))
    expect_works(d)
    assert root_of(d)["source"] == server.url("busy/2")


def test_when_the_server_wants_to_be_asked(fresh_daemon, server):
    times = []
    server.on_request = lambda: times.append(time.monotonic())
    d = fresh_daemon(config(pinned(server.url("retry-after/2"))))
    assert pull(d)["error"] == ROOT + UNAVAILABLE
    assert len(times) == 2 and times[1] - times[0] > 2


def test_nobody_waits_for_minutes(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("retry-after/100")), FALLBACK, attempts=5))
    expect_works(d)
    assert len(server.requests) == 1 and root_of(d)["source"] == FALLBACK


SILENT_RESOLVER = """
import ctypes, socket, time
ctypes.CDLL(None).prctl(1, 9)  # ends with the daemon
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print(flush=True)
time.sleep(600)
"""


def test_a_name_server_that_is_silent(fresh_daemon, tmp_path):
    """A network of its own, in which somebody listens to questions. The C library would ask for ten seconds."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    os.chmod(tmp_path / "resolv.conf", 0o644)
    script = (f"busybox ip link set lo up && mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && "
              "{ /usr/bin/python3 -c \"$RESOLVER\" & } | head -n 1 && exec \"$@\"")
    d = fresh_daemon(config(pinned("http://example.com/busybox"), FALLBACK, more="ConnectTimeout=1s\n"),
                     wrapper=["unshare", "-n", "sh", "-c", script, "sh"], environment={"RESOLVER": SILENT_RESOLVER})
    start = time.monotonic()
    expect_works(d)
    assert time.monotonic() - start < 6 and root_of(d)["source"] == FALLBACK


def test_the_time_in_all_is_of_all_attempts(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("stall-at/1000")), FALLBACK, attempts=50,
                            more="StallTimeout=1s\nDownloadTimeout=4s\n"))
    start = time.monotonic()
    expect_works(d)
    assert time.monotonic() - start < 9 and root_of(d)["source"] == FALLBACK
    assert 1 < len(server.requests) < 4


# How each misbehaviour ends for who wants the root: the error and its words, and how often the server was asked, with
# DownloadAttempts=2. What the downloader makes of each, and many more, is in test_fetch.py.
ENDS = {
    "truncated": (UNAVAILABLE, "the download was cut short, at the last of 2 attempts", 2),
    "cut-at/0": (UNAVAILABLE, "the download was cut short, at the last of 2 attempts", 2),
    "reset-at/1000": (UNAVAILABLE, "the download was cut short, at the last of 2 attempts", 2),
    "chunked-cut": (UNAVAILABLE, "the download was cut short, at the last of 2 attempts", 2),
    "nothing": (UNAVAILABLE, "the download was cut short, at the last of 2 attempts", 2),
    "stall-at/0": (UNAVAILABLE, "the download stalled, at the last of 2 attempts", 2),
    "stall-at/1000": (UNAVAILABLE, "the download stalled, at the last of 2 attempts", 2),
    "drip/50": (UNAVAILABLE, "the download stalled, at the last of 2 attempts", 2),
    "status/503": (UNAVAILABLE, "the server refused it with HTTP status 503, at the last of 2 attempts", 2),
    "status/429": (UNAVAILABLE, "the server refused it with HTTP status 429, at the last of 2 attempts", 2),
    "status/404": (UNAVAILABLE, "the server refused it with HTTP status 404", 1),
    "status/403": (UNAVAILABLE, "the server refused it with HTTP status 403", 1),
    "silent": (UNAVAILABLE, "does not answer in time", 1),
    "header-drip": (UNAVAILABLE, "does not answer in time", 1),
    "garbage": (UNAVAILABLE, "the server does not speak HTTP properly", 1),
    "header-flood": (UNAVAILABLE, "the server does not speak HTTP properly", 1),
    "length?-1": (UNAVAILABLE, "the server does not speak HTTP properly", 1),
    "length?x": (UNAVAILABLE, "the server does not speak HTTP properly", 1),
    "huge-length": (UNAVAILABLE, "is larger than any root binary", 1),
    "endless": (UNAVAILABLE, "is larger than any root binary", 1),
    "encoded/gzip": (UNAVAILABLE, "the server compresses it, which it was asked not to", 1),
    "loop": (UNAVAILABLE, "redirects too often", 11),
    "redirect?file:///bin/busybox": (UNAVAILABLE, "redirects to something that is neither http nor https", 1),
    "redirect?ftp://127.0.0.1/x": (UNAVAILABLE, "redirects to something that is neither http nor https", 1),
    "range?bytes%201-5/9": (UNAVAILABLE, "the server sends another part of it than it was asked for", 1),
    f"length?{SIZE - 1}": (MISMATCH, None, 1),
    "no-length-truncated": (MISMATCH, None, 1),
}
SOON = "ConnectTimeout=1s\nStallTimeout=1s\n"


def times(path):
    """Short ones where one has to be up: this machine may be slower than that, too."""
    reason = ENDS[path][1] or ""
    return SOON if "in time" in reason or "stalled" in reason else ""


@pytest.mark.parametrize("path", ENDS)
def test_how_it_ends(fresh_daemon, server, path):
    error, reason, asked = ENDS[path]
    url = server.url(path)
    d = fresh_daemon(config(pinned(url), more=times(path)))
    r = pull(d)
    assert r["error"] == ROOT + error
    if reason:
        assert r["parameters"] == {"source": url, "reason": reason}
    assert len(server.requests) == asked
    expect_nothing_made(d)
    if error == MISMATCH:
        assert partials(d) == []


@pytest.mark.parametrize("path", ["truncated", "status/404", "silent", "encoded/gzip", "endless"])
def test_the_next_source(fresh_daemon, server, path):
    d = fresh_daemon(config(pinned(server.url(path)), pinned(server.url("ranges")), attempts=1, more=times(path)))
    expect_works(d)
    assert root_of(d)["source"] == server.url("ranges")
    assert partials(d) == []


def test_all_failures_are_said(fresh_daemon, server):
    nowhere = f"http://127.0.0.1:{http_server.closed_port()}/x"
    d = fresh_daemon(config(pinned(server.url("status/404")), pinned(nowhere), "file:/nonexistent"))
    assert pull(d)["parameters"] == {
        "source": server.url("status/404"),
        "reason": f"the server refused it with HTTP status 404; {nowhere}: cannot be connected to; "
                  "file:/nonexistent: No such file or directory"}


def test_a_length_that_is_too_long(fresh_daemon, server):
    """All is there although the server promised more: who asks for the rest hears that there is none."""
    d = fresh_daemon(config(pinned(server.url("long-then-ranges"))))
    expect_works(d)
    assert ranges(server) == [0, SIZE]


# -- proxies --------------------------------------------------------------------------------------------------------

@pytest.fixture
def trusted(tmp_path, fresh_daemon):
    """A server over TLS whose certificate this daemon's downloader trusts, and nobody else's."""
    tls = http_server.self_signed(tmp_path)
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    wrapper = ["sh", "-c", f'mount --bind {tmp_path}/certificate.pem {authorities} && exec "$@"', "sh"]
    os.chmod(tmp_path / "certificate.pem", 0o644)
    with http_server.Server(BUSYBOX, tls) as server:
        yield server, lambda text: fresh_daemon(text, wrapper=wrapper)


def test_over_tls(trusted):
    server, daemon = trusted
    d = daemon(config(pinned(server.url("good"))))
    expect_works(d)
    assert server.paths() == ["/good"]


def test_over_tls_through_a_proxy(trusted):
    server, daemon = trusted
    with http_server.Proxy() as proxy:
        d = daemon(config(pinned(server.url("good")), more=f"Proxy={proxy.url}\n"))
        expect_works(d)
        assert proxy.requests == [f"CONNECT 127.0.0.1:{server.server_address[1]} HTTP/1.1"]
    assert server.paths() == ["/good"]


@pytest.mark.parametrize("mode, reason", [("refuse", "the proxy cannot be used"), ("hang", "does not answer in time")])
def test_a_proxy_that_is_of_no_use(trusted, mode, reason):
    server, daemon = trusted
    with http_server.Proxy(mode) as proxy:
        more = f"Proxy={proxy.url}\nConnectTimeout=1s\n"
        d = daemon(config(pinned(server.url("good")), more=more))
        assert pull(d)["parameters"] == {"source": server.url("good"), "reason": reason}
        d.stop()
        d.configure(config(pinned(server.url("good")), FALLBACK, more=more))
        d.start()
        expect_works(d)
    assert server.requests == [] and root_of(d)["source"] == FALLBACK


def test_a_proxy_that_is_not_there(fresh_daemon, server):
    proxy = f"Proxy=http://127.0.0.1:{http_server.closed_port()}\n"
    d = fresh_daemon(config(pinned(server.url("good")), more=proxy))
    assert pull(d)["parameters"] == {"source": server.url("good"), "reason": "the proxy cannot be used"}
    assert server.requests == []


def test_taken_up_through_a_proxy(fresh_daemon, server):
    d = fresh_daemon(config(pinned("http://no-such-name.invalid/resumable"), attempts=3,
                            more=f"Proxy={server.url('').rstrip('/')}\n"))
    expect_works(d)
    assert server.sent == SIZE
