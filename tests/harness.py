"""What the tests of a running nsrootd share: one daemon with its files, ordinary users, and looking at it from outside.

Knows how the programs are started and stopped, and what the kernel says about them (/proc). Knows nothing of what a
session must be like: that is for the tests.
"""

import contextlib
import json
import os
import pathlib
import pickle
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
USER = 2001    # uids that no password database needs to know
OTHER = 2002
SANITIZER = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:")
NO_NAMESPACES = ["/usr/bin/python3", str(CHECKOUT / "tests/no_namespaces.py")]  # a wrapper, see there
BUSYBOX = """\
[Root busybox]
Source=
Source=file:/bin/busybox
"""


class Build:
    """The programs under test: the build directory that NSROOT_BUILD names."""

    def __init__(self, directory=None):
        directory = directory or os.environ.get("NSROOT_BUILD") or CHECKOUT / "build/release"
        self.directory = pathlib.Path(directory).resolve()
        self.daemon = self.directory / "daemon/nsrootd"
        self.client = self.directory / "client/nsrootctl"
        self.init = self.directory / "init/nsroot-init"
        self.fetch = self.directory / "fetch/nsroot-fetch"

    def missing(self):
        return [str(p) for p in (self.daemon, self.client, self.init, self.fetch) if not p.exists()]


def until(condition, timeout=20, every=0.02):
    """Waits for condition() to be true and returns what it returned last: a guard against hangs, not a measurement."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every)


# -- ordinary users -----------------------------------------------------------------------------------------------

class User:
    """Runs commands and Python functions as an ordinary uid, with one group and no others."""

    def __init__(self, uid, gid=None):
        self.uid, self.gid = uid, uid if gid is None else gid

    def __call__(self, what, *args, **kw):
        return self.call(what, *args, **kw) if callable(what) else self.run(what, *args, **kw)

    def run(self, argv, timeout=60, **kw):
        kw.setdefault("capture_output", "stdout" not in kw and "stderr" not in kw)
        return subprocess.run(argv, timeout=timeout, **self._identity(), **kw)

    def popen(self, argv, **kw):
        return subprocess.Popen(argv, **self._identity(), **kw)

    def call(self, function, *args, timeout=60, **kw):
        """function(*args) in a process of this user; its value, or its exception, comes back."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._answer(writer, function, args, kw)
        os.close(writer)
        try:
            answer = read_all(reader, timeout)
            if answer is None:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError(f"{function} took more than {timeout} s")
        finally:
            os.close(reader)
            os.waitpid(pid, 0)
        worked, value = pickle.loads(answer)
        if not worked:
            raise value
        return value

    def _identity(self):
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def become(self):
        """Turns this process into one of the user's, for good."""
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def _answer(self, writer, function, args, kw):
        try:
            try:
                self.become()
                answer = (True, function(*args, **kw))
            except BaseException as e:
                answer = (False, e)
            with os.fdopen(writer, "wb") as f:
                pickle.dump(answer, f)
        finally:
            os._exit(0)


