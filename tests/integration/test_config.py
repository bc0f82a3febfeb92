"""nsrootd.conf: each key in each place, which files there are, what is said about what is wrong with them, and that the
default file, the dump and the program mean the same.

golden-config is what all keys do and say. A test compares; when a default or a message changes, so does it, and whoever
changes it looks at the difference.
"""

import difflib
import pathlib
import random
import re

import pytest

import machine as machines

GOLDEN = pathlib.Path(__file__).with_name("golden-config")
ETC, RUN, LOCAL, VENDOR = machines.DIRECTORIES
MAIN, DROPINS = "nsrootd.conf", "nsrootd.conf.d"
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def shared():
    with machines.Machine() as m:
        yield m


@pytest.fixture
def machine(shared):
    shared.clear()
    return shared


@pytest.fixture
def nsrootd(machine, build):
    """nsrootd(option…) on that machine, to its end."""
    return lambda *options, **kw: machine.run(build.daemon, *options, **kw)


@pytest.fixture(scope="module")
def default_file(build):
    return (build.directory / "daemon/nsrootd.conf").read_text()


@pytest.fixture(scope="module")
def keys(default_file):
    return read_keys(default_file)


@pytest.fixture(scope="module")
def of_user(default_file):
    """The names of those that a section for a user takes."""
    text = re.search(r"The keys for that are([^.]*)\.", default_file.replace("\n#", ""))[1]
    return {name.rstrip("=") for name in text.split()}


class Key:
    def __init__(self, section, name, takes, default):
        self.section, self.name, self.takes, self.default = section, name, takes, default

    def __repr__(self):
        return f"[{self.section}] {self.name}="


def read_keys(text):
    """All keys of the default file, with what it says they take."""
    keys, section, comment = [], None, []
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.startswith("# "):
            comment.append(line[2:])
        elif re.match("#[A-Z]", line):
            name, _, default = line[1:].partition("=")
            if keys and (keys[-1].section, keys[-1].name) == (section, name):
                continue  # another line of the same key
            takes = re.search(r"Takes (.*)\.$", " ".join(comment))[1]
            keys.append(Key(section, name, takes, default))
            comment = []
        else:
            comment = []
    return keys


def values(dump, section, name):
    """The lines of that key in that section of a dump."""
    found, here = [], False
    for line in dump.splitlines():
        if line.startswith("["):
            here = line == f"[{section}]"
        elif here and line.startswith(name + "="):
            found.append(line)
    return found


# -- each key in each place ---------------------------------------------------------------------------------------

# What is good for it (two values) and what is not, by what it says it takes.
BY_KIND = {
    "yes or no": (("on", "false"), ("maybe", "")),
    "error, warning, notice, info or debug": (("error", "debug"), ("loud", "")),
    "user or caller": (("caller", "user"), ("Caller", "")),
    "a path below the cgroup2 mount such as /nsrootd.slice, beginning with /": (("/a.slice", "/b"), ("a", "/a/../b")),
    "a URL that begins with http://, https://, socks5:// or socks5h://": (("http://a", "socks5h://b:1"), ("ftp://a",)),
    "the name of a root, such as busybox": (("busybox", "lab"), ("Lab", "nowhere", "")),
    "busybox": (("busybox", "busybox"), ("tar", "")),
    "words, with whole quotations": (("sh -l", "'a b' c"), ("'a",)),
    "words NAME=VALUE": (("A=1", "B=2 'C=3 4'"), ("A", "=A")),
    "names or numbers of users": (("alice", "1002 root"), ("'alice", "nobody-here")),
    "names or numbers of groups": (("students", "7"), ("\"\"", "nobody-here")),
}
SOURCES = (("file:/a", f"https://b/c {DIGEST}"), ("http://b/c", "file:/a amd64", ""))
# Those that must fit another key, which has its default here.
BY_NAME = {
    "IdRangeFirst": (("600000", "524288"), ("524287", "1879048191", "x")),
    "IdRangeLast": (("800000", "1879048191"), ("524288", "1879048192", "x")),
    "ConnectionsMax": (("33", "1000000"), ("0", "32", "1000001", "infinity")),
    "ConnectionsKeptForRoot": (("0", "1023"), ("-1", "1024", "1000001")),
}


