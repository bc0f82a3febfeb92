"""The cache of roots as it is lived with: many who wait, what failed, another configuration, damage, and bad disks."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import http_server
from harness import OTHER, USER, until
from roots import (BUSYBOX, FALLBACK, MISMATCH, ROOT, UNAVAILABLE, cached_files, config, expect_works, fetchers, heal, pinned,
                   pull, root_of, sha256, small_disk)
from varlink import Connection

RUN = "org.nsroot.session.Run"
RUNS = int(os.environ.get("NSROOT_TEST_WAITERS", "20"))
FIRST_PAUSE = 2    # seconds after a failure in which nothing is tried again


@pytest.fixture
def server():
    with http_server.Server(BUSYBOX) as s:
        yield s


@pytest.fixture
def held(fresh_daemon, server):
    """A daemon whose download goes on when the test says server.released.set()."""
    return fresh_daemon(config(pinned(server.url("held"))))


# -- many wait ------------------------------------------------------------------------------------------------------

def test_many_clients_and_an_empty_cache(held, server):
    """One download, and as many good runs as there are clients."""
    clients = [held.popen("run", "--", "echo", "hello", uid=(USER, OTHER, 0)[i % 3]) for i in range(RUNS)]
    assert until(lambda: len(held.processes()) > 0 and server.requests)
    assert held.call("org.varlink.service.GetInfo", timeout=5), "it serves others meanwhile"
    server.released.set()
    for client in clients:
        out, err = client.communicate(timeout=60)
        assert (out, client.returncode) == ("hello\n", 0), err
    assert server.paths() == ["/held"]


def test_many_clients_and_nothing_to_be_had(fresh_daemon, server):
    """One attempt, and as many who are told; more only if some ask so late that it is worth another."""
    d = fresh_daemon(config(pinned(server.url("status/404"))))
    begin = time.monotonic()
    clients = [d.popen("run", "--", "true") for i in range(RUNS)]
    for client in clients:
        _, err = client.communicate(timeout=60)
        assert client.returncode == 125 and "HTTP status 404" in err
    assert len(server.requests) == 1 or time.monotonic() - begin > FIRST_PAUSE


def preparations(replies):
    return [r["preparation"] for r in replies if "preparation" in r]


def test_a_run_tells_how_far_its_root_is(held, server):
    replies = []
    with Connection(held.socket, USER) as c:
        for reply in c.stream(RUN, {"arguments": ["true"], "progress": True}):
            replies.append(reply)
            if reply.get("preparation", {}).get("doneBytes"):
                server.released.set()
    told = preparations(replies)
    assert replies[:len(told)] == [{"preparation": p} for p in told], "they come first, and are nothing else"
    assert [set(r) for r in replies[len(told):]] == [{"session"}, {"session"}]
    assert {p["root"] for p in told} == {"busybox"}
    order = ["connecting", "downloading", "verifying", "unpacking"]
    states = [p["state"] for p in told]
    assert sorted(states, key=order.index) == states and set(states) == set(order)
    assert {p["totalBytes"] for p in told if p["state"] == "downloading"} == {len(BUSYBOX)}
    done = [p["doneBytes"] for p in told if p["state"] == "downloading"]
    assert done == sorted(done) and len(done) < 50


@pytest.mark.parametrize("asked", [{}, {"progress": False}, {"progress": None}])
def test_a_run_that_does_not_ask_is_told_nothing(held, server, asked):
    server.released.set()
    with Connection(held.socket, USER) as c:
        replies = list(c.stream(RUN, {"arguments": ["true"], **asked}))
    assert [set(r) for r in replies] == [{"session"}, {"session"}]


def test_a_run_in_a_root_that_is_there_is_told_nothing(held, server):
    server.released.set()
    expect_works(held)
    with Connection(held.socket, USER) as c:
        replies = list(c.stream(RUN, {"arguments": ["true"], "progress": True}))
    assert [set(r) for r in replies] == [{"session"}, {"session"}]


def test_who_comes_late_is_told_at_once(held, server):
    with Connection(held.socket, USER) as first, Connection(held.socket, OTHER) as late:
        early = first.stream(RUN, {"arguments": ["true"], "progress": True})
        while not next(early)["preparation"].get("doneBytes"):
            pass
        server_asked = len(server.requests)
        told = next(late.stream(RUN, {"arguments": ["true"], "progress": True}))["preparation"]
        assert told["state"] == "downloading" and told["doneBytes"] > 0 and told["totalBytes"] == len(BUSYBOX)
        assert server_asked == len(server.requests) == 1


# -- what failed is not tried again and again -----------------------------------------------------------------------

def test_a_loop_of_runs_is_no_loop_of_downloads(fresh_daemon, server):
    server.mode = "unknown"
    d = fresh_daemon(config(pinned(server.url("switch"))))
    start = time.monotonic()
    while time.monotonic() - start < 8:
        assert d.run("true").returncode == 125
    assert len(server.requests) in (2, 3), "at 0, 2 and 6 s"
    r = d.run("true")
    assert r.returncode == 125 and "HTTP status 404 (tried " in r.stderr and "tried again in" in r.stderr
    asked = len(server.requests)
    assert "retry" not in pull(d)["parameters"], "who insists is not put off"
    assert len(server.requests) == asked + 1
    server.mode = "good"
    heal(d)


def test_it_is_tried_again_in_time(fresh_daemon, server):
    server.mode = "unknown"
    d = fresh_daemon(config(pinned(server.url("switch"))))
    assert d.run("true").returncode == 125
    server.mode = "good"
    assert d.run("true").returncode == 125, "not at once"
    assert until(lambda: d.run("true").returncode == 0, 10, 0.2), "but soon, by itself"


@pytest.mark.parametrize("path, error", [("status/404", UNAVAILABLE), ("no-length-truncated", MISMATCH)])
def test_the_error_is_the_same_and_says_when(fresh_daemon, server, path, error):
    d = fresh_daemon(config(pinned(server.url(path))))
    with Connection(d.socket, USER) as c:
        replies = []
        for _ in range(2):
            c.send_call(RUN, {"arguments": ["true"]}, more=True)
            replies.append(c.receive())
    assert [r["error"] for r in replies] == [ROOT + error] * 2
    assert replies[1]["parameters"].pop("retry").startswith("tried 0 s ago; tried again in ")
    assert replies[0] == replies[1]
    assert "(tried " in d.run("true").stderr


# -- another configuration ------------------------------------------------------------------------------------------

NEWER = BUSYBOX + b"\n"  # another file, and as good a program


def reload(daemon, text):
    daemon.configure(text)
    assert daemon.call("io.systemd.service.Reload") == {"parameters": {}}


def test_another_digest(fresh_daemon, server):
    """The next run makes the new one; who has the old one keeps it, and then it goes."""
    server.files.update(old=BUSYBOX, new=NEWER)
    d = fresh_daemon(config(pinned(server.url("file/old"))))
    session = d.popen("run", "--", "sh", "-c", "echo ready; read x; sha256sum /bin/busybox")
    assert session.stdout.readline() == "ready\n"
    old = root_of(d)["digest"]
    reload(d, config(pinned(server.url("file/new"), NEWER)))
    assert not root_of(d)["cached"]
    assert "Root busybox: its sources are others now; the next run makes it anew" in d.log_text()
    expect_works(d, NEWER)
    assert server.paths() == ["/file/old", "/file/new"]
    assert len(cached_files(d)) == 3 and old not in cached_files(d)
    out, err = session.communicate("\n", timeout=30)
    assert out[:64] == sha256(BUSYBOX), err
    assert until(lambda: len(cached_files(d)) == 2, 10)


def test_another_digest_while_the_old_one_is_downloaded(held, server):
    server.files["new"] = NEWER
    client = held.popen("run", "--", "sha256sum", "/bin/busybox")
    assert until(lambda: fetchers(held))
    reload(held, config(pinned(server.url("file/new"), NEWER)))
    out, err = client.communicate(timeout=30)
    assert out[:64] == sha256(NEWER), err


def test_another_digest_that_cannot_be_had(fresh_daemon, server):
    """An error, and not what the administrator does not want any more. The old pin brings the old root back."""
    server.files.update(old=BUSYBOX, new=b"something else")
    d = fresh_daemon(config(pinned(server.url("file/old"))))
    expect_works(d)
    before = cached_files(d)
    reload(d, config(pinned(server.url("file/new"), NEWER)))
    r = d.run("true")
    assert r.returncode == 125 and sha256(NEWER) in r.stderr
    assert cached_files(d) == before
    reload(d, config(pinned(server.url("file/old"))))
    expect_works(d)
    assert server.paths() == ["/file/old", "/file/new"]


def test_another_digest_at_the_next_start(fresh_daemon, server):
    server.files.update(old=BUSYBOX, new=NEWER)
    d = fresh_daemon(config(pinned(server.url("file/old"))))
    expect_works(d)
    d.stop()
    d.configure(config(pinned(server.url("file/new"), NEWER)))
    d.start()
    expect_works(d, NEWER)
    assert len(cached_files(d)) == 2


def test_another_url_of_the_same_file(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    expect_works(d)
    reload(d, config(pinned(server.url("ranges"))))
    expect_works(d)
    assert server.paths() == ["/good"] and "its sources are others" not in d.log_text()


# -- damage ---------------------------------------------------------------------------------------------------------

def test_verify_does_not_disturb_who_runs_in_it(fresh_daemon):
    d = fresh_daemon()
    session = d.popen("run", "--", "sh", "-c", "echo ready; read x; ls /bin/sh; sha256sum /bin/busybox")
    assert session.stdout.readline() == "ready\n"
    tree = d.state_dir / "roots" / root_of(d)["digest"]
    (tree / "etc/new").touch()
    assert d.call(ROOT + "Verify", {"name": "busybox"})["error"] == ROOT + MISMATCH
    expect_works(d)
    assert not (tree / "etc/new").exists(), "it is a new one"
    out, err = session.communicate("\n", timeout=30)
    assert out.splitlines()[0] == "/bin/sh" and sha256(BUSYBOX) in out, err
    assert until(lambda: len(cached_files(d)) == 2, 10)


HEX = "0" * 64
GOOD = {"format": 1, "name": "busybox", "source": FALLBACK, "digest": HEX, "binaryDigest": HEX, "sizeBytes": 1}


def changed(**values):
    return json.dumps({**GOOD, **values}).encode()


DAMAGED = {
    "empty": b"",
    "cut": changed()[:-10],
    "half": changed()[:40],
    "no object": b"[]",
    "null": b"null",
    "zeros": bytes(300),
    "binary": os.urandom(300),
    "no UTF-8": changed().replace(b"file:", b"\xff\xfe"),
    "huge": b" " * (1 << 20) + changed(),
    "deep": b"[" * 100000,
    "many": b'{"a":1,' * 3000,
    "twice": changed()[:-1] + b',"name":"busybox"}',
    "something behind": changed() + b"{}",
    "another name": changed(name="other"),
    "no tree": changed(),
    "a path": changed(digest="../names".ljust(64, "/")),
    "dots": changed(digest="." * 64),
    "upper case": changed(digest="A" * 64),
    "a later format": changed(format=2),
    "another type": changed(digest=7),
    "less than nothing": changed(sizeBytes=-1),
    "NUL": changed(source="file:/x\0y"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_metadata(fresh_daemon, how):
    """It is as good as none: said once, and the next run makes it again. Nothing else comes of it."""
    d = fresh_daemon()
    expect_works(d)
    before = root_of(d)
    d.stop()
    (d.state_dir / "names/busybox.json").write_bytes(DAMAGED[how])
    d.start()
    assert not root_of(d)["cached"]
    assert ("its metadata is damaged" in d.log_text()) == (how != "no tree")
    expect_works(d)
    assert root_of(d) == before
    assert "error" not in d.call(ROOT + "Verify", {"name": "busybox"})


@pytest.mark.parametrize("how", ["empty", "cut", "huge", "another name", "no tree", "gone"])
def test_a_pinned_root_is_known_without_metadata(fresh_daemon, server, how):
    """By the digest of its binary, and that of its tree: nothing is downloaded again."""
    d = fresh_daemon(config(pinned(server.url("good"))))
    expect_works(d)
    before = root_of(d)
    d.stop()
    (d.state_dir / "names/busybox.json").unlink()
    if how != "gone":
        (d.state_dir / "names/busybox.json").write_bytes(DAMAGED[how])
    for _ in range(2):
        d.start()
        assert root_of(d) == before
        expect_works(d)
        d.stop()
    assert server.paths() == ["/good"]
    assert d.log_text().count("its tree is there: it is known by its digest") == 1
    d.start()


def test_a_tree_that_is_not_what_it_was_is_not_known(fresh_daemon, server):
    d = fresh_daemon(config(pinned(server.url("good"))))
    expect_works(d)
    d.stop()
    (d.state_dir / "names/busybox.json").unlink()
    (d.state_dir / "roots" / cached_files(d)[0] / "etc/new").touch()
    d.start()
    assert not root_of(d)["cached"] and cached_files(d) == []
    expect_works(d)


def test_metadata_that_changes_under_the_daemon_does_not_count(fresh_daemon):
    d = fresh_daemon()
    expect_works(d)
    (d.state_dir / "names/busybox.json").write_bytes(b"{")
    expect_works(d)
    assert root_of(d)["cached"]


def test_a_tree_that_is_gone(fresh_daemon):
    d = fresh_daemon()
    expect_works(d)
    d.stop()
    shutil.rmtree(d.state_dir / "roots" / json.loads((d.state_dir / "names/busybox.json").read_text())["digest"])
    d.start()
    assert not root_of(d)["cached"]
    expect_works(d)


# -- the disk -------------------------------------------------------------------------------------------------------

@pytest.fixture
def disk(fresh_daemon):
    """disk(config text) is a daemon on a small filesystem of its own, and remount(options) changes that."""
    with contextlib.ExitStack() as stack:
        def make(text=""):
            d = fresh_daemon(text, start=False)
            holder = stack.enter_context(small_disk(d.state_dir, "100m"))
            d.wrapper = ["nsenter", "-t", str(holder), "-m"]
            stack.callback(lambda: d.alive() and d.stop())
            return d, lambda options: subprocess.run([*d.wrapper, "mount", "-o", f"remount,{options}", d.state_dir],
                                                     check=True)
        yield make


def test_read_only_under_a_daemon(disk, server):
    d, remount = disk(config(pinned(server.url("ranges"))))
    d.start()
    remount("ro")
    r = d.run("true")
    assert r.returncode == 125
    assert "nsrootd's state directory is on a read-only filesystem: remount it writable" in r.stderr
    assert pull(d)["error"] == ROOT + "CacheUnusable"
    assert server.requests == [], "nothing is downloaded that cannot be kept"
    remount("rw")
    heal(d)
    remount("ro")
    expect_works(d)
    assert "error" not in d.call(ROOT + "Verify", {"name": "busybox"})


def test_read_only_at_the_start(disk):
    """What is there serves."""
    d, remount = disk()
    d.start()
    expect_works(d)
    d.stop()
    remount("ro")
    d.start()
    assert root_of(d)["cached"]
    expect_works(d)
    r = d.call(ROOT + "Remove", {"name": "busybox"})
    assert r["error"] == ROOT + "CacheUnusable" and "read-only" in r["parameters"]["reason"]
    expect_works(d)


def test_read_only_and_nothing_there(disk):
    d, remount = disk()
    remount("ro")
    d.launch()
    assert d.process.wait(30) != 0
    assert "read-only" in d.log_text().lower()


def test_read_only_and_damaged(disk):
    """It cannot be removed, but nobody gets it any more."""
    d, remount = disk()
    d.start()
    expect_works(d)
    tree = root_of(d)["digest"]
    inside = pathlib.Path(f"/proc/{d.wrapper[2]}/root{d.state_dir}")
    (inside / "roots" / tree / "etc/new").touch()
    remount("ro")
    assert d.call(ROOT + "Verify", {"name": "busybox"})["error"] == ROOT + MISMATCH
    r = d.run("true")
    assert r.returncode == 125 and "read-only filesystem" in r.stderr
    remount("rw")
    heal(d)
    assert "error" not in d.call(ROOT + "Verify", {"name": "busybox"})


def test_no_space_keeps_the_old_root(disk, server):
    """The new one does not fit; the old one is still there for the old configuration."""
    server.files.update(old=BUSYBOX, new=NEWER)
    old, new = config(pinned(server.url("file/old"))), config(pinned(server.url("file/new"), NEWER))
    d, remount = disk(old)
    d.start()
    expect_works(d)
    remount("size=5m")
    reload(d, new)
    assert pull(d)["error"] == ROOT + "NoSpace"
    r = d.run("true")
    assert r.returncode == 125 and "no space" in r.stderr and "tried again in" in r.stderr
    reload(d, old)
    expect_works(d)
    remount("size=100m")
    reload(d, new)
    expect_works(d, NEWER)


# -- one daemon a state directory -----------------------------------------------------------------------------------

def test_the_second_daemon_refuses(fresh_daemon):
    d = fresh_daemon()
    expect_works(d)
    second = fresh_daemon(start=False)
    second.state_dir = d.state_dir
    second.launch()
    assert second.process.wait(30) != 0
    assert f"Another nsrootd uses {d.state_dir}: stop it, or give this one another --state-dir." in second.log_text()
    expect_works(d)
    d.stop()
    second.start()
    expect_works(second)


def test_nothing_is_left_of_an_interrupted_build(fresh_daemon):
    d = fresh_daemon()
    expect_works(d)
    before = cached_files(d)
    d.kill()
    for name in (".build-0123", ".dead-0123", HEX):
        (d.state_dir / "roots" / name / "bin").mkdir(parents=True)
    (d.state_dir / "names/.metadata-0123").touch()
    (d.state_dir / "downloads").mkdir()
    (d.state_dir / "downloads" / HEX).touch()
    d.start()
    assert cached_files(d) == before and list((d.state_dir / "downloads").iterdir()) == []
    expect_works(d)
