"""A session in a terminal: a real pty whose slave is the controlling terminal of the client, or of a shell before it."""

import contextlib
import hashlib
import os
import re
import shlex
import signal
import time

import pytest

import harness
import http_server
import roots
from harness import USER, User, until
from terminal import Terminal

PROMPT = "INSIDE> "
OUTSIDE = "outside> "


@pytest.fixture
def terminal(daemon):
    """terminal(argv, ...) is a Terminal of the ordinary user's in which argv runs."""
    with contextlib.ExitStack() as stack:
        def make(argv, uid=USER, **kw):
            t = Terminal(argv, User(uid), daemon.client_environment(PS1=OUTSIDE, ENV=""), **kw)
            stack.callback(t.close)
            return t
        yield make


@pytest.fixture
def inside(daemon, terminal):
    """inside(*command) is a terminal whose program is `nsrootctl run -- COMMAND`; without one: a shell at its prompt."""
    def make(*command, options=(), **kw):
        if command:
            return terminal([str(daemon.client), "run", *options, "--", *command], **kw)
        t = terminal([str(daemon.client), "run", *options, "-e", f"PS1={PROMPT}", "--", "sh", "-i"], **kw)
        t.expect(PROMPT)
        return t
    return make


@pytest.fixture
def login(daemon, terminal):
    """A terminal with an interactive shell of the host in it, as after a login; `inside` there runs a session."""
    t = terminal(["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"])
    t.expect(OUTSIDE)
    t.line(f"inside() {{ {shlex.quote(str(daemon.client))} run \"$@\"; }}")
    t.expect(OUTSIDE)
    return t


def ask(t, command, pattern):
    """Types a command at the prompt inside; what the first group of pattern found in its output."""
    t.line(command)
    return t.expect(pattern + r".*?" + PROMPT).group(1).decode()


# -- the session's terminal ---------------------------------------------------------------------------------------

def test_tty_is_the_first_of_its_own(inside):
    t = inside("tty", options=("-q",))
    assert t.wait() == 0
    assert bytes(t.output) == b"/dev/pts/0\r\n"


def test_every_stdio_is_the_terminal(inside):
    t = inside("sh", "-c", "for i in 0 1 2; do readlink /proc/self/fd/$i; test -t $i || exit 1; done")
    assert t.wait() == 0
    assert bytes(t.output).split() == [b"/dev/pts/0"] * 3


def test_ps_shows_the_terminal_of_the_shell(inside):
    t = inside()
    assert ask(t, "ps -o pid,tty,args | grep 'sh [-]i'", r"(\d+ +136,0 +sh -i)")


def test_shell_is_not_the_first_process(inside):
    t = inside()
    assert int(ask(t, "echo pid=$$", r"pid=(\d+)\r")) >= 2


def test_terminal_is_the_controlling_one(inside):
    t = inside()
    assert ask(t, "echo through=the-tty > /dev/tty", r"\n(through=the-tty)\r") == "through=the-tty"


def test_console_is_the_sessions_own_terminal(inside):
    t = inside()
    t.line("echo to-the-con''sole > /dev/console")
    t.expect("to-the-console\r")
    assert ask(t, "test $(stat -Lc %t:%T /dev/console) = $(stat -c %t:%T /dev/pts/0) && echo sa''me", "(same)\r")


def test_terminal_belongs_to_the_sessions_user(inside):
    t = inside("sh", "-c", "stat -c '%u %a' /dev/pts/0; echo x > /dev/pts/0", options=("-u", "1000:1000"))
    assert t.wait() == 0, bytes(t.output)
    assert bytes(t.output).split()[0] == b"1000"


def test_size_is_the_windows_from_the_first_moment(inside):
    t = inside("stty", "size", options=("-q",), rows=33, columns=117)
    assert t.wait() == 0
    assert bytes(t.output).strip() == b"33 117"


def test_resizing_the_window_resizes_the_sessions(inside):
    t = inside("sh", "-c", "trap 'echo changed $(stty size)' WINCH; echo ready; while :; do sleep 0.05; done")
    t.expect("ready")
    for rows, columns in ((50, 132), (10, 40)):
        t.resize(rows, columns)
        t.expect(rf"changed {rows} {columns}\r\n")


def test_variables_of_the_terminal(inside):
    t = inside("env")
    assert t.wait() == 0
    assert b"TERM=vt100\r\n" in t.output


def test_exit_status_comes_out(inside):
    t = inside()
    t.line("exit 7")
    assert t.wait() == 7


