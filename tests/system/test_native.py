"""nsrootd as a service of a real systemd (PID 1 of a container of its own): units, sockets, journal, restarts."""

import pathlib
import time

import pytest

from conftest import Bed
from harness import until

SESSIONS = "/sys/fs/cgroup/system.slice/nsrootd-sessions.service"
RUN = "nsrootctl run --"


@pytest.fixture(scope="module")
def bed(installed, tmp_path_factory):
    bed = Bed("bed-native", pathlib.Path("/var/tmp") / f"nsrootd-bed-{tmp_path_factory.getbasetemp().name}")
    bed.up(installed)
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
    assert set(started.inits()) <= set(procs) and len(procs) == 2
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


def test_a_killed_daemon_is_back_at_once_and_its_sessions_are_gone(started):
    background(started)
    for _ in range(8):  # more than systemd's default limit of starts
        pid = started.property("nsrootd.service", "MainPID")
        started.shell(f"kill -9 {pid}", check=True)
        assert until(lambda: started.property("nsrootd.service", "MainPID") not in ("0", pid))
    assert until(lambda: not started.inits(), 2)
    assert started.user(f"{RUN} echo back").stdout == "back\n"


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