def samples(key):
    """(two good values, some bad ones)"""
    if key.name in BY_NAME:
        return BY_NAME[key.name]
    if key.takes in BY_KIND:
        return BY_KIND[key.takes]
    if key.takes.startswith("a URL of http or https"):
        return SOURCES
    least, most, optional = re.fullmatch("a .*, from (\\S*) to (\\S*)(, or nothing)?", key.takes).groups()
    return (least, most), ("many", "-1", *(() if optional else ("",))) + beyond(least, most)


def beyond(least, most):
    """Just out of the range."""
    def changed(text, by):
        return re.sub(r"^\d+", lambda n: str(int(n[0]) + by), text)
    low = () if re.match(r"0\D*$", least) else (changed(least, -1),)
    return low if most == "infinity" else (*low, changed(most, 1), "infinity")


# What is written where, of a key with two good values.
STATES = {
    "absent": lambda a, b: {},
    "good": lambda a, b: {f"{ETC}/{MAIN}": (a,)},
    "twice": lambda a, b: {f"{ETC}/{MAIN}": (a, b)},
    "emptied": lambda a, b: {f"{ETC}/{MAIN}": (a, "")},
    "dropin": lambda a, b: {f"{ETC}/{MAIN}": (a,), f"{VENDOR}/{DROPINS}/50.conf": (b,)},
    "masked": lambda a, b: {f"{RUN}/{MAIN}": (a,), f"{VENDOR}/{DROPINS}/50.conf": (b,), f"{ETC}/{DROPINS}/50.conf": None},
    "hidden": lambda a, b: {f"{VENDOR}/{MAIN}": (a,), f"{ETC}/{MAIN}": None},
}
LAB = "[Root lab]\nSource=file:/lab\n"  # for DefaultRoot=


def outcome(machine, nsrootd, key, section, files):
    """What a dump has of the key, and what is said, where the files have lines with these values."""
    machine.clear()
    for file, texts in files.items():
        lines = "".join(f"{key.name}={text}\n" for text in texts or ())
        machine.write(file, f"{LAB}[{section}]\n{lines}" if texts else "")
    done = nsrootd("--dump-config")
    said = done.stderr.splitlines()
    assert done.returncode == (1 if any(line.startswith("error: ") for line in said) else 0), done
    lines = [line for line in values(done.stdout, section, key.name) if "://busybox.net/" not in line]  # of x86-64 only
    return " | ".join(lines + said) or "nothing"


def table_of(machine, nsrootd, key, section, states):
    """The rows of one key in one section."""
    (a, b), bad = samples(key)
    yield f"[{section}] {key.name}: {a} and {b}"
    for state in states:
        if state != "bad":
            yield f"    {state} -> {outcome(machine, nsrootd, key, section, STATES[state](a, b))}"
            continue
        for text in bad:
            found = outcome(machine, nsrootd, key, section, {f"{ETC}/{MAIN}": (text,)})
            yield f"    bad {text or 'empty'} -> {found}"


def whole_table(machine, nsrootd, keys, of_user):
    every = (*STATES, "bad")
    for key in keys:
        yield from table_of(machine, nsrootd, key, key.section, every)
        if key.section not in ("Root busybox", "Pool"):
            yield from table_of(machine, nsrootd, key, "User alice", every if key.name in of_user else ("good",))
            yield from table_of(machine, nsrootd, key, "Group 3001", ("good",))


def test_golden_table(machine, nsrootd, keys, of_user, tmp_path):
    """Every key × (absent, good, twice, emptied, in a drop-in, masked, hidden, bad), for everybody, a user and a group."""
    lines = [line + "\n" for line in whole_table(machine, nsrootd, keys, of_user)]
    actual = tmp_path / "golden-config"
    actual.write_text("".join(lines))
    golden = GOLDEN.read_text().splitlines(keepends=True) if GOLDEN.exists() else []
    difference = "".join(difflib.unified_diff(golden, lines, "golden-config", "now"))
    assert not difference, f"if all of this is meant, cp {actual} {GOLDEN}:\n{difference}"


def test_the_golden_table_is_of_all_keys(machine, nsrootd, keys):
    """By two ways: what is dumped, and what the default file has."""
    dumped, section = set(), None
    for line in nsrootd("--dump-config").stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            dumped.add((section, line.partition("=")[0]))
    assert dumped == {(key.section, key.name) for key in keys}
    assert len(dumped) > 40


# -- the default file ---------------------------------------------------------------------------------------------

def test_the_default_file_is_what_is_printed(nsrootd, default_file):
    assert nsrootd("--default-config").stdout == default_file


