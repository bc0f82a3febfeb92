"""What a session may ask for, and what becomes of one that reaches its limit: a real daemon, as an ordinary user.

What needs a controller of cgroup v2 is enforced in an emulated machine (tests/system/test_vm_limits.py); here are the
answers, by what this host has.
"""

import contextlib
import difflib
import json
import pathlib
import signal
import subprocess
import time

import pytest

from harness import OTHER, USER, Daemon, Running, cgroup2_mount, stopped, until
from varlink import Connection, VarlinkError

SESSION = "org.nsroot.session."
GOLDEN = pathlib.Path(__file__).parent / "golden-limits"

# Below each default there is room, and above it, to what is allowed, too. One is allowed what it has.
CONFIG = f"""\
[Limits]
MemoryMax=200M
MemoryAllowed=400M
TasksMax=100
TasksAllowed=200
CpuQuota=50%
CpuQuotaAllowed=100%
CpuTimeMax=100s
CpuTimeAllowed=200s
RuntimeMax=100s
RuntimeAllowed=200s
StorageMax=32M
StorageAllowed=64M
StorageInodes=5000
StorageInodesAllowed=9000
SharedMemoryMax=1M
SharedMemoryAllowed=2M
FileSizeMax=16M
FileSizeAllowed=32M
OpenFilesMax=100
OpenFilesAllowed=200
ProcessesMax=100
ProcessesAllowed=200
LockedMemoryMax=8K
LockedMemoryAllowed=16K

[User {OTHER}]
MemoryPerUser=300M
TasksPerUser=150
CpuQuotaPerUser=80%
"""

# Of each: its key, what a request may be at least, its default, and what is allowed; and what it needs.
LIMITS = {
    "memoryMaxBytes": ("MemoryMax", 1 << 20, 200 << 20, 400 << 20, "memory"),
    "tasksMax": ("TasksMax", 2, 100, 200, "pids"),
    "cpuQuotaPercent": ("CpuQuota", 1, 50, 100, "cpu"),
    "cpuWeight": ("CpuWeight", 1, 100, 10000, "cpu"),
    "ioWeight": ("IoWeight", 1, 100, 10000, "io"),
    "cpuTimeMaxUSec": ("CpuTimeMax", 1000, 100_000_000, 200_000_000, "cgroup"),
    "runtimeMaxUSec": ("RuntimeMax", 1000, 100_000_000, 200_000_000, None),
    "storageMaxBytes": ("StorageMax", 1 << 20, 32 << 20, 64 << 20, None),
    "storageMaxInodes": ("StorageInodes", 1024, 5000, 9000, None),
    "sharedMemoryMaxBytes": ("SharedMemoryMax", 64 << 10, 1 << 20, 2 << 20, None),
    "fileSizeMaxBytes": ("FileSizeMax", 4 << 10, 16 << 20, 32 << 20, None),
    "openFilesMax": ("OpenFilesMax", 16, 100, 200, None),
    "processesMax": ("ProcessesMax", 2, 100, 200, None),
    "lockedMemoryMaxBytes": ("LockedMemoryMax", 0, 8 << 10, 16 << 10, None),
}
HUGE = 2**63 - 1


@pytest.fixture(scope="module")
def daemon(build):
    d = Daemon(build, CONFIG)
    yield d
    d.close()


def connect(daemon, uid=USER):
    return Connection(daemon.socket, uid)


def describe(daemon, uid=USER):
    return daemon.call(SESSION + "Describe", uid=uid)["parameters"]


def enforcers(daemon):
    """What this host has of what limits need. Weights of disks only where there is a policy for them."""
    host = describe(daemon)["host"]
    node = host.get("controlGroup")
    there = set(host["controllers"]) - {"io"} | ({"cgroup"} if node else set())
    if node and (cgroup2_mount() / node.strip("/") / "io.weight").exists():
        there.add("io")
    return there


def run(daemon, limits, uid=USER, **parameters):
    """What a Run answers at once: the session's limits, or the error."""
    with connect(daemon, uid) as c:
        try:
            return next(c.stream(SESSION + "Run", {"arguments": ["sleep", "60"], "limits": limits, **parameters}))["session"]["limits"]
        except VarlinkError as e:
            return e.name.rpartition(".")[2] + " " + " ".join(str(e.parameters[k]) for k in ("limit", "parameter") if k in e.parameters)


def cell(daemon, field, value, uid=USER):
    answer = run(daemon, {field: value}, uid)
    return answer if isinstance(answer, str) else str(answer.get(field, "none"))


