"""Where there are no user namespaces: a session is one unprivileged uid of the host's, and all else of it is as always."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

import harness
import varlink
from harness import NO_NAMESPACES, OTHER, USER, Running, User, until
from live import Command, call, detach, detached, records, text_of, wait  # noqa: F401: a fixture
from terminal import Terminal

RANGES = 524288  # where the ids of sessions begin
NODES = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture(scope="module")
def daemon(build):
    d = harness.Daemon(build, wrapper=NO_NAMESPACES)
    yield d
    d.close()


@pytest.fixture
def shell(daemon):
    """shell(script, ...) is what a script prints that must succeed in a session."""
    def run(script, **kw):
        done = daemon.run("sh", "-c", script, **kw)
        assert done.returncode == 0, done
        return done.stdout
    return run


@pytest.fixture
def running(daemon):
    """running(*command, ...) is a session that is up, and that is ended afterwards."""
    with contextlib.ExitStack() as stack:
        yield lambda *a, **kw: stack.enter_context(contextlib.closing(Running(daemon, *a, **kw)))


def status_fields(text):
    return dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", text, re.M))


def status_of(pid):
    return status_fields(pathlib.Path(f"/proc/{pid}/status").read_text())


def limits_of(daemon):
    """What /proc/sys/user has for the daemon's own user namespace."""
    done = subprocess.run(["nsenter", f"--user=/proc/{daemon.pid}/ns/user", "grep", "-r", "", "/proc/sys/user"],
                          capture_output=True, text=True, check=True)
    return sorted(done.stdout.splitlines())


def allow(daemon, number):
    subprocess.run(["nsenter", f"--user=/proc/{daemon.pid}/ns/user", "sh", "-c",
                    f"echo {number} >/proc/sys/user/max_user_namespaces"], check=True)


# -- chosen, and reported -----------------------------------------------------------------------------------------

def test_it_is_said_by_the_log_once_and_by_describe(daemon, shell):
    shell("true")
    shell("true")
    assert daemon.log_text().count("There are no user namespaces (user.max_user_namespaces is 0)") == 1
    host = daemon.call("org.nsroot.session.Describe")["parameters"]["host"]
    assert host["userNamespaces"] is False and host["userNamespacesObstacle"] == "sysctl"
    assert "idmappedMounts" not in host


def test_with_user_namespaces_nothing_is_said(fresh_daemon):
    daemon = fresh_daemon()
    host = daemon.call("org.nsroot.session.Describe")["parameters"]["host"]
    assert host["userNamespaces"] is True and "userNamespacesObstacle" not in host
    assert "user namespaces" not in daemon.log_text()


def test_it_changes_with_the_sysctl_while_the_daemon_runs(fresh_daemon):
    daemon = fresh_daemon(wrapper=[*NO_NAMESPACES, "100"])
    before = detach(daemon, "sleep", "600")
    assert daemon.run("id").stdout == "uid=0(root) gid=0(root)\n"
    allow(daemon, 0)
    assert until(lambda: re.fullmatch(r"uid=(\d+) gid=\1\n", daemon.run("id").stdout)), "one may have been ready"
    assert "127.0.0.1" in daemon.run("ip", "addr").stdout
    assert daemon.call("org.nsroot.session.Describe")["parameters"]["host"]["userNamespaces"] is False
    assert daemon.ctl("exec", before, "--", "id", "-u").stdout == "0\n", "what runs stays as it is"
    allow(daemon, 100)
    assert until(lambda: daemon.run("id").stdout == "uid=0(root) gid=0(root)\n")
    assert daemon.call("org.nsroot.session.Describe")["parameters"]["host"]["userNamespaces"] is True
    log = daemon.log_text()
    assert log.count("There are no user namespaces") == log.count("There are user namespaces again") == 1


def test_that_they_are_used_up_makes_no_session_weaker(fresh_daemon):
    daemon = fresh_daemon(wrapper=[*NO_NAMESPACES, "4"])
    ids = []
    with pytest.raises(varlink.VarlinkError) as failure:
        while len(ids) < 5:
            ids.append(detach(daemon, "sleep", "600"))
    assert failure.value.parameters["errnoName"] == "ENOSPC" and ids
    assert "raise user.max_user_namespaces" in failure.value.parameters["detail"]
    assert {daemon.ctl("exec", id, "--", "id", "-u").stdout for id in ids} == {"0\n"}
    daemon.ctl("stop", "--timeout", "0", *ids)
    assert until(lambda: daemon.run("id").stdout == "uid=0(root) gid=0(root)\n")
    assert "no user namespaces" not in daemon.log_text()


