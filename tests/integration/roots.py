"""What the tests of the cache of roots share: configurations, and looking at what a daemon has made of them."""

import contextlib
import hashlib
import pathlib
import subprocess

from harness import comm_and_state, until

ROOT = "org.nsroot.root."
BUSYBOX = pathlib.Path("/bin/busybox").read_bytes()
FALLBACK = "file:/bin/busybox"
UNAVAILABLE = "SourceUnavailable"
MISMATCH = "DigestMismatch"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def config(*sources, more="", attempts=2):
    """more: further lines of [Daemon]."""
    lines = "".join(f"Source={s}\n" for s in sources)
    return f"[Daemon]\nDownloadAttempts={attempts}\n{more}[Root busybox]\nSource=\n{lines}"


def pinned(url, content=BUSYBOX):
    return f"{url} sha256:{sha256(content)}"


def cached_files(daemon):
    """What there is of roots in the state directory."""
    return sorted(p.name for d in ("roots", "names") for p in (daemon.state_dir / d).iterdir())


def partial(daemon, content=BUSYBOX):
    """Where what has come so far of a download lies."""
    return daemon.state_dir / "downloads" / sha256(content)


def partials(daemon):
    directory = daemon.state_dir / "downloads"
    return sorted(p.name for p in directory.iterdir()) if directory.exists() else []


def root_of(daemon):
    """But for how many sessions are ready in it: that changes by itself."""
    [root] = daemon.call(ROOT + "List", {"name": "busybox"})["parameters"]["roots"]
    return {key: value for key, value in root.items() if key != "warm"}


def fetchers(daemon):
    return [pid for pid in daemon.processes() if comm_and_state(pid)[0] == "nsroot-fetch"]


def pull(daemon):
    return daemon.call(ROOT + "Pull", {"name": "busybox"}, timeout=60)


def expect_nothing_made(daemon):
    assert cached_files(daemon) == []
    assert not root_of(daemon)["cached"]
    assert until(lambda: not daemon.processes(), 10), "helpers are left"


def heal(daemon):
    """A run does not try again at once what has just failed; this does, and then it works."""
    r = pull(daemon)
    assert "error" not in r, r
    expect_works(daemon)


def expect_works(daemon, content=BUSYBOX):
    r = daemon.run("busybox", "sha256sum", "/bin/busybox")
    assert (r.returncode, r.stderr, r.stdout[:64]) == (0, "", sha256(content))


@contextlib.contextmanager
def small_disk(directory, size):
    """A process in whose mount namespace the directory is a small filesystem of its own."""
    script = 'mount --make-rprivate / && mount -t tmpfs -o mode=0700,size="$1" test "$2" && echo && exec sleep 600'
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", size, directory], stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"\n"
        try:
            yield p.pid
        finally:
            p.kill()