def test_the_default_file_changes_nothing(machine, nsrootd, default_file):
    without = nsrootd("--dump-config").stdout
    machine.write(f"{ETC}/{MAIN}", default_file)
    done = nsrootd("--dump-config")
    assert (done.stdout, done.stderr) == (without, "")


def test_the_default_file_has_the_defaults(machine, nsrootd, default_file):
    without = nsrootd("--dump-config").stdout
    text, n = re.subn("^#(?=[A-Z])", "", default_file, flags=re.M)
    assert n > 40
    machine.write(f"{ETC}/{MAIN}", text)
    done = nsrootd("--dump-config")
    assert (done.stdout, done.stderr) == (without, "")


def test_the_examples_of_the_default_file_are_good(machine, nsrootd, default_file):
    begin = default_file.index("# [Root lab]")
    text, n = re.subn(r"^# (?=\[|\w+=(?!\.$)[^ ])", "", default_file[begin:], flags=re.M)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    machine.write(f"{ETC}/{MAIN}", text)
    done = nsrootd("--dump-config")
    assert (done.returncode, done.stderr) == (0, "")
    for section in ("Root lab", "Group students", "User alice"):
        assert f"[{section}]\n" in done.stdout


def test_the_default_file_is_narrow(default_file):
    assert [line for line in default_file.splitlines() if len(line) > 80 and not line.startswith("#Source=")] == []


# -- the dump -----------------------------------------------------------------------------------------------------

def test_a_dump_is_read_as_the_same(machine, nsrootd, keys, of_user):
    """With all keys set to something else, for everybody, a user and a group."""
    text = LAB
    for key in keys:
        personal = ["User alice", "Group 3001"] if key.name in of_user and key.section != "Pool" else []
        for n, section in enumerate([key.section, *personal]):
            text += f"[{section}]\n{key.name}={samples(key)[0][1 - n % 2]}\n"
    text += "[User 77]\nCpuQuota=5%\n[Root busybox]\nSource='file:/a b'\nCommand=\"a \\;b\" '' \"'\" '\"' '\\'\n"
    machine.write(f"{ETC}/{MAIN}", text)
    first = nsrootd("--dump-config")
    assert (first.returncode, first.stderr) == (0, "")
    machine.clear()
    machine.write(f"{ETC}/{MAIN}", first.stdout)
    second = nsrootd("--dump-config")
    assert (second.stdout, second.returncode) == (first.stdout, 0)
    assert "[User 77]" in first.stdout and "CpuQuota=5%" in first.stdout
    assert "Command=\"a \\;b\" \"\" \"'\" \"\\\"\" \"\\\\\"" in first.stdout


# -- which files --------------------------------------------------------------------------------------------------

def files(done):
    assert done.returncode == 0, done.stderr
    *names, verdict = done.stdout.splitlines()
    assert verdict == ("The configuration is good." if names else "There is no configuration; all is as by default.")
    return names


@pytest.mark.parametrize("n", range(4))
def test_of_main_files_the_highest_counts(machine, nsrootd, n):
    for directory in machines.DIRECTORIES[n:]:
        machine.write(f"{directory}/{MAIN}", f"# {directory}\n")
    assert files(nsrootd("--check-config")) == [f"{machines.DIRECTORIES[n]}/{MAIN}"]


def test_dropins_override_the_main_file_and_one_another(machine, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Limits]\nTasksMax=10\nMemoryMax=10M\nStorageMax=10M\n")
    machine.write(f"{VENDOR}/{DROPINS}/20.conf", "[Limits]\nTasksMax=20\nMemoryMax=20M\n")
    machine.write(f"{ETC}/{DROPINS}/10.conf", "[Limits]\nTasksMax=30\nMemoryMax=30M\n")
    machine.write(f"{RUN}/{DROPINS}/30.conf", "[Limits]\nTasksMax=40\n")
    dump = nsrootd("--dump-config").stdout
    assert [values(dump, "Limits", name)[0] for name in ("TasksMax", "MemoryMax", "StorageMax")] == [
        "TasksMax=40", "MemoryMax=20M", "StorageMax=10M"]
    assert files(nsrootd("--check-config")) == [
        f"{ETC}/{MAIN}", f"{ETC}/{DROPINS}/10.conf", f"{VENDOR}/{DROPINS}/20.conf", f"{RUN}/{DROPINS}/30.conf"]


