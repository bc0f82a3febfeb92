"""What a command is given: identity, capabilities, limits, environment, descriptors, mounts. Read inside, by a command,
where the kernel says it; compared with SECURITY.md's profile, not with the daemon's own tables."""

import contextlib
import os
import pathlib
import re
import resource

import pytest

CAPS = sum(1 << c for c in (0, 1, 3, 4, 5, 6, 7, 10))  # chown dac_override fowner fsetid kill setgid setuid net_bind
IDENTITIES = pytest.mark.parametrize("options, uid, caps", [((), 0, CAPS), (("-u", "1000"), 1000, 0)],
                                     ids=["root", "user"])
MASKED = ("acpi asound bootconfig cmdline config.gz interrupts iomem ioports kallsyms kcore key-users keys kmsg "
          "kpagecgroup kpagecount kpageflags latency_stats modules pagetypeinfo sched_debug scsi slabinfo "
          "sysrq-trigger timer_list timer_stats vmallocinfo").split()
MASKED_SYS = ["firmware", "kernel/debug", "kernel/security", "kernel/tracing", "class/powercap",
              "devices/virtual/powercap"]


@pytest.fixture
def inside(daemon):
    """inside(script, options=()) is what a shell script prints that must succeed."""
    def run(script, **kw):
        result = daemon.run("sh", "-c", script, **kw)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout
    return run


@pytest.fixture
def status(daemon):
    """/proc/self/status of a command that a shell did not start first."""
    def read(options=()):
        text = daemon.run("cat", "/proc/self/status", options=options).stdout
        return dict(line.split(":", 1) for line in text.splitlines())
    return read


# -- the process --------------------------------------------------------------------------------------------------

@IDENTITIES
def test_identity(status, options, uid, caps):
    s = status(options)
    assert s["Uid"].split() == [str(uid)] * 4
    assert s["Gid"].split() == [str(uid)] * 4
    assert s["Groups"].split() == []


