"""What of nsrootd's units keeps sessions over a restart, a crash and an upgrade of nsrootd, and ends them on a stop: under
a real systemd. That the daemon's own part is right is what tests/integration/test_restart.py shows."""

import os
import pathlib
import time

import pytest

from conftest import TESTS, Bed, Crowd
from harness import until

SESSIONS = "/sys/fs/cgroup/system.slice/nsrootd-sessions.service"
ROUNDS = int(os.environ.get("NSROOT_TEST_KILLS", "30"))
CROWD = int(os.environ.get("NSROOT_TEST_CROWD", "50"))
PROMPTLY = 2
PATIENCE = 300
SERVICE, SOCKET, HOLDER = "nsrootd.service", "nsrootd.socket", "nsrootd-sessions.service"


@pytest.fixture(scope="module")
def bed(soon_cold, tmp_path_factory):
    bed = Bed("bed-native", pathlib.Path("/var/tmp") / f"nsrootd-survival-{tmp_path_factory.getbasetemp().name}")
    bed.up(soon_cold)
    yield bed
    bed.down()


@pytest.fixture
def started(bed):
    """The bed, with a daemon that has a root cached, no session and the units as they are installed."""
    restore(bed)
    assert bed.user("nsrootctl run -- true").returncode == 0
    yield bed
    restore(bed)


def restore(bed):
    bed.shell("rm -rf /run/systemd/system/nsrootd*.d /etc/nsrootd; mkdir -p /etc/nsrootd/nsrootd.conf.d; "
              "printf '[Pool]\\nSlotsPerUser=0\\n' >/etc/nsrootd/nsrootd.conf.d/10-cold.conf; "
              "systemctl daemon-reload; systemctl stop nsrootd.service; systemctl reset-failed; systemctl start nsrootd.socket", check=True)
    assert until(lambda: not bed.inits(), 10)


def drop_in(bed, unit, *lines):
    text = "\\n".join(lines)
    bed.shell(f"mkdir -p /run/systemd/system/{unit}.d; printf '{text}\\n' >/run/systemd/system/{unit}.d/test.conf; "
              "systemctl daemon-reload", check=True)


def detach(bed, script="sleep 300", uid=2001):
    done = bed.user(f"nsrootctl run -d -- sh -c '{script}'", uid=uid)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def foreground(bed, n=1, script="sleep 300"):
    """Clients in units of their own, whose results are in /tmp/result-0 and so on."""
    bed.shell(f"rm -f /tmp/result-*; for i in $(seq 0 {n - 1}); do systemd-run --quiet --collect --uid=2001 nsrootctl run "
              f"--result /tmp/result-$i -- sh -c '{script}' & done; wait", check=True)
    assert until(lambda: len(listed(bed)) >= n), bed.shell("journalctl -n 20 --no-pager").stdout


def listed(bed, options=""):
    return bed.shell(f"nsrootctl list -q {options}").stdout.split()


def answers(bed):
    return bed.user("timeout 2 nsrootctl list").returncode == 0


def kill(bed, times=1, signal="KILL"):
    """The daemon, so many times, each as soon as systemd has started it again."""
    bed.shell(f"for i in $(seq {times}); do p=$(systemctl show -P MainPID {SERVICE}); [ $p != 0 ] || break; kill -{signal} $p; "
              f"n=0; while [ $n -lt 100 ]; do q=$(systemctl show -P MainPID {SERVICE}); [ $q = 0 -o $q = $p ] || break; "
              "n=$((n + 1)); sleep .02; done; done", check=True, timeout=PATIENCE)


# -- what happens to sessions

