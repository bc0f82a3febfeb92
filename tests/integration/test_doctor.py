"""nsrootctl doctor and the method Describe: on this machine, on ones that lack something, and with all that may be in
the way to nsrootd."""

import json
import os
import pathlib
import re
import socket
import subprocess
import time

import pytest

import harness
from fake import Fake
from harness import NO_NAMESPACES, OTHER, USER, make_directory, stopped, until

STATUSES = {"ok": 0, "degraded": 1, "missing": 2}
MACHINE = {"daemon", "kernel", "namespaces", "user-namespaces", "seccomp", "memfd-exec", "tmpfs-attributes", "overlay",
           "control-groups"}
ASKED = ["version", "idmapped-mounts", "descriptor-store", "space", "cache", "sessions", "connections", "charging", "limits",
         "roots"]
ALL = MACHINE | set(ASKED)
NOT_LOOKED_AT = "Not looked at, for lack of an answer: "
DESCRIBE = "org.nsroot.session.Describe"
RUNS = int(os.environ.get("NSROOT_TEST_RUNS", "200"))
SILENT = 20  # seconds within which doctor must have given up on whoever does not answer


def found(done):
    """{check: {status, detail, advice}} of a run with --json, whose exit status is that of the worst."""
    checks = json.loads(done.stdout)
    assert [set(c) for c in checks] == [{"check", "status", "detail", "advice"}] * len(checks)
    assert done.returncode == max(STATUSES[c["status"]] for c in checks), done.stdout
    for c in checks:
        assert c["detail"] and bool(c["advice"]) == (c["status"] != "ok"), c
    names = [c["check"] for c in checks]
    assert len(set(names)) == len(names)
    return {c["check"]: c for c in checks}


def doctor(daemon, uid=USER, **kw):
    return found(daemon.ctl("doctor", "--json", uid=uid, **kw))


def expect(checks, name, status, *words, advice=""):
    check = checks[name]
    assert check["status"] == status, check
    for word in words:
        assert word in check["detail"], check
    assert advice in check["advice"], check


@pytest.fixture
def alone(build):
    """alone(socket, *options) is doctor with a socket that no daemon of the harness has."""
    daemon = harness.Daemon(build, start=False)
    yield lambda path, *options, **kw: daemon.ctl("doctor", "--socket", path, *options, **kw)
    daemon.close()


@pytest.fixture
def place():
    """A directory for sockets."""
    directory = pathlib.Path(make_directory())
    yield directory
    subprocess.run(["rm", "-rf", directory], check=True)


@pytest.fixture(scope="session")
def version(build):
    """Of the nsrootctl under test."""
    done = subprocess.run([build.client, "--socket", "/nowhere", "version"], capture_output=True, text=True, timeout=60)
    return done.stdout.removeprefix("nsrootctl ").strip()


# -- a daemon that answers

def test_all_checks_are_made_and_the_machine_is_as_it_is(fresh_daemon):
    daemon = fresh_daemon()
    assert daemon.run("true").returncode == 0
    checks = doctor(daemon)
    assert set(checks) == ALL
    for name in ALL - {"control-groups", "tmpfs-attributes", "idmapped-mounts", "descriptor-store"}:
        expect(checks, name, "ok")
    expect(checks, "kernel", "ok", os.uname().release)
    expect(checks, "daemon", "ok", str(daemon.socket))
    expect(checks, "cache", "ok", "cached: busybox (")
    expect(checks, "descriptor-store", "degraded", "ends all sessions", advice="nsrootd.service")


def test_idmapped_mounts_are_what_sessions_have(fresh_daemon):
    """ext4 and the like: an overlay in the session, and so says doctor; else a copy."""
    daemon = fresh_daemon()
    kind = daemon.run("sh", "-c", "mount | head -1").stdout
    status = doctor(daemon)["idmapped-mounts"]["status"]
    attributes = doctor(daemon)["tmpfs-attributes"]["status"]
    assert ("type overlay" in kind) == (status == attributes == "ok"), (kind, status, attributes)


def test_people_get_a_line_a_check_and_the_advice_below_it(daemon):
    done = daemon.ctl("doctor")
    lines = done.stdout.splitlines()
    checks = doctor(daemon)
    assert [line.split()[:2] for line in lines if not line.startswith(" ")] == \
        [[c["status"], name] for name, c in checks.items()]
    for c in checks.values():
        at = next(i for i, line in enumerate(lines) if line.endswith(c["detail"]))
        assert not c["advice"] or lines[at + 1].strip() == c["advice"] and lines[at + 1].startswith(" " * 20)
    assert done.returncode == max(STATUSES[c["status"]] for c in checks.values())
    assert not done.stderr


