"""Every example of the manual pages does what the page shows. Those for systemd: tests/system/test_manual.py."""

import os
import re
import subprocess
import sys

import pytest

import examples
import harness
from terminal import Terminal

sys.path.insert(0, str(harness.CHECKOUT / "tests/integration"))
from varlink import Connection


def test_every_display_says_what_it_is():
    unknown = [str(d) for d in examples.all_displays() if examples.kind(d) not in (*examples.KINDS, "synopsis")]
    assert not unknown


def test_every_kind_is_run_by_a_test_and_used():
    used = {examples.kind(d) for d in examples.all_displays()}
    assert used >= {"shell", "terminal", "config", "varlink", "python", "output", "systemd"}


@pytest.fixture
def place(fresh_daemon):
    """A daemon with nothing that another example left, and a directory in which its user may write."""
    daemon = fresh_daemon()
    directory = daemon.directory / "home"
    directory.mkdir()
    os.chown(directory, harness.USER, harness.USER)
    daemon.call("org.nsroot.root.Pull", {"name": "busybox"})  # it is in the cache, as it mostly is
    return daemon, directory


def environment(daemon):
    return daemon.client_environment(PATH=f"{daemon.directory}:/usr/sbin:/usr/bin:/sbin:/bin",
                                     HOME=str(daemon.directory / "home"))


def shell_of(daemon, directory, uid):
    return examples.Shell(["bash", "--norc"], cwd=directory, user=uid, group=uid, extra_groups=[],
                          env=environment(daemon))


@pytest.mark.parametrize("display", examples.of_kind("shell"), ids=str)
def test_a_transcript(place, display):
    daemon, directory = place
    def wait_for(command):
        assert harness.until(lambda: [s for s in daemon.sessions() if s["state"] == "running"]), command

    shells = {"$": shell_of(daemon, directory, harness.USER), "#": shell_of(daemon, directory, 0)}
    try:
        examples.follow(display, shells, wait_for)
    finally:
        for session in daemon.sessions():
            daemon.call("org.nsroot.session.Stop", {"id": session["id"], "timeoutUSec": 0})
        for shell in shells.values():
            shell.close()


QUERY = r"(\x1b\[6n)?"  # a shell that asks the terminal where its cursor is
PROMPT = re.compile(r"^(\$|/[^ ]* #) (.*)$")


@pytest.mark.parametrize("display", examples.of_kind("terminal"), ids=str)
def test_at_a_terminal(place, display):
    daemon, directory = place
    env = {**environment(daemon), "PS1": "$ ", "TERM": "dumb"}
    terminal = Terminal(["/bin/bash", "--norc", "--noediting", "-i"], harness.User(harness.USER), env)
    try:
        for line in display.lines:
            typed = PROMPT.match(line)
            if typed:
                terminal.expect(re.escape(typed[1]) + rf" {QUERY}$")
                terminal.line(typed[2])
        terminal.expect(r"\$ $")
        shown = terminal.output.decode().replace("\r", "")
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
        examples.check(display, display.lines, [line for line in shown if not line.startswith("bash: ")])
    finally:
        terminal.close()


@pytest.mark.parametrize("display", examples.of_kind("config"), ids=str)
def test_a_configuration(build, tmp_path, display):
    file = tmp_path / "nsrootd.conf"
    file.write_text("\n".join(display.lines) + "\n")
    done = subprocess.run([build.daemon, "--config", file, "--check-config"], capture_output=True, text=True)
    good = f"{file}\nThe configuration is good.\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, good, ""), display


def read_messages(display):
    """[(direction, text)]: a message goes on in lines that begin with blanks."""
    found = []
    for line in display.lines:
        if line[:3] in ("-> ", "<- "):
            found.append([line[:2], line[3:]])
        else:
            found[-1][1] += line.strip()
    return found


@pytest.mark.parametrize("display", examples.of_kind("varlink"), ids=str)
def test_messages(place, display):
    daemon, _ = place
    with Connection(daemon.socket, harness.USER) as connection:
        for direction, text in read_messages(display):
            if direction == "->":
                connection.send(text.encode() + b"\0")
            else:
                received = connection.receive_bytes().decode()
                assert re.fullmatch(examples.as_pattern(text), examples.made_equal(received)), (display, text, received)


def programs():
    """Each program with the output shown after it, or None."""
    displays = examples.of_kind("python", "output")
    following = displays[1:] + [None]
    return [(d, o if o and examples.kind(o) == "output" and o.page == d.page else None)
            for d, o in zip(displays, following) if examples.kind(d) == "python"]


def test_every_output_is_some_programs():
    assert len([output for _, output in programs() if output]) == len(examples.of_kind("output"))


@pytest.mark.parametrize("program, output", programs(), ids=lambda d: str(d))
def test_a_program(place, program, output):
    daemon, directory = place
    file = directory / "program.py"
    file.write_text("\n".join(program.lines).replace("/run/nsrootd/varlink", str(daemon.socket)) + "\n")
    done = harness.User(harness.USER)(["/usr/bin/python3", file], text=True, cwd=directory, env=environment(daemon))
    assert (done.returncode, done.stderr) == (0, ""), program
    examples.check(program, output.lines if output else [], done.stdout.splitlines())