def read_all(fd, timeout):
    """Everything up to the end of file, or None when that does not come in time."""
    deadline, parts = time.monotonic() + timeout, []
    while True:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(fd, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


@contextlib.contextmanager
def effective(uid):
    """The effective uid of this process is another while the block runs: what it connects, that uid connected."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextlib.contextmanager
def stopped(*pids):
    """Processes of ours do nothing while the block runs: what is done there is all there when they go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def blocks(pid, sig):
    """Whether the process has taken charge of the signal, and so of its session."""
    with open(f"/proc/{pid}/status") as f:
        mask = next(line for line in f if line.startswith("SigBlk"))
    return int(mask.split()[1], 16) >> (sig - 1) & 1


# -- the daemon ---------------------------------------------------------------------------------------------------

class Daemon:
    """One real nsrootd in a mount namespace of its own, with its own socket, state directory, configuration and log."""

    def __init__(self, build, config_text="", *, directory=None, environment=None, wrapper=(), arguments=(),
                 start=True):
        self.build = build
        self._own_directory = directory is None
        self.directory = pathlib.Path(directory or make_directory())
        self.socket = self.directory / "varlink"
        self.state_dir = self.directory / "state"
        self.config = self.directory / "nsrootd.conf"
        self.log = self.directory / "log"
        self.client = self.directory / "nsrootctl"
        self.environment, self.wrapper, self.arguments = dict(environment or {}), list(wrapper), list(arguments)
        self.process = None
        self._prepare(config_text)
        if start:
            self.start()

    @property
    def pid(self):
        return self.process.pid

    def _prepare(self, config_text):
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        self.configure(config_text)
        if not self.client.exists():  # the build directory may lie where an ordinary user cannot go
            shutil.copy2(self.build.client, self.client)
            self.client.chmod(0o755)

    def configure(self, config_text):
        """Writes the configuration; unless the text says else, the busybox root comes from this machine's own file, and
        NSROOT_TEST_SLOTS sessions of each user are kept ready, for a second: what tests look for afterwards is nothing."""
        root = "" if "[Root busybox]" in config_text else BUSYBOX
        slots = os.environ.get("NSROOT_TEST_SLOTS", "8")
        pool = "" if "[Pool]" in config_text else f"\n[Pool]\nSlotsPerUser={slots}\nIdleTimeout=1s\n"
        self.config.write_text(root + config_text + pool)

    def command(self):
        return ["unshare", "-m", "--propagation", "private", *self.wrapper, str(self.build.daemon),
                "--listen", str(self.socket), "--state-dir", str(self.state_dir), "--config", str(self.config),
                *self.arguments]

    def launch(self):
        """Starts it and does not wait for anything."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                       "NSROOTD_INIT_PATH": str(self.build.init), "NSROOTD_FETCH_PATH": str(self.build.fetch),
                       **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **self.environment}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, cwd="/", start_new_session=True)
        return self

    def start(self):
        self.launch()
        assert until(self.answers), f"nsrootd does not answer:\n{self.log_text()}"
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nsrootd ended with {self.process.returncode}:\n{self.log_text()}")
        try:
            return self.call("org.varlink.service.GetInfo")
        except OSError:
            return None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=30):
        """Ends it as a service manager would. It must leave with 0 and no sanitizer may have had anything to say."""
        if not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"nsrootd did not end on SIGTERM within {timeout} s:\n{self.log_text()}")

    def kill(self):
        self.process.kill()
        return self.process.wait(30)

    def close(self):
        """The end of a test: stop() with its demands, unless the test has ended the daemon in its own way."""
        try:
            if self.alive():
                status = self.stop()
                assert status == 0, f"nsrootd ended with {status}:\n{self.log_text()}"
            self.check_log()
        finally:
            if self._own_directory:
                shutil.rmtree(self.directory, ignore_errors=True)

    def check_log(self):
        found = [line for line in self.log_text().splitlines() if SANITIZER.search(line)]
        assert not found, f"a sanitizer found something:\n{self.log_text()}"

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- its clients

    def client_environment(self, **more):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NSROOT_SOCKET": str(self.socket), "TERM": "vt100",
                "HOME": "/", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **more}

    def ctl(self, *args, uid=USER, input=None, timeout=60, text=True, env=None, **popen):
        """nsrootctl of an ordinary user, to its end. stdin is empty unless input or stdin is given."""
        if input is None:
            popen.setdefault("stdin", subprocess.DEVNULL)
        else:
            popen["input"] = input
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([str(self.client), *map(str, args)], timeout=timeout, text=text, user=uid, group=uid,
                              extra_groups=[], cwd="/", env=self.client_environment(**(env or {})), **popen)

    def run(self, *command, options=(), **kw):
        """`nsrootctl run OPTIONS -- COMMAND` of an ordinary user, to its end."""
        return self.ctl("run", *options, "--", *command, **kw)

    def popen(self, *args, uid=USER, env=None, text=True, **popen):
        """nsrootctl of an ordinary user, still running. Every stdio that is not given is a pipe."""
        for name in ("stdin", "stdout", "stderr"):
            popen.setdefault(name, subprocess.PIPE)
        return subprocess.Popen([str(self.client), *map(str, args)], text=text, user=uid, group=uid, extra_groups=[],
                                cwd="/", env=self.client_environment(**(env or {})), **popen)

    def connect(self, uid=USER, timeout=30):
        """A raw connection that this uid made."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        s.settimeout(timeout)
        try:
            with effective(uid):
                s.connect(str(self.socket))
        except BaseException:
            s.close()
            raise
        return s

    def call(self, method, parameters=None, uid=0, timeout=30):
        """One Varlink call and its one reply, as a dictionary."""
        with self.connect(uid, timeout) as s:
            s.sendall(json.dumps({"method": method, "parameters": parameters or {}}).encode() + b"\0")
            return receive(s)

    def sessions(self, uid=0):
        """What List says, as this uid sees it."""
        return self.call("org.nsroot.session.List", uid=uid)["parameters"]["sessions"]

    # -- what the kernel says about it

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def mounts(self):
        return pathlib.Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()

    def processes(self):
        """The daemon's descendants: {pid: its start time}. A recycled pid has another start time. But for the one that
        sessions are cloned from, which is the daemon's as long as it lives."""
        return {pid: started for pid, started in descendants(self.pid).items() if comm_and_state(pid)[0] != "nsroot-forker"}

    def cool(self):
        """Waits until no session is kept ready; after a start, the next is made a moment later."""
        time.sleep(0.1)
        roots = lambda: self.call("org.nsroot.root.List")["parameters"]["roots"]
        assert until(lambda: not any(root["warm"] for root in roots()))

    def forker(self):
        """The process that sessions are cloned from."""
        return next(pid for pid in descendants(self.pid) if comm_and_state(pid)[0] == "nsroot-forker")

    def commands(self, name):
        """States (R, S, T…) of the daemon's descendants of that name: what runs in its sessions."""
        return [state for pid in self.processes() for comm, state in [comm_and_state(pid)] if comm == name]

    def cgroups(self):
        """The directories below the node that this daemon keeps its sessions' cgroups in."""
        node = self.cgroup_node()
        return sorted(path for path, _, _ in os.walk(node) if path != str(node)) if node else []

    def cgroup_node(self):
        """Found once, by looking where a session is; None where this host has no cgroup v2."""
        if not hasattr(self, "_node"):
            mount = cgroup2_mount()
            path = self._session_cgroup() if mount else None
            self._node = mount / path.strip("/") if path else None
        return self._node

    def _session_cgroup(self):
        with contextlib.closing(Running(self, "sleep", "60")) as session:
            path = cgroup_of(session.init)
        user = f"/user-{USER}/"
        return path[:path.index(user)] if path and user in path else None


class Running:
    """A session that is up, and the client that holds it."""

    def __init__(self, daemon, *command, options=(), uid=USER, **popen):
        self.daemon = daemon
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.DEVNULL)
        popen.setdefault("stderr", subprocess.DEVNULL)
        known = {s["id"] for s in daemon.sessions()}
        self.client = daemon.popen("run", *options, "--", *command, uid=uid, **popen)
        self.session = until(lambda: self._find(known, uid))
        assert self.session, f"the session does not run; the client: {self.client.poll()}\n{daemon.log_text()}"
        self.id = self.session["id"]
        self.init = self.session["leader"]["pid"]
        self.processes = {self.init: stat_fields(self.init)[19], **descendants(self.init)}

    def _find(self, known, uid):
        new = [s for s in self.daemon.sessions()
               if s["id"] not in known and s["ownerUid"] == uid and s["state"] == "running"]
        return new[0] if new else None

    def gone(self):
        """None of the processes that this session had when it was made is left."""
        return not still_there(self.processes)

    def close(self):
        """Ends the client, and so the session."""
        if self.client.poll() is None:
            self.client.kill()
        self.client.communicate(timeout=30)
        assert until(self.gone), "the session outlives its client"


