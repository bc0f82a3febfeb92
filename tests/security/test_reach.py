"""What a command can get hold of: PID 1 of its session, the files of /proc and /sys, the host's own inodes."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

import harness
from harness import Running, until

CAP_SYS_RESOURCE = 24


def may_raise_limits():
    status = pathlib.Path("/proc/self/status").read_text()
    return bool(int(re.search(r"CapEff:\s*(\w+)", status)[1], 16) & 1 << CAP_SYS_RESOURCE)


# What is not of one process and can be opened for writing. Pressure triggers are for everybody (6.4).
WRITABLE = {"/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory", "/proc/pressure/irq"}
# Of its own process, by a user who is not root: the kernel's rules for every process everywhere.
OWN = {"autogroup", "clear_refs", "comm", "coredump_filter", "gid_map", "loginuid", "mem", "oom_adj", "oom_score_adj",
       "projid_map", "sched", "timens_offsets", "timerslack_ns", "uid_map", "setgroups", "attr/current", "attr/exec",
       "attr/fscreate", "attr/keycreate", "attr/sockcreate", "attr/prev"}
# What root inside may tell PID 1, whose files the kernel says are his: none of it gives anything.
TOLD_TO_INIT = {"autogroup", "clear_refs", "coredump_filter", "oom_adj", "oom_score_adj", "sched"}
MUST_NOT = ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/kcore",
            "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/drop_caches", "/proc/1/mem", "/proc/1/comm",
            "/proc/sys/user/max_user_namespaces", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname",
            "/sys/kernel/uevent_helper"]
# Of PID 1: what would give its memory, its program, its files or its root.
SECRET = {"mem", "exe", "root", "cwd", "environ", "maps", "smaps", "smaps_rollup", "auxv", "stack", "syscall", "io",
          "pagemap", "personality", "fd", "map_files", "ns"}


@pytest.fixture(scope="module")
def daemon(build):
    """One of this file's own: ended sessions are remembered, with descriptors, which other files count."""
    d = harness.Daemon(build)
    yield d
    d.close()


@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_pid_1_is_out_of_reach(probed, options):
    rows = probed("process", "/proc/1", options=options)
    assert {"mem", "exe", "maps", "status"} <= {name for name, *_ in rows}
    for name, how, outcome in rows:
        if name in SECRET and (how != "write" or name == "mem"):  # past modes, but not past ptrace's rules
            assert outcome != "ok", (name, how)
        if how == "link":
            assert outcome in ("EACCES", "EINVAL"), name


def test_what_pid_1_can_be_told(probed):
    """By writing: to a file that opens, for root inside passes by modes, but most take nothing from another."""
    answers = dict(probed("poke", "/proc/1"))
    assert {"comm", "oom_score_adj", "uid_map"} <= set(answers)
    assert {name for name, outcome in answers.items() if outcome == "ok"} <= TOLD_TO_INIT


@pytest.mark.skipif(not may_raise_limits(), reason="needs CAP_SYS_RESOURCE: else no least value is kept")
@pytest.mark.parametrize("pid", ["1", "self"])
def test_nothing_makes_itself_dearer_to_the_oom_killer(daemon, pid):
    assert daemon.run("sh", "-c", f"echo 0 > /proc/{pid}/oom_score_adj").returncode != 0


@pytest.mark.parametrize("directory", ["fd", "map_files", "ns", "cwd/", "root/"])
def test_directories_of_pid_1_are_out_of_reach(daemon, directory):
    script = f"cd /proc/1/{directory} && for n in *; do readlink $n; done; ls -A /proc/1/{directory}/../1/{directory}"
    assert [line for line in daemon.run("sh", "-c", script).stdout.split() if not line.isdigit()] == []


@pytest.mark.parametrize("name", ["KILL", "TERM", "STOP", "SEGV", "INT", "HUP", "CHLD", "USR1"])
def test_signals_from_inside_do_nothing_to_pid_1(daemon, name):
    result = daemon.run("sh", "-c", f"kill -{name} 1; sleep 0.2; grep State /proc/1/status; echo here")
    assert result.stdout.endswith("here\n"), result
    assert "stopped" not in result.stdout