def rows(field):
    key, least, default, allowed, _ = LIMITS[field]
    beyond = allowed + 1
    return {"absent": None, "least": least, "below": (least + default) // 2, "default": default, "at": allowed, "above": beyond,
            "too little": least - 1, "zero": 0, "negative": -1, "huge": HUGE, "smallest": -2**63, "beyond": 2**63,
            "fraction": 1.5, "text": "1", "flag": True, "list": [1]}


def expect(daemon, field, name, value, golden):
    """What is golden where the host enforces everything; what it does not enforce is said, if all else is well."""
    needs = LIMITS[field][-1]
    if needs is None or needs in enforcers(daemon) or golden.startswith(("LimitReached", "InvalidParameter")):
        return golden
    return "none" if value is None else f"LimitUnavailable {LIMITS[field][0]}"


def test_golden_table(daemon, tmp_path):
    """Every limit × (absent, least, below, at its default, at and above the allowance, nonsense)."""
    assert set(describe(daemon)["allowance"]["limits"]) == set(LIMITS)
    golden = dict(line.split(": ", 1) for line in GOLDEN.read_text().splitlines()) if GOLDEN.exists() else {}
    lines, wanted = [], []
    for field in LIMITS:
        for name, value in rows(field).items():
            row = f"{field} {name}"
            lines.append(f"{row}: {cell(daemon, field, value)}\n")
            wanted.append(f"{row}: {expect(daemon, field, name, value, golden.get(row, ''))}\n")
    actual = tmp_path / "golden-limits"
    actual.write_text("".join(lines))
    difference = "".join(difflib.unified_diff(wanted, lines, "golden-limits", "now"))
    assert not difference and len(golden) == len(lines), \
        f"if all of this is meant, and this host enforces all, cp {actual} {GOLDEN}:\n{difference}"


@pytest.mark.parametrize("field, below, above, ceiling", [
    ("memoryMaxBytes", 300 << 20, 301 << 20, "MemoryPerUser"),
    ("tasksMax", 150, 151, "TasksPerUser"),
    ("cpuQuotaPercent", 80, 81, "CpuQuotaPerUser"),
])
def test_one_session_may_not_ask_for_more_than_all_of_a_user_may_have(daemon, field, below, above, ceiling):
    there = LIMITS[field][-1] in enforcers(daemon)
    assert cell(daemon, field, below, OTHER) == (str(below) if there else f"LimitUnavailable {LIMITS[field][0]}")
    assert cell(daemon, field, above, OTHER) == f"LimitReached {ceiling}"


def test_root_may_ask_for_anything(daemon):
    assert cell(daemon, "fileSizeMaxBytes", HUGE, 0) == "none"
    assert cell(daemon, "runtimeMaxUSec", 1 << 50, 0) == str(1 << 50)


def test_what_nsrootd_itself_has_not_it_does_not_promise(build):
    """A hard limit of its own, as LimitNOFILE= gives it one."""
    d = Daemon(build, "[Limits]\nOpenFilesAllowed=100000\n", wrapper=["prlimit", "--nofile=5000:5000"])
    try:
        assert cell(d, "openFilesMax", 5000) == "5000"
        assert cell(d, "openFilesMax", 5001) == "LimitUnavailable OpenFilesMax"
    finally:
        d.close()


def test_an_unknown_limit_is_refused(daemon):
    assert run(daemon, {"outputKept": 1}) == "InvalidParameter limits.outputKept"
    assert run(daemon, 7) == "InvalidParameter limits"


def test_it_is_said_what_one_may_have(daemon):
    mine, others = (describe(daemon, uid)["allowance"] for uid in (USER, OTHER))
    assert mine["limits"]["memoryMaxBytes"] == 200 << 20 and mine["allowed"]["memoryMaxBytes"] == 400 << 20
    assert others["together"]["memoryMaxBytes"] == 300 << 20 and others["together"]["tasksMax"] == 150
    assert "memoryMaxBytes" not in describe(daemon, 0)["allowance"]["allowed"]


# -- in force ------------------------------------------------------------------------------------------------------

def result_of(daemon, *command, options=(), **kw):
    """What came of a run: its result, and the client."""
    path = daemon.directory / f"result-{time.monotonic_ns()}"
    path.touch(mode=0o666)
    path.chmod(0o666)
    done = daemon.run(*command, options=[*options, "--result", path], **kw)
    return json.loads(path.read_text()), done


