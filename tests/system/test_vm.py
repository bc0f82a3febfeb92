"""nsrootd on another kernel (Debian 12's own, 6.1) with all cgroup v2 controllers, in an emulated machine."""

import json
import re

import pytest

from conftest import Crowd
from harness import until

SESSIONS = "/sys/fs/cgroup/system.slice/nsrootd-sessions.service"
RUN = "nsrootctl run --"
SETUP_FAILED = "da4542061956432d819e52790e44155c"


@pytest.fixture(scope="module")
def bed(vm):
    return vm


def test_it_is_the_kernel_of_debian_12(bed):
    assert bed.run("uname", "-r").stdout.startswith("6.1")
    assert set("cpu memory pids".split()) <= set(bed.run("cat", f"{SESSIONS}/cgroup.controllers").stdout.split())


def test_a_root_can_be_changed_in_every_way_and_is_new_again(bed):
    script = ("touch /x && chown 1000 /x && echo a:b >>/etc/passwd && mkdir /home && mv /etc/hosts /etc/h && rm /etc/profile && "
              "ln -s /x /etc/profile && rm -r /etc && mkdir /etc && mv /var /var2 && mkdir /var && ls /")
    done = bed.user(f"{RUN} sh -c '{script}'")
    assert done.returncode == 0, done.stderr
    assert "home" in done.stdout
    assert bed.user(f"{RUN} ls /").stdout.split() == "bin dev etc lib lib64 proc root run sbin sys tmp var".split()


def test_a_read_only_root_is_one(bed):
    done = bed.user("nsrootctl run --read-only -- sh -c 'touch /tmp/x && touch /run/x && touch /x'")
    assert done.returncode == 1 and "Read-only file system" in done.stderr