def test_lists_add_up_over_files_until_an_empty_line(machine, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Root lab]\nSource=file:/a\nEnvironment=A=1\nUsers=alice\n")
    machine.write(f"{ETC}/{DROPINS}/10.conf", "[Root lab]\nSource=file:/b\nEnvironment=B=2\nUsers=\nUsers=bob\n")
    dump = nsrootd("--dump-config").stdout
    assert values(dump, "Root lab", "Source") == ["Source=", "Source=file:/a", "Source=file:/b"]
    assert values(dump, "Root lab", "Environment") == ["Environment=", "Environment=A=1 B=2"]
    assert values(dump, "Root lab", "Users") == ["Users=", "Users=bob"]
    machine.write(f"{ETC}/{DROPINS}/20.conf", "[Root lab]\nSource=\nSource=file:/c\nEnvironment=\n")
    dump = nsrootd("--dump-config").stdout
    assert values(dump, "Root lab", "Source") == ["Source=", "Source=file:/c"]
    assert values(dump, "Root lab", "Environment") == ["Environment="]


def test_a_section_does_not_go_on_in_the_next_file(machine, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Limits]\n")
    machine.write(f"{ETC}/{DROPINS}/10.conf", "TasksMax=30\n")
    done = nsrootd("--dump-config")
    assert values(done.stdout, "Limits", "TasksMax") == ["TasksMax=512"]
    assert f"{ETC}/{DROPINS}/10.conf:1: TasksMax= stands before the first [Section]" in done.stderr


def test_files_are_in_systemd_s_order(machine, nsrootd):
    """As 'systemd-analyze cat-config' has them, for files that lie anywhere."""
    rng = random.Random(3)
    names = ["10-a.conf", "10-A.conf", "9.conf", "z.conf", "B.conf", "_.conf", "a.conf.conf", "ä.conf",
             ".hidden.conf", "10-a.conf~", "README", "x.conf.bak"]
    for _ in range(25):
        machine.clear()
        machine.write(f"{ETC}/{MAIN}", "# main\n")  # an older systemd looks for that one only here
        for directory in machines.DIRECTORIES:
            for name in rng.sample(names, rng.randrange(len(names))):
                file = f"{directory}/{DROPINS}/{name}"
                rng.choice([lambda: machine.write(file, "# something\n"), lambda: machine.write(file, "# more\n"),
                            lambda: machine.write(file, ""), lambda: machine.link(file, "/dev/null")])()
        shown = machine.run("systemd-analyze", "cat-config", "--no-pager", f"nsrootd/{MAIN}").stdout.splitlines()
        listed = [line[2:] for line, text in zip(shown, shown[1:]) if line.startswith("# /") and text.strip()]
        assert files(nsrootd("--check-config")) == listed


@pytest.mark.parametrize("mask", ["empty", "link"])
def test_a_main_file_can_be_masked(machine, nsrootd, mask):
    machine.write(f"{VENDOR}/{MAIN}", "[Limits]\nTasksMax=10\n")
    assert values(nsrootd("--dump-config").stdout, "Limits", "TasksMax") == ["TasksMax=10"]
    machine.write(f"{RUN}/{MAIN}", "") if mask == "empty" else machine.link(f"{RUN}/{MAIN}", "/dev/null")
    assert values(nsrootd("--dump-config").stdout, "Limits", "TasksMax") == ["TasksMax=512"]
    assert files(nsrootd("--check-config")) == []


def test_a_file_that_is_named_is_the_only_one(machine, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Limits]\nTasksMax=10\n")
    machine.write(f"{ETC}/{DROPINS}/10.conf", "[Limits]\nTasksMax=20\n")
    machine.write("/etc/my.conf", "[Limits]\nMemoryMax=30M\n")
    machine.write("/etc/my.conf.d/10.conf", "[Limits]\nMemoryMax=40M\n")
    dump = nsrootd("--config", "/etc/my.conf", "--dump-config").stdout
    assert values(dump, "Limits", "TasksMax") + values(dump, "Limits", "MemoryMax") == ["TasksMax=512", "MemoryMax=30M"]
    assert files(nsrootd("--config", "/etc/my.conf", "--check-config")) == ["/etc/my.conf"]
    assert files(nsrootd("--config", "/dev/null", "--check-config")) == []


# -- files that are none ------------------------------------------------------------------------------------------