def test_help_has_the_exit_statuses(daemon):
    done = daemon.ctl("doctor", "--help")
    assert done.returncode == 0 and "0, all that was looked at is ok; 1, something is degraded; 2," in done.stdout
    assert "doctor" in daemon.ctl("--help").stdout


def test_output_that_cannot_be_written_is_no_health(daemon):
    with open("/dev/full", "w") as full:
        assert daemon.ctl("doctor", stdout=full).returncode == 125
    assert daemon.ctl("doctor", "operand").returncode == 125


def test_a_root_that_is_not_cached_is_degraded_and_pulling_it_is_the_cure(fresh_daemon):
    daemon = fresh_daemon()
    expect(doctor(daemon), "cache", "degraded", "not cached: busybox", advice="root pull")
    assert daemon.ctl("root", "pull", "busybox", uid=0).returncode == 0
    expect(doctor(daemon), "cache", "ok", "busybox")


def test_describe_says_what_the_kernel_says(daemon):
    host = daemon.call(DESCRIBE, uid=USER)["parameters"]["host"]
    free = os.statvfs(daemon.state_dir)
    kind = subprocess.check_output(["findmnt", "-n", "-o", "FSTYPE", "-T", daemon.state_dir], text=True)
    assert host["kernel"] == os.uname().release
    assert host["stateFilesystem"] == kind.strip()
    assert abs(host["stateFreeBytes"] - free.f_bavail * free.f_frsize) < 1 << 30
    assert host["userNamespaces"] is True and host["descriptorStoreMax"] == 0
    assert host["sessionsMax"] == 2048
    assert daemon.ctl("version").stdout == f"nsrootctl {host['version']}\nnsrootd {host['version']}\n"


def test_describe_takes_no_parameters(daemon):
    reply = daemon.call(DESCRIBE, {"x": 1})
    assert reply == {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": "x"}}


CONFIG = """\
[Sessions]
SessionsPerUser=2
[Limits]
StorageMax=64M
FileSizeMax=1M
OpenFilesMax=100
MemoryMax=infinity
MemoryPerUser=infinity
"""


def test_the_allowance_is_the_callers(fresh_daemon):
    daemon = fresh_daemon(CONFIG)
    mine = daemon.call(DESCRIBE, uid=USER)["parameters"]["allowance"]
    assert mine["uid"] == USER and mine["sessionsMax"] == 2 and mine["sessions"] == 0 and not mine["changesRoots"]
    assert mine["roots"] == ["busybox"] and mine["defaultRoot"] == "busybox"
    assert mine["limits"]["storageMaxBytes"] == 64 << 20 and mine["limits"]["fileSizeMaxBytes"] == 1 << 20
    assert mine["limits"]["openFilesMax"] == 100 and "memoryMaxBytes" not in mine["limits"], "infinity is no limit"
    roots = daemon.call(DESCRIBE, uid=0)["parameters"]["allowance"]
    assert roots["uid"] == 0 and roots["changesRoots"] and roots["sessionsMax"] == 2048
    limits = doctor(daemon)["limits"]["detail"]
    assert "64.0M of storage" in limits and "files of 1.0M" in limits and "100 descriptors" in limits
    assert "of memory" not in limits
    expect(doctor(daemon), "roots", "ok", "others change them")
    expect(doctor(daemon, uid=0), "roots", "ok", "you may change them")


def test_who_has_all_his_sessions_is_told(fresh_daemon):
    daemon = fresh_daemon(CONFIG)
    sessions = [harness.Running(daemon, "sleep", "100") for _ in range(2)]
    expect(doctor(daemon), "sessions", "degraded", "you have 2 of 2", advice="nsrootctl stop")
    expect(doctor(daemon, uid=OTHER), "sessions", "ok", "you have 0 of 2, this machine 2 of")
    for s in sessions:
        s.close()
    expect(doctor(daemon), "sessions", "ok", "you have 0 of 2")


def test_a_machine_that_is_full_is_said_to_be(fresh_daemon):
    daemon = fresh_daemon("[Sessions]\nSessionsMax=1\n")
    session = harness.Running(daemon, "sleep", "100", uid=OTHER)
    expect(doctor(daemon), "sessions", "degraded", "this machine has 1 of 1", advice="SessionsMax=")
    session.close()


def test_a_root_for_others_is_not_said_to_be_yours(fresh_daemon):
    daemon = fresh_daemon(harness.BUSYBOX + f"Users={OTHER}\n")
    expect(doctor(daemon), "roots", "missing", "no root", advice="ask")
    expect(doctor(daemon, uid=OTHER), "roots", "ok", "you may use busybox")


def test_describe_many_times_leaves_nothing(fresh_daemon):
    daemon = fresh_daemon()
    daemon.call(DESCRIBE)
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for _ in range(RUNS):
        daemon.call(DESCRIBE, uid=USER)
    assert until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before)
    assert not daemon.processes()


