"""Who may do what, by [Admission], [User NAME], [Group NAME] and the Users= and Groups= of a root: a real daemon, and
users with primary and supplementary groups of their own.

Which section wins is tested row by row in tests/unit/test-policy.c; here is that every one of them is in force.
"""

import contextlib
import grp
import hashlib
import os
import pathlib
import subprocess

import pytest

import http_server
from harness import BUSYBOX, OTHER, USER, Daemon, until
from varlink import Connection, VarlinkError, call

SESSION = "org.nsroot.session."
ROOT = "org.nsroot.root."
STAFF, LATER, ALONE = 3001, 3002, 3003    # gids that no group database needs to know
GROUPS_MAX = 2048    # that the daemon looks at


class Member:
    """A user with a primary and supplementary groups."""

    def __init__(self, uid=USER, *groups, primary=None):
        self.uid, self.groups, self.primary = uid, list(groups), uid if primary is None else primary

    def ctl(self, daemon, *args):
        """nsrootctl to its end."""
        return subprocess.run([str(daemon.client), *args], user=self.uid, group=self.primary,
                              extra_groups=self.groups, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd="/", timeout=60, env=daemon.client_environment())

    def run(self, daemon, script, *options):
        """What a shell script in a session of this user prints."""
        done = self.ctl(daemon, "run", *options, "--", "sh", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def effective(self):
        """While the block runs this process is that user: what it connects, that user connected."""
        before = os.getgroups()
        os.setgroups(self.groups)
        os.setegid(self.primary)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)

    def connect(self, daemon):
        with self.effective():
            return Connection(daemon.socket)

    def call(self, daemon, method, parameters=None):
        with contextlib.closing(self.connect(daemon)) as c:
            return c.call(method, parameters)


def refused(daemon, member, method=SESSION + "List", parameters=None):
    """The error that answers this call: its name without the interface, and what it says."""
    with pytest.raises(VarlinkError) as e:
        member.call(daemon, method, parameters)
    return e.value.name.rpartition(".")[2], e.value.parameters


def run_refused(daemon, member, **parameters):
    """As refused, for a Run."""
    with pytest.raises(VarlinkError) as e, contextlib.closing(member.connect(daemon)) as c:
        list(c.stream(SESSION + "Run", {"arguments": ["true"], **parameters}))
    return e.value.name.rpartition(".")[2], e.value.parameters


@contextlib.contextmanager
def running(daemon, member, **parameters):
    """A session that runs, on a connection that ends it."""
    with contextlib.closing(member.connect(daemon)) as c:
        replies = c.stream(SESSION + "Run", {"arguments": ["sleep", "600"], **parameters})
        yield next(replies)["session"]


def reload(daemon, text):
    daemon.configure(text)
    call(daemon.socket, "io.systemd.service.Reload")


def open_files(daemon, member):
    return int(member.run(daemon, "ulimit -n"))


# -- limits --------------------------------------------------------------------------------------------------------

LIMITS = f"""\
[Limits]
OpenFilesMax=100

[User {OTHER}]
OpenFilesMax=50

[Group {STAFF}]
OpenFilesMax=200
FileSizeMax=1M
StorageMax=8M

[Group {LATER}]
OpenFilesMax=300
"""


@pytest.fixture(scope="module")
def limited(build):
    d = Daemon(build, LIMITS)
    yield d
    d.close()


@pytest.mark.parametrize("member, files", [
    (Member(USER), 100),
    (Member(USER, 10, 20), 100),
    (Member(USER, STAFF), 200),
    (Member(USER, primary=STAFF), 200),
    (Member(USER, 10, STAFF, 4000), 200),
    (Member(USER, LATER), 300),
    (Member(USER, STAFF, LATER), 300),
    (Member(USER, STAFF, primary=LATER), 300),
    (Member(USER, LATER, primary=STAFF), 300),
    (Member(OTHER), 50),
    (Member(OTHER, STAFF, LATER), 50),
    (Member(0), 100),
    (Member(0, LATER), 300),
])
def test_a_session_has_the_limits_of_its_owner_and_his_groups(limited, member, files):
    assert open_files(limited, member) == files


