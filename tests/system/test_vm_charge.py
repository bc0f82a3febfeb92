"""Charge=caller below units of systemd, on a kernel that says which process asks (6.5), with all controllers, in an emulated
machine: the unit's limits and accounts are about the session."""

import json
import pathlib

import pytest

from conftest import Bed, vm_assets
from harness import until

OUT_OF_MEMORY = "dd if=/dev/zero of=/dev/null bs=200M count=1"
AS_ANOTHER = "setpriv --reuid=2002 --regid=2002 --clear-groups"


@pytest.fixture(scope="module")
def bed(soon_cold, tmp_path_factory):
    bed = Bed("bed-vm", pathlib.Path("/var/tmp") / f"nsrootd-vm-newer-{tmp_path_factory.getbasetemp().name}")
    bed.up(soon_cold, vm_assets("vm-newer", "bookworm-backports"))
    bed.shell("mkdir -p /etc/nsrootd; printf '[Sessions]\\nCharge=caller\\n' >/etc/nsrootd/nsrootd.conf", check=True)
    assert bed.user("nsrootctl run -- true").returncode == 0, bed.shell("journalctl -u nsrootd* --no-pager").stdout
    yield bed
    bed.down()


class Unit:
    """A transient service of an ordinary user."""

    def __init__(self, bed, script, *properties, uid=2001):
        self.bed, self.name = bed, f"caller{next(numbers)}.service"
        options = " ".join(f"--property={p}" for p in ("RemainAfterExit=no", *properties))
        bed.shell(f"systemd-run --quiet --unit={self.name} --uid={uid} {options} bash -c '{script}'", check=True)

    @property
    def path(self):
        return f"/sys/fs/cgroup/system.slice/{self.name}"

    def read(self, file):
        return self.bed.run("cat", f"{self.path}/{file}").stdout

    def property(self, name):
        return self.bed.property(self.name, name)

    def session(self, timeout=20):
        """The one that is below it."""
        found = until(lambda: self.bed.shell(f"ls -d {self.path}/nsrootd-*").stdout.split(), timeout)
        assert found, self.bed.shell("journalctl -n 30 --no-pager").stdout
        return found[0].rpartition("-")[2]

    def state(self):
        return self.property("ActiveState")

    def stop(self):
        self.bed.shell(f"systemctl stop {self.name}; systemctl reset-failed {self.name} 2>/dev/null", timeout=100)


numbers = iter(range(1000))


def result(bed, id):
    done = bed.shell(f"nsrootctl wait --json {id}", timeout=100)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)[0]["result"]


def test_the_kernel_says_who_asks(bed):
    assert tuple(map(int, bed.run("uname", "-r").stdout.split(".")[:2])) >= (6, 5)
    described = json.loads(bed.user("nsrootctl doctor --json").stdout)
    assert next(c for c in described if c["check"] == "charging")["status"] == "ok"


def test_a_units_memory_limit_is_the_sessions_and_its_peak_counts_it(bed):
    """In the foreground: the client of the session is in the unit, too, and lives."""
    unit = Unit(bed, f"nsrootctl run --result /tmp/unit-result -- {OUT_OF_MEMORY}; sleep 300",
                "MemoryMax=100M", "MemorySwapMax=0", "OOMPolicy=continue", "UMask=0000")
    assert until(lambda: bed.run("cat", "/tmp/unit-result").stdout, 60)
    found = json.loads(bed.run("cat", "/tmp/unit-result").stdout)
    peak, events = int(unit.read("memory.peak")), unit.read("memory.events")
    unit.stop()
    assert found["cause"] == "outOfMemory" and found["signal"] == "SIGKILL", found
    assert "memoryPeakBytes" not in found
    assert 90 << 20 < peak <= 100 << 20 and "oom_kill 1\n" in events, events


