"""The pages are good mdoc, readable at a terminal of 80 columns, installed, and refer to pages that exist."""

import re
import subprocess

import pytest

import harness
import pages

DIGEST = re.compile(r"\b[0-9a-f]{64}\b")  # fits no line with anything before it, and cannot be divided
ACCEPTED = r"referenced manual not found|trailing delimiter: Ss \["  # ours are not installed yet; [Section] is a name
OURS = {tuple(name.rsplit(".", 1)) for name in pages.NAMES}


@pytest.mark.parametrize("name", pages.NAMES)
def test_it_is_without_a_fault(name):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", pages.path(name)], capture_output=True, text=True)
    faults = re.findall(r".*: (?:STYLE|WARNING|ERROR|UNSUPP): .*", done.stdout + done.stderr)
    assert not [fault for fault in faults if not re.search(ACCEPTED, fault)]


@pytest.mark.parametrize("name", pages.NAMES)
def test_it_fits_80_columns(name):
    text = pages.output("mandoc", "-T", "utf8", "-O", "width=78", pages.path(name))
    plain = re.sub(".\b", "", text)
    assert not [line for line in plain.splitlines() if len(line) > 80 and not DIGEST.search(line)]
    assert len(plain.splitlines()) > 100


@pytest.mark.parametrize("name", pages.NAMES)
def test_it_says_who_it_is(name):
    title, section = name.rsplit(".", 1)
    page = pages.page(name)
    assert f".Dt {title.upper()} {section}" in page.lines
    assert f".Nm {title}" in page.sections["NAME"]


@pytest.mark.parametrize("name", pages.NAMES)
def test_references_to_our_own_pages_exist(name):
    references = re.findall(r"^\.Xr (nsroot\S+) (\d)", "\n".join(pages.page(name).lines), re.M)
    assert references and set(references) <= OURS


@pytest.fixture(scope="module")
def installed(tmp_path_factory, build):
    """What `meson install` makes of a machine."""
    directory = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "--quiet", "--no-rebuild", "-C", build.directory], check=True,
                   env={"PATH": "/usr/local/bin:/usr/bin:/bin", "DESTDIR": str(directory)}, stdout=subprocess.DEVNULL)
    return directory


def test_files_that_are_installed_are_where_the_pages_say(installed):
    named = {i.first("Pa") for name in pages.NAMES for i in pages.page(name).top("FILES", "Pa")}
    there = {f"/{path.relative_to(installed)}" for path in installed.glob("usr/libexec/**/*") if path.is_file()}
    assert there and {path for path in named if path.startswith("/usr/libexec/")} == there


def test_all_are_installed(installed):
    found = {path.name: path for path in installed.glob("**/man/man*/*")}
    assert set(found) == set(pages.NAMES)
    for name, path in found.items():
        assert path.parent.name == "man" + name[-1]
        assert path.read_text() == pages.path(name).read_text()


def test_what_the_units_refer_to_exists():
    units = "\n".join(path.read_text() for path in (harness.CHECKOUT / "systemd").glob("nsrootd*"))
    assert set(re.findall(r"man:(\S+)\((\d)\)", units)) <= OURS