def test_limits_of_a_process_are_those_asked_for(daemon):
    done = daemon.run("cat", "/proc/self/limits",
                      options=["--open-files", 150, "--file-size", "20M", "--locked-memory", "12K", "--processes", 150])
    there = {line[:26].strip(): line[26:].split()[:2] for line in done.stdout.splitlines()}
    assert there["Max open files"] == there["Max processes"] == ["150"] * 2
    assert there["Max file size"] == [str(20 << 20)] * 2 and there["Max locked memory"] == [str(12 << 10)] * 2


def test_storage_and_its_files_are_bounded_and_a_fresh_one_is_empty(daemon):
    full = daemon.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=40 2>&1; ls -l /big", options=["--storage", "4M"])
    assert "No space left on device" in full.stdout and 1 << 20 < int(full.stdout.split("root")[-1].split()[0]) <= 4 << 20
    files = daemon.run("sh", "-c", "i=0; while [ $i -lt 3000 ]; do touch /tmp/$i || break; i=$((i+1)); done; echo $i",
                       options=["--inodes", 2000])
    assert "No space left on device" in files.stderr and 0 < int(files.stdout) < 2000
    shm = daemon.run("sh", "-c", "i=0; while [ $i -lt 3000 ]; do touch /dev/shm/$i || break; i=$((i+1)); done; echo $i",
                     options=["--inodes", 2000])
    assert "No space left on device" in shm.stderr and 0 < int(shm.stdout) < 2000
    shm = daemon.run("sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=64K count=48; stat -c %s /dev/shm/x", options=["--shm", "2M"])
    assert "No space left on device" in shm.stderr and int(shm.stdout) == 2 << 20
    assert daemon.run("sh", "-c", "ls /big /tmp").returncode == 1


def test_a_session_ends_when_its_time_is_up(daemon):
    result, done = result_of(daemon, "sleep", "100", options=["--timeout", "1s"])
    assert result["cause"] == "timedOut" and result["signal"] == "SIGTERM" and done.returncode == 124
    assert result["wallUSec"] >= 1_000_000 and "time limit" in done.stderr


def test_one_that_ends_before_is_not_touched(daemon):
    result, done = result_of(daemon, "sh", "-c", "sleep 0.2; exit 7", options=["--timeout", "100s"])
    assert (result["cause"], result["code"], done.returncode) == ("exited", 7, 7)


def test_one_that_ends_well_when_its_time_is_up_has_timed_out_all_the_same(daemon):
    result, done = result_of(daemon, "sh", "-c", "trap 'echo bye; exit 0' TERM; sleep 100 & wait", options=["--timeout", "500ms"])
    assert (result["cause"], result["code"], done.returncode, done.stdout) == ("timedOut", 0, 124, "bye\n")


def test_one_that_will_not_go_is_killed(daemon):
    result, done = result_of(daemon, "sh", "-c", "trap '' TERM; while :; do sleep 1; done", options=["--timeout", "500ms"])
    assert (result["cause"], result["signal"], done.returncode) == ("timedOut", "SIGKILL", 124)
    assert result["wallUSec"] >= 1_500_000


def test_a_stop_wins_no_time_for_one_whose_time_is_up(daemon):
    script = "trap 'echo its time is up' TERM; while :; do sleep 0.1; done"
    with contextlib.closing(Running(daemon, "sh", "-c", script, options=["--timeout", "500ms"],
                                    stdout=subprocess.PIPE)) as session:
        assert session.client.stdout.readline() == "its time is up\n"
        with Connection(daemon.socket, USER) as c:
            c.send_call(SESSION + "Stop", {"id": session.id, "timeoutUSec": 3_600_000_000})
            assert session.client.wait(30) == 124


def test_a_paused_session_times_out_too(daemon):
    with contextlib.closing(Running(daemon, "sleep", "100", options=["--timeout", "5s"])) as session:
        assert daemon.ctl("pause", session.id).returncode == 0
        assert session.client.wait(30) == 124


@pytest.mark.parametrize("script", [
    "while :; do :; done",
    "while :; do true; /bin/true; done",
    "(while :; do :; done) & while :; do :; done",
    "sh -c 'sh -c \"while :; do :; done\" &' ; sleep 100",
], ids=["loop", "children", "two", "orphan"])
def test_processor_time_is_bounded_however_it_is_used(daemon, script):
    if "cgroup" not in enforcers(daemon):
        pytest.skip("no cgroup v2 here: processor time cannot be limited")
    result, done = result_of(daemon, "sh", "-c", script, options=["--cpu-time", "300ms"])
    assert result["cause"] == "timedOut" and done.returncode == 124
    assert result["userUSec"] + result["systemUSec"] >= 300_000


