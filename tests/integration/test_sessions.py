"""What a session is like inside, how a run ends, and what its owner, others and root can do with it."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shlex
import signal
import subprocess

import pytest

import harness
from harness import OTHER, USER, Running, until

NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"]
TOP = ["bin", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "var"]
PROC_MOUNT = "proc on /proc type proc (rw,nosuid,nodev,noexec,relatime)"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def shell(daemon):
    """shell(script, ...) runs a script in a fresh session and returns its CompletedProcess."""
    return lambda script, **kw: daemon.run("sh", "-c", script, **kw)


def worked(result):
    """The output of a run that must have succeeded."""
    assert result.returncode == 0, f"exit {result.returncode}: {result.stdout!r} {result.stderr!r}"
    return result.stdout


# -- the world inside ---------------------------------------------------------------------------------------------

def test_root_has_exactly_its_own_directories(run):
    assert sorted(worked(run("ls", "/")).split()) == TOP
    assert sorted(worked(run("ls", "-A", "/")).split()) == TOP


def test_root_has_no_home(run):
    result = run("ls", "/home")
    assert result.returncode == 1
    assert "/home" in result.stderr


def test_a_file_in_the_hosts_tmp_is_not_in_the_sessions(run):
    name = f"nsroot-test-{secrets.token_hex(8)}"
    path = pathlib.Path("/tmp", name)
    path.write_text("of the host")
    try:
        assert name not in worked(run("ls", "-A", "/tmp"))
        assert run("test", "-e", str(path)).returncode == 1
    finally:
        path.unlink()


def test_tmp_of_one_session_is_not_that_of_another(shell):
    assert worked(shell("ls -A /tmp; touch /tmp/mine")) == ""
    assert worked(shell("ls -A /tmp")) == ""


def test_mount_shows_proc_with_its_flags(run):
    assert PROC_MOUNT in worked(run("mount")).splitlines()


@pytest.mark.parametrize("options", [(), ("--read-only",)], ids=["writable", "read-only"])
@pytest.mark.parametrize("file", ["mounts", "mountinfo", "mountstats"])
def test_mount_tables_name_no_path_of_the_host(daemon, file, options):
    text = worked(daemon.run("cat", f"/proc/self/{file}", options=options))
    assert "/proc" in text
    for path in (daemon.state_dir, daemon.directory, daemon.directory.name, daemon.directory.parent, "roots/"):
        assert str(path) not in text
    assert "/dev/vd" not in text and "/dev/sd" not in text and "/dev/nvme" not in text


@pytest.mark.parametrize("options", [(), ("--read-only",)], ids=["writable", "read-only"])
def test_every_mount_is_the_root_of_its_filesystem_or_a_device_or_one_of_ours(run, options):
    """The fourth field of mountinfo is where in its filesystem a mount begins: a path of the host, for a bind."""
    nodes, masked, own = "null|zero|full|random|urandom|tty", "mask-file|mask-directory|bus|fs|irq|sys", "tmp|run"
    for line in worked(run("cat", "/proc/self/mountinfo", options=options)).splitlines():
        assert re.fullmatch(rf"/({nodes}|{masked}|{own})?", line.split()[3]), line


def test_every_mount_is_nosuid(run):
    for line in worked(run("cat", "/proc/self/mountinfo")).splitlines():
        assert "nosuid" in line.split()[5].split(","), line


def test_busybox_is_busybox(run):
    assert worked(run("busybox", "--help")).startswith("BusyBox")


def test_every_applet_that_busybox_lists_is_a_command(shell):
    missing = worked(shell("for a in $(busybox --list); do command -v $a >/dev/null || echo $a; done"))
    assert missing == ""
    assert len(worked(shell("busybox --list")).split()) > 100


def test_ps_shows_init_and_itself_and_nothing_of_the_host(run):
    with subprocess.Popen(["sleep", "86399.25"]) as marker:
        try:
            lines = worked(run("ps", "-o", "pid,args")).splitlines()[1:]
        finally:
            marker.kill()
    commands = {int(line.split()[0]): line.split(None, 1)[1] for line in lines}
    assert 1 in commands
    assert any(c.startswith("ps") for p, c in commands.items() if p != 1)
    assert len(commands) == 2, commands


def test_kernel_version_is_readable(run):
    assert worked(run("cat", "/proc/version")) == pathlib.Path("/proc/version").read_text()


@pytest.mark.parametrize("kind", NAMESPACES)
def test_namespace_is_the_sessions_own(daemon, run, kind):
    inside = worked(run("readlink", f"/proc/self/ns/{kind}")).strip()
    assert re.fullmatch(rf"{kind.removesuffix('_for_children')}:\[\d+\]", inside)
    assert inside != os.readlink(f"/proc/self/ns/{kind}")
    assert inside != os.readlink(f"/proc/{daemon.pid}/ns/{kind}")


def test_time_is_the_hosts(run):
    assert worked(run("readlink", "/proc/self/ns/time")).strip() == os.readlink("/proc/self/ns/time")


def test_two_sessions_share_no_namespace(daemon):
    with contextlib.closing(Running(daemon, "sleep", "600")) as one, \
         contextlib.closing(Running(daemon, "sleep", "600")) as two:
        for kind in NAMESPACES:
            assert os.readlink(f"/proc/{one.init}/ns/{kind}") != os.readlink(f"/proc/{two.init}/ns/{kind}"), kind


def test_network_is_only_a_loopback(shell):
    assert re.findall(r"^\d+: (\w+)", worked(shell("ip link")), re.M) == ["lo"]
    assert "inet 127.0.0.1/8" in worked(shell("ip addr show lo"))


def test_device_nodes_work(shell):
    script = ("echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 && head -c 8 /dev/urandom | wc -c && "
              "head -c 8 /dev/random | wc -c && ! echo x 2>/dev/null > /dev/full && "
              "ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx | wc -l && df /dev/shm | grep -c /dev/shm")
    assert worked(shell(script)).split() == ["00", "00", "00", "8", "8", "5", "1"]


def test_there_is_no_console_without_a_terminal(run):
    assert run("test", "-e", "/dev/console").returncode == 1


def test_ids_inside_are_root_without_groups(run):
    assert worked(run("id")).startswith("uid=0(root) gid=0(root)")
    assert worked(run("sh", "-c", "grep ^Groups: /proc/self/status")).split() == ["Groups:"]
    assert worked(run("whoami")) == "root\n"


def test_id_maps_are_one_range_that_leaves_out_the_hosts_root(run):
    for file in ("uid_map", "gid_map"):
        rows = [list(map(int, row.split())) for row in worked(run("cat", f"/proc/self/{file}")).splitlines()]
        assert len(rows) == 1
        inside, outside, count = rows[0]
        assert (inside, count) == (0, 65536)
        assert outside >= 524288


def test_command_has_only_the_powers_of_the_profile(shell):
    status = dict(re.findall(r"^(\w+):\s*(.*)$", worked(shell("cat /proc/self/status")), re.M))
    chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind = 0, 1, 3, 4, 5, 6, 7, 10
    mask = sum(1 << c for c in (chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind))
    assert {n: int(status[n], 16) for n in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")} == \
        {"CapBnd": mask, "CapPrm": mask, "CapEff": mask, "CapInh": 0, "CapAmb": 0}
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "1")


def test_another_user_inside_has_no_powers(run):
    text = worked(run("sh", "-c", "grep ^Cap /proc/self/status", options=("-u", "nobody")))
    assert all(int(v, 16) == 0 for v in re.findall(r"^Cap(?:Prm|Eff|Inh|Amb):\s*(\w+)$", text, re.M)), text


def test_signals_umask_and_limits_are_the_profiles(fresh_daemon, as_user):
    """Whatever daemon and client were started with: ignored signals and a strange umask stay outside."""
    strange = 'trap "" USR1 PIPE ALRM; umask 077; ulimit -c unlimited; exec "$0" "$@"'
    daemon = fresh_daemon(wrapper=["sh", "-c", strange])
    inside = "umask; grep -E '^Sig(Ign|Blk)' /proc/self/status; ulimit -c; ulimit -n; ulimit -l"
    outside = f"trap '' USR1 PIPE; umask 077; exec {daemon.client} run -- sh -c {shlex.quote(inside)}"
    result = as_user(USER)(["sh", "-c", outside], env=daemon.client_environment(), stdin=subprocess.DEVNULL,
                           capture_output=True, text=True)
    assert worked(result).split() == ["0022", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16, "0", "4096", "64"]


# -- how a run ends -----------------------------------------------------------------------------------------------

def test_exit_status_is_the_commands(shell):
    for status in (0, 1, 7, 255):
        assert shell(f"exit {status}").returncode == status


def test_a_command_that_is_not_there_is_127(run):
    result = run("nosuch")
    assert result.returncode == 127
    assert "nosuch" in result.stderr and "not found" in result.stderr.lower()
    assert result.stdout == ""


def test_a_path_that_is_not_there_is_127(run):
    assert run("/nosuch/command").returncode == 127


def test_a_file_that_cannot_be_executed_is_126(run):
    result = run("/etc/passwd")
    assert result.returncode == 126
    assert "/etc/passwd" in result.stderr
    assert run("/etc").returncode == 126


def test_a_signal_is_128_and_its_number(shell):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
        assert shell(f"kill -{number.value} $$").returncode == 128 + number


def test_what_a_command_left_running_ends_with_it(daemon):
    before = daemon.processes()
    result = daemon.run("sh", "-c", "sleep 600 & setsid sleep 600 & (nohup sleep 600 </dev/null >/dev/null 2>&1 &); exit 3")
    assert result.returncode == 3
    assert until(lambda: daemon.processes().keys() <= before.keys(), 5)


def test_a_command_whose_children_hold_its_output_still_ends(shell):
    assert shell("sleep 600 & exit 4", timeout=30).returncode == 4


def test_orphans_are_reaped_by_init(shell):
    script = "for i in 1 2 3 4 5 6 7 8; do (true & ) ; done; sleep 0.5; ps -o stat | grep -c Z"
    assert shell(script).stdout.strip() == "0"


def test_init_cannot_be_killed_from_inside(shell):
    for sig in ("KILL", "TERM", "STOP", "HUP"):
        assert worked(shell(f"kill -{sig} 1; sleep 0.1; echo still here")) == "still here\n"


# -- what is refused and what is allowed --------------------------------------------------------------------------

REFUSED = {
    "unshare a mount namespace": "unshare -m true",
    "unshare a user namespace": "unshare -U true",
    "mount a tmpfs": "mount -t tmpfs none /tmp",
    "bind": "mount --bind /etc /tmp",
    "remount": "mount -o remount,rw /sys",
    "unmount": "umount /proc",
    "make a block device": "mknod /tmp/b b 8 0",
    "make a character device": "mknod /tmp/c c 1 3",
    "chroot": "chroot / true",
    "reboot": "reboot -f",
    "halt": "halt -f",
    "write sysrq-trigger": "echo h > /proc/sysrq-trigger",
    "write a sysctl": "echo 1 > /proc/sys/kernel/panic",
    "set the hostname": "hostname other",
    "set the clock": "date -s 2020-01-01 >&2; test $(date +%Y) = 2020",
    "load a module": "insmod /etc/passwd",
    "swap on": "swapon /etc/passwd",
    "write to sysfs": "echo 1 > /sys/class/net/lo/mtu",
    "mount on cgroup": "mkdir /sys/fs/cgroup/x",
    "renice below zero": "renice -n -5 $$",
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_inside(daemon, shell, what):
    before = pathlib.Path("/proc/sys/kernel/hostname").read_text()
    result = shell(REFUSED[what])
    assert result.returncode not in (0, 125, 127), f"{what}: {result.returncode} {result.stdout!r} {result.stderr!r}"
    assert result.stderr
    assert pathlib.Path("/proc/sys/kernel/hostname").read_text() == before
    assert daemon.alive()


ALLOWED = {
    "touch /x": "test ! -e /x",
    "touch /x && chown 1000 /x && test $(stat -c %u /x) = 1000": "test ! -e /x",
    "echo me:x:1:1::/: >> /etc/passwd && grep -q ^me: /etc/passwd": "! grep -q ^me: /etc/passwd",
    "mkdir /home": "test ! -e /home",
    "rm /bin/vi && test ! -e /bin/vi": "test -e /bin/vi",
    "rm -rf /var && mkdir /var && test -z \"$(ls /var)\"": "test -d /var",
    "mkfifo /fifo && ln -s /etc /link && ln /etc/passwd /hard": "test ! -e /fifo && test ! -e /link && test ! -e /hard",
    "cp /bin/busybox /tmp/busybox && /tmp/busybox true": "test ! -e /tmp/busybox",
    "echo hello | nc -l -p 80 & sleep 0.3 && test \"$(nc -w 5 127.0.0.1 80 < /dev/null)\" = hello": "! nc 127.0.0.1 80",
    "echo x > /run/x && echo x > /dev/shm/x": "test ! -e /run/x && test ! -e /dev/shm/x",
    "dd if=/dev/zero of=/big bs=1M count=16 2>/dev/null": "test ! -e /big",
}


@pytest.mark.parametrize("what", ALLOWED)
def test_allowed_inside_and_gone_afterwards(shell, what):
    worked(shell(what))
    worked(shell(ALLOWED[what]))


def test_anybody_inside_may_use_tmp_and_nobody_the_root(daemon):
    run = lambda script: daemon.run("sh", "-c", script, options=("-u", "1000"))
    worked(run("touch /tmp/x && touch /dev/shm/x && test $(stat -c %a /tmp) = 1777"))
    for path in ("/x", "/etc/x", "/run/x", "/root/x", "/dev/x"):
        assert "Permission denied" in run(f"touch {path}").stderr


def test_destroying_the_root_destroys_only_the_sessions(shell, run):
    shell("rm -rf /* 2>/dev/null")
    assert sorted(worked(run("ls", "/")).split()) == TOP


def test_a_full_disk_is_an_error_inside_and_only_there(fresh_daemon):
    d = fresh_daemon("[Limits]\nStorageMax=4M\n")
    result = d.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=64")
    assert result.returncode == 1 and "No space left" in result.stderr
    worked(d.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=1"))


# -- options of run -----------------------------------------------------------------------------------------------

def test_read_only_root(daemon):
    run = lambda script: daemon.run("sh", "-c", script, options=("--read-only",))
    result = run("touch /x")
    assert result.returncode == 1 and "Read-only file system" in result.stderr
    assert run("echo >> /etc/passwd").returncode != 0
    worked(run("touch /tmp/x && touch /run/x && test -e /tmp/x"))
    assert sorted(worked(run("ls /")).split()) == TOP


def test_default_command_is_a_shell(daemon):
    assert worked(daemon.ctl("run", input="echo from the shell; exit 0\n")) == "from the shell\n"


def test_hostname(daemon):
    assert worked(daemon.run("hostname", options=("--hostname", "somewhere"))) == "somewhere\n"
    assert worked(daemon.run("hostname")).strip() not in ("", pathlib.Path("/proc/sys/kernel/hostname").read_text().strip())
    result = daemon.run("hostname", options=("--hostname", "no good\n"))
    assert result.returncode == 125 and "host name" in result.stderr


def test_working_directory(daemon):
    assert worked(daemon.run("pwd", options=("-w", "/tmp"))) == "/tmp\n"
    result = daemon.run("pwd", options=("-w", "/nosuch"))
    assert result.returncode in (125, 126, 127) and "/nosuch" in result.stderr


@pytest.mark.parametrize("user, ids", [("root", "0 0"), ("nobody", "65534 65534"), ("1000:1000", "1000 1000"),
                                       ("1000", "1000 1000"), ("1000:7", "1000 7"), ("0", "0 0"), ("65534:65534", "65534 65534")])
def test_user(daemon, user, ids):
    assert worked(daemon.run("sh", "-c", "echo $(id -u) $(id -g)", options=("-u", user))).strip() == ids


@pytest.mark.parametrize("user", ["nosuchuser", "1000:nosuchgroup", "70000", "-1", "4294967296", "0x10", "010", "", "1000:", ":"])
def test_user_that_cannot_be(daemon, user):
    result = daemon.run("id", options=("-u", user))
    assert result.returncode == 125, f"{user!r}: {result.returncode} {result.stdout!r} {result.stderr!r}"
    assert "uid=" not in result.stdout
    assert result.stderr


def environment_of(result):
    return dict(line.split("=", 1) for line in worked(result).splitlines())


def test_environment_is_exactly_this(daemon):
    result = daemon.run("env", env={"TERM": "vt220", "SECRET": "of the caller", "LD_LIBRARY_PATH": "/lib"})
    assert environment_of(result) == {"PATH": PATH, "HOME": "/root", "USER": "root", "TERM": "vt220",
                                      "container": "nsrootd"}


def test_environment_of_another_user(daemon):
    environment = environment_of(daemon.run("env", options=("-u", "nobody")))
    assert environment["USER"] == "nobody"
    assert environment["HOME"] != "/root"


def test_environment_that_was_asked_for(daemon):
    options = ("-e", "A=1", "-e", "TAKEN", "-e", "EMPTY=", "-e", "B=x=y z", "-e", "PATH=/bin", "-e", "NOT_SET")
    environment = environment_of(daemon.run("env", options=options, env={"TAKEN": "from the caller"}))
    assert environment == {"PATH": "/bin", "HOME": "/root", "USER": "root", "TERM": "vt100", "container": "nsrootd",
                           "A": "1", "TAKEN": "from the caller", "EMPTY": "", "B": "x=y z"}


def test_arguments_arrive_as_they_are(daemon):
    arguments = ["", "-x", "a b", "*", "'\"", "$HOME", "tab\tnew\nline", "ü€𝄞", "--"]
    result = daemon.run("sh", "-c", 'for a in "$@"; do printf "%s\\0" "$a"; done', "sh", *arguments)
    assert worked(result).split("\0")[:-1] == arguments


def test_many_arguments_arrive(daemon):
    arguments = [f"argument-{i}" for i in range(4000)]
    assert worked(daemon.run("sh", "-c", "echo $#", "sh", *arguments)).strip() == "4000"


@pytest.mark.parametrize("arguments", [["x"] * 5000, ["x" * 100_000] * 3], ids=["in number", "in length"])
def test_too_many_arguments_are_one_clear_line(daemon, arguments):
    result = daemon.run("echo", *arguments)
    assert (result.returncode, result.stdout) == (125, "")
    assert len(result.stderr.splitlines()) == 1 and len(result.stderr) < 200


def test_options_end_at_the_command(daemon):
    assert worked(daemon.ctl("run", "echo", "--help", "-r", "x")) == "--help -r x\n"


def test_an_unknown_root_says_so(daemon):
    result = daemon.run("true", options=("-r", "nosuchroot"))
    assert result.returncode == 125 and "nosuchroot" in result.stderr


def test_an_unknown_option_says_so(ctl):
    result = ctl("run", "--nosuchoption")
    assert result.returncode == 125 and "nosuchoption" in result.stderr


def test_the_socket_option_goes_before_the_environment(daemon):
    result = daemon.ctl("run", "--socket", daemon.socket, "--", "echo", "here", env={"NSROOT_SOCKET": "/nosuch"})
    assert worked(result) == "here\n"


def test_no_daemon_is_one_clear_line(daemon):
    result = daemon.ctl("run", "--", "true", env={"NSROOT_SOCKET": str(daemon.directory / "nosuch")})
    assert result.returncode == 125
    assert str(daemon.directory / "nosuch") in result.stderr
    assert len(result.stderr.splitlines()) == 1


# -- looking after sessions ---------------------------------------------------------------------------------------

@pytest.fixture
def sleeper(daemon):
    """sleeper(...) is a session of the user's that sleeps; all of them are ended with the test."""
    with contextlib.ExitStack() as stack:
        def make(*command, **kw):
            return stack.enter_context(contextlib.closing(Running(daemon, *(command or ("sleep", "600")), **kw)))
        yield make


