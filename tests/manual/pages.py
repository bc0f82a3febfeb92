"""The manual pages under test, and what the programs themselves say there is."""

import pathlib
import re
import subprocess

import harness
from mdoc import Page

MAN = harness.CHECKOUT / "man"
NAMES = ["nsrootctl.1", "nsrootd.8", "nsrootd.conf.5", "nsroot-protocol.7"]


def path(name):
    """One page is made when the programs are."""
    source = MAN / name
    return source if source.exists() else harness.Build().directory / "man" / name


def page(name):
    return Page(path(name))


def output(*command):
    """What a program prints, as whoever runs the tests."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=60,
                          stdin=subprocess.DEVNULL).stdout


# -- options ------------------------------------------------------------------------------------------------------

OPTION = re.compile(r"^  (?:-(?P<letter>\w))?,?\s*(?:--(?P<name>[\w-]+))?(?: (?P<argument>\S+))?(?:\s{2,}|$)", re.M)


def options(*command):
    """{"--name" or "-n": (all its spellings, whether it takes an argument)} of `COMMAND --help`."""
    found = {}
    for m in OPTION.finditer(output(*command, "--help").split("Verbs:")[0]):
        spellings = [f"-{m['letter']}"] * bool(m["letter"]) + [f"--{m['name']}"] * bool(m["name"])
        if spellings:
            found[spellings[-1]] = (tuple(spellings), m["argument"] is not None)
    return found


def verbs(build):
    """What `nsrootctl --help` lists, in its order."""
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", output(build.client, "--help").split("Verbs:\n")[1], re.M)


# -- interfaces ---------------------------------------------------------------------------------------------------

INTERFACES = ["org.varlink.service", "io.systemd.service", "org.nsroot.session", "org.nsroot.root"]


DECLARATION = re.compile(r"\b(method|error|type)\s+(\w+)\s*(.*?)(?=\b(?:method|error|type)\s+[A-Z]|\Z)", re.S)


class Interface:
    """A .varlink file: methods as {name: (parameters, replies)}, errors and types as {name: members}; all members are
    {name: type}, those of an enumeration {name: ""}."""

    def __init__(self, name):
        text = (harness.CHECKOUT / f"common/{name}.varlink").read_text()
        text = re.sub(r"#.*", "", text)
        self.name, self.methods, self.errors, self.types = name, {}, {}, {}
        for kind, what, rest in DECLARATION.findall(text):
            parts = [members(part) for part in re.findall(r"\(([^()]*)\)", rest)]
            if kind == "method":
                self.methods[what] = (parts[0], parts[1])
            else:
                (self.errors if kind == "error" else self.types)[what] = parts[0]


def members(text):
    found = {}
    for member in filter(None, (part.strip() for part in text.split(","))):
        name, _, kind = member.partition(":")
        found[name.strip()] = kind.strip()
    return found


# -- configuration ------------------------------------------------------------------------------------------------

def configuration(build, directory, text=""):
    """{section: {key: [values]}} of `nsrootd --dump-config` with that configuration."""
    file = pathlib.Path(directory) / "dump.conf"
    file.write_text(text)
    return read_configuration(output(build.daemon, "--config", file, "--dump-config"))


def read_configuration(text):
    """{section: {key: [values]}} of a file, of lines that are #Key=value too."""
    found, section = {}, None
    for line in text.splitlines():
        key = re.match(r"#?(\w+)=(.*)", line)
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif key:
            section.setdefault(key[1], []).append(key[2])
    return found