WAYS = {
    "restart": lambda bed: bed.shell("systemctl restart nsrootd.service", check=True),
    "kill -9": kill,
    "kill -9 eight times": lambda bed: kill(bed, 8),
    "SIGTERM by hand": lambda bed: kill(bed, signal="TERM"),
    "daemon-reexec": lambda bed: bed.shell("systemctl daemon-reexec; systemctl restart nsrootd.service", check=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_sessions_survive(started, way):
    foreground(started, 2, "sleep 300 & wait; exit 7")
    detach(started)
    before, inits, pid = sorted(listed(started)), sorted(started.inits()), started.pid()
    WAYS[way](started)
    assert until(lambda: answers(started))
    assert started.pid() != pid
    assert sorted(listed(started)) == before and sorted(started.inits()) == inits
    assert started.shell("systemctl list-units --failed --quiet | grep nsrootd").returncode == 1
    for id in before:
        started.shell(f"nsrootctl stop --timeout 0 {id}", check=True)
    assert until(lambda: not started.inits(), PROMPTLY)
    for i in range(2):
        assert until(lambda: "stopped" in started.run("cat", f"/tmp/result-{i}").stdout), "its client came back for that"


def test_stop_ends_all_and_tells_who_waits(started):
    foreground(started, 10)
    ids = [detach(started) for _ in range(10)]
    started.shell(f"systemd-run --quiet --collect --unit=waiter --uid=2001 -p StandardOutput=file:/tmp/waiter "
                  f"nsrootctl wait --json {ids[0]}", check=True)
    assert len(started.inits()) == 20
    time.sleep(0.5)
    seconds = started.shell("a=$(date +%s%N); systemctl stop nsrootd.service; "
                            "while pgrep -x nsroot-init >/dev/null; do sleep .01; done; echo $(($(date +%s%N) - a))").stdout
    assert int(seconds) < PROMPTLY * 1e9
    assert until(lambda: "stopped" in started.run("cat", "/tmp/waiter").stdout), started.run("cat", "/tmp/waiter").stdout
    for i in range(10):
        assert until(lambda: '"stopped"' in started.run("cat", f"/tmp/result-{i}").stdout.replace(" ", "")), i


def test_a_stop_is_not_undone_by_a_client_that_comes_back(started):
    foreground(started, 5)
    started.shell("systemctl stop nsrootd.service", check=True)
    time.sleep(1)
    assert started.property(SERVICE, "ActiveState") == "inactive"
    assert not started.inits()


def test_a_session_that_ends_while_there_is_no_daemon_has_its_exact_result(started):
    drop_in(started, SERVICE, "[Service]", "RestartSec=2")
    foreground(started, 1, "sleep 1; echo last; exit 9")
    id = detach(started, "sleep 1; echo last; exit 8")
    started.shell(f"kill -9 {started.pid()}", check=True)
    assert until(lambda: not started.inits(), 5) and started.pid() == "0"
    done = started.user(f"nsrootctl wait {id}")
    assert done.returncode == 8, done.stderr
    assert started.user(f"nsrootctl logs {id}").stdout == "last\n"
    assert until(lambda: '"code":9' in started.run("cat", "/tmp/result-0").stdout.replace(" ", ""))


def test_nothing_is_kept_of_what_is_forgotten(started):
    started.shell("mkdir -p /etc/nsrootd; printf '[Sessions]\\nRemember=1s\\n' >/etc/nsrootd/nsrootd.conf; "
                  "systemctl reload nsrootd.service", check=True)
    foreground(started, 2)
    detach(started)
    assert until(lambda: started.stored() >= 10), started.stored()
    started.shell("for id in $(nsrootctl list -q); do nsrootctl stop --timeout 0 $id; done", check=True)
    assert until(lambda: started.stored() == 0), started.stored()
    assert listed(started, "-a") == []


STRANGER = """\
import array, os, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendmsg([b"FDSTORE=1\\nFDNAME=stranger\\nFDPOLL=0"],
              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", os.pipe()[:1]))], 0, os.environ["NOTIFY_SOCKET"])
"""


def test_what_is_in_the_store_and_nobodys_is_closed(started):
    started.shell(f"cat >/run/stranger.py <<'END'\n{STRANGER}END", check=True)
    drop_in(started, SERVICE, "[Service]", "NotifyAccess=all", "ExecStartPost=/usr/bin/python3 /run/stranger.py")
    started.shell("systemctl restart nsrootd.service", check=True)
    assert until(lambda: started.stored() == 1), started.shell("journalctl -n 20 --no-pager").stdout
    started.shell("rm -r /run/systemd/system/nsrootd.service.d; systemctl daemon-reload; systemctl restart nsrootd.service",
                  check=True)
    assert until(lambda: started.stored() == 0)
    assert until(lambda: [e for e in started.journal("_SYSTEMD_UNIT=nsrootd.service") if "\"stranger\"" in e["MESSAGE"]])


# -- what each setting is for: what holds with it, and does not without

def survives(bed, do):
    id = detach(bed)
    do(bed)
    return until(lambda: answers(bed), 3) and id in listed(bed)


def is_back_at_once(bed):
    begin = time.monotonic()
    return survives(bed, kill) and time.monotonic() - begin < 4


def socket_outlives_a_daemon_that_fails(bed):
    """Each start is for somebody who connects."""
    bed.shell("systemctl stop nsrootd.service; mkdir -p /etc/nsrootd /run/systemd/system/nsrootd.service.d; "
              "printf '[Service]\\nRestart=no\\n' >/run/systemd/system/nsrootd.service.d/once.conf; systemctl daemon-reload; "
              "printf '[Limits]\\nMemoryMax=x\\n' >/etc/nsrootd/nsrootd.conf")
    bed.shell("end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do timeout .1 nsrootctl list >/dev/null 2>&1; done")
    bed.shell("rm -r /etc/nsrootd")
    return bool(until(lambda: answers(bed), 3))


def many_survive(bed, n=300):
    """More descriptors than the usual limit."""
    bed.shell("for u in 2001 2002; do setpriv --reuid=$u --regid=$u --clear-groups bash -c "
              f"'for i in $(seq {n // 2}); do nsrootctl run -d -- sleep 300 >/dev/null || exit; done' & done; wait", timeout=PATIENCE)
    assert len(listed(bed)) == n and bed.stored() == 4 * n
    bed.shell("systemctl restart nsrootd.service")
    return until(lambda: answers(bed), 3) and len(listed(bed)) == n


SETTINGS = {
    "FileDescriptorStoreMax": (SERVICE, ["[Service]", "FileDescriptorStoreMax=0"], lambda b: survives(b, kill)),
    "Restart": (SERVICE, ["[Service]", "Restart=no"], lambda b: survives(b, kill)),
    "Restart=always, not on-failure": (SERVICE, ["[Service]", "Restart=on-failure"],
                                       lambda b: survives(b, lambda b: kill(b, signal="TERM"))),
    "RestartSec": (SERVICE, ["[Service]", "RestartSec=8"], is_back_at_once),
    "StartLimitIntervalSec": (SERVICE, ["[Unit]", "StartLimitIntervalSec=10"], lambda b: survives(b, lambda b: kill(b, 8))),
    "TriggerLimitIntervalSec": (SOCKET, ["[Socket]", "TriggerLimitIntervalSec=2"], socket_outlives_a_daemon_that_fails),
    "LimitNOFILE": (SERVICE, ["[Service]", "LimitNOFILE=1024:524288"], many_survive),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_with_the_setting_it_holds(started, name):
    assert SETTINGS[name][2](started)


@pytest.mark.parametrize("name", SETTINGS)
def test_without_the_setting_it_does_not(started, name):
    unit, lines, holds = SETTINGS[name]
    drop_in(started, unit, *lines)
    started.shell("systemctl stop nsrootd.service nsrootd.socket; systemctl start nsrootd.socket", check=True)
    assert started.user("nsrootctl run -- true").returncode == 0
    assert not holds(started)


def test_the_store_has_room_for_all_that_may_be_stored_and_the_daemon_for_more(started):
    config = dict(line.split("=", 1) for line in started.run("nsrootd", "--dump-config", check=True).stdout.splitlines()
                  if "=" in line and not line.startswith("#"))
    kept = int(started.property(SERVICE, "FileDescriptorStoreMax"))
    largest = 4096  # of SessionsMax=
    assert kept >= 4 * largest + 2 * int(config["RememberMax"])
    assert int(started.property(SERVICE, "LimitNOFILESoft")) >= 2 * kept + int(config["ConnectionsMax"])


def test_sessions_are_in_no_group_of_the_service(started):
    """Or what kills it would kill them, and systemd would complain about them at each restart."""
    id = detach(started)
    foreground(started)
    assert started.property(SERVICE, "Delegate") == "no" and started.property(HOLDER, "Delegate") == "yes"
    group = started.property(SERVICE, "ControlGroup")
    there = started.shell(f"cat $(find /sys/fs/cgroup{group} -name cgroup.procs)").stdout.split()
    assert {started.run("cat", f"/proc/{pid}/comm").stdout for pid in there} == {"nsrootd\n", "nsroot-forker\n"}
    assert started.run("test", "-d", f"{SESSIONS}/user-2001/{id}").returncode == 0
    started.shell("systemctl restart nsrootd.service", check=True)
    said = [e["MESSAGE"] for e in started.journal("UNIT=nsrootd.service")]
    assert not [m for m in said if "left-over process" in m or "remains running" in m]


def test_the_second_unit_goes_when_nothing_needs_it(started):
    detach(started)
    holder = started.property(HOLDER, "MainPID")
    kill(started)
    started.shell("systemctl restart nsrootd.service", check=True)
    assert started.property(HOLDER, "MainPID") == holder
    started.shell("systemctl stop nsrootd.service", check=True)
    assert until(lambda: started.property(HOLDER, "ActiveState") == "inactive", 5)


def test_the_sockets_file_stays_over_restarts_and_goes_with_the_socket(started):
    look = "stat -c '%i %a %U' /run/nsrootd/varlink; readlink /run/varlink/registry/org.nsroot.session"
    before = started.shell(look).stdout
    assert before.split()[1:] == ["666", "root", "/run/nsrootd/varlink"]
    kill(started)
    started.shell("systemctl restart nsrootd.service", check=True)
    started.shell("systemctl stop nsrootd.service", check=True)
    assert started.shell(look).stdout == before
    started.shell("systemctl stop nsrootd.socket", check=True)
    assert started.shell("ls /run/nsrootd/varlink /run/varlink/registry/org.nsroot.session").stdout == ""


# -- many of them

def nothing_is_left(bed):
    bed.shell("mkdir -p /etc/nsrootd; printf '[Sessions]\\nRemember=1s\\n' >/etc/nsrootd/nsrootd.conf; "
              "systemctl reload nsrootd.service", check=True)
    assert until(lambda: not bed.inits()) and until(lambda: bed.stored() == 0), bed.stored()
    assert until(lambda: bed.shell(f"ls -d {SESSIONS}/user-*").returncode != 0)
    assert listed(bed, "-a") == []
    mounts = bed.shell("grep -lE ' (tmpfs|overlay) nsroot ' /proc/[0-9]*/mountinfo").stdout.split()
    names = {bed.shell(f"cat {path[:-len('mountinfo')]}comm").stdout for path in mounts}
    assert names <= {"nsrootd\n", "nsroot-forker\n"}, "none but what the daemon makes sessions of"
    fds = f"ls -l /proc/$(systemctl show -P MainPID {SERVICE})/fd"
    there = bed.shell(fds).stdout
    bed.shell(f"systemctl restart {SERVICE}", check=True)
    fresh = bed.shell(fds).stdout
    assert len(there.splitlines()) <= len(fresh.splitlines()) + 3, there + fresh


def check(found, n):
    assert found["faults"] == [] and found["sessions"] == 2 * n and found["lines"] > 10 * n, found


def test_a_crowd_does_not_notice_that_the_daemon_is_killed_and_restarted(started):
    crowd = Crowd(started, CROWD, PATIENCE)
    kill(started, ROUNDS)
    started.shell(f"for i in $(seq {ROUNDS}); do systemctl restart {SERVICE} || exit; done", check=True, timeout=PATIENCE)
    assert len(listed(started)) == 2 * CROWD
    check(crowd.end(), CROWD)
    nothing_is_left(started)


def replace_daemon(bed, source):
    """As a package does: another file under the same name."""
    bed.shell(f"cp {source} /usr/sbin/nsrootd.new && mv /usr/sbin/nsrootd.new /usr/sbin/nsrootd && systemctl restart {SERVICE}",
              check=True)


@pytest.fixture
def replaceable(started):
    started.shell(f"cp /usr/sbin/nsrootd {TESTS}/nsrootd-before", check=True)
    yield started
    replace_daemon(started, f"{TESTS}/nsrootd-before")


def test_an_upgrade_takes_up_all(replaceable):
    crowd = Crowd(replaceable, CROWD, PATIENCE)
    replace_daemon(replaceable, f"{TESTS}/nsrootd-later")
    assert len(listed(replaceable)) == 2 * CROWD
    kill(replaceable, 3)
    check(crowd.end(), CROWD)
    nothing_is_left(replaceable)


def test_a_downgrade_ends_what_it_cannot_read_and_says_so(replaceable):
    replace_daemon(replaceable, f"{TESTS}/nsrootd-later")
    ids = [detach(replaceable) for _ in range(3)]
    foreground(replaceable, 2)
    ids = listed(replaceable)
    assert len(ids) == 5
    replace_daemon(replaceable, f"{TESTS}/nsrootd-before")
    assert until(lambda: not replaceable.inits(), PROMPTLY)
    assert listed(replaceable, "-a") == [] and until(lambda: replaceable.stored() == 0)
    said = [e["MESSAGE"] for e in replaceable.journal("_SYSTEMD_UNIT=nsrootd.service")]
    for id in ids:
        assert [m for m in said if m.startswith(f"Session {id[:5]} of an earlier nsrootd cannot be taken up") and
                "a later release left it" in m], id