# -- who it is ----------------------------------------------------------------------------------------------------

def test_it_is_one_uid_without_any_power(daemon):
    status = status_fields(daemon.run("cat", "/proc/self/status").stdout)
    uid = status["Uid"].split()[0]
    assert int(uid) >= RANGES and int(uid) % 65536 == 0
    assert status["Uid"].split() == status["Gid"].split() == [uid] * 4 and status["Groups"] == ""
    assert {status[name] for name in CAPABILITIES} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "1")


def test_so_is_all_of_a_session_seen_from_outside(daemon, running):
    """Also nsroot-init and a keeper, which elsewhere can do more than what they run."""
    command = Command(daemon, running("sleep", "600").id, "sleep", "601")
    command.started()
    assert until(lambda: len(daemon.processes()) == 4)  # without those that were ready for others
    found = daemon.processes()
    seen = [status_of(pid) for pid in found]
    assert {s["Name"] for s in seen} == {"nsroot-init", "nsroot-keeper", "sleep"}
    assert len({(s["Uid"], s["Gid"]) for s in seen}) == 1 and int(seen[0]["Uid"].split()[0]) >= RANGES
    assert {s[name] for s in seen for name in CAPABILITIES} == {"0" * 16}
    assert {s["NoNewPrivs"] for s in seen} == {"1"} and {s["Groups"] for s in seen} == {""}
    command.close()


def test_it_shares_the_user_namespace_and_nothing_else(daemon, running):
    def namespaces(pid):
        return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in "cgroup ipc mnt net pid user uts".split()}
    inside, outside = namespaces(running("sleep", "600").init), namespaces(daemon.pid)
    assert {kind for kind in inside if inside[kind] == outside[kind]} == {"user"}


def test_no_two_sessions_have_the_same(running):
    assert len({status_of(running("sleep", "600", uid=uid).init)["Uid"] for uid in (USER, USER, OTHER)}) == 3


@pytest.mark.parametrize("user", ["root", "0", "root:root", "0:0"])
def test_who_asks_for_root_gets_that_one(daemon, user):
    done = daemon.run("sh", "-c", "id -u; echo $USER $HOME", options=("-u", user))
    uid = done.stdout.split()[0]
    assert int(uid) >= RANGES and done.stdout == f"{uid}\n{uid} /root\n"


@pytest.mark.parametrize("user", ["nobody", "1000", "65535", "0:7", "root:nogroup", str(RANGES)])
def test_who_asks_for_another_is_told_why_not(daemon, user):
    done = daemon.run("true", options=("-u", user))
    assert done.returncode == 125
    if user != str(RANGES):  # which is no id of a session at all
        assert "there are no user namespaces on this host" in done.stderr, done.stderr


def test_who_asks_for_nobody_that_there_is_is_told_that(daemon):
    assert "there is no user nonesuch" in daemon.run("true", options=("-u", "nonesuch")).stderr


def test_so_it_is_for_exec_and_in_the_protocol(daemon, detached):
    id = detached("sleep", "600")
    assert "no user namespaces" in daemon.ctl("exec", "-u", "nobody", id, "--", "true").stderr
    assert int(daemon.ctl("exec", "-u", "root", id, "--", "id", "-u").stdout) >= RANGES
    with pytest.raises(varlink.VarlinkError) as failure:
        call(daemon, "Run", {"arguments": ["true"], "user": "nobody", "detached": True})
    assert failure.value.name == "org.nsroot.session.SetupFailed"
    assert failure.value.parameters["errnoName"] in ("EOPNOTSUPP", "ENOTSUP")
    assert "no user namespaces" in failure.value.parameters["detail"]


# -- what it has --------------------------------------------------------------------------------------------------

def test_everything_of_its_own_can_be_written_and_is_gone_afterwards(shell):
    places = "/x /etc/x /bin/x /root/x /var/x /tmp/x /run/x /dev/x /dev/shm/x"
    assert shell(f"touch {places} && echo a >>/etc/passwd && rm /bin/vi && mv /etc/hosts /h && mkdir /home && cd && "
                 "echo hello >here && cat here") == "hello\n"
    assert shell(f"ls -d {places} /h /home /root/here 2>/dev/null || ls /bin/vi /etc/hosts") == "/bin/vi\n/etc/hosts\n"


def test_nothing_in_it_is_the_hosts_roots_but_what_it_cannot_change(shell):
    """Links in /dev, device nodes and the kernel's own file systems."""
    found = shell("find / -xdev -user 0 2>/dev/null; find /tmp /run /dev -xdev -user 0").split()
    assert [f for f in found if not f.startswith(("/dev/", "/proc", "/sys"))] == []


