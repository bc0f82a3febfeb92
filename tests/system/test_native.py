"""nsrootd as a service of a real systemd (PID 1 of a container of its own): units, sockets, journal, restarts."""

import json
import pathlib
import time

import pytest

from conftest import Bed
from harness import until

SESSIONS = "/sys/fs/cgroup/system.slice/nsrootd-sessions.service"
RUN = "nsrootctl run --"


@pytest.fixture(scope="module")
def bed(soon_cold, tmp_path_factory):
    bed = Bed("bed-native", pathlib.Path("/var/tmp") / f"nsrootd-bed-{tmp_path_factory.getbasetemp().name}")
    bed.up(soon_cold)
    yield bed
    bed.down()


@pytest.fixture
def started(bed):
    """The bed, with the daemon started and a root cached."""
    assert bed.user(f"{RUN} true").returncode == 0
    return bed


def end_all(bed):
    bed.shell("for id in $(nsrootctl list -q); do nsrootctl stop --timeout 0 $id; done")


def background(bed, command="sleep 300"):
    """A session that stays, in a unit of its own. Its id."""
    before = set(bed.shell("nsrootctl list -q").stdout.split())
    bed.shell(f"systemd-run --quiet --collect --uid=2001 nsrootctl run -- {command}", check=True)
    found = until(lambda: set(bed.shell("nsrootctl list -q").stdout.split()) - before)
    assert found, bed.shell("journalctl -n 20 --no-pager").stdout
    return found.pop()


def test_the_units_are_well_formed(bed):
    names = ["nsrootd.service", "nsrootd.socket", "nsrootd-sessions.service"]
    done = bed.run("systemd-analyze", "verify", "--man=no", *names)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "nsrootd" in line]
    assert done.returncode == 0 and not ours, ours


def test_the_first_run_of_an_ordinary_user_starts_the_daemon(bed):
    bed.shell("systemctl stop nsrootd.service; systemctl start nsrootd.socket")
    assert bed.property("nsrootd.service", "ActiveState") == "inactive"
    done = bed.user(f"{RUN} sh -c 'id -u; exit 7'")
    assert (done.stdout, done.returncode) == ("0\n", 7), done.stderr
    assert bed.property("nsrootd.service", "ActiveState") == "active"
    assert bed.property("nsrootd-sessions.service", "ActiveState") == "active"


def test_status_says_how_many_sessions_there_are(started):
    end_all(started)
    background(started)
    assert until(lambda: "1 session" in started.property("nsrootd.service", "StatusText")), \
        started.property("nsrootd.service", "StatusText")
    end_all(started)
    assert until(lambda: "0 sessions" in started.property("nsrootd.service", "StatusText"))


def test_a_session_is_in_a_cgroup_below_the_second_unit(started):
    end_all(started)
    session = background(started)
    procs = started.run("cat", f"{SESSIONS}/user-2001/{session}/cgroup.procs").stdout.split()
    assert {started.run("cat", f"/proc/{pid}/comm").stdout for pid in procs} == {"nsroot-init\n", "sleep\n"} and len(procs) == 2
    started.shell(f"nsrootctl kill --all -s KILL {session}", check=True)
    assert until(lambda: started.shell(f"test ! -e {SESSIONS}/user-2001").returncode == 0)


def test_inside_nothing_is_seen_of_the_units_cgroup(started):
    lines = started.user(f"{RUN} cat /proc/self/cgroup").stdout.splitlines()
    assert "0::/" in lines and all(line.endswith(":/") for line in lines), lines