def check_refused(done, *words):
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: " + words[0]) and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("place", [f"{ETC}/{MAIN}", f"{RUN}/{MAIN}", f"{ETC}/{DROPINS}/10.conf", "/etc/my.conf"])
class TestWhatIsNoFile:
    """In every place it is an error, and never the defaults instead."""

    def refused(self, machine, nsrootd, place, *words):
        named = ["--config", place] if place == "/etc/my.conf" else []
        for action in ("--check-config", "--dump-config"):
            check_refused(nsrootd(*named, action, timeout=10), place, *words)

    @pytest.fixture(autouse=True)
    def directory(self, machine, place):
        path = machine.path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        yield path

    def test_directory(self, machine, nsrootd, place, directory):
        directory.mkdir()
        self.refused(machine, nsrootd, place, "is a directory; put a file in its place")

    def test_fifo(self, machine, nsrootd, place, directory):
        machine.run("mkfifo", place)
        self.refused(machine, nsrootd, place, "is no regular file; put one in its place")

    def test_device(self, machine, nsrootd, place, directory):
        machine.link(place, "/dev/zero")
        self.refused(machine, nsrootd, place, "is no regular file")

    def test_dangling_link(self, machine, nsrootd, place, directory):
        machine.link(place, "/nowhere")
        self.refused(machine, nsrootd, place, "cannot be opened: No such file or directory")

    def test_link_to_itself(self, machine, nsrootd, place, directory):
        machine.link(place, place)
        self.refused(machine, nsrootd, place, "cannot be opened: Too many levels of symbolic links")

    def test_too_long(self, machine, nsrootd, place, directory):
        machine.write(place, "#" * (1 << 20) + "\n")
        self.refused(machine, nsrootd, place, "is longer than 1 MiB; make it shorter")

    def test_not_readable(self, machine, build, nsrootd, place, directory):
        machine.write(place, "[Limits]\n")
        directory.chmod(0o600)
        named = ["--config", place] if place == "/etc/my.conf" else []
        done = machine.run("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", build.daemon, *named, "--check-config")
        check_refused(done, place, "cannot be opened: Permission denied")


def test_a_directory_that_cannot_be_searched(machine, build, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Limits]\n")
    machine.write(f"{VENDOR}/{MAIN}", "[Limits]\n")
    machine.path(ETC).chmod(0o700)
    done = machine.run("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", build.daemon, "--check-config")
    check_refused(done, f"{ETC}/{MAIN}: cannot be read: Permission denied")


def test_a_file_in_place_of_a_directory(machine, nsrootd):
    machine.write(f"{ETC}/{DROPINS}", "")
    check_refused(nsrootd("--check-config"), f"{ETC}/{DROPINS}", "cannot be read: Not a directory")


def test_a_file_that_is_named_must_be_there(nsrootd):
    check_refused(nsrootd("--config", "/etc/nowhere", "--check-config"), "/etc/nowhere", "No such file or directory")


@pytest.mark.parametrize("mode,owner,warned", [(0o644, 0, False), (0o600, 0, False), (0o664, 0, True),
                                               (0o646, 0, True), (0o644, 1001, True)])
def test_a_file_that_others_can_change(machine, nsrootd, mode, owner, warned):
    machine.write(f"{ETC}/{DROPINS}/10.conf", "[Limits]\nTasksMax=10\n")
    path = machine.path(f"{ETC}/{DROPINS}/10.conf")
    path.chmod(mode)
    machine.run("chown", str(owner), f"{ETC}/{DROPINS}/10.conf")
    done = nsrootd("--dump-config")
    assert values(done.stdout, "Limits", "TasksMax") == ["TasksMax=10"]
    warning = f"warning: {ETC}/{DROPINS}/10.conf: others than root can change it; 'chown root' and 'chmod go-w' it\n"
    assert done.stderr == (warning if warned else "")


