"""Sessions that are kept ready: whose they are, how many, how long, and that nobody can tell one from another."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import NO_NAMESPACES, OTHER, USER, Daemon, Running, stopped, until
from varlink import Connection, call

SESSION = "org.nsroot.session."


def pool(**keys):
    return "[Pool]\n" + "".join(f"{key}={value}\n" for key, value in keys.items())


@pytest.fixture
def make(build):
    daemons = []

    def start(config="", **pool_keys):
        daemons.append(Daemon(build, config + pool(**{"SlotsPerUser": 8, **pool_keys})))
        return daemons[-1]
    yield start
    for d in daemons:
        d.close()


def waiting(daemon):
    """The pids of those that wait: children of the daemon that lead no session."""
    leaders = {s["leader"]["pid"] for s in daemon.sessions() if s.get("leader")}
    return {pid for pid in daemon.processes() if name_of(pid) == "nsroot-init" and parent_of(pid) == daemon.pid} - leaders


def stat_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text()
    return "0 (gone) X 0"


def name_of(pid):
    return stat_of(pid).split("(")[1].rsplit(")")[0]


def parent_of(pid):
    return int(stat_of(pid).rsplit(")")[1].split()[1])


def warm(daemon, root="busybox"):
    return next(r["warm"] for r in daemon.call("org.nsroot.root.List")["parameters"]["roots"] if r["name"] == root)


def settled(daemon, n=2):
    """So many wait, and they have been there for a moment: two of a user who has started one."""
    assert until(lambda: len(waiting(daemon)) == n), (waiting(daemon), daemon.log_text())
    time.sleep(0.2)
    assert len(waiting(daemon)) == n and warm(daemon) == n
    return waiting(daemon)


def leader_of(daemon, *options, uid=USER):
    """Of a session that is started now: its first process, seen from outside."""
    with contextlib.closing(Running(daemon, "sleep", "60", options=options, uid=uid)) as session:
        return session.init


def run_at_once(daemon, n):
    """So many requests are there before the first is read, however slow this machine is at making clients."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Connection(daemon.socket, USER, timeout=60)) for _ in range(n)]
        with stopped(daemon.pid):
            for c in callers:
                c.send_call(SESSION + "Run", {"arguments": ["sleep", "1"]}, more=True)
        for c in callers:
            while c.receive().get("continues"):
                pass


def test_after_a_run_another_is_ready_and_is_the_next(make):
    d = make()
    assert waiting(d) == set() and warm(d) == 0
    assert d.run("true").returncode == 0
    ready = settled(d)
    assert leader_of(d) in ready


def test_one_serves_one_session_ever(make):
    d = make()
    leaders = []
    for _ in range(10):
        leaders.append(leader_of(d))
        until(lambda: len(waiting(d)) == 2)
    assert len(set(leaders)) == 10


def test_nobody_gets_another_users(make):
    d = make()
    d.run("true")
    ready = settled(d)
    assert leader_of(d, uid=OTHER) not in ready and leader_of(d, uid=0) not in ready
    assert ready < waiting(d)
    assert leader_of(d) in ready


def test_nothing_of_one_session_is_in_the_next(make):
    d = make()
    d.run("sh", "-c", "echo secret >/tmp/x; echo secret >/x; echo secret >/dev/shm/x; hostname secret 2>/dev/null; export A=secret")
    for _ in range(3):
        until(lambda: waiting(d))
        done = d.run("sh", "-c", "cat /tmp/x /x /dev/shm/x; hostname; env; ls /tmp /run /dev/shm")
        assert "busybox" in done.stdout and "secret" not in done.stdout, done


def test_as_many_are_ready_as_came_at_once(make):
    d = make()
    run_at_once(d, 6)
    assert until(lambda: len(waiting(d)) > 2), "more than for one who starts one at a time"
    time.sleep(0.2)
    assert len(waiting(d)) <= 6


def test_no_more_than_a_user_may_have(make):
    d = make(SlotsPerUser=2)
    run_at_once(d, 6)
    settled(d, 2)
    d.run("true", uid=OTHER)
    assert until(lambda: len(waiting(d)) == 4)


def test_no_more_than_memory_allows(make):
    d = make(MemoryMax="1M")
    run_at_once(d, 6)
    time.sleep(1)
    assert len(waiting(d)) <= 2


def test_without_a_pool_nothing_waits(make):
    d = make(SlotsPerUser=0)
    for _ in range(3):
        d.run("true")
    time.sleep(0.3)
    assert waiting(d) == set() and warm(d) == 0


def test_who_is_not_wanted_ends(make):
    d = make(IdleTimeout="1s")
    before = d.cgroups()
    d.run("true")
    ready = settled(d)
    assert until(lambda: not waiting(d))
    assert until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ready))
    assert until(lambda: [c for c in d.cgroups() if c not in before] == []), d.cgroups()
    assert d.run("true").returncode == 0


def test_a_reload_throws_them_away(make):
    d = make()
    d.run("true")
    ready = settled(d)
    d.configure(f"[Limits]\nStorageMax=9M\n{pool(SlotsPerUser=8)}")
    call(d.socket, "io.systemd.service.Reload")
    assert until(lambda: not ready & waiting(d))
    assert "9216" in d.run("df", "-k", "/").stdout