def listed(ctl, *arguments, **kw):
    """The ids that `list -q` prints."""
    return worked(ctl("list", "-q", *arguments, **kw)).split()


def test_list_shows_what_runs(daemon, ctl, sleeper):
    assert listed(ctl) == []
    one, two = sleeper(), sleeper("sleep", "599")
    assert sorted(listed(ctl)) == sorted([one.id, two.id])
    table = worked(ctl("list"))
    assert one.id in table and two.id in table and "sleep 599" in table
    document = json.loads(worked(ctl("list", "--json")))
    sessions = document["sessions"] if isinstance(document, dict) else document
    assert {s["id"]: s["arguments"] for s in sessions} == {one.id: ["sleep", "600"], two.id: ["sleep", "599"]}
    assert all(s["ownerUid"] == USER and s["state"] == "running" for s in sessions)
    one.close()
    assert until(lambda: listed(ctl) == [two.id], 5)


def test_ids_are_twelve_random_characters(sleeper):
    one, two = sleeper(), sleeper()
    for session in (one, two):
        assert re.fullmatch("[a-z2-7]{12}", session.id)
    assert one.id != two.id


def test_kill_sends_a_signal(ctl, sleeper):
    session = sleeper()
    worked(ctl("kill", session.id))
    assert session.client.wait(10) == 128 + signal.SIGTERM
    assert until(session.gone, 5)


