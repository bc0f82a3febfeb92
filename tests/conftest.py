"""Fixtures for tests of the real programs. What they are made of is in harness.py."""

import os
import signal
import sys

sys.dont_write_bytecode = True

import pytest

import harness

GUARD = float(os.environ.get("NSROOT_TEST_GUARD", "600"))  # seconds


def heed_signals():
    """Who runs the tests in the background, or by nohup(1), has signals ignored, and what they start inherits that."""
    for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
        if signal.getsignal(s) == signal.SIG_IGN:
            signal.signal(s, signal.default_int_handler if s == signal.SIGINT else signal.SIG_DFL)


def pytest_sessionstart(session):
    heed_signals()
    if os.geteuid() != 0:
        pytest.exit("these tests start a real nsrootd and change to other users: run them as root", returncode=1)


@pytest.fixture(autouse=True)
def guard():
    """No test may hang: after ten minutes, and then again and again, whatever it waits for is interrupted."""
    def interrupt(number, frame):
        raise TimeoutError("the test hangs")
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, GUARD, 5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def build():
    """The programs under test."""
    build = harness.Build()
    if build.missing():
        pytest.exit(f"not built: {', '.join(build.missing())}. Build first, or set NSROOT_BUILD", returncode=1)
    return build


@pytest.fixture(scope="session")
def daemon(build):
    """One nsrootd for all tests that need nothing special of it."""
    d = harness.Daemon(build)
    yield d
    assert d.alive(), f"nsrootd ended during the tests with {d.process.returncode}:\n{d.log_text()}"
    d.close()


@pytest.fixture
def fresh_daemon(build):
    """fresh_daemon(config_text="", ...) makes a daemon of the test's own; the keywords are harness.Daemon's."""
    made = []

    def make(config_text="", **kw):
        made.append(harness.Daemon(build, config_text, start=False, **{k: v for k, v in kw.items() if k != "start"}))
        return made[-1].start() if kw.get("start", True) else made[-1]

    yield make
    for d in reversed(made):
        d.close()


@pytest.fixture
def as_user():
    """as_user(uid, gid=None)(command or function, ...) runs it as that user."""
    return harness.User


@pytest.fixture
def ctl(daemon):
    """ctl(*args, uid=2001, input=None, timeout=60, ...) is one nsrootctl of an ordinary user, to its end."""
    return daemon.ctl


@pytest.fixture
def run(daemon):
    """run(*command, options=(), ...) is `nsrootctl run OPTIONS -- COMMAND` of an ordinary user, to its end."""
    return daemon.run