def test_a_file_that_is_too_large_is_said(daemon):
    result, done = result_of(daemon, "dd", "if=/dev/zero", "of=/big", "bs=64K", "count=100", options=["--file-size", "1M"])
    assert (result["cause"], result["signal"], done.returncode) == ("outputLimit", "SIGXFSZ", 153)
    assert "limit of its output" in done.stderr


def test_without_such_a_limit_the_signal_is_its_own(daemon):
    d = daemon
    result, _ = result_of(d, "sh", "-c", "kill -XFSZ $$", options=["--file-size", "1M"])
    assert result["cause"] == "outputLimit"    # nobody can tell the two apart
    with connect(d, 0) as c:
        *_, last = c.stream(SESSION + "Run", {"arguments": ["sh", "-c", "kill -XFSZ $$"], "limits": {"fileSizeMaxBytes": HUGE}})
    assert last["session"]["result"]["cause"] == "signaled"


def test_a_command_more_has_the_limits_of_its_session(daemon):
    with contextlib.closing(Running(daemon, "sleep", "60", options=["--open-files", 123, "--file-size", "1M"])) as session:
        assert daemon.ctl("exec", session.id, "--", "sh", "-c", "ulimit -n").stdout == "123\n"
        done = daemon.ctl("exec", session.id, "--", "dd", "if=/dev/zero", "of=/big", "bs=64K", "count=100")
        assert done.returncode == 153


def test_starts_are_counted(build):
    d = Daemon(build, f"[Sessions]\nStartsInterval=1h\n[User {USER}]\nStartsPerUser=3\n")
    try:
        assert [d.run("true").returncode for _ in range(4)] == [0, 0, 0, 125]
        done = d.run("true")
        assert "too many sessions in too short a time" in done.stderr
        assert d.run("true", uid=OTHER).returncode == 0 and d.run("true", uid=0).returncode == 0
    finally:
        d.close()


@pytest.mark.parametrize("place", [2, 8, 14, 20])
def test_a_user_who_asks_for_many_delays_another_by_one(daemon, place):
    """All of them are there when the daemon looks, and it may look at them in any order."""
    asking = [Connection(daemon.socket, USER) for _ in range(20)]
    asking.insert(place, Connection(daemon.socket, OTHER))
    for c in asking:
        c.call("org.varlink.service.GetInfo")
    with stopped(daemon.pid):
        for c in asking:
            c.send_call(SESSION + "Run", {"arguments": ["sleep", "60"]}, more=True)
    for c in asking:
        assert "session" in c.receive()["parameters"]
    owners = [s["ownerUid"] for s in daemon.sessions()]    # in the order of their starts
    for c in asking:
        c.close()
    assert len(owners) == 21 and OTHER in owners[:3]
    assert until(lambda: not daemon.sessions())


# -- the client ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("option, value, takes", [
    ("--memory", "much", "a size"), ("--memory", "-1", "a size"), ("--memory", "", "a size"), ("--tasks", "1K", "a number"),
    ("--cpu", "20", "a percentage"), ("--cpu", "%", "a percentage"), ("--timeout", "soon", "a time"),
    ("--storage", "99999999999999999999", "a size"), ("--inodes", "9223372036854775808", "a number"),
])
def test_what_is_no_limit_is_named_and_nothing_runs(daemon, option, value, takes):
    done = daemon.run("true", options=[f"{option}={value}"])
    assert done.returncode == 125 and f"{option}={value}: it takes {takes}" in done.stderr


def test_what_is_too_much_is_said_with_what_to_do(daemon):
    done = daemon.run("true", options=["--open-files", 1000])
    assert done.returncode == 125
    assert done.stderr == ("nsrootctl: limit reached: more than you may ask for with --open-files: "
                           "'nsrootctl doctor' says how much you may have\n")


def test_what_cannot_be_enforced_is_said_with_the_reason(daemon):
    if "memory" in enforcers(daemon):
        pytest.skip("this host has the memory controller")
    done = daemon.run("true", options=["--memory", "100M"])
    assert done.returncode == 125
    assert done.stderr.startswith("nsrootctl: this host cannot enforce --memory: nsrootd has no")


def test_infinity_is_asked_for_as_such(daemon):
    done = daemon.run("sh", "-c", "ulimit -f", options=["--file-size", "infinity"], uid=0)
    assert done.stdout == "unlimited\n"
    assert daemon.run("true", options=["--file-size", "infinity"]).returncode == 125