def test_every_limit_of_a_section_holds_inside_and_no_other_changes(limited):
    script = "ulimit -f; ulimit -u; df -k /tmp | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2"
    usual = Member(USER).run(limited, script).split()
    assert usual == ["unlimited", "512", str(512 * 1024)]
    assert Member(USER, STAFF).run(limited, script).split() == [str(1024 * 1024 // 512), usual[1], str(8 * 1024)]


def test_what_is_said_of_a_group_is_not_said_of_the_user_with_its_number(limited):
    assert open_files(limited, Member(STAFF, primary=USER)) == 100
    assert open_files(limited, Member(USER, OTHER)) == 100


def test_sections_go_by_name_too_and_those_of_nobody_here_by_nothing(fresh_daemon):
    group = grp.getgrnam("games")
    daemon = fresh_daemon(f"""\
[Group {group.gr_name}]
OpenFilesMax=200
[Group there-is-no-such-group]
OpenFilesMax=300
[User there-is-no-such-user]
OpenFilesMax=300
""")
    assert open_files(daemon, Member(USER, group.gr_gid)) == 200
    assert open_files(daemon, Member(USER)) == 4096
    assert open_files(daemon, Member(USER, 0)) == 4096
    assert open_files(daemon, Member(0)) == 4096


# -- admission -----------------------------------------------------------------------------------------------------

def test_only_a_group_is_admitted(fresh_daemon):
    daemon = fresh_daemon(f"""\
[Admission]
Admit=no
[Group {STAFF}]
Admit=yes
[User {OTHER}]
Admit=no
""")
    assert refused(daemon, Member(USER)) == ("Refused", {"rule": "not-admitted"})
    assert refused(daemon, Member(USER, LATER)) == ("Refused", {"rule": "not-admitted"})
    assert Member(USER, STAFF).run(daemon, "echo in") == "in"
    assert Member(USER, primary=STAFF).run(daemon, "echo in") == "in"
    assert refused(daemon, Member(OTHER, STAFF)) == ("Refused", {"rule": "not-admitted"})
    assert Member(0).run(daemon, "echo in") == "in"
    told = Member(USER).ctl(daemon, "run", "--", "true")
    assert told.returncode == 125
    assert told.stderr == "nsrootctl: refused: you may not use nsrootd: ask the administrator for Admit=yes\n"


def test_system_users_need_a_section_that_admits_them(fresh_daemon):
    daemon = fresh_daemon(f"[User 33]\nAdmit=yes\n[Group {STAFF}]\nAdmit=yes\n[User 35]\nOpenFilesMax=50\n")
    assert Member(33).run(daemon, "echo in") == "in"
    assert Member(34, STAFF).run(daemon, "echo in") == "in"
    for member in Member(34), Member(35), Member(34, LATER):
        assert refused(daemon, member) == ("Refused", {"rule": "system-users"})


def test_nothing_admits_who_is_mapped_to_nobody_or_is_in_a_session(fresh_daemon):
    daemon = fresh_daemon(f"[Admission]\nAllowSystemUsers=yes\n[User 65534]\nAdmit=yes\n[User 524289]\nAdmit=yes\n"
                          f"[Group {STAFF}]\nAdmit=yes\n[Group 65534]\nOpenFilesMax=50\n")
    assert refused(daemon, Member(65534, STAFF)) == ("Refused", {"rule": "unmapped-user"})
    assert refused(daemon, Member(524289, STAFF)) == ("Refused", {"rule": "session-users"})
    assert open_files(daemon, Member(USER, 65534)) == 4096, "a group that may be any that is not mapped"


# -- roots ---------------------------------------------------------------------------------------------------------

def root(name, *lines):
    return "\n".join([f"[Root {name}]", "Source=", "Source=file:/bin/busybox", *lines, ""])


def test_a_root_is_for_those_whom_it_names(fresh_daemon):
    daemon = fresh_daemon(root("staff", f"Groups={STAFF}") + root("two", f"Users={OTHER}", f"Groups={LATER}") +
                          root("lost", "Groups=there-is-no-such-group"))
    may = {
        "busybox": {Member(USER): True, Member(OTHER): True},
        "staff": {Member(USER): False, Member(USER, LATER): False, Member(USER, STAFF): True,
                  Member(USER, primary=STAFF): True, Member(STAFF, primary=USER): False},
        "two": {Member(USER): False, Member(OTHER): True, Member(USER, LATER): True},
        "lost": {Member(USER): False, Member(OTHER, STAFF): False, Member(0): True},
    }
    for name, members in may.items():
        for member, allowed in members.items():
            if allowed:
                assert member.run(daemon, "echo in", "-r", name) == "in"
            else:
                assert run_refused(daemon, member, root=name) == ("Refused", {"rule": "root-users"})
    assert run_refused(daemon, Member(USER), root="none") == ("NoSuchRoot", {"root": "none"})
    told = Member(USER).ctl(daemon, "run", "-r", "staff", "--", "true")
    assert told.returncode == 125
    assert told.stderr == ("nsrootctl: refused: this root is not for you: ask the administrator to name you in its "
                           "Users= or Groups=\n")


def test_who_may_not_use_a_root_does_not_make_it_but_sees_that_it_is_there(fresh_daemon):
    daemon = fresh_daemon(root("busybox", f"Groups={STAFF}"))
    assert run_refused(daemon, Member(USER)) == ("Refused", {"rule": "root-users"})
    roots = Member(USER).call(daemon, ROOT + "List")["roots"]
    assert [(r["name"], r.get("digest")) for r in roots] == [("busybox", None)]
    assert os.listdir(daemon.state_dir / "names") == []


def test_roots_are_changed_by_those_who_may(fresh_daemon):
    daemon = fresh_daemon(f"[Group {STAFF}]\nChangeRoots=yes\n[User {OTHER}]\nChangeRoots=no\n")
    operator, name = Member(USER, STAFF), {"name": "busybox"}
    for member in Member(USER), Member(USER, LATER), Member(OTHER, STAFF):
        for method in "Pull", "Verify", "Remove":
            assert refused(daemon, member, ROOT + method, name) == ("Refused", {"rule": "change-roots"})
    for method in "Pull", "Verify", "Remove":
        operator.call(daemon, ROOT + method, name)
    for verb in "pull", "verify", "remove":
        assert operator.ctl(daemon, "root", verb, "busybox").returncode == 0
        assert Member(0).ctl(daemon, "root", verb, "busybox").returncode == 0
    told = Member(USER).ctl(daemon, "root", "pull", "busybox")
    assert told.returncode == 125
    assert told.stderr == "nsrootctl: refused: you may not change roots: ask the administrator for ChangeRoots=yes\n"


# -- how many ------------------------------------------------------------------------------------------------------

def serve(connection):
    """Whether this connection is served, and the rule that says no."""
    try:
        connection.call("io.systemd.service.Ping")
    except VarlinkError as e:
        return e.parameters["rule"]
    return "served"


def served(daemon, member, n):
    """What each of n connections at once is told."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(member.connect(daemon))) for _ in range(n)]
        return [serve(c) for c in connections]


def test_connections_are_counted_by_what_their_user_may_have(fresh_daemon):
    daemon = fresh_daemon(f"[Daemon]\nConnectionsPerUser=2\n[User {OTHER}]\nConnectionsPerUser=4\n"
                          f"[Group {STAFF}]\nConnectionsPerUser=3\n")
    for member, n in (Member(USER), 2), (Member(OTHER), 4), (Member(USER, STAFF), 3), (Member(OTHER, STAFF), 4):
        assert until(lambda: served(daemon, member, 5) == ["served"] * n + ["connections-per-user"] * (5 - n)), n


def test_the_connections_of_a_user_are_one_number_whatever_groups_they_came_with(fresh_daemon):
    daemon = fresh_daemon(f"[Daemon]\nConnectionsPerUser=1\n[Group {STAFF}]\nConnectionsPerUser=3\n")
    with contextlib.ExitStack() as stack:
        for member, told in [(Member(USER, STAFF), "served"), (Member(USER), "connections-per-user"),
                             (Member(USER, STAFF), "served"), (Member(USER, STAFF), "served"),
                             (Member(USER, STAFF), "connections-per-user")]:
            assert serve(stack.enter_context(contextlib.closing(member.connect(daemon)))) == told


def test_sessions_are_counted_by_what_their_user_may_have(fresh_daemon):
    daemon = fresh_daemon(f"[Sessions]\nSessionsPerUser=1\n[User {OTHER}]\nSessionsPerUser=2\n"
                          f"[Group {STAFF}]\nSessionsPerUser=3\n")
    for member, n in (Member(USER), 1), (Member(OTHER), 2), (Member(USER, STAFF), 3), (Member(OTHER, STAFF), 2):
        with contextlib.ExitStack() as stack:
            for _ in range(n):
                stack.enter_context(running(daemon, member))
            assert run_refused(daemon, member) == ("LimitReached", {"limit": "SessionsPerUser"})
            assert Member(0).run(daemon, "echo in") == "in"
        assert until(lambda: not daemon.sessions())


# -- a reload ------------------------------------------------------------------------------------------------------

def test_a_reload_changes_what_is_admitted_next_and_leaves_what_is_there(fresh_daemon):
    daemon = fresh_daemon("[Admission]\nChangeRoots=yes\n")
    member = Member(USER, STAFF)
    with running(daemon, member), contextlib.closing(member.connect(daemon)) as old:
        assert serve(old) == "served"
        reload(daemon, "[Admission]\nAdmit=no\nChangeRoots=yes\n")
        assert refused(daemon, member) == ("Refused", {"rule": "not-admitted"})
        assert [s["state"] for s in daemon.sessions()] == ["running"]
        assert len(old.call(SESSION + "List")["sessions"]) == 1
        for method, more in (SESSION + "Run", True), (ROOT + "Pull", False), (ROOT + "Remove", False):
            with pytest.raises(VarlinkError, match="Refused .*not-admitted"):
                old.call(method, {} if more else {"name": "busybox"}, more=more)
        reload(daemon, "")
        assert serve(old) == "served"
        assert Member(USER).run(daemon, "echo in") == "in"


def test_a_session_has_the_limits_that_are_in_force_when_it_starts(fresh_daemon):
    daemon = fresh_daemon()
    member = Member(USER, STAFF)
    with contextlib.closing(member.connect(daemon)) as c:
        for n in 100, 200:
            reload(daemon, f"[Group {STAFF}]\nOpenFilesMax={n}\n")
            last = list(c.stream(SESSION + "Run", {"arguments": ["sh", "-c", "exit $(ulimit -n)"]}))[-1]
            assert last["session"]["result"]["code"] == n
        assert open_files(daemon, member) == 200
        assert open_files(daemon, Member(USER)) == 4096


def test_a_reload_changes_who_may_use_and_change_roots(fresh_daemon):
    daemon = fresh_daemon()
    member = Member(USER, STAFF)
    assert member.run(daemon, "echo in") == "in"
    with contextlib.closing(member.connect(daemon)) as c:
        with pytest.raises(VarlinkError):
            c.call(ROOT + "Verify", {"name": "busybox"})
        reload(daemon, BUSYBOX + f"Users={OTHER}\n[Group {STAFF}]\nChangeRoots=yes\n")
        assert c.call(ROOT + "Verify", {"name": "busybox"})["root"]["name"] == "busybox"
    assert run_refused(daemon, member) == ("Refused", {"rule": "root-users"})
    assert Member(OTHER).run(daemon, "echo in") == "in"


@pytest.mark.parametrize("change, answer", [
    (f"Users={OTHER}\n", ("Refused", {"rule": "root-users"})),
    ("[Admission]\nAdmit=no\n", ("Refused", {"rule": "not-admitted"})),
    ("[Limits]\nOpenFilesMax=100\n", 100),
])
def test_who_waits_for_a_root_gets_what_is_in_force_when_it_is_there(fresh_daemon, change, answer):
    content = pathlib.Path("/bin/busybox").read_bytes()
    with http_server.Server(content) as server:
        text = (f"[Root busybox]\nSource=\n"
                f"Source={server.url('held')} sha256:{hashlib.sha256(content).hexdigest()}\n")
        daemon = fresh_daemon(text)
        with contextlib.closing(Member(USER).connect(daemon)) as c:
            c.send_call(SESSION + "Run", {"arguments": ["sh", "-c", "exit $(ulimit -n)"]}, more=True)
            assert until(lambda: server.requests)
            reload(daemon, text + change)
            server.released.set()
            reply = c.receive()
            if "error" in reply:
                assert (reply["error"].rpartition(".")[2], reply["parameters"]) == answer
            else:
                assert c.receive()["parameters"]["session"]["result"]["code"] == answer


# -- whose groups --------------------------------------------------------------------------------------------------

STAFF_ONLY = f"[Admission]\nAdmit=no\n[Group {STAFF}]\nAdmit=yes\nOpenFilesMax=200\n"


def test_the_groups_are_those_of_whoever_connected_when_it_did(fresh_daemon):
    daemon = fresh_daemon(STAFF_ONLY)
    with contextlib.closing(Member(USER, STAFF).connect(daemon)) as c:
        with Member(OTHER).effective():    # another uses it: it is still the first one's
            last = list(c.stream(SESSION + "Run", {"arguments": ["sh", "-c", "exit $(ulimit -n)"]}))[-1]
        assert last["session"]["result"]["code"] == 200
        assert last["session"]["ownerUid"] == USER
    with contextlib.closing(Member(USER).connect(daemon)) as c, Member(USER, STAFF).effective():
        assert serve(c) == "not-admitted"


def test_the_effective_group_counts_and_the_real_one_does_not(fresh_daemon):
    daemon = fresh_daemon(STAFF_ONLY)

    def told(real, effective):
        """A set-group-ID program of the group `effective` is told this, where `real` started it."""
        os.setresgid(real, -1, -1)
        try:
            with contextlib.closing(Member(USER, primary=effective).connect(daemon)) as c:
                return serve(c)
        finally:
            os.setresgid(0, -1, -1)

    assert told(real=USER, effective=STAFF) == "served"
    assert told(real=STAFF, effective=USER) == "not-admitted"


def memory(daemon):
    """Bytes that the daemon has resident."""
    for line in pathlib.Path(f"/proc/{daemon.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def test_groups_count_up_to_a_number_and_cost_no_memory(fresh_daemon):
    daemon = fresh_daemon(f"[Group {100000 + GROUPS_MAX}]\nOpenFilesMax=200\n",
                          environment={"ASAN_OPTIONS": "quarantine_size_mb=0"})
    member = Member(USER, *range(100001, 100001 + GROUPS_MAX))
    assert open_files(daemon, member) == 200

    def connect_often(times):
        for _ in range(times):
            with contextlib.closing(member.connect(daemon)) as c:
                assert serve(c) == "served"

    connect_often(200)
    before = memory(daemon)
    connect_often(1000)
    assert memory(daemon) - before < 1000 * GROUPS_MAX * 4 / 4


@pytest.mark.parametrize("n", [GROUPS_MAX + 1, 65536])
def test_who_is_in_more_groups_is_refused(daemon, n):
    """It would take long to look at them, at the expense of everybody else."""
    member = Member(USER, *range(100001, 100001 + n))
    assert refused(daemon, member) == ("Refused", {"rule": "too-many-groups"})
    told = member.ctl(daemon, "list")
    assert told.returncode == 125
    assert told.stderr == "nsrootctl: refused: you are in more than 2048 groups: connect with fewer of them\n"
