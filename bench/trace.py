"""Where the time of one run goes: the kernel's own marks of the system calls that lead from the client's exec to its exit,
recorded by perf(1) for these few calls only, so that the run hardly notices. A stretch is from one mark to the next."""

import re
import statistics
import subprocess
import time

CALLS = {"connect": 42, "sendmsg": 46, "fork": 57, "vfork": 58, "execve": 59, "exit_group": 231, "accept4": 288}
NAMES = {number: name for name, number in CALLS.items()}
LINE = re.compile(r"\s*(\S+)\s+(\d+)/(\d+)\s+\[\d+\]\s+([\d.]+):\s+(\S+?):\s+(.*)")

# Who does what next. SAID: of several such calls it is the last one before what follows.
SAID = "said last"
MARKS = (
    ("client", "process_exec", "the client's exec"),
    ("client", "connect", "client: start, options"),
    ("client", "sendmsg", "client: connect, build the request"),
    ("daemon", "accept4", "wake nsrootd"),
    ("daemon", "sendmsg", "nsrootd: accept, parse, check, order"),
    ("init", "fork", "wake nsroot-init, parse the order"),
    ("command", "execve", "fork, become the user, check the profile"),
    ("command", "process_exec", "the command's exec"),
    ("command", "exit_group", "the command"),
    ("init", SAID, "its exit, wake nsroot-init, reap"),
    ("daemon", SAID, "wake nsrootd, result, reply"),
    ("client", "exit_group", "wake the client, read the result"),
    ("client", "process_exit", "the client's exit"),
)


def record(path, function):
    """What `function` causes, recorded into that file; what perf says where it cannot."""
    wanted = " || ".join(f"id == {number}" for number in CALLS.values())
    perf = subprocess.Popen(["perf", "record", "-q", "-a", "-o", path, "-e", "raw_syscalls:sys_enter", "--filter", wanted,
                             "-e", "sched:sched_process_exec", "-e", "sched:sched_process_exit"],
                            stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    if perf.poll() is not None:
        return perf.stderr.read().strip() or "perf record ends"
    function()
    perf.terminate()
    perf.wait()
    return None


def events(path):
    """(microseconds, process, command name, what), in the order of time."""
    text = subprocess.run(["perf", "script", "-i", path, "-F", "comm,pid,tid,cpu,time,event,trace"], capture_output=True,
                          text=True, check=True).stdout
    found = []
    for m in filter(None, map(LINE.match, text.splitlines())):
        comm, pid, _, when, event, rest = m.groups()
        number = re.match(r"NR (\d+)", rest)
        what = NAMES.get(int(number[1])) if number else event.removeprefix("sched:sched_")
        if what:
            found.append((float(when) * 1e6, int(pid), comm, {"vfork": "fork"}.get(what, what)))
    return sorted(found)


def way_of(found, begin, daemon):
    """The times of MARKS in the run that begins with that event, or None. Its nsroot-init is the one that forks, and its
    command what executes something then."""
    pids, at, i = {"client": found[begin][1], "daemon": daemon}, [], begin
    for who, what, _ in MARKS:
        while what != SAID and i < len(found):
            _, pid, comm, done = found[i]
            is_it = pid == pids[who] if who in pids else comm == "nsroot-init" and pid not in pids.values()
            if is_it and done == what:
                pids[who] = pid
                break
            i += 1
        if i == len(found):
            return None
        at.append(None if what == SAID else found[i][0])
    for n in range(len(MARKS) - 1, -1, -1):
        if at[n] is None:
            said = [when for when, pid, _, done in found if pid == pids[MARKS[n][0]] and done == "sendmsg" and when < at[n + 1]]
            at[n] = said[-1]
    return at


def stretches(found, daemon):
    """[(words, median, number of runs)] of all the runs in what was recorded."""
    begins = [i for i, (_, _, comm, what) in enumerate(found) if what == "process_exec" and comm == "nsrootctl"]
    ways = [w for w in (way_of(found, i, daemon) for i in begins) if w]
    if not ways:
        return []
    rows = [(words, statistics.median(w[i] - w[i - 1] for w in ways)) for i, (_, _, words) in enumerate(MARKS) if i]
    return rows + [("in all", statistics.median(w[-1] - w[0] for w in ways)), ("runs", len(ways))]
