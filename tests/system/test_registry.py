"""The links by which a machine's Varlink services are found, /run/varlink/registry/INTERFACE, under a booted systemd.

systemd's `varlinkctl list-registry` (since version 260) shows what is a valid interface name and leads to a socket there,
and so do the bridges to HTTP and others. They are links of the socket's unit, so they are there as long as it listens.
"""

import pathlib
import shutil

import pytest

import varlink_go
from conftest import Bed
from varlink_go import Workspace

REGISTRY = "/run/varlink/registry"
LINKS = ["org.nsroot.root", "org.nsroot.session"]
SOCKET = "/run/nsrootd/varlink"
PROGRAM = "/usr/local/bin/interop"
MONOTONIC = "ActiveEnterTimestampMonotonic"


@pytest.fixture(scope="module")
def tree(installed, tmp_path_factory, build, daemon):
    """What is installed, with the socket enabled before the machine boots, and a client that others made."""
    tree = tmp_path_factory.mktemp("registry") / "tree"
    shutil.copytree(installed, tree, symlinks=True)
    wants = tree / "etc/systemd/system/sockets.target.wants"
    wants.mkdir(parents=True)
    (wants / "nsrootd.socket").symlink_to("/usr/lib/systemd/system/nsrootd.socket")
    if not varlink_go.missing():
        (tree / PROGRAM[1:]).parent.mkdir(parents=True)
        workspace = Workspace(build)
        workspace.bind_all(daemon)
        workspace.tests(tree / PROGRAM[1:])
    return tree


@pytest.fixture(scope="module")
def bed(tree, tmp_path_factory):
    bed = Bed("bed-native", pathlib.Path("/var/tmp") / f"nsrootd-registry-{tmp_path_factory.getbasetemp().name}")
    bed.up(tree)
    yield bed
    bed.down()


def links(bed):
    """What is in the registry, and where it leads; what leads nowhere is not said."""
    shown = bed.shell(f"cd {REGISTRY} && for link in *; do echo $link $(realpath -e $link); done").stdout
    return dict(line.split() for line in shown.splitlines() if len(line.split()) == 2)


def entries(bed):
    return bed.run("ls", "-A", REGISTRY).stdout.split()


def test_after_boot_they_lead_to_the_socket(bed):
    assert int(bed.property("nsrootd.socket", MONOTONIC)) <= int(bed.property("basic.target", MONOTONIC)), \
        "so it was not started for this test"
    assert entries(bed) == LINKS
    assert links(bed) == {link: SOCKET for link in LINKS}


def test_anybody_may_follow_them_and_nobody_else_may_make_one(bed):
    assert bed.user(f"test -S {REGISTRY}/{LINKS[0]}").returncode == 0
    assert bed.user(f"touch {REGISTRY}/x").returncode != 0
    for directory in (REGISTRY, "/run/varlink"):
        assert bed.run("stat", "-c", "%U %a", directory).stdout == "root 755\n"


@pytest.mark.skipif(bool(varlink_go.missing()), reason=f"not installed: {varlink_go.missing()}")
def test_another_client_finds_the_interface_of_the_links_name(bed):
    done = bed.user(f"NSROOT_SOCKET={SOCKET} NSROOT_REGISTRY={REGISTRY} {PROGRAM} -test.v "
                    "-test.run '^TestTheRegistryLeadsToTheService$'")
    assert done.returncode == 0 and "--- PASS: TestTheRegistryLeadsToTheService" in done.stdout, done.stdout + done.stderr


def test_a_restart_of_the_socket_or_the_daemon_leaves_them(bed):
    for command in ("restart nsrootd.service", "restart nsrootd.socket", "stop nsrootd.service", "daemon-reload"):
        bed.shell(f"systemctl {command}", check=True)
        assert links(bed) == {link: SOCKET for link in LINKS}, command
        assert bed.user(f"nsrootctl --socket {REGISTRY}/{LINKS[0]} list").returncode == 0, command


def test_where_nobody_listens_there_are_none(bed):
    bed.shell("systemctl stop nsrootd.socket nsrootd.service", check=True)
    assert entries(bed) == []
    bed.shell("systemctl start nsrootd.socket", check=True)
    assert links(bed) == {link: SOCKET for link in LINKS}


def test_what_another_version_left_there_is_replaced(bed):
    bed.shell(f"systemctl stop nsrootd.socket nsrootd.service; cd {REGISTRY}; ln -s ../../nsrootd/varlink {LINKS[0]}; "
              f"ln -s /run/elsewhere {LINKS[1]}; systemctl start nsrootd.socket", check=True)
    assert links(bed) == {link: SOCKET for link in LINKS}
