"""System calls, as the kernel answers them to a command in a session: the profile's filter is in force."""

import pathlib
import re
import signal
import subprocess

import pytest

GOLDEN = pathlib.Path(__file__).parent.parent / "unit/golden-syscalls.h"
NUMBERS = 512
BEYOND_FILTERS = {335, 336}  # uretprobe and uprobe: the kernel asks no filter (6.14)
ANSWER = {"REFUSED": "EPERM", "UNKNOWN": "ENOSYS"}
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16


def golden():
    rows = re.findall(r"X\((\d+), (\w+), (\w+)\)", GOLDEN.read_text())
    assert len(rows) > 350
    return {int(number): verdict for number, _, verdict in rows}


def denied():
    """{number: errno} of every number that no argument makes work."""
    verdicts = golden()
    return {n: ANSWER[v] for n in range(NUMBERS) if n not in BEYOND_FILTERS
            for v in [verdicts.get(n, "UNKNOWN")] if v in ANSWER}


@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_every_denied_call_is_denied(probed, options):
    expected = denied()
    answers = dict(probed("calls", *map(str, expected), options=options))
    assert {n: answers[str(n)] for n in expected if answers[str(n)] != expected[n]} == {}


def test_socket_families(probed):
    answers = dict(probed("sockets"))
    good = {f"0x{family:x}:0" for family in (AF_UNIX, AF_INET, AF_INET6)}
    for call, answer in answers.items():
        if call not in good and call != f"0x{AF_NETLINK:x}:0":
            assert answer == "ENOSYS", call
    assert {answers[call] for call in good} == {"ok"}
    assert len(answers) == 64 * 2 + 31, "0x100000026 is among the families, and once more on its own"
    assert answers["0x100000026:0"] == "ENOSYS"


def test_terminals_cannot_be_typed_into(probed):
    answers = dict(probed("terminal"))
    for request in ("0x5412", "0x541c", "0x5423", "0x541d"):
        assert answers[request] == "EPERM"
        assert answers[f"0x10000{request[2:]}"] == "EPERM"
    assert answers["0x5413"] == "ENOTTY", "the size of a window may be asked for"


@pytest.mark.parametrize("gate", ["old-gate", "x32"])
def test_other_ways_into_the_kernel_kill(probe, probe_program, gate):
    """A kernel that does not have the old gate (CONFIG_IA32_EMULATION) takes its use for a fault, here and outside."""
    outside = subprocess.run([probe_program, gate], stdout=subprocess.DEVNULL).returncode
    expected = signal.SIGSEGV if outside == -signal.SIGSEGV else signal.SIGSYS
    result = probe(gate)
    assert (result.returncode, result.stdout) == (128 + expected, "")


@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_privileges(probed, options):
    answers = dict(probed("privileges", options=options))
    assert answers.pop("mknod-fifo") == "ok"
    assert answers.pop("prlimit-self") == "ok"
    assert answers.pop("nice") in ("EACCES", "EPERM")
    assert {name: answer for name, answer in answers.items() if answer not in ("EPERM", "ENOSYS")} == {}
    assert len(answers) == 16


def test_limits_cannot_be_raised(probed):
    answers = dict(probed("raising"))
    assert answers and set(answers.values()) == {"EPERM"}