def test_end_of_file_ends_the_shell(inside):
    t = inside()
    t.send("\x04")
    assert t.wait() == 0


def test_signal_status_comes_out(inside):
    t = inside("sh", "-c", "kill -9 $$")
    assert t.wait() == 128 + signal.SIGKILL


def test_a_command_that_is_not_there(inside):
    t = inside("nosuch")
    assert t.wait() == 127
    assert b"nosuch" in t.output
    assert t.settings() == t.before


# -- keys ---------------------------------------------------------------------------------------------------------

def runs(daemon, name, state):
    """A command of that name is in the session, and in that state."""
    assert until(lambda: daemon.commands(name) == [state]), daemon.commands(name)


def test_interrupt_ends_the_command_and_not_the_shell(daemon, inside):
    t = inside()
    t.line("sleep 100")
    runs(daemon, "sleep", "S")
    t.send("\x03")
    t.expect(PROMPT)
    assert ask(t, "echo status=$?", r"status=(\d+)\r") == "130"


def test_quit_ends_the_command_and_not_the_shell(daemon, inside):
    t = inside()
    t.line("sleep 100")
    runs(daemon, "sleep", "S")
    t.send("\x1c")
    t.expect(PROMPT)
    assert ask(t, "echo status=$?", r"status=(\d+)\r") == "131"


def test_job_control(daemon, inside):
    t = inside()
    t.line("sleep 100")
    runs(daemon, "sleep", "S")
    t.send("\x1a")
    t.expect("Stopped.*" + PROMPT)
    runs(daemon, "sleep", "T")
    assert ask(t, "jobs", r"(Stopped)")
    t.line("fg")
    runs(daemon, "sleep", "S")
    t.send("\x03")
    t.expect(PROMPT)
    assert ask(t, "jobs; echo left=$(jobs | wc -l)", r"left=(\d+)\r") == "0"


def test_background_jobs(inside):
    t = inside()
    t.line("sleep 100 &")
    t.expect(PROMPT)
    assert ask(t, "kill %1; wait %1; echo status=$?", r"status=(\d+)\r") == "143"


def test_keys_do_not_touch_the_client(inside):
    """^C, ^\\ and ^Z at a command that ignores them change nothing outside."""
    t = inside("sh", "-c", "trap 'echo int' INT; trap 'echo quit' QUIT; trap '' TSTP; echo ready; "
                           "while :; do sleep 0.05; done")
    t.expect("ready")
    t.send("\x03")
    t.expect("int\r")
    t.send("\x1c")
    t.expect("quit\r")
    t.send("\x1a")
    time.sleep(0.3)
    assert harness.stat_fields(t.pid)[0] in "SR"
    t.send("\x03")
    t.expect("int\r")


def test_vi_draws_and_leaves(inside):
    t = inside(rows=24, columns=80)
    t.line("vi /tmp/new")
    t.expect(r"(~.*){20}")
    t.send("ihello\x1b")
    t.expect(r"- /tmp/new")  # an escape and what follows it at once would be a function key
    t.send(":wq\r")
    t.expect(PROMPT)
    assert ask(t, "cat /tmp/new", r"\n(hello)\r") == "hello"


def test_flow_control_keys_go_inside(inside):
    t = inside("sh", "-c", "stty raw -echo; echo ready; head -c 4 | od -An -tx1; stty sane")
    t.expect("ready")
    t.send(b"\x13\x11\x16\x04")
    t.expect("13 11 16 04")
    assert t.wait() == 0


# -- what goes through --------------------------------------------------------------------------------------------

def test_a_large_paste_arrives_whole(inside):
    paste = b"".join(b"line %06d of what was pasted\n" % i for i in range(5000))
    assert len(paste) > 128 * 1024
    t = inside("sh", "-c", f"stty raw -echo; echo ready; head -c {len(paste)} | sha256sum")
    t.expect("ready")
    t.send(paste)
    t.expect(hashlib.sha256(paste).hexdigest())
    assert t.wait() == 0


def test_a_large_paste_to_a_slow_reader_arrives_whole(inside):
    paste = b"".join(b"line %06d\n" % i for i in range(12000))
    t = inside("sh", "-c", f"stty raw -echo; echo ready; sleep 2; head -c {len(paste)} | sha256sum")
    t.expect("ready")
    t.send(paste)
    t.expect(hashlib.sha256(paste).hexdigest())


