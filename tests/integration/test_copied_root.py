"""A state directory that cannot be mounted with other owners (on an overlay): each session's root is a copy of its own."""

import pytest

# The state directory becomes one on an overlay, in the daemon's own mount namespace, before the daemon starts.
OVERLAY = """
    layers=$(mktemp -d) && mount -t tmpfs layers "$layers" && mkdir "$layers"/lower "$layers"/upper "$layers"/work &&
    mount -t overlay -o lowerdir="$layers"/lower,upperdir="$layers"/upper,workdir="$layers"/work state "$0" || exit 1
    chmod 700 "$0"; umount -l "$layers"; rmdir "$layers"; exec "$@"
"""


@pytest.fixture
def copying(fresh_daemon):
    d = fresh_daemon(start=False)
    d.wrapper = ["sh", "-c", OVERLAY, str(d.state_dir)]
    return d.start()


def test_it_is_no_overlay(copying):
    mounts = copying.run("mount").stdout.splitlines()
    assert mounts[0].startswith("nsroot on / type tmpfs (rw,nosuid,nodev,")
    assert str(copying.state_dir) not in "\n".join(mounts)


def test_the_root_is_the_same_and_its_owners_are(copying, daemon):
    script = "find /bin /etc /lib /lib64 /root /sbin /tmp /var -exec stat -c '%N %f %u %g' {} + | sort"
    here, there = (d.run("sh", "-c", script).stdout.splitlines() for d in (copying, daemon))
    assert len(here) > 200 and here == there


def test_it_can_be_changed_in_every_way_and_is_new_again(copying):
    done = copying.run("sh", "-c", "rm -r /etc && mkdir /etc && mv /var /var2 && touch /x && chown 1000 /x && ls /")
    assert done.returncode == 0 and "var2" in done.stdout, done.stderr
    assert "etc" in copying.run("ls", "/").stdout and "var2" not in copying.run("ls", "/").stdout


def test_it_can_be_read_only(copying):
    done = copying.run("sh", "-c", "touch /tmp/x /run/x && touch /x", options=["--read-only"])
    assert done.returncode == 1 and "Read-only file system" in done.stderr


def test_it_has_a_limit(fresh_daemon):
    d = fresh_daemon("[Limits]\nStorageMax=8M\n", start=False)
    d.wrapper = ["sh", "-c", OVERLAY, str(d.state_dir)]
    done = d.start().run("dd", "if=/dev/zero", "of=/big", "bs=1M", "count=20")
    assert done.returncode == 1 and "No space left on device" in done.stderr