# -- machines that lack something

def test_without_user_namespaces(fresh_daemon):
    daemon = fresh_daemon(wrapper=NO_NAMESPACES)
    checks = doctor(daemon)
    expect(checks, "user-namespaces", "degraded", "user.max_user_namespaces=0", "one uid", "copied", advice="sysctl")
    assert set(checks) == ALL - {"idmapped-mounts"}, "which could not be tried"
    assert f"{NOT_LOOKED_AT}idmapped-mounts\n" in daemon.ctl("doctor").stdout
    assert re.fullmatch(r"uid=(\d+) gid=\1\n", daemon.run("id").stdout), "it is as doctor says"


def test_an_overlay_state_directory(fresh_daemon):
    script = ('d=$(dirname "$0"); mkdir -p $d/upper $d/work; '
              'mount -t overlay -o lowerdir=$0,upperdir=$d/upper,workdir=$d/work overlay $0 && chmod 700 $0 && '
              'exec "$@"')
    daemon = fresh_daemon(start=False)
    daemon.wrapper = ["sh", "-c", script, str(daemon.state_dir)]
    daemon.start()
    checks = doctor(daemon)
    expect(checks, "idmapped-mounts", "degraded", "overlay cannot be mounted with other owners", "copied",
           advice="state directory")
    expect(checks, "overlay", "ok")
    assert "type tmpfs" in daemon.run("sh", "-c", "mount | head -1").stdout, "it is as doctor says"


def test_without_cgroup_v2(fresh_daemon):
    script = 'umount -R -l /sys/fs/cgroup && exec "$@"'
    daemon = fresh_daemon(wrapper=["sh", "-c", script, "sh"])
    host = daemon.call(DESCRIBE)["parameters"]["host"]
    assert "controlGroup" not in host and host["controllers"] == []
    expect(doctor(daemon), "control-groups", "degraded", "no limits of memory, tasks, processor time")
    assert daemon.run("true").returncode == 0


def controllers_of(daemon):
    """Those that the kernel has for a session of this daemon."""
    session = harness.Running(daemon, "sleep", "100")
    path, mount = harness.cgroup_of(session.init), harness.cgroup2_mount()
    there = (mount / path.strip("/") / "cgroup.controllers").read_text().split() if mount and path else []
    session.close()
    return set(there)


def test_control_groups_are_what_limits_a_session(daemon):
    there = controllers_of(daemon)
    host = daemon.call(DESCRIBE)["parameters"]["host"]
    assert set(host["controllers"]) == there & {"memory", "pids", "cpu", "io"}
    expect(doctor(daemon), "control-groups", "ok" if {"memory", "pids", "cpu"} <= there else "degraded")
    assert ("of memory" in doctor(daemon)["limits"]["detail"]) == ("memory" in there)


def test_little_space(fresh_daemon):
    script = 'mount -t tmpfs -o mode=700,size=$SIZE state $0 && exec "$@"'
    for size, status in (("20M", "degraded"), ("3M", "missing")):
        daemon = fresh_daemon(start=False, environment={"SIZE": size})
        daemon.wrapper = ["sh", "-c", script, str(daemon.state_dir)]
        daemon.start()
        expect(doctor(daemon), "space", status, "free", advice="make room")


# -- the way to nsrootd

def test_without_a_daemon_it_looks_at_what_it_can(alone):
    done = alone("/nowhere/varlink", "--json")
    checks = found(done)
    assert set(checks) == MACHINE
    expect(checks, "daemon", "missing", "/nowhere/varlink: there is no socket", advice="as root, 'nsrootd --listen")
    expect(checks, "kernel", "ok")
    expect(checks, "user-namespaces", "ok", pathlib.Path("/proc/sys/user/max_user_namespaces").read_text().strip())
    assert f"{NOT_LOOKED_AT}{', '.join(ASKED)}\n" in alone("/nowhere/varlink").stdout
    assert alone("/nowhere/varlink").returncode == 2