def test_a_read_only_root_is_one(daemon):
    done = daemon.run("sh", "-c", "touch /tmp/x /run/x /dev/shm/x && touch /x", options=("--read-only",))
    assert done.returncode == 1 and "/x: Read-only file system" in done.stderr


def test_mounts_are_as_strict_as_always(shell):
    mounts = {}
    for line in shell("cat /proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        mounts[fields.split()[4]] = (set(fields.split()[5].split(",")), kind.split()[0])
    assert mounts["/"][1] == "tmpfs" and NODES | {"/proc/sys", "/sys", "/dev/pts"} <= set(mounts)
    for path, (flags, _) in mounts.items():
        assert "nosuid" in flags and ("nodev" in flags or path in NODES | {"/dev/pts"}), path
        if path.startswith(("/proc/", "/sys")) or path in NODES:
            assert {"ro", "noexec"} <= flags, path


def test_knobs_of_the_host_stay_as_they_are(daemon, shell):
    before = limits_of(daemon)
    assert int(dict(line.rsplit("/", 1)[1].split(":") for line in before)["max_mnt_namespaces"]) > 0
    found = shell("find /proc/sys /sys -type f -writable 2>/dev/null; "
                  "for f in kernel/core_pattern user/max_mnt_namespaces net/ipv4/ip_forward; do "
                  "(echo 1 >/proc/sys/$f) 2>/dev/null && echo $f; done; true")
    assert found == ""
    assert limits_of(daemon) == before


def test_no_namespace_can_be_made_inside(shell):
    assert shell("for n in U m p i u n C; do unshare -$n true 2>/dev/null && echo $n; done; true") == ""


def test_it_sees_its_own_processes_only(shell):
    assert [line.split()[-1] for line in shell("ps -o pid,comm; true").splitlines()[1:]] == ["nsroot-init", "sh", "ps"]


def test_the_hosts_files_and_nodes_are_out_of_reach(shell):
    before = {path: os.stat(path) for path in NODES}
    shell("for n in null zero full random urandom tty; do chmod 600 /dev/$n; chown $(id -u) /dev/$n; rm -f /dev/$n; done "
          "2>/dev/null; ls /proc/1/root /proc/1/cwd 2>/dev/null; true")
    for path, old in before.items():
        new = os.stat(path)
        assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)


def test_files_of_all_owners_of_the_cached_root_are_its_own(fresh_daemon):
    daemon = fresh_daemon(wrapper=NO_NAMESPACES)
    assert daemon.run("true").returncode == 0
    (group,) = daemon.state_dir.glob("roots/*/etc/group")
    os.chown(group, 7, 8)
    found = daemon.run("sh", "-c", "stat -c '%u %g' /etc/group /etc/passwd; id -u").stdout.split()
    assert len(found) == 5 and len(set(found)) == 1


def test_a_setuid_program_gains_nothing(fresh_daemon):
    """Neither one that is made inside nor one of the cached root."""
    daemon = fresh_daemon(wrapper=NO_NAMESPACES)
    assert daemon.run("true").returncode == 0
    daemon.cool()  # what is ready has a copy of before
    programs = list(daemon.state_dir.glob("roots/*/bin/busybox"))
    assert programs and all(p.stat().st_uid == 0 for p in programs)
    for program in programs:
        program.chmod(0o4755)
    script = "cp /bin/busybox /tmp/busybox && chmod 6755 /tmp/busybox; stat -c %a /bin/busybox; " \
             "for b in /tmp/busybox /bin/busybox; do $b id; $b grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status; done"
    lines = daemon.run("sh", "-c", script).stdout.splitlines()
    assert lines[0] == "4755" and len(lines) == 9, lines
    for line in lines[1:]:
        assert re.fullmatch(r"uid=(\d+) gid=\1|Cap...:\t0+", line), line


def test_it_has_its_loopback_and_no_other_interface(shell):
    assert re.findall(r"^\d+: (\w+):", shell("ip addr"), re.M) == ["lo"]
    assert shell("echo hello | nc -l -p 8080 & sleep 0.3; nc -w 5 127.0.0.1 8080 </dev/null") == "hello\n"


def test_limits_oom_score_and_control_group_are_its_own(daemon, running):
    session = running("sleep", "600")
    sleeper = next(p for p in session.processes if status_of(p)["Name"] == "sleep")
    limits = pathlib.Path(f"/proc/{sleeper}/limits").read_text()
    assert re.search(r"^Max open files\s+4096\s+4096", limits, re.M)
    assert re.search(r"^Max processes\s+512\s+512", limits, re.M)
    assert int(pathlib.Path(f"/proc/{sleeper}/oom_score_adj").read_text()) >= 500
    assert harness.cgroup_of(session.init) == harness.cgroup_of(sleeper)
    assert harness.cgroup2_mount() is None or harness.cgroup_of(session.init) != harness.cgroup_of(daemon.pid)