def make_directory():
    """A directory that anybody may pass through, on a real filesystem: state on an overlay takes another path."""
    directory = tempfile.mkdtemp(prefix="nsroot-test-", dir=os.environ.get("TMPDIR") or "/var/tmp")
    os.chmod(directory, 0o755)
    return directory


def receive(s):
    """One Varlink message from a connection, or None at its end."""
    message = bytearray()
    while not message.endswith(b"\0"):
        part = s.recv(1)
        if not part:
            return None
        message += part
    return json.loads(message[:-1])


# -- the kernel's view --------------------------------------------------------------------------------------------

def stat_fields(pid):
    """/proc/PID/stat without pid and name; None when there is no such process. Zombies count as gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else fields


def comm_and_state(pid):
    fields = stat_fields(pid)
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip(), fields and fields[0]
    return None, None


def process_table():
    """{pid: (parent, start time)} of everything alive."""
    table = {}
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if fields:
            table[int(name)] = (int(fields[1]), fields[19])
    return table


def descendants(of):
    table, found = process_table(), {}
    for pid in table:
        ancestor = pid
        while ancestor in table and ancestor != of:
            ancestor = table[ancestor][0]
        if ancestor == of and pid != of:
            found[pid] = table[pid][1]
    return found


def still_there(processes):
    """Those of {pid: start time} that are alive and still the same process."""
    alive = {}
    for pid, started in processes.items():
        fields = stat_fields(pid)
        if fields and fields[19] == started:
            alive[pid] = started
    return alive


def mountinfo_lines_naming(text):
    """(pid, line) for every mount of every process of this machine in which text occurs."""
    found, seen = [], set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            namespace = os.readlink(f"/proc/{name}/ns/mnt")
            if namespace not in seen:
                seen.add(namespace)
                lines = pathlib.Path(f"/proc/{name}/mountinfo").read_text().splitlines()
                found += [(int(name), line) for line in lines if text in line]
    return found


def cgroup2_mount():
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return pathlib.Path(fields[1])
    return None


def cgroup_of(pid):
    """Its path below the cgroup2 mount, or None."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None
