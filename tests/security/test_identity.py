"""Who a command is: 200 ways to say a user, and ranges of ids that no two sessions share."""

import contextlib
import json
import os
import pathlib
import re

import harness
from harness import USER, until

SESSIONS = int(os.environ.get("NSROOT_TEST_SESSIONS", "100"))
ID_MAX = 65535
OURS = 125

NUMBERS = ["0", "1", "2", "5", "9", "10", "33", "99", "100", "999", "1000", "1001", "32767", "32768", "60000",
           "65533", "65534", "65535"]
TOO_LARGE = ["65536", "65537", "100000", "131072", "524288", "2147483647", "2147483648", "4294967294", "4294967295",
             "4294967296", "4294967297", "4295032832", "8589934592", "18446744073709551615", "18446744073709551616",
             "18446744073709551617", "1" + "0" * 30, "9" * 100]
DRESSED = [dress.format(n) for n in ("0", "1", "1000") for dress in (
    "-{}", "+{}", " {}", "{} ", "\t{}", "{}\n", "\n{}", "{}\r", "0{}", "00{}", "0x{}", "0X{}", "0o{}", "0b{}", "{}.0",
    "{}.", ".{}", "{}e0", "{}E1", "{},0", "{}_0", "{}L", "{}u", "#{}", "={}", "${}", "@{}", "~{}", "%{}", "'{}'",
    '"{}"', "({})", "{}/", "/{}", "{};", "{}#", "{}\\", "{}*", "{}-", "{}a", "a{}", "\x0b{}", "\x1b{}", "\x7f{}",
    "\u00a0{}", "\u200b{}", "{}\u0300")]
OTHER_DIGITS = ["\u0660", "\u0966", "\uff10", "\uff11\uff10", "\u2070", "\u2460", "\u3007", "\U0001d7ce"]
NAMES = ["Root", "ROOT", "rooT", "root ", " root", "root\n", "root\t", "r00t", "toor", "roo", "roott", "root/", "root.",
         "../root", "root*", "r?ot", "*", "?", "[r]oot", "%", "%u", "%n%n%n", "$USER", "`id`", "$(id)", "root;id",
         "x" * 31, "x" * 32, "x" * 33, "x" * 255, "no such user", "\u0433oot", "ro\u00f6t", "\u202etoor"]
WITH_GROUPS = {"0:0": (0, 0), "0:1": (0, 1), "1000:1000": (1000, 1000), "1:65535": (1, 65535), "root:0": (0, 0),
               "root:5": (0, 5), "7:root": (7, 0), "root:root": (0, 0)}
BAD_GROUPS = [":", "0:", ":0", "::", "0::0", "0:0:0", "root:", ":root", "1000:65536", "1000:4294967296", "1000:-1",
              "1000:+0", "1000: 0", "1000:00", "1000:0x0", "1000:nosuchgroup", "65536:0", "4294967296:0", "nosuch:0",
              "1000:0 ", "1000:root ", "0,0", "0.0", "0/0", "root.root"]


def strings():
    """{what is asked for: (uid, gid), or None where it must be an error}"""
    table = {n: (int(n), None) for n in NUMBERS}
    table["root"] = (0, 0)
    table.update(WITH_GROUPS)
    for text in TOO_LARGE + DRESSED + OTHER_DIGITS + NAMES + BAD_GROUPS:
        table.setdefault(text, None)
    return {k: v for k, v in table.items() if not (v is None and re.fullmatch(r"0|[1-9]\d{0,4}", k, re.A))}


def identity(daemon, user):
    result = daemon.run("sh", "-c", "grep -E '^(Uid|Gid|Groups):' /proc/self/status", options=("-u", user))
    return result


def judge(result, expected):
    """None, or what is wrong."""
    if expected is None:
        if result.returncode != OURS or result.stdout:
            return "must be an error", result.returncode, result.stdout
        if not result.stderr.startswith("nsrootctl:") or result.stderr.count("\n") != 1:
            return "must say so in one line", result.stderr
        return None
    if result.returncode != 0:
        return "must work", result.returncode, result.stderr
    ids = {line.split(":")[0]: line.split(":")[1].split() for line in result.stdout.splitlines()}
    uid, gid = expected
    if ids["Uid"] != [str(uid)] * 4 or ids["Groups"] or (gid is not None and ids["Gid"] != [str(gid)] * 4):
        return "is somebody else", ids
    return None


def test_user_strings(daemon):
    """The exact id or an error, and never root by accident."""
    table = strings()
    assert len(table) >= 200
    wrong = {}
    for user, expected in table.items():
        fault = judge(identity(daemon, user), expected)
        if fault:
            wrong[user] = fault
    assert wrong == {}


def test_an_empty_user_is_an_error_and_not_root(daemon):
    assert judge(identity(daemon, ""), None) is None


@contextlib.contextmanager
def sleeping_sessions(daemon, n, uid):
    """n sessions at once: {id: pid of its init}."""
    connections = []
    try:
        for _ in range(n):
            s = daemon.connect(uid)
            connections.append(s)
            s.sendall(json.dumps({"method": "org.nsroot.session.Run", "more": True,
                                  "parameters": {"arguments": ["sleep", "600"]}}).encode() + b"\0")
        found = {}
        for s in connections:
            session = harness.receive(s)["parameters"]["session"]
            found[session["id"]] = session["leader"]["pid"]
        yield found
    finally:
        for s in connections:
            s.close()


def id_map(pid, kind):
    lines = pathlib.Path(f"/proc/{pid}/{kind}_map").read_text().splitlines()
    assert len(lines) == 1
    inside, outside, count = map(int, lines[0].split())
    assert (inside, count) == (0, 65536)
    return outside


def test_sessions_share_no_ids(fresh_daemon):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=2000\n[Sessions]\nSessionsPerUser=2000\n")
    with sleeping_sessions(daemon, SESSIONS, USER) as sessions:
        assert len(sessions) == SESSIONS
        firsts = [id_map(pid, "uid") for pid in sessions.values()]
        assert firsts == [id_map(pid, "gid") for pid in sessions.values()]
        assert len(set(firsts)) == SESSIONS, "two sessions have the same range"
        assert all(f % 65536 == 0 and 524288 <= f <= 1879048192 - 65536 for f in firsts)
        assert 0 not in firsts
    assert until(lambda: not daemon.processes(), 20)


def test_a_range_is_not_soon_used_again(daemon):
    seen = []
    for _ in range(20):
        seen.append(daemon.run("cat", "/proc/self/uid_map").stdout.split()[1])
    assert len(set(seen)) == len(seen)
