"""Go programs that speak to nsrootd through varlink-go: its generator makes bindings of what a daemon says of itself.

All from packages of the distribution, and nothing from the network: sources come by GOPATH, without modules.
"""

import os
import pathlib
import shutil
import subprocess

import harness

LIBRARIES = pathlib.Path("/usr/share/gocode")
SOURCES = harness.CHECKOUT / "tests/interop"
GENERATOR = "varlink-go-interface-generator"


def missing():
    """What is not installed here, of what this needs."""
    programs = [p for p in ("go", "gofmt", GENERATOR) if not shutil.which(p)]
    library = LIBRARIES / "src/github.com/varlink/go"
    return programs + ([] if library.exists() else [str(library)])


class Workspace:
    """A tree of Go packages: the sources of tests/interop, and bindings. Go's cache stays from run to run."""

    def __init__(self, build):
        self.directory = build.directory / "interop"
        self.packages = self.directory / "src"
        shutil.rmtree(self.packages, ignore_errors=True)
        shutil.copytree(SOURCES, self.packages / "interop")

    def bind(self, interface, description):
        """Generates the bindings of an interface. The name of their package."""
        package = interface.replace(".", "")
        directory = self.packages / package
        directory.mkdir()
        source = directory / f"{interface}.varlink"
        source.write_text(description)
        done = subprocess.run([GENERATOR, source], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
        assert (directory / f"{package}.go").exists(), os.listdir(directory)
        return package

    def bind_all(self, daemon):
        """The bindings of all interfaces that a daemon says it has, {interface: package}."""
        bound = {}
        for interface in daemon.call("org.varlink.service.GetInfo")["parameters"]["interfaces"]:
            reply = daemon.call("org.varlink.service.GetInterfaceDescription", {"interface": interface})
            bound[interface] = self.bind(interface, reply["parameters"]["description"])
        return bound

    def go(self, *arguments):
        """What go(1) says; it has to succeed."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "GO111MODULE": "off", "GOPROXY": "off",
                       "GOPATH": f"{self.directory}:{LIBRARIES}", "GOCACHE": str(self.directory / "cache"),
                       "GOMAXPROCS": "2", "CGO_ENABLED": "0"}
        done = subprocess.run(["go", *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment,
                              cwd=self.directory)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tests(self, program):
        """Makes a program of the tests, which takes -test.run and the like."""
        self.go("test", "-c", "-o", program, "interop")
        return program

    def example(self, program):
        self.go("build", "-o", program, "interop/run")
        return program