# -- lines --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text,said", [
    ("[Limits]\nMemoryMx=1G\n", "2: [Limits] has no key MemoryMx=; did you mean MemoryMax=? The line is ignored"),
    ("[limits]\nMemoryMax=1G\n", "1: there is no section [limits]; did you mean [Limits]? What stands in it is ignored"),
    ("[Usr bob]\nMemoryMax=1G\n", "1: there is no section [Usr bob]. What stands in it is ignored"),
    ("[User]\nMemoryMax=1G\n", "1: [User] lacks a name, as in [User NAME]; what stands in it is ignored"),
    ("[Daemon]\nMemoryMax=1G\n", "2: MemoryMax= belongs in [Limits], [User NAME] or [Group NAME], or in [Pool], not in"
                                 " [Daemon]; the line is ignored"),
    ("[User alice]\nSessionsMax=1\n", "2: SessionsMax= belongs in [Sessions], not in [User alice]; the line is ignored"),
    ("[User carol]\nMemoryMax=1G\n", "1: there is no user carol on this machine; what stands here is not in force"),
    ("[Group alice]\nMemoryMax=1G\n", "1: there is no group alice on this machine; what stands here is not in force"),
    ("[Root lab]\nSource=file:/a\nUsers=alice carol\n", "3: there is no user carol on this machine; it is passed over"),
    ("[Limits] ; all\n[Limits] MemoryMax=1G\n", "2: what stands behind the ] is ignored"),
    ("[Limits]\n\nMemoryMax\n", "3: neither [Section] nor Key=value nor a comment; the line is ignored"),
])
def test_what_is_passed_over_is_said(machine, nsrootd, text, said):
    machine.write(f"{ETC}/{MAIN}", text)
    done = nsrootd("--check-config")
    assert done.returncode == 0
    assert done.stderr == f"warning: {ETC}/{MAIN}:{said}\n"


def test_a_group_of_many_members(machine, nsrootd):
    """It is found up to a megabyte; what is more is no group that is not there."""
    group = machine.path("/etc/group")
    before = group.read_text()
    try:
        group.write_text(before + "many:x:3002:" + ",".join(["alice"] * 50_000) + "\nmore:x:3003:"
                         + ",".join(["alice"] * 400_000) + "\n")
        machine.write(f"{ETC}/{MAIN}", "[Group many]\nTasksMax=5\n[Group more]\nTasksMax=6\n")
        done = nsrootd("--check-config")
    finally:
        group.write_text(before)
    assert done.returncode == 0
    assert done.stderr == (f"warning: {ETC}/{MAIN}:3: the group more cannot be looked up (Numerical result out of range);"
                           " what stands here is not in force\n")


@pytest.mark.parametrize("text,place,said", [
    ("[Sessions]\nDefaultRoot=lab\n", 2, "DefaultRoot= names a root that is not there"),
    ("[Daemon]\nConnectionsMax=32\n", 2, "ConnectionsKeptForRoot= leaves nothing of ConnectionsMax="),
    ("[Sessions]\n\nIdRangeLast=524288\n", 3, "IdRangeFirst= to IdRangeLast= must be 131072 ids or more"),
    ("[Root lab]\nCommand=sh\n", 1, "this section [Root NAME] has no Source= for this machine"),
    ("[Root lab]\nSource=file:/a sparc\n", 1, "this section [Root NAME] has no Source= for this machine"),
])
def test_contradictions_have_a_place(machine, nsrootd, text, place, said):
    """The drop-in that made it."""
    machine.write(f"{ETC}/{MAIN}", "# nothing\n" * 9)
    machine.write(f"{ETC}/{DROPINS}/10.conf", text)
    check_refused(nsrootd("--check-config"), f"{ETC}/{DROPINS}/10.conf:{place}: {said}")


def test_long_values_are_whole(machine, nsrootd):
    url = "https://example.org/" + "x" * 2000
    machine.write(f"{ETC}/{MAIN}", f"[Root {'r' * 63}]\nSource={url} {DIGEST}\n")
    dump = nsrootd("--dump-config").stdout
    assert values(dump, "Root " + "r" * 63, "Source") == ["Source=", f"Source={url} {DIGEST}"]


def test_a_line_that_is_too_long_is_refused(machine, nsrootd):
    machine.write(f"{ETC}/{MAIN}", "[Root a]\nSource=file:/" + "x" * 8192 + "\n")
    check_refused(nsrootd("--check-config"), f"{ETC}/{MAIN}:2: longer than 8192 characters; make it shorter")


# -- the daemon ---------------------------------------------------------------------------------------------------

def test_a_daemon_does_not_start_with_a_bad_value(fresh_daemon):
    d = fresh_daemon("[Limits]\nTasksMax=many\n", start=False).launch()
    assert d.process.wait(30) == 1
    assert re.search(r"error: .*/nsrootd.conf:\d+: TasksMax=many: it takes a number, from 2 to infinity", d.log_text())
