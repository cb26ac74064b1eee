"""An ordinary user of this host, whom root becomes in tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import wardian
from tests.linux.conftest import UID, keeper_pid, wait_until
from wardian.cgroups.devices import DeviceRule
from wardian.cgroups.files import remove_directory, words, write
from wardian.cgroups.hierarchy import Hierarchy
from wardian.cgroups.limits import Limits
from wardian.errors import KernelRefused

FIRST, COUNT = 500_000, 65_536
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="root becomes an ordinary user here; run the tests as root"
)

# What cgroup-v2's "Delegation Containment" says is given away with a group.
V2_GIVEN = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What udev(7) gives everybody, where this host has none of it.
TUN = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200"

PRELUDE = """
import json, os, sys, time
from msgspec.structs import replace
from pathlib import Path
from wardian.cgroups.limits import Limits
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec, Tmpfs, UserNamespace

client = Client.connect(Path(os.environ["WARDIAN_ROOT"]))
spec = ContainerSpec(name="box", image="busybox", lowers=(os.environ["LAYER"],))

def shell(container, command, **options):
    read_fd, write_fd = os.pipe()
    process = container.spawn(
        ProcessSpec(argv=("sh", "-c", command), **options), {1: write_fd, 2: write_fd}
    )
    os.close(write_fd)
    with open(read_fd) as output, process:
        return output.read().strip(), process.wait(30)

def show(value):
    print(json.dumps(value))
"""


class Gardener:
    """A user of this host who is not root, with or without subordinate ids (subuid(5))."""

    def __init__(self, home: Path, interpreter: str, layer: Path, *, subordinate: bool) -> None:
        self.home, self.state = home, home / "state"
        self.place: tuple[str, ...] = ()  # a command that leads to another network namespace
        self.path = PATH
        self.state.mkdir(mode=0o711)
        os.chown(self.state, UID, UID)
        self.interpreter = interpreter
        shutil.copytree(layer, home / "layer", symlinks=True)
        _give(home / "layer")  # an ordinary user's store is its own
        lay_out_etc(home / "etc", home, subordinate=subordinate)

    def run(self, program: str, groups: Iterable[Path] = ()) -> Any:
        """Run a program as that user, with an /etc that only it sees; what it ``show``s.

        It starts in these cgroups.
        """
        become = f"setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all"
        python = 'env PATH="$USERS_PATH" "$PYTHON" -c "$PROGRAM"'
        enter = "".join(f"echo $$ > {group}/cgroup.procs && " for group in groups)
        script = f'{enter}mount --bind "$ETC" /etc && {TUN} && exec {become} {python}'
        done = subprocess.run(
            [*self.place, "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env={
                "PATH": PATH,
                "USERS_PATH": self.path,
                "HOME": str(self.home),
                "ETC": str(self.home / "etc"),
                "PYTHON": self.interpreter,
                "PYTHONPATH": str(self.home / "lib"),
                "PROGRAM": PRELUDE + textwrap.dedent(program),
                "LAYER": str(self.home / "layer"),
                "WARDIAN_ROOT": str(self.state),
                "WARDIAN_KEEPER_IDLE_S": "0.1",
                "WARDIAN_SWITCH_IDLE_S": "0.1",
            },
            cwd="/",
            capture_output=True,
            text=True,
            timeout=200,  # emulated, it takes ten times as long as here
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def lay_out_etc(etc: Path, home: Path, *, subordinate: bool) -> None:
    """An /etc that knows the user."""
    etc.mkdir()
    etc.chmod(0o755)
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "login.defs"):
        if Path("/etc", name).exists():
            shutil.copy(f"/etc/{name}", etc)
    if Path("/etc/ld.so.conf.d").is_dir():
        shutil.copytree("/etc/ld.so.conf.d", etc / "ld.so.conf.d")
    with open(etc / "passwd", "a") as users:
        users.write(f"gardener:x:{UID}:{UID}::{home}:/bin/sh\n")
    for name in ("subuid", "subgid"):
        (etc / name).write_text(f"gardener:{FIRST}:{COUNT}\n" if subordinate else "")


def _give(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, UID, UID, follow_symlinks=False)


@contextmanager
def employed(
    interpreter: str, layer: Path, packages: Sequence[ModuleType] = (), *, subordinate: bool
) -> Iterator[Gardener]:
    """Such a user, with these Python packages beside ours; nothing of theirs stays."""
    if subordinate and not shutil.which("newuidmap"):
        pytest.skip("no newuidmap; apt-get install uidmap")
    home = Path(tempfile.mkdtemp(prefix="gardener-"))  # pytest's own folders are root's alone
    home.chmod(0o755)
    for package in (wardian, msgspec, *packages):
        assert package.__file__ is not None
        source = Path(package.__file__).parent
        # With what is compiled already: the user may write none, and would compile in each process.
        shutil.copytree(source, home / "lib" / source.name)
    user = Gardener(home, interpreter, layer, subordinate=subordinate)
    try:
        yield user
    finally:
        user.run(
            """
            for info in client.list():
                client.container(info.id).remove(force=True)
            show(None)
            """
        )
        for kind in ("keeper", "switch"):
            wait_until(lambda kind=kind: keeper_pid(user.state, kind) is None)  # type: ignore[misc]
    assert os.listdir(user.state / "containers") == []
    assert os.listdir(user.state / "snapshots") == []
    shutil.rmtree(home)


@contextmanager
def delegated(hierarchy: Hierarchy) -> Iterator[tuple[Path, ...]]:
    """A group in each hierarchy that is the user's to divide, as systemd's Delegate= makes it.

    What the user has made in them goes with them.
    """
    name = f"wardian-gardener-{secrets.token_hex(4)}"
    groups = tuple(parent / name for parent in hierarchy.parents.values())
    everything = DeviceRule.parse("a *:* rwm")
    hierarchy.cgroup(name).create(Limits(device_rules=(everything,)))
    for group in groups:
        is_v2 = (group / "cgroup.subtree_control").exists()
        if is_v2:  # a container of root's may have done so already, or not
            for controller in words(group.parent / "cgroup.controllers"):
                write(group.parent / "cgroup.subtree_control", f"+{controller}")
        given = V2_GIVEN if is_v2 else tuple(os.listdir(group))
        for path in (group, *(group / each for each in given)):
            os.chown(path, UID, UID)
    try:
        yield groups
    finally:
        wait_until(lambda: _are_removed(groups))


def _are_removed(groups: Iterable[Path]) -> bool:
    for group in groups:
        with suppress(KernelRefused):
            remove_directory(group)
    return not any(group.exists() for group in groups)
