"""What only the overlay driver must know, and what becomes of a user's subordinate ids."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wardian.storage.overlay import OverlaySnapshotter, kernel_has_overlay


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root; run the tests as root")
def test_snapshot_carries_an_overlay(tmp_path: Path) -> None:
    """Mounted where only the child sees it; what is written there lands in the upper."""
    driver = OverlaySnapshotter(tmp_path / "state")
    snapshot = driver.prepare("one")
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower/file").write_text("from the image")
    options = f"lowerdir={tmp_path}/lower,upperdir={snapshot.upper},workdir={snapshot.work}"
    script = f"mount -t overlay none -o {options} /mnt; cat /mnt/file; echo new >/mnt/new"
    said = subprocess.check_output(["unshare", "-m", "sh", "-ec", script], text=True)
    assert said == "from the image"
    assert (snapshot.upper / "new").read_text() == "new\n"
    driver.remove("one")
    assert list(driver.keys()) == []


PROGRAM = """
import sys
from pathlib import Path
from wardian.errors import SetupError
from wardian.storage.overlay import OverlaySnapshotter
try:
    OverlaySnapshotter(Path(sys.argv[1])).prepare("one")
except SetupError as error:
    print(error)
"""


def prepare_on(tmp_path: Path, mount: str) -> str:
    """What the driver says on a file system that only the child mounts at ``tmp_path``/here."""
    (tmp_path / "here").mkdir()
    script = f'cd {tmp_path}; {mount}; exec "$0" -c "$1" {tmp_path}/here/state'
    command = ["unshare", "-m", "sh", "-ec", script, sys.executable, PROGRAM]
    return subprocess.check_output(command, text=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root; run the tests as root")
@pytest.mark.parametrize(
    ("mount", "what", "hint"),
    [
        (
            "mkdir l u w; mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w here",
            "is on overlayfs",
            "set WARDIAN_ROOT to a volume or a tmpfs",
        ),
        ("mount -t tmpfs -o ro none here", "Read-only file system", "it is read-only"),
        (
            "mount -t tmpfs -o nr_inodes=4 none here",
            "No space left on device",
            "free some space",
        ),
    ],
    ids=["on overlay", "read-only", "full"],
)
def test_unfit_state_directory_is_said_with_what_to_do(
    tmp_path: Path, mount: str, what: str, hint: str
) -> None:
    said = prepare_on(tmp_path, mount)
    assert what in said
    assert hint in said
    assert str(tmp_path) not in said


def test_kernel_without_overlay_is_known(tmp_path: Path) -> None:
    (tmp_path / "filesystems").write_text("nodev\tsysfs\n\text4\n")
    assert not kernel_has_overlay(tmp_path, tmp_path)
    (tmp_path / "modules.dep").write_text("kernel/fs/overlayfs/overlay.ko.xz:\n")
    assert kernel_has_overlay(tmp_path, tmp_path)
    (tmp_path / "modules.dep").unlink()
    (tmp_path / "filesystems").write_text("nodev\tsysfs\nnodev\toverlay\n")
    assert kernel_has_overlay(tmp_path, tmp_path)


# --- ids of a rootless user --------------------------------------------------------------------

ROOTLESS = """
import os, sys
from pathlib import Path
from wardian.errors import SetupError
from wardian.storage.foreign import as_root_of_own_ids
from wardian.storage.overlay import OverlaySnapshotter

driver = OverlaySnapshotter(Path(sys.argv[1]))
upper = driver.prepare("one").upper

def fill():
    os.makedirs(upper / "home/plant/deep")
    (upper / "home/plant/deep/file").touch()
    for path in ("home/plant/deep/file", "home/plant/deep", "home/plant"):
        os.chown(upper / path, 5, 7)
    os.chmod(upper / "home/plant/deep", 0o700)
    os.chmod(upper / "home/plant", 0o500)

try:
    if sys.argv[2] == "fill":
        as_root_of_own_ids(fill)
        status = (upper / "home/plant").stat()
        print(status.st_uid, status.st_gid)
    driver.remove("one")
    print(list(driver.keys()), os.listdir(upper.parents[2]))
    as_root_of_own_ids(lambda: os.rmdir("/nothing"))
except (SetupError, FileNotFoundError) as error:
    print(error)
"""


def rootless(tmp_path: Path, ranges: str, *arguments: str) -> list[str]:
    """What a program says that an ordinary user runs who has these subordinate ids."""
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    (tmp_path / "ids").write_text(ranges)
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\nplant:x:4321:4321::/:/bin/sh\n")
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 4321, 4321)
    binds = {"ids": ("/etc/subuid", "/etc/subgid"), "passwd": ("/etc/passwd",)}
    mounts = [f"mount -B {tmp_path}/{name} {to}" for name, every in binds.items() for to in every]
    user = "setpriv --reuid=4321 --regid=4321 --clear-groups"
    script = f'{"; ".join(mounts)}; exec {user} "$0" -c "$@"'
    command = ["unshare", "-m", "sh", "-ec", script, sys.executable, ROOTLESS]
    said = subprocess.check_output([*command, tmp_path / "home/state", *arguments], text=True)
    return said.splitlines()


needs_uidmap = pytest.mark.skipif(
    os.geteuid() != 0
    or not Path("/usr/bin/newuidmap").exists()
    or not Path("/etc/subuid").exists(),
    reason="needs root, newuidmap and /etc/subuid; apt-get install uidmap and run as root",
)


@needs_uidmap
def test_files_of_subordinate_ids_are_removed(tmp_path: Path) -> None:
    said = rootless(tmp_path, "plant:500000:65536\n", "fill")
    assert said[0] == "500004 500006"  # 5 and 7 of the container: 1 is the first subordinate id
    assert said[1] == "[] []"
    assert "No such file or directory" in said[2]


@needs_uidmap
def test_without_subordinate_ids_the_way_out_is_told(tmp_path: Path) -> None:
    said = rootless(tmp_path, "", "empty")
    assert said[0] == "[] []"
    assert "not yours" in said[1]
    assert "/etc/subuid" in said[2]