# -- how it lives and ends ----------------------------------------------------------------------------------------

def test_bytes_and_statuses_come_through(daemon):
    data = os.urandom(1 << 20)
    done = daemon.run("cat", input=data, text=False)
    assert done.returncode == 0 and done.stdout == data
    assert daemon.run("sh", "-c", "echo out; echo err >&2; exit 7").returncode == 7
    assert daemon.run("sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    assert daemon.run("nonesuch").returncode == 127
    assert daemon.run("/etc").returncode == 126


def test_a_terminal_is_the_sessions_users(daemon):
    script = "tty; stty size; stat -c %u /dev/pts/0; id -u; stat -c %g /dev/pts/0; readlink /dev/console; echo ready; read a; echo got $a"
    t = Terminal([str(daemon.client), "run", "--", "sh", "-c", script], User(USER), daemon.client_environment(),
                 rows=33, columns=99)
    try:
        found = t.expect(r"/dev/pts/0\r\n33 99\r\n(\d+)\r\n\1\r\n(\d+)\r\npts/0\r\nready")
        t.line("there")
        t.expect("got there")
        assert t.wait() == 0 and int(found.group(1)) >= RANGES
        assert int(found.group(2)) == int(found.group(1)) + 5, "its own group tty, which nobody is in"
    finally:
        t.close()


def test_a_detached_session_has_logs_viewers_and_more_commands(daemon, detached):
    id = detached("sh", "-c", "echo one; while read line; do echo got $line; done", terminal=True)
    assert until(lambda: b"one" in text_of(records(daemon, id)).encode())
    with varlink.Connection(daemon.socket, USER) as c:
        reply = c.call("org.nsroot.session.Attach", {"id": id, "replay": True})
        with socket.socket(fileno=c.fds.pop(reply["streamFileDescriptor"])) as stream:
            stream.settimeout(20)
            stream.sendall(b"two\n")
            seen = b""
            while b"got two" not in seen:
                seen += stream.recv(4096)
    assert daemon.ctl("exec", id, "--", "sh", "-c", "echo more >/dev/shm/x; cat /dev/shm/x").stdout == "more\n"
    assert "got two" in daemon.ctl("logs", id).stdout


def test_it_is_stopped_signalled_paused_and_waited_for(daemon, detached):
    id = detached("sh", "-c", "trap 'echo caught; exit 3' TERM; while :; do sleep 0.1; done")
    assert daemon.ctl("pause", id).returncode == daemon.ctl("resume", id).returncode == 0
    assert daemon.ctl("kill", "-s", "TERM", id).returncode == 0
    assert wait(daemon, id) == {**wait(daemon, id), "cause": "exited", "code": 3}
    id = detached("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    assert daemon.ctl("kill", "--all", "-s", "TERM", id).returncode == 0
    assert daemon.ctl("stop", "--timeout", "0", id).returncode == 0
    assert wait(daemon, id)["cause"] == "stopped"


def test_all_of_it_ends_with_its_client(running):
    session = running("sh", "-c", "trap '' TERM HUP; setsid sleep 600 & sleep 601")
    session.client.kill()
    assert until(session.gone)


def test_a_command_ends_with_its_client_and_its_session_goes_on(daemon, detached):
    id = detached("sleep", "600")
    command = Command(daemon, id, "sh", "-c", "setsid sleep 601 & sleep 602")
    command.started()
    assert until(lambda: len(daemon.commands("sleep")) == 3)
    command.let_go()
    assert until(lambda: len(daemon.commands("sleep")) == 1)
    command.close()
    assert daemon.ctl("exec", id, "--", "true").returncode == 0


def test_sigterm_from_outside_ends_it_and_from_inside_does_not(daemon, running):
    session = running("sh", "-c", "kill -TERM 1; kill -KILL 1; sleep 600")
    assert until(lambda: daemon.commands("sleep"))
    os.kill(session.init, signal.SIGTERM)
    assert until(session.gone)


def test_nothing_is_left(daemon):
    assert until(lambda: not daemon.processes())
    before = daemon.fd_count()
    for i in range(50):
        assert daemon.run("sh", "-c", f"exit {i}").returncode == i
    assert until(lambda: daemon.fd_count() <= before + 50)  # outputs that are remembered
    assert until(lambda: not daemon.processes() and not daemon.cgroups())