def test_ten_megabytes_of_output_arrive_whole(inside):
    t = inside("sh", "-c", "stty -opost; seq 1 1500000", options=("-q",))
    assert t.wait(120) == 0
    expected = b"".join(b"%d\n" % i for i in range(1, 1500001))
    assert len(expected) > 10_000_000
    assert hashlib.sha256(t.output).hexdigest() == hashlib.sha256(expected).hexdigest(), \
        f"{len(t.output)} bytes of {len(expected)}"


def test_the_last_words_arrive(inside):
    for _ in range(20):
        t = inside("sh", "-c", "echo the last words", options=("-q",))
        assert t.wait() == 0
        assert bytes(t.output) == b"the last words\r\n"


def test_typing_during_much_output(inside):
    t = inside("sh", "-c", "yes 0123456789 & read line; kill $!; wait; echo; echo read=$line")
    t.expect("0123456789")
    t.line("stop")
    t.expect("read=stop\r", timeout=60)
    assert t.wait() == 0


# -- which stdio is a terminal ------------------------------------------------------------------------------------

def test_no_terminal_when_told_so(inside):
    t = inside("sh", "-c", "tty; test -t 1 || echo no''ne", options=("-T",))
    t.expect("not a tty.*none")
    assert t.wait() == 1 or t.status == 0


def test_a_terminal_that_is_not_there_cannot_be_had(daemon):
    result = daemon.ctl("run", "-t", "--", "tty")
    assert (result.returncode, result.stdout) == (125, "")
    assert "terminal" in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_terminal_when_told_so(inside):
    assert inside("tty", options=("-q", "-t")).wait() == 0


def test_output_to_a_pipe_is_not_a_terminal(login):
    login.line("inside -- sh -c 'tty; test -t 1 && echo yes || echo n''o' | cat")
    login.expect("not a tty\r\nno\r\n.*" + OUTSIDE)


def test_input_from_a_pipe_and_output_to_the_terminal(login):
    login.line("echo through''-a-pipe | inside -- cat; echo status=$?")
    login.expect("through-a-pipe\r\n.*status=0\r")


def test_input_from_the_terminal_and_output_to_a_pipe(login):
    login.line("inside -- cat | tr a-z A-Z; echo status=$?")
    login.send("typed here\r")
    login.expect("TYPED HERE")
    login.send("\x04")
    login.expect("status=0\r")
    login.expect(OUTSIDE)


def test_errors_of_the_client_are_readable_after_a_session(login):
    login.line("inside -r nosuchroot -- true; echo status=$?")
    login.expect(r"nosuchroot[^\n]*\r\n.*status=125\r")


# -- the user's own terminal --------------------------------------------------------------------------------------

ENDINGS = {"exit": ("sh", "-c", "exit 3"), "signal": ("sh", "-c", "kill -9 $$"), "not found": ("nosuch",),
           "raw inside": ("sh", "-c", "stty raw -echo"), "nothing": ("true",)}


@pytest.mark.parametrize("how", ENDINGS)
def test_the_users_terminal_is_restored_after(inside, how):
    t = inside(*ENDINGS[how])
    t.wait()
    assert t.settings() == t.before


def test_the_users_own_settings_are_restored(daemon, terminal):
    """Not a sane terminal, but the one it was."""
    t = terminal(["/bin/sh", "-c", f"stty -echo intr ^G; {daemon.client} run -- stty -a; stty -a >&2"])
    assert t.wait() == 0
    assert not t.echoes()
    assert t.settings()[6][0] == b"\x07"


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "QUIT"])
def test_the_users_terminal_is_restored_after_a_signal(daemon, inside, name):
    t = inside("sh", "-c", "echo ready; while :; do sleep 0.05; done")
    t.expect("ready")
    assert not t.echoes()
    os.kill(t.pid, getattr(signal, f"SIG{name}"))
    status = t.wait()
    assert status == -getattr(signal, f"SIG{name}") or status >= 125
    assert t.settings() == t.before
    assert until(lambda: not daemon.sessions(USER), 5)


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "QUIT"])
def test_the_terminal_echoes_again_after_the_client_was_killed(daemon, login, name):
    login.line(f"inside -e 'PS1={PROMPT}' -- sh -i")
    login.expect(r"\n" + PROMPT)
    assert not login.echoes()
    os.kill(login.foreground(), getattr(signal, f"SIG{name}"))
    login.expect(OUTSIDE)
    assert login.echoes()
    login.line("echo typed''-and-seen")
    login.expect(r"echo typed''-and-seen\r\n.*typed-and-seen\r\n")
    assert until(lambda: not daemon.sessions(USER), 5)


