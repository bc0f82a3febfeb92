"""Roots through the real daemon: downloaded, verified, cached, removed, and what goes wrong with each of these."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import pytest

import http_server
from harness import OTHER, USER, Running, comm_and_state, until
from roots import (BUSYBOX, FALLBACK, MISMATCH, ROOT, UNAVAILABLE, cached_files, config, expect_nothing_made, expect_works,
                   fetchers, heal, pinned, pull, root_of, sha256, small_disk)


@pytest.fixture
def server():
    with http_server.Server(BUSYBOX) as s:
        yield s


# -- it works -----------------------------------------------------------------------------------------------------

def test_the_first_run_downloads_and_later_ones_do_not(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    assert not root_of(d)["cached"]
    expect_works(d)
    expect_works(d)
    assert server.paths() == ["/good"]
    root = root_of(d)
    assert root["cached"] and root["source"] == server.url("good") and root["sizeBytes"] > len(BUSYBOX)
    assert cached_files(d) == sorted([root["digest"], "busybox.json"])


def test_the_cache_survives_a_restart(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    expect_works(d)
    before = root_of(d)
    for end in (d.stop, d.kill):
        end()
        d.start()
        assert root_of(d) == before
        expect_works(d)
    assert server.paths() == ["/good"]


def test_every_applet_is_there(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    listed = set(subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split())
    r = d.run("sh", "-c", "ls /bin /sbin | grep -v :")
    assert set(r.stdout.split()) == listed
    assert len(listed) > 200
    r = d.run("sh", "-c", "find /bin /sbin -type l | xargs -n 1 readlink -f | sort -u")
    assert (r.stdout, r.stderr) == ("/bin/busybox\n", "")
    assert d.run("ls", "/").stdout.split() == "bin dev etc lib lib64 proc root run sbin sys tmp var".split()


def test_progress(fresh_daemon, server):
    server.mode = "held"
    d = fresh_daemon(config(pinned(server.url("switch"))))
    replies = []
    with d.connect(0) as s:
        call = {"method": ROOT + "Pull", "parameters": {"name": "busybox"}, "more": True}
        s.sendall(json.dumps(call).encode() + b"\0")
        stream = s.makefile("rb")
        while not replies or replies[-1].get("continues"):
            message = b""
            while not message.endswith(b"\0"):
                message += stream.read(1)
            replies.append(json.loads(message[:-1]))
            if replies[-1]["parameters"].get("doneBytes"):
                server.released.set()
    states = [r["parameters"]["state"] for r in replies]
    order = ["connecting", "downloading", "verifying", "unpacking", "finished"]
    assert sorted(states, key=order.index) == states and set(states) == set(order)
    half = [r["parameters"] for r in replies if r["parameters"]["state"] == "downloading"]
    assert half[0]["totalBytes"] == len(BUSYBOX) and half[0]["doneBytes"] <= len(BUSYBOX)
    assert replies[-1]["parameters"]["root"] == {**root_of(d), "warm": 0}


def test_pull_of_what_is_there_answers_at_once(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    assert pull(d)["parameters"]["root"]["cached"]
    assert pull(d)["parameters"]["state"] == "finished"
    assert server.paths() == ["/good"]


@pytest.mark.parametrize("mode", ["chunked", "no-length", "resumable", "steps/3"])
def test_other_good_ways_to_send_it(fresh_daemon, server, mode):
    d = fresh_daemon(config(pinned(server.url(mode)), attempts=3))
    expect_works(d)


def test_through_the_configured_proxy(fresh_daemon, server):
    proxy = f"Proxy={server.url('').rstrip('/')}\n"
    d = fresh_daemon(config(pinned("http://no-such-name.invalid/good"), more=proxy))
    expect_works(d)
    assert server.paths() == ["http://no-such-name.invalid/good"]


def test_proxy_of_the_environment_does_not_count(fresh_daemon, server):
    nowhere = f"http://127.0.0.1:{http_server.closed_port()}"
    d = fresh_daemon(config(pinned(server.url("good"))), environment={"http_proxy": nowhere, "all_proxy": nowhere})
    expect_works(d)


# -- it goes wrong, and the next run with a good source works -------------------------------------------------------

@pytest.mark.parametrize("mode, error, says", [
    ("truncated", UNAVAILABLE, "cut short"),
    ("chunked-cut", UNAVAILABLE, "cut short"),
    ("reset", UNAVAILABLE, "cut short"),
    ("reset-at-once", UNAVAILABLE, "cut short"),
    ("no-length-truncated", MISMATCH, None),
    ("short-length", MISMATCH, None),
    ("huge-length", UNAVAILABLE, "larger than any"),
    ("endless", UNAVAILABLE, "larger than any"),
    ("garbage", UNAVAILABLE, "does not speak HTTP"),
    ("nothing", UNAVAILABLE, "cut short"),
    ("loop", UNAVAILABLE, "redirects too often"),
    ("unknown", UNAVAILABLE, "HTTP status 404"),
])
def test_a_bad_download(fresh_daemon, server, mode, error, says):
    server.mode = mode
    d = fresh_daemon(config(pinned(server.url("switch"))))
    r = pull(d)
    assert r["error"] == ROOT + error
    if error == UNAVAILABLE:
        assert r["parameters"]["source"] == server.url("switch") and says in r["parameters"]["reason"]
    else:
        assert r["parameters"]["expected"] == sha256(BUSYBOX) != r["parameters"]["found"]
    expect_nothing_made(d)
    r = d.run("true")
    assert r.returncode == 125 and len(r.stderr.splitlines()) == 1
    assert (says or sha256(BUSYBOX)) in r.stderr
    server.mode = "good"
    heal(d)


@pytest.mark.parametrize("to", ["file:///bin/busybox", "gopher://127.0.0.1/x", "scp://127.0.0.1/bin/busybox"])
def test_a_redirect_out_of_http(fresh_daemon, server, to):
    d = fresh_daemon(config(pinned(server.url("redirect?" + to))))
    r = pull(d)
    assert r["error"] == ROOT + UNAVAILABLE and "neither http nor https" in r["parameters"]["reason"]
    expect_nothing_made(d)


def changed_machine(content):
    """The same ELF file for another machine (e_machine, elf(5))."""
    return content[:18] + struct.pack("<H", 0x1234) + content[20:]


@pytest.mark.parametrize("content, says", [
    (b"", "is not an executable"),
    (b"#!/bin/sh\necho sh\n", "is not an executable"),
    (BUSYBOX[:5000], "is damaged"),
    (changed_machine(BUSYBOX), "is for another machine"),
    (pathlib.Path("/bin/ls").read_bytes(), "is dynamically linked"),
])
def test_what_is_no_static_binary_of_this_machine(fresh_daemon, server, content, says):
    """Somebody pinned exactly that: no other source is tried."""
    server.files["x"] = content
    d = fresh_daemon(config(pinned(server.url("file/x"), content), FALLBACK))
    r = pull(d)
    assert r["error"] == ROOT + "BadBinary"
    assert r["parameters"] == {"source": server.url("file/x"), "reason": says}
    expect_nothing_made(d)
    d.stop()
    d.configure(config(pinned(server.url("good"))))
    d.start()
    expect_works(d)


def test_a_wrong_digest_never_falls_through(fresh_daemon, server):
    server.mode = "file/x"
    server.files["x"] = BUSYBOX[:-1] + bytes([BUSYBOX[-1] ^ 1])
    d = fresh_daemon(config(pinned(server.url("file/x")), FALLBACK))
    r = pull(d)
    assert r["error"] == ROOT + MISMATCH
    url, expected, found = server.url("file/x"), sha256(BUSYBOX), sha256(server.files["x"])
    assert r["parameters"] == {"source": url, "expected": expected, "found": found}
    assert f"{url}: its digest is {found}, not {expected}\n" in d.log_text()
    assert f"what came from {url} is the wrong file: " in d.ctl("root", "pull", "busybox", uid=0).stderr
    expect_nothing_made(d)
    server.files["x"] = BUSYBOX
    heal(d)


@pytest.mark.parametrize("path", ["truncated", "status/503", "garbage"])
def test_falls_through_where_a_source_cannot_be_had(fresh_daemon, server, path):
    d = fresh_daemon(config(pinned(server.url(path)), FALLBACK))
    expect_works(d)
    assert root_of(d)["source"] == FALLBACK


def test_no_network(fresh_daemon):
    """As on a machine without one: the name cannot be resolved, and that takes no time worth a note."""
    d = fresh_daemon(config(pinned("https://no-such-name.invalid/busybox"), FALLBACK))
    expect_works(d)
    assert root_of(d)["source"] == FALLBACK


def test_nobody_listens_and_no_fallback(fresh_daemon):
    url = f"http://127.0.0.1:{http_server.closed_port()}/busybox"
    d = fresh_daemon(config(pinned(url), "file:/nonexistent/busybox"))
    r = pull(d)
    assert r["error"] == ROOT + UNAVAILABLE
    assert r["parameters"] == {"source": url, "reason": "cannot be connected to; "
                               "file:/nonexistent/busybox: No such file or directory"}
    assert "cannot be connected to" in d.run("true").stderr


def test_a_source_that_takes_too_long_to_connect(fresh_daemon):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/busybox"
        d = fresh_daemon(config(pinned(url), FALLBACK, more="ConnectTimeout=1s\n"))
        expect_works(d)
        assert root_of(d)["source"] == FALLBACK


def test_a_program_that_cannot_be_started(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))), environment={"NSROOTD_FETCH_PATH": "/nonexistent"})
    r = pull(d)
    assert r["error"] == ROOT + UNAVAILABLE and "nsroot-fetch cannot be started" in r["parameters"]["reason"]
    expect_nothing_made(d)


LIES = {  # what a main() does that has its socket as descriptor 0 (common/fetch.h)
    "says nothing": "return 0;",
    "fails": "return 1;",
    "crashes": "abort();",
    "claims success with nothing": "static char report[32]; write(0, report, 32); pause();",
    "reports nonsense": "static char report[32]; memset(report, 0xff, 32); write(0, report, 32); pause();",
    "reports too much": "static char report[5000]; write(0, report, 5000); pause();",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_downloader_that_was_taken_over(fresh_daemon, server, tmp_path, lie):
    """It may say and do what it likes: nothing comes of it."""
    program, source = tmp_path / "nsroot-fetch", tmp_path / "lie.c"
    source.write_text("#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
                      f"int main(void) {{ {LIES[lie]} }}\n")
    subprocess.run(["gcc", "-static", "-w", "-o", program, source], check=True)
    d = fresh_daemon(config(pinned(server.url("good")), FALLBACK), environment={"NSROOTD_FETCH_PATH": str(program)})
    r = pull(d)
    if lie == "claims success with nothing":
        assert r["error"] == ROOT + MISMATCH
        expect_nothing_made(d)
    else:
        assert r["parameters"]["root"]["source"] == FALLBACK
    assert until(lambda: not d.processes(), 10)


@pytest.mark.parametrize("size", ["64k", "512k", "1m", "2m", "3m"])
@pytest.mark.parametrize("source", ["http", "file"])
def test_a_full_disk(fresh_daemon, server, size, source):
    d = fresh_daemon(config(pinned(server.url("good")) if source == "http" else FALLBACK), start=False)
    with small_disk(d.state_dir, size) as holder:
        enter = ["nsenter", "-t", str(holder), "-m"]
        d.wrapper = enter
        d.start()
        r = pull(d)
        assert r["error"] == ROOT + "NoSpace"
        assert r["parameters"].get("neededBytes", len(BUSYBOX)) >= len(BUSYBOX)
        inside = pathlib.Path(f"/proc/{holder}/root{d.state_dir}")
        assert [list(path.iterdir()) for path in inside.iterdir()] in ([[], []], [[], [], []])
        r = d.run("true")
        assert r.returncode == 125 and "no space" in r.stderr
        subprocess.run([*enter, "mount", "-o", "remount,size=100m", d.state_dir], check=True)
        heal(d)
        d.stop()


# -- many wait, and some leave --------------------------------------------------------------------------------------

@pytest.fixture
def held(fresh_daemon, server):
    """A daemon whose download goes on when the test says server.released.set()."""
    server.mode = "held"
    return fresh_daemon(config(pinned(server.url("switch"))))


def test_one_download_however_many_wait(held, server):
    clients = [held.popen("run", "--", "echo", "hello", uid=uid) for uid in (USER, OTHER) * 5]
    assert until(lambda: server.requests)
    assert held.call("org.varlink.service.GetInfo", timeout=5)
    assert until(lambda: fetchers(held))
    server.released.set()
    for client in clients:
        out, err = client.communicate(timeout=60)
        assert (out, client.returncode) == ("hello\n", 0), err
    assert server.paths() == ["/switch"]
    assert len(cached_files(held)) == 2


def test_the_download_ends_when_the_last_leaves(held, server):
    waiting = [held.connect() for _ in range(3)]
    for connection in waiting:
        connection.sendall(b'{"method":"org.nsroot.session.Run","more":true,"parameters":{"arguments":["true"]}}\0')
    for _ in range(3):  # what was sent before has been read by then
        held.call("org.varlink.service.GetInfo", timeout=30)
    assert until(lambda: fetchers(held))
    for connection in waiting[:2]:
        connection.close()
    assert not until(lambda: not fetchers(held), 0.5), "somebody still waits"
    waiting[2].close()
    assert until(lambda: not held.processes(), 10)
    expect_nothing_made(held)
    server.released.set()
    expect_works(held)


def test_the_downloader_is_killed(held, server):
    client = held.popen("run", "--", "true")
    assert until(lambda: fetchers(held))
    os.kill(fetchers(held)[0], signal.SIGKILL)
    _, err = client.communicate(timeout=30)
    assert client.returncode == 125 and "the downloader failed" in err
    expect_nothing_made(held)
    server.released.set()
    heal(held)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_daemon_ends_in_the_middle(held, server, how):
    client = held.popen("run", "--", "true")
    assert until(lambda: fetchers(held))
    processes = held.processes()
    getattr(held, how)()
    assert client.wait(30) == 125
    client.communicate()
    assert until(lambda: not [p for p in processes if comm_and_state(p)[1]], 10), "the downloader outlives the daemon"
    server.released.set()
    held.start()
    expect_nothing_made(held)
    expect_works(held)


def test_the_daemon_is_killed_while_it_asks_a_binary(fresh_daemon, server, tmp_path):
    """The binary, which answers nothing and hears of nothing, does not outlive it."""
    program, source = tmp_path / "mute", tmp_path / "mute.c"
    source.write_text("#include <unistd.h>\nint main(void) { return pause(); }\n")
    subprocess.run(["gcc", "-static", "-o", program, source], check=True)
    server.files["mute"] = program.read_bytes()
    d = fresh_daemon(config(pinned(server.url("file/mute"), server.files["mute"])))
    client = d.popen("run", "--", "true")
    asked = until(lambda: [p for p in d.processes() if comm_and_state(p)[0] not in ("nsrootd", "nsroot-fetch", None)])
    assert asked
    d.kill()
    client.communicate(timeout=30)
    assert until(lambda: not [p for p in asked if comm_and_state(p)[1]], 10)


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def test_what_the_downloader_is_and_sees(held, server):
    client = held.popen("run", "--", "true")
    assert until(lambda: server.requests)
    [pid] = fetchers(held)
    status = status_of(pid)
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert status["Groups"].split() == []
    assert {status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    for kind in ("mnt", "pid", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/{held.pid}/ns/{kind}"), kind
    root = pathlib.Path(f"/proc/{pid}/root")
    assert {p.name for p in root.iterdir()} <= {"etc", "lib", "lib32", "lib64", "proc", "run", "usr"}
    assert not (root / str(held.state_dir).lstrip("/")).exists()
    writable = [line for line in pathlib.Path(f"/proc/{pid}/mounts").read_text().splitlines()
                if "ro" not in line.split()[3].split(",")]
    assert writable == []
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits
    assert "Max file size             67108864             67108864" in limits
    server.released.set()
    assert client.wait(60) == 0
    client.communicate()


# -- list, pull, verify, remove ---------------------------------------------------------------------------------------

def test_the_verbs(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    r = d.ctl("root", "pull", "busybox", uid=0)
    assert r.returncode == 0 and "busybox is here" in r.stdout, r.stderr
    assert server.url("good") in d.ctl("root", "list").stdout
    assert json.loads(d.ctl("--json", "root", "list").stdout)[0]["cached"]
    assert d.ctl("root", "verify", "busybox", uid=0).returncode == 0
    assert d.ctl("root", "remove", "busybox", uid=0).returncode == 0
    assert d.ctl("root", "remove", "busybox", uid=0).returncode == 0, "it is gone: nothing to do"
    expect_nothing_made(d)
    expect_works(d)
    assert server.paths() == ["/good", "/good"]


@pytest.mark.parametrize("verb", ["pull", "verify", "remove"])
def test_only_root_changes_roots(daemon, verb):
    assert daemon.run("true").returncode == 0
    before = cached_files(daemon)
    r = daemon.ctl("root", verb, "busybox")
    assert r.returncode == 125 and "root" in r.stderr
    assert cached_files(daemon) == before


@pytest.mark.parametrize("verb", ["pull", "verify", "remove"])
def test_a_root_that_does_not_exist(daemon, verb):
    r = daemon.ctl("root", verb, "nosuch", uid=0)
    assert r.returncode == 125 and "nosuch" in r.stderr


def test_a_root_in_use_stays(fresh_daemon):
    d = fresh_daemon()
    with contextlib.closing(Running(d, "sleep", "600")):
        assert root_of(d)["sessions"] == 1
        r = d.call(ROOT + "Remove", {"name": "busybox"})
        assert r == {"error": ROOT + "RootInUse", "parameters": {"name": "busybox", "sessions": 1}}
        expect_works(d)
    assert until(lambda: root_of(d)["sessions"] == 0, 10)
    assert "error" not in d.call(ROOT + "Remove", {"name": "busybox"})
    expect_nothing_made(d)
    expect_works(d)


@pytest.mark.parametrize("change", ["echo x >>etc/passwd", "rm bin/sh", "touch bin/new", "chmod u+s bin/busybox",
                                    "mkdir -p bin/$(seq -s / 30)"])
def test_verify_finds_a_change_and_the_next_run_makes_it_again(fresh_daemon, change):
    d = fresh_daemon()
    expect_works(d)
    assert "error" not in d.call(ROOT + "Verify", {"name": "busybox"})
    digest = root_of(d)["digest"]
    subprocess.run(["sh", "-c", change], cwd=d.state_dir / "roots" / digest, check=True)
    r = d.call(ROOT + "Verify", {"name": "busybox"})
    assert r["error"] == ROOT + MISMATCH and r["parameters"]["expected"] == digest
    said = f"its digest is {r['parameters']['found']}, not {digest}"
    assert f"warning: Root busybox is not as it was made; the next run makes it again: {said}\n" in d.log_text()
    expect_nothing_made(d)
    assert "no root busybox in the cache" in d.ctl("root", "verify", "busybox", uid=0).stderr
    expect_works(d)
    assert root_of(d)["digest"] == digest


def test_many_pulls_leave_nothing(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("switch")), attempts=1))
    expect_works(d)

    assert until(lambda: root_of(d)["sessions"] == 0, 10)

    def state():
        return d.fd_count(), d.mounts(), cached_files(d), d.processes()

    def rounds(n):
        for _ in range(n):
            assert "error" not in d.call(ROOT + "Remove", {"name": "busybox"})
            server.mode = "truncated"
            assert "error" in pull(d)
            server.mode = "good"
            assert "error" not in pull(d)

    rounds(2)
    time.sleep(0.1)  # the last connection is closed by then
    before = state()
    rounds(20)
    assert until(lambda: state() == before, 10), (state(), before)