@pytest.mark.parametrize("name", ["KILL", "SIGKILL", "9"])
def test_kill_sends_the_signal_that_was_named(ctl, sleeper, name):
    session = sleeper()
    result = ctl("kill", "-s", name, session.id)
    if name == "9" and result.returncode != 0:  # numbers need not be names, but then the session must go on
        assert session.client.poll() is None
        return
    worked(result)
    assert session.client.wait(10) == 128 + signal.SIGKILL


def test_kill_with_a_signal_that_does_not_exist(ctl, sleeper):
    session = sleeper()
    result = ctl("kill", "-s", "SIGNOSUCH", session.id)
    assert result.returncode != 0 and "SIGNOSUCH" in result.stderr
    assert session.client.poll() is None


def test_stop_asks_first(ctl, sleeper):
    session = sleeper("sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
    worked(ctl("stop", session.id))
    assert session.client.wait(10) == 9


def test_stop_insists_after_its_timeout(ctl, sleeper):
    session = sleeper("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    worked(ctl("stop", "--timeout", "500ms", session.id))
    assert session.client.wait(10) == 128 + signal.SIGKILL
    assert until(session.gone, 5)


def test_wait_exits_as_the_session_did(daemon, ctl, sleeper):
    session = sleeper("sh", "-c", "sleep 1; exit 5")
    assert ctl("wait", session.id).returncode == 5
    assert session.client.wait(10) == 5


def test_wait_for_a_signalled_session(daemon, ctl, sleeper):
    session = sleeper()
    waiting = daemon.popen("wait", session.id)
    worked(ctl("kill", "-s", "KILL", session.id))
    assert waiting.wait(10) == 128 + signal.SIGKILL
    waiting.communicate()


def test_a_prefix_is_enough_while_it_is_unique(ctl, sleeper):
    one, two = sleeper(), sleeper()
    common = os.path.commonprefix([one.id, two.id])
    worked(ctl("kill", "-s", "KILL", one.id[:len(common) + 1]))
    assert one.client.wait(10) == 128 + signal.SIGKILL
    assert two.client.poll() is None


def test_a_prefix_of_several_is_ambiguous(daemon, sleeper):
    """33 sessions cannot all begin with another of 32 characters."""
    sessions, first = [], {}
    while len(sessions) < 33:
        sessions.append(sleeper())
        if sessions[-1].id[0] in first:
            break
        first[sessions[-1].id[0]] = sessions[-1]
    result = daemon.ctl("kill", "-s", "KILL", sessions[-1].id[0])
    assert result.returncode == 125 and sessions[-1].id[0] in result.stderr
    assert all(s.client.poll() is None for s in sessions)


def test_a_session_that_does_not_exist(ctl):
    for verb in (("kill",), ("stop",), ("wait",)):
        result = ctl(*verb, "nosuchsessio")
        assert result.returncode == 125 and "nosuchsessio" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_every_method_takes_an_id_a_prefix_and_a_name(daemon, sleeper):
    with named(daemon, "my-session_1.x") as (session, _):
        for key in (session["id"], session["id"][:11], "my-session_1.x"):
            reply = daemon.call("org.nsroot.session.List", {"id": key}, uid=USER)
            assert [s["id"] for s in reply["parameters"]["sessions"]] == [session["id"]]
        assert daemon.call("org.nsroot.session.Signal", {"id": "my-session_1.x", "signal": "TERM"}, uid=USER) == \
            {"parameters": {}}
        result = daemon.call("org.nsroot.session.Wait", {"id": session["id"]}, uid=USER)["parameters"]["result"]
        assert (result["cause"], result["signal"]) == ("signaled", "SIGTERM")


@contextlib.contextmanager
def named(daemon, name, uid=USER):
    """A session that the caller gave a name, by a connection of its own; it and the first reply."""
    with daemon.connect(uid) as s:
        call = {"method": "org.nsroot.session.Run", "more": True,
                "parameters": {"name": name, "arguments": ["sleep", "600"]}}
        s.sendall(json.dumps(call).encode() + b"\0")
        reply = harness.receive(s)
        yield reply["parameters"].get("session"), reply


def test_names_are_unique_to_their_owner(daemon):
    with named(daemon, "twice") as (first, _):
        with named(daemon, "twice") as (_, refused):
            assert refused["error"] == "org.nsroot.session.SessionExists"
        with named(daemon, "twice", OTHER) as (second, _):
            assert second["id"] != first["id"]


def test_two_users_never_see_each_other(daemon, ctl, sleeper):
    mine, theirs = sleeper(), sleeper(uid=OTHER)
    assert listed(ctl) == [mine.id]
    assert listed(ctl, uid=OTHER) == [theirs.id]
    for verb in (("kill", "-s", "KILL"), ("stop",), ("wait",)):
        result = ctl(*verb, theirs.id)
        assert result.returncode == 125 and theirs.id in result.stderr
    assert theirs.client.poll() is None


METHODS_OF_ONE = {"List": {}, "Signal": {"signal": "SIGKILL"}, "Stop": {}, "Wait": {}, "Exec": {"arguments": ["true"]},
                  "Attach": {}, "Resize": {"columns": 80, "rows": 24}, "Logs": {}, "Statistics": {}, "Pause": {},
                  "Resume": {}}
WITH_COMMAND = {"Signal": {"signal": "SIGKILL", "command": "a" * 12}, "Wait": {"command": "a" * 12}}


def test_all_methods_about_one_session_are_in_the_table(daemon):
    text = daemon.call("org.varlink.service.GetInterfaceDescription",
                       {"interface": "org.nsroot.session"})["parameters"]["description"]
    assert set(re.findall(r"method (\w+)\s*\(\s*id:", text)) == set(METHODS_OF_ONE)


def raw_reply(daemon, method, parameters, uid):
    with daemon.connect(uid) as s:
        s.sendall(json.dumps({"method": f"org.nsroot.session.{method}", "parameters": parameters,
                              "more": method == "Exec"}).encode() + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            part = s.recv(65536)
            assert part, answer
            answer += part
        return answer


@pytest.mark.parametrize("method, parameters", [*METHODS_OF_ONE.items(), *WITH_COMMAND.items()])
def test_anothers_session_is_answered_as_one_that_does_not_exist(daemon, sleeper, method, parameters):
    theirs = sleeper(uid=OTHER)
    absent = "a" * 12 if theirs.id != "a" * 12 else "b" * 12
    answers = {id: raw_reply(daemon, method, {**parameters, "id": id}, USER) for id in (theirs.id, absent, theirs.id[:5])}
    assert len({a.replace(id.encode(), b"ID") for id, a in answers.items()}) == 1, answers
    assert theirs.client.poll() is None
    if method != "List":
        assert b"org.nsroot.session.NoSuchSession" in answers[absent]


def test_root_sees_and_may_end_all(daemon, ctl, sleeper):
    mine, theirs = sleeper(), sleeper(uid=OTHER)
    assert sorted(listed(ctl, uid=0)) == sorted([mine.id, theirs.id])
    assert {s["id"]: s["ownerUid"] for s in daemon.sessions(0)} == {mine.id: USER, theirs.id: OTHER}
    worked(ctl("kill", "-s", "KILL", theirs.id, uid=0))
    assert theirs.client.wait(10) == 128 + signal.SIGKILL
    assert mine.client.poll() is None


def test_sessions_of_two_users_have_disjoint_ids(sleeper):
    ranges = []
    for session in (sleeper(), sleeper(), sleeper(uid=OTHER)):
        _, outside, count = map(int, pathlib.Path(f"/proc/{session.init}/uid_map").read_text().split())
        ranges.append(range(outside, outside + count))
    assert len(set().union(*ranges)) == 3 * 65536


def test_version(ctl):
    assert re.search(r"\d+\.\d+\.\d+", worked(ctl("version")))


@pytest.mark.parametrize("verb", ["run", "list", "kill", "stop", "wait", "root", "version"])
def test_help_of_every_verb(ctl, verb):
    assert verb in worked(ctl(verb, "--help"))


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
def test_a_connection_that_is_upgraded_becomes_the_stream(daemon, terminal):
    """For who cannot receive descriptors. Nothing of Varlink comes or is heeded on it any more."""
    command = ["cat"] if terminal else ["sh", "-c", "while sleep .05; do echo said; done"]
    run = {"detached": True, "terminal": terminal, "arguments": command}
    session = daemon.call("org.nsroot.session.Run", run, uid=USER)["parameters"]["session"]["id"]
    with daemon.connect(uid=USER) as s:
        attach = {"method": "org.nsroot.session.Attach", "parameters": {"id": session}, "upgrade": True}
        s.sendall(json.dumps(attach).encode() + b"\0")
        stream = s.makefile("rb")
        assert stream.read(len(b'{"parameters":{}}\0')) == b'{"parameters":{}}\0'
        s.sendall(b'{"method":"io.systemd.service.Ping"}\0\n' if not terminal else b"said\n")
        assert stream.readline().strip() == stream.readline().strip() == b"said"
        daemon.call("org.nsroot.session.Stop", {"id": session, "timeoutUSec": 0}, uid=USER)
        assert set(stream.read().splitlines()) <= {b"said"}  # and then it ends
