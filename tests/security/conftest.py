"""The probe: a static program that tries things from inside a session (probe.c)."""

import pathlib
import shutil
import subprocess

import pytest

import harness

SOURCE = pathlib.Path(__file__).with_name("probe.c")
HAND_IN = 'cat > /tmp/probe && chmod 755 /tmp/probe && exec /tmp/probe "$@" < /dev/null'


@pytest.fixture(scope="session")
def probe_program():
    """Its path, compiled once."""
    directory = pathlib.Path(harness.make_directory())
    program = directory / "probe"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-Wall", "-static", SOURCE, "-o", program], check=True)
    yield program
    shutil.rmtree(directory)


@pytest.fixture
def probe(daemon, probe_program):
    """probe(*arguments, options=(), ...) runs it in a fresh session of its own: the CompletedProcess, with text."""
    def run(*arguments, **kw):
        with open(probe_program, "rb") as program:
            return daemon.run("sh", "-c", HAND_IN, "sh", *arguments, stdin=program, **kw)
    return run


@pytest.fixture
def probing(daemon, probe_program):
    """As probe, for one that stays: the Running session, the caller's to close."""
    def start(*arguments, **kw):
        with open(probe_program, "rb") as program:
            return harness.Running(daemon, "sh", "-c", HAND_IN, "sh", *arguments, stdin=program, **kw)
    return start


@pytest.fixture
def probed(probe):
    """As probe, for one that must work: its lines, each as a list of words."""
    def run(*arguments, **kw):
        result = probe(*arguments, **kw)
        assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
        return [line.split() for line in result.stdout.splitlines()]
    return run