@IDENTITIES
def test_capabilities(status, options, uid, caps):
    s = status(options)
    sets = {name: int(s[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert sets == {"CapInh": 0, "CapPrm": caps, "CapEff": caps, "CapBnd": caps, "CapAmb": 0}


@IDENTITIES
def test_no_new_privileges_and_the_filter(daemon, status, options, uid, caps):
    """The daemon may have been given filters of its own, by its unit or by a container: they are inherited."""
    inherited = int(re.search(r"Seccomp_filters:\s*(\d+)", pathlib.Path(f"/proc/{daemon.pid}/status").read_text())[1])
    s = status(options)
    found = [int(s[name]) for name in ("NoNewPrivs", "Seccomp", "Seccomp_filters")]
    assert found == [1, 2, inherited + 1]


def test_signals_are_as_a_shell_wants_them(daemon, status):
    s = status()
    for name in ("SigBlk", "SigIgn", "SigCgt"):
        assert int(s[name], 16) == 0, name


def test_umask(status, inside):
    assert status()["Umask"].strip() == "0022"
    assert inside("umask") == "0022\n"


def test_processes_and_session(inside):
    ids = inside("cut -d' ' -f1,5,6 /proc/$$/stat").split()
    assert ids[0] == ids[1] == ids[2], "the command leads its process group and its session"
    assert int(ids[0]) >= 2


def test_oom_score_adj(inside):
    assert int(inside("cat /proc/self/oom_score_adj")) >= 500


EXPECTED_LIMITS = {"Max core file size": "0 0", "Max open files": "4096 4096", "Max processes": "512 512",
                   "Max locked memory": "65536 65536", "Max realtime priority": "0 0"}


@IDENTITIES
def test_limits(daemon, options, uid, caps):
    lines = daemon.run("cat", "/proc/self/limits", options=options).stdout.splitlines()[1:]
    found = {m[1]: " ".join(m[2].split()[:2]) for m in (re.match(r"(Max .*?)  +(.*)", line) for line in lines)}
    assert {k: found[k] for k in EXPECTED_LIMITS} == EXPECTED_LIMITS


def test_the_callers_limits_are_not_the_commands(daemon):
    """Nothing of the process that asks is inherited: not its limits, its umask, its directory or its nice value."""
    def spoil():
        os.umask(0o777)
        os.nice(5)
        os.chdir("/usr")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    script = "umask; pwd; ulimit -n; ulimit -t; cut -d' ' -f19 /proc/self/stat"
    result = daemon.run("sh", "-c", script, preexec_fn=spoil)
    assert result.stdout.split() == ["0022", "/", "4096", "unlimited", "0"]


# -- the environment ----------------------------------------------------------------------------------------------

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOSTILE = {"LD_PRELOAD": "/x.so", "LISTEN_FDS": "3", "LISTEN_PID": "1", "NOTIFY_SOCKET": "/x", "SECRET": "s",
           "LC_ALL": "C", "PATH": "/nowhere", "HOME": "/home/u", "USER": "u", "container": "docker", "IFS": "x"}


def environment(daemon, options=(), **kw):
    text = daemon.run("cat", "/proc/self/environ", options=options, **kw).stdout
    return dict(entry.split("=", 1) for entry in text.split("\0")[:-1])


def test_the_environment_is_made_from_nothing(daemon):
    assert environment(daemon, env=HOSTILE) == {
        "PATH": PATH, "HOME": "/root", "TERM": "vt100", "USER": "root", "container": "nsrootd"}


def test_the_environment_of_another_user(daemon):
    found = environment(daemon, ("-u", "1000"), env=HOSTILE)
    assert set(found) == {"PATH", "HOME", "TERM", "USER", "container"}
    assert (found["HOME"], found["USER"]) == ("/", "1000")


def test_what_is_named_goes_in(daemon):
    found = environment(daemon, ("-e", "SECRET", "-e", "LD_PRELOAD=/y.so", "-e", "EMPTY="), env=HOSTILE)
    assert (found["SECRET"], found["LD_PRELOAD"], found["EMPTY"]) == ("s", "/y.so", "")


# -- descriptors --------------------------------------------------------------------------------------------------

def test_exactly_three_descriptors(probed):
    assert sorted(fd for fd, *_ in probed("descriptors")) == ["0", "1", "2"]


def test_exactly_three_descriptors_though_the_client_has_200_more(daemon, probed):
    leaked = [os.dup(0) for _ in range(100)] + [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(100)]
    try:
        assert sorted(fd for fd, *_ in probed("descriptors", pass_fds=leaked)) == ["0", "1", "2"]
    finally:
        for fd in leaked:
            os.close(fd)


def test_exactly_three_descriptors_though_the_daemon_has_200_more(fresh_daemon, probe_program):
    leak = 'for i in $(seq 10 209); do eval "exec $i</etc"; done; exec "$@"'
    daemon = fresh_daemon(wrapper=["bash", "-c", leak, "leak"])
    open_there = []
    for f in pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that it has just closed
            open_there.append(os.readlink(f))
    assert "/etc" not in open_there, "it closes what it was started with"
    script = "cat > /tmp/p && chmod 755 /tmp/p && exec /tmp/p descriptors"
    with open(probe_program, "rb") as program:
        result = daemon.run("sh", "-c", script, stdin=program)
    assert sorted(line.split()[0] for line in result.stdout.splitlines()) == ["0", "1", "2"], result
    found = daemon.run("ls", "-l", "/proc/self/fd").stdout
    assert "/etc" not in found


@pytest.mark.parametrize("fd", [0, 1, 2, 3, 4, 5, 10, 63])
def test_a_working_directory_outside_is_refused(daemon, fd):
    result = daemon.run("pwd", options=("-w", f"/proc/self/fd/{fd}"))
    assert (result.returncode, result.stdout) == (125, ""), result
    assert result.stderr.count("\n") == 1


# -- mounts -------------------------------------------------------------------------------------------------------

def mounts(inside, **kw):
    """{place: (type, options)} of what a session has mounted."""
    rows = [line.split() for line in inside("cat /proc/self/mounts", **kw).splitlines()]
    assert len({row[1] for row in rows}) == len(rows), "something is mounted over something"
    return {row[1]: (row[2], set(row[3].split(","))) for row in rows}


REQUIRED = {
    "/": ("overlay", {"nosuid", "nodev"}),
    "/proc": ("proc", {"nosuid", "nodev", "noexec"}),
    "/sys": ("sysfs", {"ro", "nosuid", "nodev", "noexec"}),
    "/dev": ("tmpfs", {"nosuid", "noexec", "size=64k", "nr_inodes=64"}),
    "/dev/pts": ("devpts", {"nosuid", "noexec", "mode=620", "ptmxmode=666", "max=64"}),
    "/dev/shm": ("tmpfs", {"nosuid", "nodev", "noexec", "size=16384k"}),
    "/dev/mqueue": ("mqueue", {"nosuid", "nodev", "noexec"}),
    "/tmp": ("tmpfs", {"nosuid", "nodev"}),
    "/run": ("tmpfs", {"nosuid", "nodev"}),
    **{f"/proc/{name}": ("proc", {"ro", "nosuid", "nodev", "noexec"}) for name in ("fs", "irq", "sys")},
}
NODES = ["null", "zero", "full", "random", "urandom", "tty"]


def test_mounts_and_their_flags(inside):
    found = mounts(inside)
    for place, (kind, options) in REQUIRED.items():
        assert found[place][0] == kind, place
        assert options <= found[place][1], (place, options - found[place][1])


def test_every_mount_is_nosuid_and_nodev_but_for_devices(inside):
    for place, (kind, options) in mounts(inside).items():
        assert "nosuid" in options, place
        device = place in [f"/dev/{name}" for name in NODES] or kind == "devpts"
        assert device or "nodev" in options, place


def test_device_nodes_are_read_only_and_work(inside):
    found = mounts(inside)
    for name in NODES:
        assert {"ro", "nosuid", "noexec"} <= found[f"/dev/{name}"][1], name
    assert inside("echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c") == "3\n3\n"


@pytest.mark.parametrize("change", ["touch", "chmod 600", "chown 1", "rm", "rm -f", "mv /tmp/x"])
def test_device_nodes_of_the_host_cannot_be_changed(daemon, change):
    before = os.stat("/dev/null")
    assert daemon.run("sh", "-c", f": > /tmp/x; {change} /dev/null").returncode != 0
    after = os.stat("/dev/null")
    assert before == after


def test_nothing_else_is_in_dev(inside):
    assert set(inside("ls /dev").split()) == {*NODES, "fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm", "mqueue"}


def masked(inside):
    """{path: mode} of those that this kernel has."""
    paths = [f"/proc/{name}" for name in MASKED] + [f"/sys/{name}" for name in MASKED_SYS]
    script = f"for p in {' '.join(paths)}; do [ ! -e $p ] || echo $p $(stat -c %a $p); done"
    return dict(line.split() for line in inside(script).splitlines())


def test_masks(inside):
    """Each is a mount of its own, read-only, of something that nobody may look at."""
    found = mounts(inside)
    modes = masked(inside)
    assert {"/proc/cmdline", "/proc/interrupts", "/sys/firmware"} <= set(modes)
    for path, mode in modes.items():
        assert mode == "0", path
        assert found[path][0] == "tmpfs" and {"ro", "nosuid", "nodev", "noexec"} <= found[path][1], path


def test_masks_show_nothing_and_cannot_be_changed(daemon, inside):
    script = "".join(f"(cat {p} || ls -A {p}/); echo x > {p} && echo wrote; touch {p}/x && echo made; "
                     f"chmod 777 {p} && echo changed; rm -rf {p} && echo removed; " for p in masked(inside))
    result = daemon.run("sh", "-c", script)
    assert result.stdout == "", result


def test_paths_of_the_host_are_nowhere(daemon, inside):
    """The names that the kernel tells a session about its mounts are its own."""
    text = inside("cat /proc/self/mounts /proc/self/mountinfo /proc/self/mountstats")
    for name in (str(daemon.directory), "state", "nsroot-test", "/var", "/work", "/home", "/usr"):
        assert name not in text, name


def test_the_hosts_address_space_layout_names_no_host_path(inside, daemon):
    assert str(daemon.directory) not in inside("cat /proc/self/maps /proc/self/cmdline /proc/self/cgroup")
    assert set(inside("cat /proc/self/cgroup | cut -d: -f3").split()) == {"/"}


# -- namespaces ---------------------------------------------------------------------------------------------------

def test_no_more_namespaces(inside):
    names = ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup", "time"]
    assert inside("cat " + " ".join(f"/proc/sys/user/max_{n}_namespaces" for n in names)).split() == ["0"] * 8
    assert inside("cat /proc/sys/user/max_inotify_instances").strip() == "128"


def test_the_network_is_loopback_alone(inside):
    assert re.findall(r"^ *(\w+):", inside("cat /proc/net/dev"), re.M) == ["lo"]
    assert "UP" in inside("ifconfig lo")
    assert inside("cat /proc/net/unix").count("\n") == 1, "no abstract sockets"


def test_ids_of_the_session(inside, daemon):
    for map in ("uid_map", "gid_map"):
        first, outside, count = map_of(inside(f"cat /proc/self/{map}"))
        assert (first, count) == (0, 65536)
        assert outside >= 524288 and outside % 65536 == 0
    assert inside("cat /proc/self/setgroups").strip() in ("allow", "deny")


def map_of(text):
    lines = text.splitlines()
    assert len(lines) == 1
    return [int(n) for n in lines[0].split()]
