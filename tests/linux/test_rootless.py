"""An ordinary user's containers, end to end: with one id, and with subordinate ids."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wardian
from tests.linux.conftest import keeper_pid, wait_until

UID, FIRST, COUNT = 60_123, 500_000, 65_536
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="root becomes an ordinary user here; run the tests as root"
)

PRELUDE = """
import json, os, sys
from dataclasses import replace
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
        self.state.mkdir(mode=0o711)
        os.chown(self.state, UID, UID)
        self.interpreter = interpreter
        shutil.copytree(layer, home / "layer", symlinks=True)
        _give(home / "layer")  # an ordinary user's store is its own
        etc = home / "etc"
        etc.mkdir()
        etc.chmod(0o755)
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "login.defs"):
            if Path("/etc", name).exists():
                shutil.copy(f"/etc/{name}", etc)
        with open(etc / "passwd", "a") as users:
            users.write(f"gardener:x:{UID}:{UID}::{home}:/bin/sh\n")
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"gardener:{FIRST}:{COUNT}\n" if subordinate else "")

    def run(self, program: str) -> Any:
        """Run a program as that user, with an /etc that only it sees; what it ``show``s."""
        become = f"setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all"
        script = f'mount --bind "$ETC" /etc && exec {become} "$PYTHON" -c "$PROGRAM"'
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.home),
                "ETC": str(self.home / "etc"),
                "PYTHON": self.interpreter,
                "PYTHONPATH": str(self.home / "lib"),
                "PROGRAM": PRELUDE + textwrap.dedent(program),
                "LAYER": str(self.home / "layer"),
                "WARDIAN_ROOT": str(self.state),
                "WARDIAN_KEEPER_IDLE_S": "0.1",
            },
            cwd="/",
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _give(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, UID, UID, follow_symlinks=False)