def test_the_terminal_is_restored_when_the_daemon_dies(fresh_daemon):
    d = fresh_daemon()
    with contextlib.closing(Terminal([str(d.client), "run", "--", "sh", "-c", "echo ready; sleep 600"], User(USER),
                                     d.client_environment())) as t:
        t.expect("ready")
        d.kill()
        assert t.wait() == 125
        assert t.settings() == t.before
        assert re.search(rb"nsrootctl: .*\n", t.output[t.seen:])


def test_hanging_up_the_terminal_ends_the_session(daemon, inside):
    t = inside("sh", "-c", "echo ready; sleep 600")
    t.expect("ready")
    session = daemon.processes()
    master, t.master = t.master, os.open("/dev/null", os.O_RDONLY)
    os.close(t.slave)
    t.slave = os.open("/dev/null", os.O_RDONLY)
    os.close(master)
    assert until(lambda: not harness.still_there(session), 5)
    os.waitpid(t.pid, 0)
    t.status = 0


def test_stopping_a_client_from_outside_and_going_on(login):
    """kill -TSTP of a client in a terminal gives the shell its terminal back, and fg takes it again."""
    login.line(f"inside -e 'PS1={PROMPT}' -- sh -i")
    login.expect(r"\n" + PROMPT)
    os.killpg(login.foreground(), signal.SIGTSTP)
    login.expect("Stopped.*" + OUTSIDE)
    assert login.echoes()
    login.line("fg")
    until(lambda: not login.echoes(), 10)
    login.line("echo in''side-again")
    login.expect("inside-again\r\n.*" + PROMPT)


# -- signals of the terminal to a session without one -------------------------------------------------------------

def test_interrupt_at_a_pipeline(daemon, login):
    login.line("inside -- sleep 100 | cat")
    runs(daemon, "sleep", "S")
    login.send("\x03")
    login.expect(OUTSIDE)
    assert until(lambda: not daemon.processes(), 5)
    login.line("echo still''-here")
    login.expect("still-here\r\n")


def test_suspending_a_pipeline(daemon, login):
    login.line("inside -- sh -c 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done' | cat")
    login.expect(r"tick 3\r")
    login.send("\x1a")
    login.expect("Stopped.*" + OUTSIDE)
    assert until(lambda: "T" in daemon.commands("sh"), 10)
    time.sleep(1)  # time to go on in, were it not stopped
    first = int(re.findall(rb"tick (\d+)\r", login.output)[-1])
    login.line("fg")
    login.expect(r"tick (\d+)\r")
    following = int(re.findall(rb"tick (\d+)\r", login.output)[-1])
    assert following <= first + 5, f"the command went on while it was stopped: {first}, then {following}"
    login.send("\x03")
    login.expect(OUTSIDE)


# -- a root that is not there yet ---------------------------------------------------------------------------------

@pytest.fixture
def waiting(fresh_daemon):
    """A terminal that waits for a root's download; it goes on when the test says server.released.set()."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(http_server.Server(roots.BUSYBOX))
        daemon = fresh_daemon(roots.config(roots.pinned(server.url("held"))))
        t = Terminal([str(daemon.client), "run", "-e", f"PS1={PROMPT}", "--", "sh", "-i"], User(USER),
                     daemon.client_environment())
        stack.callback(t.close)
        t.expect(r"busybox: downloading \[#* *\] \d+% of")
        yield t, daemon, server


def test_a_terminal_after_a_download(waiting):
    """The bar goes away, and the terminal comes with a reply that is not the first."""
    t, daemon, server = waiting
    server.released.set()
    t.expect(r"\r\x1b\[K\r\n.*" + PROMPT)
    assert ask(t, "echo on''e=$(tty)", r"one=(\S+)\r") == "/dev/pts/0"
    t.line("exit 3")
    assert t.wait() == 3
    assert daemon.alive()


def test_interrupting_a_download(waiting):
    t, daemon, server = waiting
    t.send("\x03")
    assert t.wait() == -signal.SIGINT
    assert until(lambda: not daemon.processes(), 10), "nobody waits for it any more"


# -- two at once --------------------------------------------------------------------------------------------------

def test_two_terminals_do_not_meet(inside):
    one, two = inside(), inside()
    assert ask(one, "echo on''e=$(tty)", r"one=(\S+)\r") == "/dev/pts/0"
    assert ask(two, "echo tw''o=$(tty)", r"two=(\S+)\r") == "/dev/pts/0"
    one.line("exit 1")
    assert one.wait() == 1
    assert ask(two, "echo al''ive", r"(alive)\r")