def test_what_a_session_has_in_its_files_is_the_units_memory(bed):
    unit = Unit(bed, "nsrootctl run -d -- sh -c \"dd if=/dev/zero of=/tmp/x bs=1M count=40 2>/dev/null; sleep 300\"; sleep 300",
                "MemoryMax=100M")
    session = unit.session()
    assert until(lambda: int(unit.read("memory.current")) > 40 << 20, 60), unit.read("memory.current")
    assert int(unit.read("pids.current")) >= 3
    assert "memory" not in bed.run("cat", f"{unit.path}/nsrootd-{session}/cgroup.controllers").stdout
    own = bed.run("cat", "/sys/fs/cgroup/system.slice/nsrootd.service/cgroup.procs").stdout.split()
    assert {bed.run("cat", f"/proc/{pid}/comm").stdout for pid in own} == {"nsrootd\n", "nsroot-forker\n"}
    unit.stop()


@pytest.mark.parametrize("policy", ["stop", "kill", "continue"])
def test_what_a_unit_does_about_it_is_its_own_policy(bed, policy):
    """A stop may come before the process that is killed has died, and then the session is stopped."""
    unit = Unit(bed, f"nsrootctl run -d -- sh -c \"sleep 2; exec {OUT_OF_MEMORY}\"; sleep 300", "MemoryMax=100M", "MemorySwapMax=0",
                f"OOMPolicy={policy}")
    id = unit.session()
    found = result(bed, id)
    assert found["cause"] in ("outOfMemory", "stopped" if policy == "stop" else ""), found
    if policy == "continue":
        assert unit.state() == "active"
        unit.stop()
    else:
        assert until(lambda: unit.state() == "failed", 30), unit.state()
        assert unit.property("Result") == "oom-kill"
        bed.shell(f"systemctl reset-failed {unit.name}")
    assert bed.run("test", "-e", unit.path).returncode


def test_a_kill_by_somebody_else_is_not_the_lack_of_memory(bed):
    unit = Unit(bed, "nsrootctl run -d -- sleep 300; sleep 300", "MemoryMax=100M")
    id = unit.session()
    bed.shell(f"kill -KILL $(grep -l sleep /proc/[0-9]*/comm | cut -d/ -f3 | xargs -n1 sh -c "
              f"'grep -q nsrootd-{id} /proc/$0/cgroup && echo $0')", check=True)
    assert result(bed, id)["cause"] == "signaled"
    unit.stop()


def test_stopping_the_unit_stops_the_session_promptly(bed):
    unit = Unit(bed, "nsrootctl run -d -- sh -c \"trap : TERM; sleep 300 & wait; sleep 300\"; sleep 300", "TimeoutStopSec=30")
    id = unit.session()
    took = bed.shell(f"s=$(date +%s); systemctl stop {unit.name}; echo $(($(date +%s) - s))").stdout
    assert int(took) < 10
    assert result(bed, id)["cause"] == "stopped"
    assert bed.run("test", "-e", unit.path).returncode, "nothing of it is left"


def test_a_restart_of_the_daemon_in_between_changes_nothing(bed):
    unit = Unit(bed, f"nsrootctl run -d -- sh -c \"while ! test -e /tmp/go; do sleep 1; done; exec {OUT_OF_MEMORY}\"; sleep 300",
                "MemoryMax=100M", "MemorySwapMax=0", "OOMPolicy=continue")
    id = unit.session()
    bed.shell("systemctl restart nsrootd.service; kill -9 $(systemctl show -P MainPID nsrootd.service)", check=True)
    assert until(lambda: id in bed.shell("nsrootctl list -q").stdout)
    assert bed.run("nsrootctl", "exec", id, "--", "touch", "/tmp/go").returncode == 0
    assert result(bed, id)["cause"] == "outOfMemory"
    assert until(lambda: bed.shell(f"ls -d {unit.path}/nsrootd-*").returncode != 0)
    unit.stop()


def test_sessions_of_a_throttled_unit_hold_nobody_else(bed):
    """One hundredth of a processor, of which others take all there is."""
    bed.user("nsrootctl run -- true")
    unit = Unit(bed, "while :; do :; done & nsrootctl run -d -- sleep 300; sleep 300", "CPUQuota=1%")
    unit.session(120)
    for command, seconds in (("nsrootctl list -q", 2), (f"{AS_ANOTHER} nsrootctl run -- true", 10)):
        took = bed.shell(f"s=$(date +%s%N); {command} >/dev/null || exit; echo $(($(date +%s%N) - s))", check=True).stdout
        assert int(took) < seconds * 1_000_000_000, command
    unit.stop()