@pytest.fixture(scope="module")
def interpreter() -> str:
    """A Python of our version that everybody may run: ours may lie in root's home."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (os.path.realpath(sys.executable), f"/usr/bin/python{version}"):
        with_user = {"user": UID, "group": UID, "extra_groups": []}
        try:
            subprocess.run([path, "-c", ""], check=True, cwd="/", **with_user)  # type: ignore[call-overload]
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    pytest.skip(f"no python{version} that an ordinary user may run; apt-get install python3")


@pytest.fixture(params=["one id", "subordinate ids"])
def gardener(
    request: pytest.FixtureRequest, interpreter: str, busybox_layer: Path
) -> Iterator[Gardener]:
    if request.param == "subordinate ids" and not shutil.which("newuidmap"):
        pytest.skip("no newuidmap; apt-get install uidmap")
    home = Path(tempfile.mkdtemp(prefix="gardener-"))  # pytest's own folders are root's alone
    home.chmod(0o755)
    for package in (wardian, msgspec):
        assert package.__file__ is not None
        source = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, home / "lib" / source.name, ignore=ignored)
    user = Gardener(
        home, interpreter, busybox_layer, subordinate=request.param == "subordinate ids"
    )
    yield user
    user.run(
        """
        for info in client.list():
            client.container(info.id).remove(force=True)
        show(None)
        """
    )
    wait_until(lambda: keeper_pid(user.state) is None)
    assert os.listdir(user.state / "containers") == []
    assert os.listdir(user.state / "snapshots") == []
    shutil.rmtree(home)


def has_range(user: Gardener) -> bool:
    return bool((user.home / "etc/subuid").read_text())


def test_container_runs_for_an_ordinary_user(gardener: Gardener) -> None:
    said = gardener.run(
        """
        box = client.run(spec)
        who = shell(box, "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups")
        shell(box, "echo fern > /plant; rm /etc/group; mkdir /tmp/deep")
        info = box.info
        owner = os.stat(info.upper + "/plant").st_uid
        box.stop(timeout_s=1)
        box.start()
        again = shell(box, "cat /plant; test -e /etc/group || echo gone")
        box.remove(force=True)
        show([who, owner, again, os.path.exists(info.upper), info.warnings])
        """
    )
    (who, code), owner, again, is_left, warnings = said
    uid, gid, *maps, setgroups = who.split()
    assert (uid, gid, code) == ("0", "0", 0)
    one = ["0", str(UID), "1"]
    if has_range(gardener):
        assert (maps, setgroups) == ([*one, "1", str(FIRST), str(COUNT - 1)], "allow")
    else:
        assert (maps, setgroups) == (one, "deny")
    assert owner == UID
    assert again == ["fern\ngone", 0]
    assert (is_left, warnings) == (False, [])


def test_other_users_inside_need_subordinate_ids(gardener: Gardener) -> None:
    said = gardener.run(
        """
        box = client.run(spec)
        try:
            found = shell(box, "touch /tmp/own; stat -c %u /tmp/own; id -G", user="plant")
            found = [*found, os.stat(box.info.upper + "/tmp/own").st_uid]
        except WardianError as error:
            found = [error.what, error.hint]
        show(found)
        """
    )
    if has_range(gardener):
        assert said == ["1000\n1000 2000", 0, FIRST + 999]
    else:
        assert said[0].startswith("cannot run as 1000:1000")
        assert "maps fewer ids" in said[1]


def test_root_inside_is_no_more_than_the_user_outside(gardener: Gardener) -> None:
    said = gardener.run(
        """
        Path(os.environ["WARDIAN_ROOT"], "own").write_text("untouched")
        binds = (
            Bind(source="/etc", target="/host/etc", read_only=False),
            Bind(source="/proc/sys/kernel", target="/host/kernel", read_only=False),
        )
        box = client.run(replace(spec, binds=binds))
        tried = {
            command: shell(box, command)[1]
            for command in (
                "echo x >> /host/etc/passwd",
                "cat /host/etc/shadow",
                "echo x > /host/kernel/core_pattern",
                "mount -t tmpfs none /mnt",
                "chown 12345 /root",
                "mknod /null c 1 3",
            )
        }
        show(tried)
        """
    )
    assert said.pop("chown 12345 /root") == (0 if has_range(gardener) else 1)
    assert all(said.values()), said


def test_pipes_terminals_tmpfs_and_binds_work_as_for_root(gardener: Gardener) -> None:
    said = gardener.run(
        """
        shared = Path(os.environ["WARDIAN_ROOT"]).parent / "state/shared"
        shared.mkdir()
        (shared / "fern").write_text("green")
        box = client.run(replace(
            spec,
            binds=(Bind(source=str(shared), target="/shared", read_only=False),),
            tmpfs=(Tmpfs(target="/scratch", size_bytes=1 << 20),),
            process=ProcessSpec(argv=("sh", "-c", "echo logged; exec sleep 1000")),
        ))
        found = shell(box, "cat /shared/fern; echo moss > /shared/new; touch /scratch/x")
        process = box.spawn(ProcessSpec(argv=("tty",)), terminal=True)
        terminal = os.read(process.terminal_fd, 100).decode().strip()
        process.wait(10)
        process.close()
        show([found, (shared / "new").read_text(), terminal])
        import shutil
        box.remove(force=True)
        shutil.rmtree(shared)
        """
    )
    assert said == [["green", 0], "moss\n", "/dev/pts/0"]


def test_what_only_root_can_give_is_refused_with_a_reason(gardener: Gardener) -> None:
    said = gardener.run(
        """
        refused = []
        for wrong in (
            replace(spec, user_namespace=UserNamespace.HOST),
            replace(spec, limits=Limits(memory_bytes=64 << 20)),
        ):
            try:
                client.run(wrong)
            except WardianError as error:
                refused.append([error.what, error.hint])
        box = client.run(replace(spec, limits=Limits(memory_bytes=64 << 20), best_effort=True))
        show([refused, box.info.warnings, shell(box, "echo lives")])
        """
    )
    refused, warnings, alive = said
    assert refused[0][0].startswith("only root can run a container without a user namespace")
    if len(refused) == 2:  # no cgroup is delegated to this user
        assert refused[1][0].startswith("this host cannot enforce: memory")
        assert warnings and warnings[0].startswith("memory")
    assert alive == ["lives", 0]


def test_killed_keeper_of_a_user_is_replaced(gardener: Gardener) -> None:
    gardener.run("client.run(spec); show(None)")
    keeper = keeper_pid(gardener.state)
    assert keeper is not None
    os.kill(keeper, 9)
    wait_until(lambda: keeper_pid(gardener.state) is None)
    said = gardener.run(
        """
        box = client.container("box")
        show([box.info.status.value, shell(box, "echo lives")])
        """
    )
    assert said == ["running", ["lives", 0]]