def test_without_a_daemon_and_without_user_namespaces(alone, build):
    argv = [*NO_NAMESPACES, build.client, "--socket", "/nowhere/varlink", "doctor", "--json"]
    checks = found(subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60))
    expect(checks, "user-namespaces", "degraded", "user.max_user_namespaces=0", advice="sysctl")


def test_without_a_daemon_and_without_cgroup_v2(build):
    script = f"umount -R -l /sys/fs/cgroup; exec {build.client} --socket /nowhere/varlink doctor --json"
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], capture_output=True,
                          text=True, timeout=60)
    expect(found(done), "control-groups", "degraded", "this machine has no cgroups")


def test_a_stale_socket(alone, place):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(place / "varlink"))
    os.chmod(place / "varlink", 0o666)
    expect(found(alone(place / "varlink", "--json")), "daemon", "missing", "nobody listens", advice="start it")


def test_a_file_that_is_no_socket(alone, place):
    (place / "varlink").write_text("x")
    os.chmod(place / "varlink", 0o666)
    checks = found(alone(place / "varlink", "--json"))
    assert checks["daemon"]["status"] == "missing"
    assert any(words in checks["daemon"]["detail"] for words in ("no socket of nsrootd", "nobody listens"))


@pytest.mark.parametrize("what", ["socket", "directory"])
def test_no_permission(alone, place, what):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(place / "varlink"))
        s.listen()
        os.chmod(place / "varlink" if what == "socket" else place, 0o600 if what == "socket" else 0o700)
        expect(found(alone(place / "varlink", "--json")), "daemon", "missing", "no permission", advice="0666")


@pytest.mark.parametrize("uid, rule", [(1, "system-users"), (65534, "unmapped-user"), (600000, "session-users")])
def test_whom_admission_refuses_is_told_the_rule(daemon, uid, rule):
    checks = doctor(daemon, uid=uid)
    assert set(checks) == MACHINE
    expect(checks, "daemon", "missing", "does not serve you", f"(rule {rule})", advice="administrator")


def test_a_stopped_daemon_does_not_answer(fresh_daemon):
    daemon = fresh_daemon()
    with stopped(daemon.pid):
        begin = time.monotonic()
        checks = doctor(daemon)
        assert time.monotonic() - begin < SILENT
    assert set(checks) == MACHINE
    expect(checks, "daemon", "missing", "somebody listens, and does not answer", advice="start it again")


def test_a_full_queue_does_not_answer(alone, place):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(place / "varlink"))
        os.chmod(place / "varlink", 0o666)
        s.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(4)]
        for w in waiting:
            try:
                w.connect(str(place / "varlink"))
            except BlockingIOError:
                break
        begin = time.monotonic()
        checks = found(alone(place / "varlink", "--json"))
        assert time.monotonic() - begin < SILENT
        for w in waiting:
            w.close()
    expect(checks, "daemon", "missing", "does not answer")


def trickle(peer):
    """A reply that never ends, a byte at a time."""
    peer.receive()
    peer.send_bytes(b'{"parameters":{"version":"')
    while True:
        time.sleep(.5)
        peer.send_bytes(b"1")


def test_a_reply_that_trickles_is_not_waited_for(alone, place):
    fake = Fake(place / "varlink", on_accept=trickle)
    begin = time.monotonic()
    expect(found(alone(place / "varlink", "--json")), "daemon", "missing", "does not answer")
    assert time.monotonic() - begin < SILENT
    fake.close()


@pytest.mark.parametrize("said, words", [(None, "closed without an answer"), (b"HTTP/1.1 400\r\n\r\n\0", "not nsrootd"),
                                         (b"{}\0" * 3, "")])
def test_others_that_listen(alone, place, said, words):
    def on_accept(peer):
        peer.receive()
        if said:
            peer.send_bytes(said)
    fake = Fake(place / "varlink", on_accept=on_accept)
    checks = found(alone(place / "varlink", "--json"))
    fake.close()
    expect(checks, "daemon" if words else "version", "missing" if words else "degraded", words)


INFO = "org.varlink.service.GetInfo"