def test_signals_from_inside_that_name_no_sender_do_nothing_to_pid_1(probed):
    """rt_sigqueueinfo(2) takes any pid, and what an open file sends to its owner has none."""
    assert probed("queue") == [["-1", "ok"], ["0", "EPERM"], ["here"]]
    assert probed("own") == [["here"]]


def test_kill_everything_leaves_pid_1(daemon):
    """kill -9 -1 ends all but the caller and PID 1, and the session goes on."""
    result = daemon.run("sh", "-c", "sleep 100 & kill -KILL -1; wait; kill -0 1 && echo here")
    assert result.stdout == "here\n", result


@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_who_stops_commands_before_they_run_does_not_stop_pid_1(daemon, probing, options):
    """Each is root of the session first, then its user."""
    session = probing("stop-others", "2000", options=options, stdout=subprocess.PIPE)
    try:
        others = [daemon.popen("exec", *options, session.id, "--", "true", stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(10)]
        assert session.client.stdout.readline() == "over\n"
        for other in others:
            other.kill()
            other.wait()
        assert daemon.ctl("exec", session.id, "--", "echo", "here", timeout=10).stdout == "here\n"
        assert daemon.ctl("stop", session.id, timeout=10).returncode == 0
    finally:
        session.close()


@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_files_that_open_for_writing(probed, options):
    found = {path for (path,) in probed("writable", "/proc", "/sys", options=options)}
    own = {m[1] for m in (re.fullmatch(r"/proc/(?!1/)\d+/(?:task/\d+/)?(.+)", path) for path in found) if m}
    assert {"comm", "oom_score_adj"} <= own, "the probe finds nothing"
    assert {path for path in found if not re.match(r"/proc/\d+/", path)} <= WRITABLE
    own = {re.sub("^attr/(apparmor|smack|selinux)/", "attr/", name) for name in own}
    assert options == () or own <= OWN, own - OWN


def test_files_of_the_host_that_can_be_changed(probed):
    """Modes, times and owners below /proc, /sys and /dev."""
    devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
    assert probed("changeable", "/sys", "/proc/sys", "/proc/irq", "/proc/fs", "/proc/keys", *devices) == []


@pytest.mark.parametrize("path", MUST_NOT)
def test_knobs_of_the_host(daemon, path):
    result = daemon.run("sh", "-c", f"[ -e {path} ] || exit 3; echo 1 > {path}")
    assert result.returncode != 0, path


def test_the_session_is_not_seen_as_root_outside(daemon):
    session = Running(daemon, "sleep", "60")
    try:
        for pid in session.processes:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            uids = set(re.search(r"^Uid:(.*)$", text, re.M)[1].split())
            gids = set(re.search(r"^Gid:(.*)$", text, re.M)[1].split())
            assert uids == gids and len(uids) == 1 and int(min(uids)) >= 524288
            assert re.search(r"^Groups:\s*$", text, re.M)
    finally:
        session.close()


def test_fork_bomb_ends_with_kill_and_nothing_is_left(daemon, ctl):
    session = Running(daemon, "sh", "-c", "f() { f & f & sleep 1; }; f & exec sleep 100")
    until(lambda: len(daemon.processes()) > 100, 10)
    assert ctl("kill", "-s", "KILL", session.id).returncode == 0
    assert session.client.wait(10) == 128 + signal.SIGKILL
    assert until(lambda: not daemon.processes(), 5), len(daemon.processes())


def test_processes_are_limited(daemon):
    """One more than may be: fork says so, and the session goes on."""
    script = "i=0; while [ $i -lt 600 ]; do sleep 100 & i=$((i+1)); done; kill -9 -1"
    result = daemon.run("sh", "-c", script, timeout=60)
    assert "fork" in result.stderr, result
    assert until(lambda: not daemon.processes(), 5)


def test_nothing_is_left_in_the_hosts_tmp(daemon):
    places = ["/tmp", "/dev/shm", "/dev/mqueue"]
    before = {p: set(os.listdir(p)) for p in places if os.path.isdir(p)}
    daemon.run("sh", "-c", "touch /tmp/a /run/b /dev/shm/c /d; mkfifo /tmp/f")
    after = {p: set(os.listdir(p)) for p in before}
    assert {p: after[p] - before[p] for p in after if {"a", "b", "c", "d", "f"} & (after[p] - before[p])} == {}
