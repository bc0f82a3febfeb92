"""nsrootd for those who write their client in Go: varlink-go's generator, its reader of descriptions and its library.

What is called, and what has to come of it, is in the Go files here. These tests make a program of them, and run it as an
ordinary user and as root.
"""

import os
import re
import subprocess

import pytest

import varlink_go
from harness import CHECKOUT, USER, until
from varlink_go import SOURCES, Workspace

if varlink_go.missing():
    pytest.skip(f"not installed: {', '.join(varlink_go.missing())}", allow_module_level=True)

IDL = CHECKOUT / "common"
DESCRIBED = {path.stem: re.findall(r"^method (\w+)", path.read_text(), re.M) for path in sorted(IDL.glob("*.varlink"))}
METHODS = [f"{interface}.{method}" for interface, methods in DESCRIBED.items() for method in methods]
TESTS = re.findall(r"^func (Test(?!Main\b|EveryMethod)\w+)", "\n".join(p.read_text() for p in SOURCES.glob("*_test.go")),
                   re.M)


@pytest.fixture(scope="module")
def workspace(build, daemon):
    workspace = Workspace(build)
    workspace.bound = workspace.bind_all(daemon)
    return workspace


@pytest.fixture(scope="module")
def program(workspace, daemon):
    """Everything there is to run, where an ordinary user can reach it."""
    return workspace.tests(daemon.directory / "interop")


@pytest.fixture(scope="module")
def registry(daemon):
    directory = daemon.directory / "registry"
    directory.mkdir()
    for interface in DESCRIBED:
        if interface.startswith("org.nsroot."):
            (directory / interface).symlink_to("../varlink")
    return directory


@pytest.fixture
def run(program, daemon, registry):
    def run(pattern, uid):
        """Runs one test. Its name is looked for in what it says, for a pattern that fits none is a success to Go."""
        environment = {"PATH": os.environ["PATH"], "NSROOT_SOCKET": str(daemon.socket), "NSROOT_REGISTRY": str(registry)}
        parts = [f"^{re.escape(part)}$" for part in pattern.split("/")]
        done = subprocess.run([program, "-test.v", "-test.run", "/".join(parts)], capture_output=True, text=True,
                              timeout=120, user=uid, group=uid, extra_groups=[], cwd="/", env=environment)
        assert done.returncode == 0 and f"--- PASS: {pattern} " in done.stdout, done.stdout + done.stderr
    return run


def test_there_are_bindings_of_every_interface(workspace):
    assert set(workspace.bound) == set(DESCRIBED)


@pytest.mark.parametrize("interface", DESCRIBED)
def test_the_bindings_compile_and_have_every_method(workspace, interface):
    package = workspace.bound[interface]
    workspace.go("vet", package)
    for method in DESCRIBED[interface]:
        assert f"func {method}()" in workspace.go("doc", package, method)


def test_the_sources_are_in_order(workspace):
    workspace.go("vet", "interop/...")
    done = subprocess.run(["gofmt", "-l", SOURCES], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("uid", [USER, 0], ids=["user", "root"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method(run, method, uid):
    run(f"TestEveryMethodIsCalled/{method}", uid)


@pytest.mark.parametrize("uid", [USER, 0], ids=["user", "root"])
@pytest.mark.parametrize("name", TESTS)
def test_in_go(run, name, uid):
    run(name, uid)


def test_nothing_is_called_that_is_not_described(run):
    run("TestEveryMethodIsCalled", USER)


@pytest.mark.parametrize("command, status, said", [
    (["sh", "-c", "exit 7"], 7, ""),
    (["true"], 0, ""),
    (["nonesuch"], 127, "there is no nonesuch\n"),
    (["sh", "-c", "kill -9 $$"], 1, "the command did not exit: signaled\n"),
])
def test_the_example_exits_as_its_command_did(workspace, daemon, command, status, said):
    example = workspace.example(daemon.directory / "run")
    done = subprocess.run([example, daemon.socket, *command], capture_output=True, text=True, timeout=60, user=USER,
                          group=USER, extra_groups=[], cwd="/")
    assert (done.returncode, done.stderr) == (status, said)


def test_the_example_ends_its_session_with_itself(workspace, daemon):
    example = workspace.example(daemon.directory / "run")
    process = subprocess.Popen([example, daemon.socket, "sleep", "600"], user=USER, group=USER, extra_groups=[], cwd="/")
    assert until(lambda: [s for s in daemon.sessions() if s["arguments"] == ["sleep", "600"]])
    process.kill()
    process.wait()
    assert until(lambda: not daemon.commands("sleep"))


def test_a_client_of_another_interface_is_told_that_it_is_not_here(daemon):
    """varlink-go's own client of org.varlink.certification."""
    done = subprocess.run(["varlink-go-certification", "-client", "-varlink", f"unix:{daemon.socket}"],
                          capture_output=True, text=True, timeout=60, user=USER, group=USER, extra_groups=[], cwd="/")
    assert "Start() failed" in done.stdout, "it connects, and its first call is refused"
