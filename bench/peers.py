"""The other ways to run a command in a root of its own: what each needs to be set up, and its command line.

All run as root, which the machines that nsrootd is for leave them no choice about; nsrootctl runs as an ordinary user. Each
makes what namespaces it has by default or makes them all, and starts in the same tree of the same busybox.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

UNIFIED = "/sys/fs/cgroup/unified"


def make_tree(directory, busybox):
    """A root with that busybox, a link for each of its applets, and what some peers look for in a root."""
    tree = pathlib.Path(directory)
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var", "sbin", "usr/bin", "usr/sbin"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, tree / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        with contextlib.suppress(FileExistsError):
            (tree / "bin" / applet).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "usr/bin/os-release").touch()
    (tree / "etc/os-release").write_text("ID=busybox\n")
    return tree


def runtime_bundle(directory, tree, runtime, words):
    """An OCI bundle as `RUNTIME spec` writes it, without a terminal and with those words."""
    bundle = pathlib.Path(directory) / f"bundle-{runtime}-{len(words)}"
    bundle.mkdir(exist_ok=True)
    if not (bundle / "config.json").exists():
        subprocess.run([runtime, "spec"], cwd=bundle, check=True, capture_output=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=list(words))
    config["root"] = {"path": str(tree), "readonly": False}
    config["linux"].pop("cgroupsPath", None)
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def mounted(kind, where):
    return any(line.split()[1:3] == [str(where), kind] for line in open("/proc/self/mounts"))


class Peers:
    """Command lines by name; what is not installed, or does not work here, is in `missing` with the reason. In a mount
    namespace of the benchmark's own: schroot is given a configuration, and crun no cgroup v2 beside v1, which it refuses."""

    def __init__(self, directory, busybox):
        self.directory = pathlib.Path(directory)
        self.tree = make_tree(self.directory / "tree", busybox)
        self.missing = {}
        self._configure_schroot()
        if mounted("cgroup2", UNIFIED):
            subprocess.run(["umount", UNIFIED], check=True)

    def _configure_schroot(self):
        where, ours = pathlib.Path("/etc/schroot/chroot.d"), self.directory / "schroot"
        ours.mkdir()
        (ours / "nsroot-bench").write_text(f"[nsroot-bench]\ntype=plain\ndirectory={self.tree}\nusers=root\n")
        if where.exists():
            subprocess.run(["mount", "--bind", ours, where], check=True)

    def bare(self, words):
        return [str(self.tree / "bin/busybox"), *([] if words[0].endswith("busybox") else [os.path.basename(words[0])]), *words[1:]]

    def bubblewrap(self, words):
        return ["/usr/bin/bwrap", "--unshare-all", "--bind", str(self.tree), "/", "--proc", "/proc", "--dev", "/dev",
                "--tmpfs", "/tmp", "--die-with-parent", *words]

    def crun(self, words):
        return ["/usr/bin/crun", "--cgroup-manager=disabled", "run", "--bundle",
                str(runtime_bundle(self.directory, self.tree, "crun", words)), "bench-{n}"]

    def runc(self, words):
        return ["/usr/sbin/runc", "run", "--bundle", str(runtime_bundle(self.directory, self.tree, "runc", words)), "bench-{n}"]

    def nspawn(self, words):
        return ["/usr/bin/systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--volatile=no",
                "--directory", str(self.tree), *words]

    def schroot(self, words):
        return ["/usr/bin/schroot", "--chroot=nsroot-bench", "--directory=/", "--", *words]

    def minijail(self, words):
        return ["/usr/bin/minijail0", "-v", "-p", "-e", "-l", "-N", "--uts", "-P", str(self.tree), "-k",
                "proc,/proc,proc,0xe", *words]

    def nsjail(self, words):
        return ["/usr/bin/nsjail", "-Mo", "-Q", "--chroot", str(self.tree), "--", *words]

    def podman(self, words):
        return ["/usr/bin/podman", "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--rootfs", str(self.tree), *words]

    def of(self, words, names):
        """{name: command line} of those that are here and work."""
        found = {}
        for name in names:
            command = getattr(self, name)(words) if self._is_here(name) else None
            if command and self._works(name, command):
                found[name] = command
        return found

    def _is_here(self, name):
        programs = {"bare": "/bin/busybox", "bubblewrap": "/usr/bin/bwrap", "crun": "/usr/bin/crun", "runc": "/usr/sbin/runc",
                    "nspawn": "/usr/bin/systemd-nspawn", "schroot": "/usr/bin/schroot", "minijail": "/usr/bin/minijail0", "nsjail": "/usr/bin/nsjail",
                    "podman": "/usr/bin/podman"}
        if not os.path.exists(programs[name]):
            self.missing[name] = f"{programs[name]} is not installed (this Debian may have no such package)"
        return name not in self.missing

    def _works(self, name, command):
        done = subprocess.run([w.replace("{n}", f"try-{os.getpid()}") for w in command], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            self.missing[name] = f"does not work here: exit {done.returncode}: {said}"
        return done.returncode == 0
