"""A machine's configuration directories without touching this machine's: a mount namespace in which /etc, /run and the
directories of packages are a test's own.

Knows how the namespace is made and how a program is run in it. Knows no key.
"""

import pathlib
import shutil
import subprocess

DIRECTORIES = ("/etc/nsrootd", "/run/nsrootd", "/usr/local/lib/nsrootd", "/usr/lib/nsrootd")  # the highest first
ACCOUNTS = {
    "passwd": "root:x:0:0::/:/bin/sh\nalice:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n",
    "group": "root:x:0:\nstudents:x:3001:alice,bob\n",
    "nsswitch.conf": "passwd: files\ngroup: files\n",
}
# /usr/lib is everything's: what is written there is over it, and gone with the namespace.
MOUNTS = """
set -e
cache=$(mktemp)
cp /etc/ld.so.cache $cache
mount -t tmpfs test /mnt
for d in /usr/lib /usr/local/lib; do
    mkdir -p /mnt$d/upper /mnt$d/work
    mount -t overlay overlay -o lowerdir=$d,upperdir=/mnt$d/upper,workdir=/mnt$d/work $d
done
mount -t tmpfs test /etc
mv $cache /etc/ld.so.cache
mount -t tmpfs test /run
echo ready
exec sleep infinity
"""


class Machine:
    """As a context: up while the block runs."""

    def __enter__(self):
        self._keeper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNTS],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._keeper.stdout.readline() == "ready\n"
        for name, text in ACCOUNTS.items():
            self.path("/etc", name).write_text(text)
        self.clear()
        return self

    def __exit__(self, *_):
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()

    def path(self, *parts):
        """Where this process finds a file of the machine."""
        return pathlib.Path(f"/proc/{self._keeper.pid}/root", pathlib.Path(*parts).relative_to("/"))

    def clear(self):
        """No configuration at all."""
        for directory in DIRECTORIES:
            shutil.rmtree(self.path(directory), ignore_errors=True)

    def write(self, file, text):
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def link(self, file, target):
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def run(self, *argv, timeout=60, **kw):
        return subprocess.run(["nsenter", "-m", "-t", str(self._keeper.pid), "--", *map(str, argv)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, **kw)
