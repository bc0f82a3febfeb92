"""Fixtures for tests under a booted systemd: what `meson install` would put on a machine, and a bed that runs it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / d) for d in ("", "integration")]

import pytest

import harness

HERE = pathlib.Path(__file__).resolve().parent
TESTS = "/usr/share/nsrootd-tests"  # in a bed: programs of the tests


class Bed:
    """A machine, native or emulated, with nsrootd installed on it."""

    def __init__(self, script, directory):
        self.script, self.directory = HERE / script, directory

    def up(self, *arguments):
        # to a file: what stays in the background would keep a pipe open
        with tempfile.TemporaryFile("w+") as log:
            status = subprocess.call([self.script, "up", self.directory, *arguments], stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, timeout=300)
            log.seek(0)
            assert status == 0, log.read()
        # what a package's installation would do
        self.run("bash", "-c", "systemd-sysusers; systemctl daemon-reload; "
                 "systemctl start nsrootd.socket; "
                 "useradd --uid 2001 --no-create-home one; useradd --uid 2002 --no-create-home two", check=True, timeout=200)

    def down(self):
        self._run("down", timeout=120)

    def _run(self, verb, *arguments, check=False, timeout=60):
        done = subprocess.run([self.script, verb, self.directory, *arguments], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{verb} {arguments}: {done.stdout}\n{done.stderr}"
        return done

    def run(self, *command, check=False, timeout=240):
        return self._run("in", *map(str, command), check=check, timeout=timeout)

    def shell(self, script, check=False, timeout=240):
        return self.run("bash", "-c", script, check=check, timeout=timeout)

    def user(self, script, uid=2001, check=False, timeout=240):
        """A shell script of an ordinary user."""
        return self.run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "bash", "-c", script,
                        check=check, timeout=timeout)

    def result(self, script, options="", uid=2001):
        """What a run of that script (without single quotes) came to: the result, and the client's own exit."""
        done = self.user(f"cd /tmp; nsrootctl run --result /tmp/result-$$ {options} -- sh -c '{script}'; "
                         "s=$?; cat /tmp/result-$$; exit $s", uid)
        return json.loads(done.stdout[done.stdout.rindex('{"cause"'):]), done

    def detach(self, script, options="", uid=2001):
        """A detached session of that script (without single quotes). Its id."""
        done = self.user(f"nsrootctl run -d {options} -- sh -c '{script}'", uid)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def property(self, unit, name):
        return self.run("systemctl", "show", "--value", f"--property={name}", unit, check=True).stdout.strip()

    def journal(self, *matches):
        """The journal's entries that match, as lists of (field, value)."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--no-pager", *matches).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def pid(self):
        return self.property("nsrootd.service", "MainPID")

    def stored(self):
        """How many descriptors the service manager keeps."""
        return int(self.property("nsrootd.service", "NFileDescriptorStore"))

    def inits(self):
        """The host pids of all nsroot-init processes."""
        return self.run("pgrep", "-x", "nsroot-init").stdout.split()


def install(tree):
    """What is installed and, below TESTS, what tests run on that machine."""
    subprocess.run(["meson", "install", "--quiet", "--no-rebuild", "-C", harness.Build().directory],
                   env={**os.environ, "DESTDIR": str(tree)}, check=True, stdout=subprocess.DEVNULL)
    for path in ("harness.py", "integration/varlink.py", "integration/test_limits.py", "system/crowd.py", "system/neighbours.py"):
        place = tree / TESTS[1:] / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE.parent / path, place)
    shutil.copy(harness.Build().directory / "daemon/nsrootd-later", tree / TESTS[1:])


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A directory that holds it."""
    tree = tmp_path_factory.mktemp("installed")
    install(tree)
    return tree


@pytest.fixture(scope="session")
def soon_cold(installed):
    """The same, where what is kept ready is soon nothing again: for who counts what is left."""
    ours = installed / "usr/local/lib/nsrootd/nsrootd.conf.d/10-tests.conf"
    ours.parent.mkdir(parents=True, exist_ok=True)
    ours.write_text("[Pool]\nIdleTimeout=1s\n")
    return installed


class Crowd:
    """crowd.py in a bed, as an ordinary user: n sessions in the foreground and n detached ones that print."""

    def __init__(self, bed, n, patience):
        self.bed, self.patience = bed, patience
        bed.shell("rm -f /tmp/crowd.*; systemd-run --quiet --unit=crowd --uid=2001 --property=StandardOutput=file:/tmp/crowd.out "
                  f"--property=StandardError=file:/tmp/crowd.err /usr/bin/python3 {TESTS}/system/crowd.py {n} /tmp/crowd.stop",
                  check=True)
        assert harness.until(lambda: "ready" in self.said(), patience), self.errors()

    def said(self):
        return self.bed.run("cat", "/tmp/crowd.out").stdout

    def errors(self):
        return self.bed.run("cat", "/tmp/crowd.err").stdout + self.bed.shell("journalctl -n 30 --no-pager").stdout

    def end(self):
        """What it found: {"sessions", "lines", "faults"}."""
        self.bed.run("touch", "/tmp/crowd.stop", check=True)
        assert harness.until(lambda: "faults" in self.said(), self.patience, 0.2), self.said() + self.errors()
        return json.loads(self.said().splitlines()[-1])


def missing(*programs):
    return [p for p in programs if not shutil.which(p)]


def vm_assets(name, *suite):
    """The kernel and the initial file system of an emulated machine, made once and kept with the builds."""
    lacking = missing("qemu-system-x86_64", "busybox", "depmod", "mkfs.ext4")
    if lacking:
        pytest.skip(f"an emulated machine needs {', '.join(lacking)}: tools/install-deps vm")
    directory = harness.CHECKOUT / "build" / name
    if not (directory / "initrd.gz").exists():
        done = subprocess.run([HERE / "bed-vm", "prepare", directory, *suite], capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"the kernel cannot be had: {done.stderr[-300:]}")
    return directory


@pytest.fixture(scope="session")
def vm(soon_cold, tmp_path_factory):
    """The one emulated machine of all tests that want it."""
    bed = Bed("bed-vm", pathlib.Path("/var/tmp") / f"nsrootd-vm-{tmp_path_factory.getbasetemp().name}")
    bed.up(soon_cold, vm_assets("vm"))
    assert bed.user("nsrootctl run -- true").returncode == 0, bed.shell("journalctl -u nsrootd* --no-pager").stdout
    yield bed
    bed.down()