def test_those_made_with_user_namespaces_go_when_there_are_none(build):
    """Also where nobody takes them for an hour."""
    with contextlib.closing(Daemon(build, pool(SlotsPerUser=8, IdleTimeout="1h"), wrapper=[*NO_NAMESPACES, "100"])) as d:
        d.run("true")
        ready = settled(d)
        subprocess.run(["nsenter", f"--user=/proc/{d.pid}/ns/user", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces"],
                       check=True)
        d.run("true")  # one of them, after which another is made: without
        assert until(lambda: not ready & waiting(d), 10)
        assert re.fullmatch(r"uid=(\d+) gid=\1\n", d.run("id").stdout)


def test_how_long_they_wait_may_change(make):
    d = make(IdleTimeout="1h")
    d.run("true")
    settled(d)
    d.configure(pool(SlotsPerUser=8, IdleTimeout="1s"))
    call(d.socket, "io.systemd.service.Reload")
    d.run("true")
    settled(d)
    assert until(lambda: warm(d) == 0, 10)


def test_a_root_can_be_removed_though_some_wait_in_it(make):
    d = make()
    d.run("true")
    ready = settled(d)
    listed = d.call("org.nsroot.root.List")["parameters"]["roots"][0]
    assert (listed["sessions"], listed["warm"]) == (0, 2)
    assert d.ctl("root", "remove", "busybox", uid=0).returncode == 0
    assert warm(d) == 0 and until(lambda: not ready & waiting(d))
    assert d.run("true").returncode == 0


def test_one_that_was_killed_is_not_given_to_anybody(make):
    d = make()
    d.run("true")
    ready = settled(d)
    with stopped(d.pid):    # it has not heard of it yet
        for pid in ready:
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: all(stat_of(pid).rsplit(")")[1].split()[0] == "Z" for pid in ready))
        session = d.popen("run", "--", "echo", "hello")
    assert session.communicate(timeout=60)[0] == "hello\n"


def test_one_that_is_killed_while_it_waits_is_forgotten(make):
    d = make()
    d.run("true")
    pid, _ = settled(d)
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: warm(d) == 1)
    assert until(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize("options", [("--hostname", "other"), ("--read-only",), ("--storage", "8M"), ("--inodes", "2000"),
                                     ("--shm", "1M")], ids=" ".join)
def test_what_one_that_waits_cannot_be_given_starts_cold(make, options):
    d = make()
    d.run("true")
    ready = settled(d)
    assert leader_of(d, *options) not in ready


@pytest.mark.parametrize("options", [("--name", "it"), ("-u", "nobody"), ("-w", "/tmp"), ("-e", "A=B"), ("--timeout", "1h"),
                                     ("--open-files", "99"), ("--hostname", "busybox"), ("-d",)], ids=" ".join)
def test_the_rest_it_is_given(make, options):
    d = make()
    d.run("true")
    ready = settled(d)
    if options == ("-d",):
        d.ctl("run", "-d", "--", "sleep", "60")
        assert {s["leader"]["pid"] for s in d.sessions()} < ready
    else:
        assert leader_of(d, *options) in ready


def test_limits_and_places_are_as_of_any_session(make):
    d = make()
    asked = ["-u", "nobody", "-w", "/tmp", "-e", "A=B", "--open-files", "99", "--file-size", "1M"]
    show = ("sh", "-c", "ulimit -n; ulimit -f; id; pwd; echo $A; hostname; cat /proc/1/oom_score_adj; grep -c . /proc/mounts; cat /proc/self/status"
            " | grep -E 'Cap|Seccomp|NoNew'")
    cold = d.run(*show, options=asked).stdout
    settled(d)
    assert d.run(*show, options=asked).stdout == cold


def test_a_terminal_too(make):
    d = make()
    d.run("true")
    settled(d)
    with Connection(d.socket, USER) as c:
        first = next(c.stream(SESSION + "Run", {"arguments": ["sh", "-c", "stty size; tty"], "terminal": True, "columns": 70, "rows": 20}))
        pty = c.take_fd(first["ptyFileDescriptor"]) if hasattr(c, "take_fd") else c.fds[0]
        text = b""
        while b"/dev/pts/0" not in text:
            text += os.read(pty, 100)
    assert text.startswith(b"20 70")


def test_none_outlives_the_daemon(make):
    d = make()
    d.run("true")
    ready = settled(d)
    d.kill()
    assert until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ready))


def test_they_end_with_the_daemon(make):
    d = make()
    d.run("true")
    ready = settled(d)
    assert d.stop() == 0
    assert until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in ready))


def test_the_id_of_one_that_waits_is_nobodys(make):
    """It is a session's id to be, and not to be found before."""
    d = make()
    d.run("true")
    settled(d)
    assert [s["state"] for s in d.call(SESSION + "List", {"all": True})["parameters"]["sessions"]] == ["exited"]


def test_a_hundred_at_once_are_all_right(make):
    d = make()
    for _ in range(3):
        runs = [d.popen("run", "--", "sh", "-c", f"echo {n}; exit {n % 100}") for n in range(40)]
        assert [(r.communicate(timeout=120)[0], r.returncode) for r in runs] == [(f"{n}\n", n % 100) for n in range(40)]
    assert until(lambda: 2 <= len(waiting(d)) <= 8), waiting(d)