def test_the_profile_holds_here_too(bed):
    status = bed.user(f"{RUN} cat /proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["CapEff"] == fields["CapBnd"] == "00000000000004fb" and fields["NoNewPrivs"] == "1"
    assert "proc on /proc type proc (rw,nosuid,nodev,noexec,relatime)" in bed.user(f"{RUN} mount").stdout


def test_a_session_has_the_limits_of_the_configuration(bed):
    bed.shell("systemd-run --quiet --collect --uid=2001 nsrootctl run -- sleep 300", check=True)
    session = until(lambda: bed.shell("nsrootctl list -q").stdout.strip())
    half = bed.run("cat", f"{SESSIONS}/user-2001/memory.max").stdout.strip()  # of this little machine: less than 1 GiB
    files = {"memory.max": half, "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "512",
             "cpu.max": "200000 100000", "cgroup.max.descendants": "0"}
    there = {name: bed.run("cat", f"{SESSIONS}/user-2001/{session}/{name}").stdout.strip() for name in files}
    bed.shell(f"nsrootctl stop --timeout 0 {session}", check=True)
    assert there == files and 0 < int(half) < 1 << 30


def test_a_user_has_the_limits_of_their_own_section(bed):
    bed.shell("mkdir -p /etc/nsrootd/nsrootd.conf.d; printf '[User 2001]\\nMemoryMax=90M\\nTasksMax=77\\nCpuQuota=50%%\\n' "
              ">/etc/nsrootd/nsrootd.conf.d/a.conf; systemctl reload nsrootd.service", check=True)
    there = {}
    for uid in (2001, 2002):
        bed.shell(f"systemd-run --quiet --collect --uid={uid} nsrootctl run -- sleep 300", check=True)
        session = until(lambda: bed.shell("nsrootctl list -q").stdout.strip())
        there[uid] = [bed.run("cat", f"{SESSIONS}/user-{uid}/{session}/{name}").stdout.strip()
                      for name in ("memory.max", "pids.max", "cpu.max")]
        bed.shell(f"nsrootctl stop --timeout 0 {session}; rm -f /etc/nsrootd/nsrootd.conf.d/a.conf", check=True)
    bed.shell("systemctl reload nsrootd.service", check=True)
    assert there == {2001: [str(90 << 20), "77", "50000 100000"], 2002: [there[2002][0], "512", "200000 100000"]}
    assert 90 << 20 < int(there[2002][0]) <= 1 << 30


def test_memory_is_bounded(bed):
    """With a limit well below what the emulated machine has."""
    bed.shell("mkdir -p /etc/nsrootd; printf '[Limits]\\nMemoryMax=100M\\n' >/etc/nsrootd/nsrootd.conf; "
              "systemctl reload nsrootd.service", check=True)
    result, done = bed.result("dd if=/dev/zero of=/dev/null bs=400M count=1")
    bed.shell("rm /etc/nsrootd/nsrootd.conf; systemctl reload nsrootd.service", check=True)
    assert result["cause"] == "outOfMemory" and done.returncode == 137, done.stderr
    assert 95 << 20 < result["memoryPeakBytes"] <= 100 << 20


def test_tasks_are_bounded(bed):
    result, done = bed.result("i=0; while [ $i -lt 700 ]; do sleep 100 & i=$((i+1)); done 2>&1; exit 3")
    assert result["tasksPeak"] <= 512
    assert "Resource temporarily unavailable" in done.stdout + done.stderr or result["tasksPeak"] >= 500


def test_storage_is_bounded(bed):
    done = bed.user("nsrootctl run --storage 64M -- sh -c 'dd if=/dev/zero of=/big bs=1M count=100'")
    assert done.returncode != 0 and "No space left on device" in done.stderr


@pytest.fixture
def little_memory(bed):
    """64 MiB a session."""
    bed.shell("mkdir -p /etc/nsrootd; printf '[Limits]\\nMemoryMax=64M\\n' >/etc/nsrootd/nsrootd.conf; "
              "systemctl reload nsrootd.service", check=True)
    yield
    bed.shell("rm -rf /etc/nsrootd/nsrootd.conf /run/systemd/system/nsrootd.service.d; systemctl daemon-reload; "
              "systemctl reload-or-restart nsrootd.service", check=True)


def test_sessions_and_their_limits_survive_a_restart_with_controllers_on(bed, little_memory):
    """Where the service itself had them below it, it could not be started again at all."""
    id = bed.detach("dd if=/dev/zero of=/tmp/20M bs=1M count=20 2>/dev/null; sleep 300")
    memory = f"{SESSIONS}/user-2001/{id}/memory"
    assert until(lambda: int(bed.run("cat", f"{memory}.current").stdout) > 20 << 20)
    bed.shell("systemctl restart nsrootd.service; kill -9 $(systemctl show -P MainPID nsrootd.service)", check=True)
    assert until(lambda: id in bed.user("nsrootctl list -q").stdout)
    assert bed.run("cat", f"{memory}.max").stdout.strip() == str(64 << 20)
    bed.user(f"nsrootctl stop --timeout 0 {id}", check=True)
    text = bed.user(f"nsrootctl inspect --json {id}").stdout
    assert 20 << 20 < peak_of(text) <= 64 << 20, text
    assert until(lambda: bed.shell(f"ls -d {SESSIONS}/user-*").returncode != 0)


def peak_of(text):
    found = re.search(r'"memoryPeakBytes": ?([0-9]+)', text)
    assert found, text
    return int(found[1])


def test_running_out_of_memory_while_there_is_no_daemon_is_told_as_that(bed, little_memory):
    bed.shell("mkdir -p /run/systemd/system/nsrootd.service.d; printf '[Service]\\nRestartSec=6\\n' "
              ">/run/systemd/system/nsrootd.service.d/late.conf; systemctl daemon-reload", check=True)
    id = bed.detach("sleep 3; dd if=/dev/zero of=/dev/null bs=200M count=1")
    bed.shell("kill -9 $(systemctl show -P MainPID nsrootd.service)", check=True)
    assert until(lambda: not bed.inits(), 30)
    alone = bed.property("nsrootd.service", "MainPID") == "0"
    bed.shell("rm -r /run/systemd/system/nsrootd.service.d; systemctl daemon-reload", check=True)
    text = bed.user(f"nsrootctl wait --json {id}", timeout=120).stdout
    assert alone, "it was to happen while there is none"
    assert "outOfMemory" in text, text


def test_a_crowd_does_not_notice_kills_and_restarts_with_controllers_on(bed):
    crowd = Crowd(bed, 8, 200)
    bed.shell("for i in 1 2 3 4 5 6; do p=$(systemctl show -P MainPID nsrootd.service); kill -9 $p; "
              "while q=$(systemctl show -P MainPID nsrootd.service); [ $q = 0 -o $q = $p ]; do sleep .1; done; "
              "systemctl restart nsrootd.service; done", check=True, timeout=200)
    found = crowd.end()
    assert found["faults"] == [] and found["sessions"] == 16 and found["lines"] > 16 * 10, found
    assert until(lambda: not bed.inits()) and until(lambda: bed.shell(f"ls -d {SESSIONS}/user-*").returncode != 0)


def test_a_session_that_cannot_be_set_up_is_logged_with_its_step(bed):
    """The kernel's limit on mounts is one that the session's own meet first."""
    before = len(bed.journal(f"MESSAGE_ID={SETUP_FAILED}"))
    done = bed.shell("echo 10 >/proc/sys/fs/mount-max; setpriv --reuid=2001 --regid=2001 --clear-groups "
                     f"{RUN} true; s=$?; echo 100000 >/proc/sys/fs/mount-max; exit $s")
    assert done.returncode == 125 and "No space left on device" in done.stderr
    entries = bed.journal(f"MESSAGE_ID={SETUP_FAILED}")[before:]
    assert len(entries) == 1
    entry = entries[0]
    assert entry["NSROOT_UID"] == "2001" and entry["NSROOT_ROOT"] == "busybox" and entry["ERRNO"] == "28"
    assert entry["NSROOT_STEP"] in done.stderr, "the user and the journal are told the same"
    assert bed.user(f"{RUN} true").returncode == 0


def test_a_state_directory_that_cannot_be_idmapped_does_too(bed):
    """A tmpfs, on this kernel; and a second daemon beside the one of systemd."""
    bed.shell("mkdir -m 755 /run/second; systemd-run --quiet --collect --unit=second nsrootd "
              "--listen /run/second/varlink --state-dir /run/second/state", check=True)
    script = "touch /x && rm -r /etc && mkdir /home && ls -d /x /home && mount | head -1"
    run = f"nsrootctl --socket /run/second/varlink run -- sh -c '{script}'"
    assert until(lambda: bed.run("test", "-S", "/run/second/varlink").returncode == 0)
    done = bed.user(run)
    assert done.stdout.startswith("/home\n/x\nnsroot on / type tmpfs"), done.stderr
    assert bed.user(run).stdout == done.stdout, "fresh again"
    bed.shell("systemctl stop second.service", check=True)


def doctor(bed, options=""):
    """{check: {status, detail, advice, ...}} of an ordinary user's `nsrootctl doctor`, whose exit status is checked."""
    done = bed.user(f"nsrootctl {options} doctor --json")
    checks = {c["check"]: c for c in json.loads(done.stdout)}
    worst = max({"ok": 0, "degraded": 1, "missing": 2}[c["status"]] for c in checks.values())
    assert done.returncode == worst, done.stdout
    return checks


def test_doctor_finds_nothing_less_here_than_what_came_with_a_newer_kernel(bed):
    checks = doctor(bed)
    degraded = {name: c for name, c in checks.items() if c["status"] != "ok"}
    assert set(degraded) == {"tmpfs-attributes"}, degraded
    assert degraded["tmpfs-attributes"]["status"] == "degraded" and "6.6" in degraded["tmpfs-attributes"]["advice"]
    assert checks["kernel"]["detail"].startswith("Linux 6.1")
    assert checks["control-groups"]["detail"] == "nsrootd limits sessions by memory, pids, cpu"
    assert "ext4" in checks["idmapped-mounts"]["detail"]
    assert "of memory" in checks["limits"]["detail"] and "512 tasks" in checks["limits"]["detail"]


@pytest.fixture
def no_user_namespaces(bed):
    """Switched off, for all of the machine, while nsrootd runs."""
    before = bed.run("cat", "/proc/sys/user/max_user_namespaces").stdout.strip()
    bed.shell("echo 0 >/proc/sys/user/max_user_namespaces", check=True)
    assert until(lambda: bed.user(f"{RUN} id -u").stdout != "0\n", 60), "but for one that was ready, it is noticed"
    yield
    bed.shell(f"echo {before} >/proc/sys/user/max_user_namespaces", check=True)
    assert until(lambda: bed.user(f"{RUN} id -u").stdout == "0\n", 60), "there they are again"
    assert doctor(bed)["user-namespaces"]["status"] == "ok"


def test_doctor_says_when_user_namespaces_are_switched_off(bed, no_user_namespaces):
    while_it_runs = doctor(bed)["user-namespaces"]
    bed.shell("systemctl restart nsrootd.service", check=True)
    after_a_restart = doctor(bed)
    without = doctor(bed, "--socket /nowhere")["user-namespaces"]
    for check in (while_it_runs, after_a_restart["user-namespaces"], without):
        assert check["status"] == "degraded" and "user.max_user_namespaces=0" in check["detail"], check
        assert "one uid" in check["detail"] and "sysctl" in check["advice"]
    assert "idmapped-mounts" not in after_a_restart, "nobody could try"


def test_without_user_namespaces_a_session_is_one_unprivileged_uid(bed, no_user_namespaces):
    """Of a daemon that is the machine's own root, and whose child could do everything up to its last step."""
    limits = "grep -r . /proc/sys/user | grep -v max_user_namespaces"
    before = bed.shell(limits).stdout
    status = bed.user(f"{RUN} cat /proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = fields["Uid"].split()[0]
    assert int(uid) >= 524288 and fields["Uid"].split() == fields["Gid"].split() == [uid] * 4 and not fields["Groups"].strip()
    assert {fields[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    script = ("touch /x /etc/x /root/x /dev/x && rm /bin/vi && ip addr show lo | grep -q 127.0.0.1 && grep \" / tmpfs\" /proc/mounts; "
              "for f in kernel/core_pattern user/max_mnt_namespaces vm/drop_caches; do (echo 1 >/proc/sys/$f) && echo $f; done; "
              "(unshare -m true || unshare -U true || mount -t tmpfs x /tmp || chroot / true || mknod /b b 8 0) && echo powers; "
              "kill -9 1; cat /proc/1/environ; id -u")
    done = bed.user(f"{RUN} sh -c '{script}' 2>/dev/null")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("nsroot / tmpfs rw,nosuid,nodev,") and len(rest) == 1 and int(rest[0]) >= 524288, done.stdout
    refused = bed.user("nsrootctl run -u nobody -- true")
    assert refused.returncode == 125 and "no user namespaces" in refused.stderr
    assert bed.user("nsrootctl run --read-only -- touch /x").returncode == 1
    assert bed.shell(limits).stdout == before
    assert bed.shell("journalctl -u nsrootd --no-pager -o cat | grep -c 'no user namespaces (user.max'").stdout.strip() != "0"


def test_without_user_namespaces_a_session_has_its_limits_and_survives_a_restart(bed, no_user_namespaces, little_memory):
    id = bed.detach("sleep 300")
    assert bed.run("cat", f"{SESSIONS}/user-2001/{id}/memory.max").stdout.strip() == str(64 << 20)
    bed.shell("systemctl restart nsrootd.service; kill -9 $(systemctl show -P MainPID nsrootd.service)", check=True)
    assert until(lambda: id in bed.user("nsrootctl list -q").stdout)
    assert int(bed.user(f"nsrootctl exec {id} -- id -u").stdout) >= 524288
    assert "no user namespaces" in bed.user(f"nsrootctl exec -u nobody {id} -- id").stderr
    bed.user(f"nsrootctl stop --timeout 0 {id}", check=True)
    assert until(lambda: not bed.inits())
    done = bed.user("cd /tmp; nsrootctl run --result hog -- dd if=/dev/zero of=/dev/null bs=200M count=1; s=$?; cat hog; exit $s")
    assert json.loads(done.stdout)["cause"] == "outOfMemory" and done.returncode == 137


def test_doctor_knows_a_tmpfs_of_this_kernel_from_an_overlay(bed):
    """Neither can be idmapped here; and a daemon without a service manager has nobody to keep its descriptors."""
    script = ("mkdir -p -m 755 /run/{0} && cd /run/{0} && mkdir -p state upper work && {1} && chmod 700 state && "
              "systemd-run --quiet --collect --unit={0} nsrootd --listen /run/{0}/varlink "
              "--state-dir /run/{0}/state")
    overlay = "mount -t overlay -o lowerdir=state,upperdir=upper,workdir=work overlay state"
    mounts = {"tmpfs": "true", "overlay": overlay}
    for name, mount in mounts.items():
        bed.shell(script.format(name, mount), check=True)
        assert until(lambda: bed.run("test", "-S", f"/run/{name}/varlink").returncode == 0)
        checks = doctor(bed, f"--socket /run/{name}/varlink")
        assert checks["idmapped-mounts"]["status"] == "degraded" and name in checks["idmapped-mounts"]["detail"], checks
        assert checks["descriptor-store"]["status"] == "degraded"
        bed.shell(f"systemctl stop {name}.service", check=True)


def test_who_is_to_be_charged_as_the_caller_is_told_that_this_kernel_does_not_know_callers(bed):
    """SO_PEERPIDFD came with 6.5; before that a pid could be somebody else's by now."""
    bed.shell("mkdir -p /etc/nsrootd/nsrootd.conf.d; printf '[User 2002]\\nCharge=caller\\n' "
              ">/etc/nsrootd/nsrootd.conf.d/a.conf; systemctl reload nsrootd.service", check=True)
    refused, other = bed.user(f"{RUN} true", uid=2002), bed.user(f"{RUN} true")
    checks = json.loads(bed.user("nsrootctl doctor --json", uid=2002).stdout)
    bed.shell("rm /etc/nsrootd/nsrootd.conf.d/a.conf; systemctl reload nsrootd.service", check=True)
    assert refused.returncode == 125 and "Charge" in refused.stderr and "6.5" in refused.stderr, refused.stderr
    assert other.returncode == 0, other.stderr
    charging = next(c for c in checks if c["check"] == "charging")
    assert charging["status"] == "missing" and "6.5" in charging["advice"]