def test_what_the_unit_forbids_the_daemon_is_the_profile_of_a_session_all_the_same(started):
    status = started.user(f"{RUN} cat /proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["CapEff"] == fields["CapBnd"] == "00000000000004fb"
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


@pytest.mark.parametrize("what", ["personality", "chmod"])
def test_the_unit_takes_nothing_from_a_session_that_it_has_elsewhere(started, what):
    scripts = {"personality": "setarch linux32 true 2>/dev/null || linux32 true",
               "chmod": "cp /bin/busybox /tmp/x && chmod u+s /tmp/x && test -u /tmp/x"}
    done = started.user(f"{RUN} sh -c '{scripts[what]}'")
    assert done.returncode == 0, done.stderr


def test_stop_leaves_no_process_and_no_mount(started):
    background(started)
    background(started, "sh -c 'setsid sleep 300 & sleep 300'")
    begin = time.monotonic()
    started.shell("systemctl stop nsrootd.service", check=True)
    assert until(lambda: not started.inits(), 2), "a session outlived its daemon by two seconds"
    assert time.monotonic() - begin < 20
    assert started.shell("pgrep -x sleep").returncode == 1
    mounts = started.shell("cat /proc/[0-9]*/mountinfo | grep -cE ' (tmpfs|overlay) nsroot '").stdout.strip()
    assert mounts == "0"
    assert until(lambda: started.shell(f"ls -d {SESSIONS}/user-*").returncode != 0)


def test_stop_tells_who_waits_how_it_ended(started):
    end_all(started)
    background(started)
    started.shell("nsrootctl list -q >/tmp/id; (nsrootctl wait --json $(cat /tmp/id) >/tmp/result) & sleep 1; "
                  "systemctl stop nsrootd.service; wait", check=True)
    assert '"stopped"' in started.run("cat", "/tmp/result").stdout.replace(" ", "")


def test_restart_serves_again_with_the_cached_root(started):
    before = started.property("nsrootd.service", "MainPID")
    started.shell("systemctl restart nsrootd.service", check=True)
    assert started.property("nsrootd.service", "MainPID") != before
    assert started.user(f"{RUN} echo again").stdout == "again\n"
    pulled = [e for e in started.journal(f"_PID={started.property('nsrootd.service', 'MainPID')}")
              if "made from" in e["MESSAGE"]]
    assert not pulled, "the cache survives a restart"


def test_reload_reads_the_configuration_and_drops_no_session(started):
    end_all(started)
    background(started)
    started.shell("mkdir -p /etc/nsrootd; printf '[Sessions]\\nSessionsPerUser=1\\n' >/etc/nsrootd/nsrootd.conf; "
                  "systemctl reload nsrootd.service", check=True)
    done = until(lambda: (lambda d: d if d.returncode == 125 else None)(started.user(f"{RUN} true")))
    assert done and "as many sessions" in done.stderr
    assert len(started.inits()) == 1
    started.shell("rm /etc/nsrootd/nsrootd.conf; systemctl reload nsrootd.service", check=True)
    assert until(lambda: started.user(f"{RUN} true").returncode == 0)
    end_all(started)


def test_the_journal_has_fields_and_catalogued_messages(started):
    started.user(f"{RUN} true", check=True)
    entries = until(lambda: started.journal("NSROOT_UID=2001", "NSROOT_RESULT=exited"))
    assert entries and entries[-1]["NSROOT_ROOT"] == "busybox" and len(entries[-1]["NSROOT_SESSION"]) == 12
    begun = started.journal(f"NSROOT_SESSION={entries[-1]['NSROOT_SESSION']}")
    assert len({e["MESSAGE_ID"] for e in begun}) == 2, "started and ended"
    started.run("journalctl", "--update-catalog", check=True)
    for entry in begun:
        text = started.run("journalctl", "--catalog", "--no-pager", f"MESSAGE_ID={entry['MESSAGE_ID']}").stdout
        assert "-- Subject:" in text or "░░ Subject:" in text, text


def test_the_registry_links_lead_to_the_socket(started):
    for interface in ("org.nsroot.session", "org.nsroot.root"):
        done = started.user(f"nsrootctl --socket /run/varlink/registry/{interface} run -- echo there")
        assert done.stdout == "there\n", done.stderr


SILENT = "import socket, time; s = socket.create_server(('127.0.0.1', 8099)); time.sleep(60)"


def test_downloads_run_as_a_user_of_their_own_who_can_do_nothing(started):
    """Looked at while a server that says nothing keeps one waiting."""
    started.shell("mkdir -p /etc/nsrootd; printf '[Root slow]\\nSource=http://127.0.0.1:8099/x sha256:%064d\\n' 0 "
                  ">/etc/nsrootd/nsrootd.conf; systemctl reload nsrootd.service", check=True)
    started.run("systemd-run", "--quiet", "--collect", "--unit=silent", "/usr/bin/python3", "-c", SILENT, check=True)
    assert until(lambda: started.shell("systemd-run --quiet --collect --unit=pull nsrootctl root pull slow; sleep .2; "
                                       "pgrep -x nsroot-fetch").returncode == 0)
    status = started.shell("cat /proc/$(pgrep -x nsroot-fetch)/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = started.run("id", "-u", "nsrootd", check=True).stdout.strip()
    assert uid != "0" and fields["Uid"].split() == [uid] * 4
    assert fields["CapPrm"] == fields["CapBnd"] == fields["CapAmb"] == "0000000000000000"
    assert fields["NoNewPrivs"] == "1" and fields["Groups"].strip() == ""
    started.shell("rm /etc/nsrootd/nsrootd.conf; systemctl stop silent.service pull.service; "
                  "systemctl reload nsrootd.service")


def test_what_the_service_is_exposed_to_is_little(bed):
    done = bed.run("systemd-analyze", "security", "--no-pager", "nsrootd.service")
    exposure = float(done.stdout.rstrip().splitlines()[-1].split(":")[1].split()[0])
    assert exposure < 5.5, done.stdout


# -- the log, and reading the configuration again

CALL = """\
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/nsrootd/varlink")
for _ in range(int(sys.argv[2])):
    s.sendall(sys.argv[1].encode() + b"\\0")
    reply = b""
    while not reply.endswith(b"\\0"):
        reply += s.recv(65536)
print(reply[:-1].decode())
"""


def call(bed, method, parameters=None, times=1, uid=0):
    """The reply to the last of so many calls on one connection."""
    message = json.dumps({"method": method, "parameters": parameters or {}})
    done = bed.run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-c", CALL, message,
                   times, check=True)
    return json.loads(done.stdout)


def entries(bed, *matches):
    return until(lambda: bed.journal("_SYSTEMD_UNIT=nsrootd.service", *matches)) or []


def words(bed, message_id):
    """What journalctl -x says beside the last entry of that id."""
    return bed.run("journalctl", "--catalog", "--no-pager", "--lines=1", f"MESSAGE_ID={message_id}").stdout


def configure(bed, text):
    bed.shell("mkdir -p /etc/nsrootd; cat >/etc/nsrootd/nsrootd.conf <<'END'\n" + text + "\nEND", check=True)


@pytest.fixture
def configured(started):
    """configured(text) writes the configuration; afterwards it is as it was."""
    started.run("journalctl", "--update-catalog", check=True)
    yield lambda text: configure(started, text)
    started.shell("rm -f /etc/nsrootd/nsrootd.conf; systemctl reload nsrootd.service", check=True)


def test_the_journal_has_how_a_session_ended_and_what_it_took(configured, started):
    started.user(f"{RUN} sh -c 'exit 7'")
    entry = entries(started, "NSROOT_STATUS=7")[-1]
    assert (entry["NSROOT_RESULT"], entry["NSROOT_UID"], entry["PRIORITY"]) == ("exited", "2001", "6")
    assert " s in all, " in entry["NSROOT_USAGE"] and entry["NSROOT_USAGE"] in entry["MESSAGE"]
    text = words(started, entry["MESSAGE_ID"])
    assert f"Subject: Session {entry['NSROOT_SESSION']} has ended" in text
    for value in ("exited", entry["NSROOT_USAGE"]):
        assert value in text


def test_the_journal_has_the_rule_of_a_refusal_and_how_many_more_there_were(configured, started):
    n = 500
    assert call(started, "io.systemd.service.Reload", times=n, uid=2002)["error"] == "org.varlink.service.PermissionDenied"
    refused = entries(started, "NSROOT_RULE=root-only", "NSROOT_UID=2002")
    assert 100 <= len(refused) < n / 2
    assert refused[0]["NSROOT_METHOD"] == "io.systemd.service.Reload" and refused[0]["PRIORITY"] == "5"
    assert 'The rule "root-only" does not allow what user 2002 has asked for' in words(started, refused[0]["MESSAGE_ID"])
    counted = until(lambda: started.journal("_SYSTEMD_UNIT=nsrootd.service", "NSROOT_UID=2002",
                                            f"NSROOT_DROPPED={n - len(refused)}"), 15)
    assert counted and "Messages were left out" in words(started, counted[0]["MESSAGE_ID"])


def test_the_journal_has_why_a_root_could_not_be_made(configured, started):
    configured("[Root none]\nSource=\nSource=file:/no/such/file")
    started.shell("systemctl reload nsrootd.service", check=True)
    assert until(lambda: started.user("nsrootctl run -r none true").returncode == 125)
    entry = entries(started, "NSROOT_ROOT=none")[-1]
    assert entry["PRIORITY"] == "4" and "file:/no/such/file" in entry["MESSAGE"]
    text = words(started, entry["MESSAGE_ID"])
    assert "Subject: The root none could not be made" in text and f"\n░░   {entry['NSROOT_REASON']}\n" in text


def test_the_level_is_set_over_the_socket(started):
    def is_logged():
        marker = f"m{time.monotonic_ns()}"
        assert started.user(f"nsrootctl run -n {marker} -- true").returncode == 0
        return len(entries(started, f"NSROOT_SESSION={ended_id(started, marker)}"))

    assert is_logged() == 2
    assert call(started, "io.systemd.service.SetLogLevel", {"level": 4}) == {"parameters": {}}
    assert is_logged() == 0
    assert call(started, "io.systemd.service.SetLogLevel", {"level": 6}) == {"parameters": {}}
    assert is_logged() == 2


def ended_id(bed, name):
    sessions = call(bed, "org.nsroot.session.List", {"all": True})["parameters"]["sessions"]
    return next(s["id"] for s in sessions if s.get("name") == name)


def test_a_bad_configuration_fails_systemctl_reload_and_changes_nothing(configured, started):
    end_all(started)
    session, pid = background(started), started.property("nsrootd.service", "MainPID")
    configured("[Limits]\nOpenFilesMax=77")
    started.shell("systemctl reload nsrootd.service", check=True)
    assert until(lambda: started.user(f"{RUN} sh -c 'ulimit -n'").stdout == "77\n")
    assert "was read again" in entries(started, "MESSAGE_ID=256451bfe3674e20af7b89b9f812f5f0")[-1]["MESSAGE"]
    configured("[Limits]\nOpenFilesMax=88\nMemoryMax=much")
    done = started.shell("systemctl reload nsrootd.service")
    assert done.returncode != 0, "it has to be seen by who reloads"
    said = entries(started)
    assert any("/etc/nsrootd/nsrootd.conf:3: " in e["MESSAGE"] and "MemoryMax" in e["MESSAGE"] for e in said[-3:])
    assert started.property("nsrootd.service", "ActiveState") == "active"
    assert started.property("nsrootd.service", "MainPID") == pid
    assert started.user(f"{RUN} sh -c 'ulimit -n'").stdout == "77\n"
    assert session in started.shell("nsrootctl list -q").stdout
    end_all(started)


def test_a_reload_that_fails_in_the_daemon_is_in_the_status_until_one_succeeds(configured, started):
    configured("[Limits]\nMemoryMax=much")
    reply = call(started, "io.systemd.service.Reload")
    reason = reply["parameters"]["reason"]
    assert reply["error"] == "io.systemd.System" and reason.startswith("/etc/nsrootd/nsrootd.conf:2: ")
    assert until(lambda: reason in started.property("nsrootd.service", "StatusText"))
    assert until(lambda: started.property("nsrootd.service", "ActiveState") == "active")
    entry = entries(started, "MESSAGE_ID=c3427f87a54c45428eda3ae95d8b61d2")[-1]
    assert entry["NSROOT_REASON"] == reason and entry["ERRNO"] == "22" and entry["PRIORITY"] == "3"
    assert reason in words(started, entry["MESSAGE_ID"])
    background(started)
    assert until(lambda: "1 session." in started.property("nsrootd.service", "StatusText"))
    assert reason in started.property("nsrootd.service", "StatusText"), "still"
    configured("[Limits]\nMemoryMax=1G")
    started.shell("systemctl reload nsrootd.service", check=True)
    assert until(lambda: started.property("nsrootd.service", "StatusText") == "1 session.")
    end_all(started)


def doctor(bed, who="user", options=""):
    """{check: {status, detail, advice, ...}} of an ordinary user's `nsrootctl doctor`, whose exit status is checked."""
    done = getattr(bed, who)(f"nsrootctl doctor --json {options}")
    checks = {c["check"]: c for c in json.loads(done.stdout)}
    worst = max({"ok": 0, "degraded": 1, "missing": 2}[c["status"]] for c in checks.values())
    assert done.returncode == worst, done.stdout
    return checks


def test_doctor_finds_the_units_and_what_they_give(started):
    checks = doctor(started)
    for name in ("daemon", "version", "kernel", "namespaces", "user-namespaces", "seccomp", "overlay",
                 "descriptor-store", "space", "cache", "sessions", "connections", "roots"):
        assert checks[name]["status"] == "ok", checks[name]
    assert "which is nsrootd.socket's" in checks["daemon"]["detail"]
    stored = started.property("nsrootd.service", "FileDescriptorStoreMax")
    assert f"up to {stored} descriptors" in checks["descriptor-store"]["detail"]
    assert "busybox" in checks["cache"]["detail"]


def test_doctor_names_the_controllers_that_the_sessions_unit_has(started):
    there = set(started.run("cat", f"{SESSIONS}/cgroup.controllers").stdout.split())
    check = doctor(started)["control-groups"]
    assert (check["status"] == "ok") == ({"memory", "pids", "cpu"} <= there), check
    assert ("memory" in check["detail"].split("no limits of")[0]) == ("memory" in there), check


def test_doctor_without_a_daemon_says_what_to_start_and_that_helps(started):
    end_all(started)
    started.shell("systemctl stop nsrootd.socket nsrootd.service", check=True)
    check = doctor(started)["daemon"]
    assert check["status"] == "missing"
    assert "there is no socket (nsrootd.socket is inactive, nsrootd.service inactive)" in check["detail"]
    started.shell(check["advice"].split("'")[1], check=True)
    assert "nsrootd.socket has just started it" in doctor(started)["daemon"]["detail"]
    assert started.user(f"{RUN} true").returncode == 0


def test_doctor_tells_of_a_service_that_fails(started):
    """By a configuration that is an error at its start."""
    started.shell("mkdir -p /etc/nsrootd; printf '[Limits]\\nMemoryMax=x\\n' >/etc/nsrootd/nsrootd.conf; "
                  "systemctl stop nsrootd.service", check=True)
    check = doctor(started)["daemon"]
    started.shell("rm /etc/nsrootd/nsrootd.conf", check=True)
    assert check["status"] == "missing" and "journalctl -u nsrootd" in check["advice"], check
    assert "closed without" in check["detail"] or "does not answer" in check["detail"], check
    assert "nsrootd.service activating" in check["detail"] or "nsrootd.service failed" in check["detail"], check
    assert until(lambda: started.user(f"{RUN} true").returncode == 0)


def test_doctor_tells_a_system_user_why_nsrootd_does_not_serve_him(started):
    done = started.user("nsrootctl doctor", uid=33)
    assert done.returncode == 2 and "(rule system-users)" in done.stdout and "ask the administrator" in done.stdout