def answering(version, described=None, roots=None):
    def describe(peer, _):
        if described is None:
            peer.error("org.varlink.service.MethodNotImplemented", method=DESCRIBE)
        else:
            peer.reply(described)
    return {INFO: lambda peer, _: peer.reply({"version": version}), DESCRIBE: describe,
            "org.nsroot.root.List": lambda peer, _: peer.reply({"roots": roots or []})}


def test_another_version_is_degraded(alone, place):
    fake = Fake(place / "varlink", answering("9.9"))
    expect(found(alone(place / "varlink", "--json")), "version", "degraded", "nsrootd is 9.9, nsrootctl ",
           advice="restart")
    fake.close()


def test_a_daemon_without_describe_is_asked_for_the_rest(alone, place, version):
    fake = Fake(place / "varlink", answering(version, roots=[{"name": "x", "cached": True}]))
    checks = found(alone(place / "varlink", "--json"))
    assert set(checks) == MACHINE | {"version", "cache"}
    expect(checks, "daemon", "ok")
    expect(checks, "cache", "ok", "cached: x")
    expect(checks, "version", "degraded", "does not describe itself")
    fake.close()


def test_what_the_daemon_says_cannot_move_the_cursor(alone, place):
    bad = "\x1b[2J\u202e\n"
    described = {"host": {"idmappedMounts": False, "stateFilesystem": bad},
                 "allowance": {"roots": [bad], "defaultRoot": bad}}
    fake = Fake(place / "varlink", answering(bad, described, [{"name": bad, "cached": True}]))
    plain, checks = alone(place / "varlink").stdout, found(alone(place / "varlink", "--json"))
    fake.close()
    assert "\x1b" not in plain and "\u202e" not in plain
    assert plain.count("\\x1b[2J\\u202e\\x0a") == 5
    assert checks["cache"]["detail"] == f"cached: {bad}"
    assert "\x1b" not in alone(place / "varlink", "--json").stdout


# -- systemd, or what is said to be it

SYSTEMCTL = """\
#!/bin/sh
printf 'LoadState=%s\\nActiveState=%s\\nListen={listen} (Stream)\\n\\n' {socket}
printf 'FileDescriptorStoreMax=77\\nActiveState=%s\\n' {service}
"""


def with_systemd(build, place, listen, socket_states, service_state, *options):
    """doctor where /run/systemd/system is there, with a systemctl that says so; in mounts of its own."""
    (place / "bin").mkdir(exist_ok=True)
    (place / "bin/systemctl").write_text(SYSTEMCTL.format(listen=listen, socket=socket_states, service=service_state))
    (place / "bin/systemctl").chmod(0o755)
    script = ("mount -t tmpfs run /run && mkdir -p /run/systemd/system && "
              f"PATH={place}/bin:$PATH exec {build.client} doctor --json {' '.join(options)}")
    return found(subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], capture_output=True,
                                text=True, timeout=60))


def test_with_systemd_it_says_which_unit_to_start(build, place):
    checks = with_systemd(build, place, "/run/nsrootd/varlink", "loaded inactive", "failed")
    expect(checks, "daemon", "missing", "there is no socket (nsrootd.socket is inactive, nsrootd.service failed)",
           advice="systemctl enable --now nsrootd.socket")
    assert "systemctl status nsrootd" in checks["daemon"]["advice"]
    assert "journalctl -u nsrootd" in checks["daemon"]["advice"]
    checks = with_systemd(build, place, "", "not-found inactive", "inactive")
    expect(checks, "daemon", "missing", advice="install nsrootd and its units")


def test_the_states_of_the_units_are_those_after_nsrootd_was_asked(build, place):
    """Of a service that fails when it is started by the question."""
    state = "$(test -e $0.asked && echo failed || echo inactive; touch $0.asked)"
    checks = with_systemd(build, place, "/run/nsrootd/varlink", "loaded active", state)
    expect(checks, "daemon", "missing", "nsrootd.service failed")


def test_with_systemd_the_unit_knows_how_many_descriptors_are_kept(build, place, version):
    path = place / "varlink"
    fake = Fake(path, answering(version, {"host": {}}))
    checks = with_systemd(build, place, path, "loaded active", "inactive", "--socket", str(path))
    expect(checks, "daemon", "ok", "nsrootd.socket has just started it")
    expect(checks, "descriptor-store", "ok", "up to 77 descriptors")
    checks = with_systemd(build, place, "/run/nsrootd/varlink", "loaded active", "active", "--socket", str(path))
    assert "descriptor-store" not in checks, "that unit is another one's"
    fake.close()
