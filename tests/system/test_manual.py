"""The examples of the manual pages that are about a machine with systemd, on one. The others: tests/manual."""

import pathlib
import re
import sys

import pytest

from conftest import HERE, Bed
from harness import until

sys.path.insert(0, str(HERE.parent / "manual"))
import examples


@pytest.fixture(scope="module")
def bed(installed, tmp_path_factory):
    bed = Bed("bed-native", pathlib.Path("/var/tmp") / f"nsrootd-manual-{tmp_path_factory.getbasetemp().name}")
    bed.up(installed)
    yield bed
    bed.down()


def shell(bed, *wrapper):
    return examples.Shell([str(bed.script), "in", str(bed.directory), *wrapper, "bash", "--norc"])


@pytest.mark.parametrize("display", examples.of_kind("systemd"), ids=str)
def test_a_transcript_of_an_administrator(bed, display):
    """As root and as the user 2001, one display after the other on the same machine."""
    def wait_for(command):
        socket = re.search(r"--listen (\S+)", command)[1]
        assert until(lambda: bed.run("test", "-S", socket).returncode == 0), command

    shells = {"#": shell(bed), "$": shell(bed, "setpriv", "--reuid=2001", "--regid=2001", "--clear-groups")}
    try:
        examples.follow(display, shells, wait_for)
    finally:
        for one in shells.values():
            one.close()
