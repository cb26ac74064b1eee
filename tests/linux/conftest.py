"""Real containers in a state root of the test's own, and a host as clean afterwards as before."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out, program
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

BUSYBOX = Path("/bin/busybox")
UID = 60_123  # an ordinary user's


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Poll a condition; fail loudly if it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout_s} s: {condition}")
        time.sleep(0.01)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state root with a keeper that leaves as soon as nobody needs it."""
    root = tmp_path / "state"
    monkeypatch.setenv("WARDIAN_ROOT", str(root))
    monkeypatch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
    monkeypatch.setenv("WARDIAN_SWITCH_IDLE_S", "0.1")
    tmp_path.chmod(0o711)
    yield root
    if root.exists():
        with Client.connect(root) as client:
            for info in client.list():
                client.container(info.id).remove(force=True)
        wait_until(lambda: keeper_pid(root) is None)
        wait_until(lambda: keeper_pid(root, "switch") is None)


def keeper_pid(root: Path, kind: str = "keeper") -> int | None:
    """Who holds the keeper's (or the switch's) lock; None if nobody."""
    if kind == "switch" and not (root / "switch.lock").exists():
        return None
    with open(root / f"{kind}.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            inode = os.fstat(lock.fileno()).st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                fields = line.split()
                if fields[1] == "FLOCK" and int(fields[5].rsplit(":", 1)[1]) == inode:
                    return int(fields[4])
            return None
        return None


def open_files(host_pid: int | None) -> list[str]:
    """What a process has open, but for what it closes meanwhile."""
    found = []
    for fd in Path(f"/proc/{host_pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found


@pytest.fixture
def client(state: Path) -> Iterator[Client]:
    with Client.connect(state) as client:
        yield client


@pytest.fixture(scope="session")
def busybox_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root tree with nothing but a static busybox."""
    if not BUSYBOX.exists():
        pytest.skip("no /bin/busybox; apt-get install busybox-static")
    layer = tmp_path_factory.mktemp("busybox")
    for parent in [layer, *layer.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    (layer / "bin").mkdir()
    shutil.copy(BUSYBOX, layer / "bin/busybox")
    for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if applet != "busybox":
            (layer / "bin" / applet).symlink_to("busybox")
    for name in ("etc", "tmp", "root"):
        (layer / name).mkdir()
    (layer / "tmp").chmod(0o1777)
    (layer / "srv/page").mkdir(parents=True)
    (layer / "srv/page/leaf").write_text("green\n")
    (layer / "srv/page/stem").write_text("brown\n")
    (layer / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nplant:x:1000:1000::/tmp:/bin/sh\n"
    )
    (layer / "etc/group").write_text("root:x:0:\nplant:x:1000:\nwater:x:2000:plant\n")
    layer.chmod(0o755)
    return layer


@pytest.fixture(scope="session")
def base_layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The layers of ``wardian/base``, made once for all tests."""
    image = resolve(ImageStore(tmp_path_factory.mktemp("store")), "wardian/base")
    return tuple(map(str, image.layer_directories))


@pytest.fixture
def spec(busybox_layer: Path) -> ContainerSpec:
    return ContainerSpec(name="box", image="busybox", lowers=(str(busybox_layer),))


@pytest.fixture
def box(client: Client, spec: ContainerSpec) -> Container:
    """A running container with init alone in it."""
    return client.run(spec)


def shell(container: Container, command: str, **options: object) -> tuple[int, str]:
    """Run a shell command in the container: its exit code and what it printed."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        process = container.spawn(
            ProcessSpec(argv=("/bin/sh", "-c", command), **options),  # type: ignore[arg-type]
            {1: write_fd, 2: write_fd},
        )
    finally:
        os.close(write_fd)
    with open(read_fd, encoding="utf-8", errors="replace") as output, process:
        text = output.read()
        return process.wait(30), text


@pytest.fixture
def wardian(state: Path) -> Wardian:
    """Run one command line of the real program."""
    if not BUSYBOX.exists():
        pytest.skip("no static busybox; apt-get install busybox-static")
    resolve(ImageStore(state), IMAGE)  # made by a command it would, when slow, be told of
    return program(state)


@pytest.fixture
def web(wardian: Wardian) -> str:
    """A container that runs and prints a line on each stream."""
    script = "echo to stdout; echo to stderr >&2; exec sleep 1000"
    out(wardian("run", "-d", "--name", "web", IMAGE, "sh", "-c", script))
    return "web"


def python(container: Container, program: str, **options: object) -> tuple[int, str]:
    """Run a Python program in a container that has one: its exit code and what it printed."""
    return shell(container, f"exec python3 -c {shlex.quote(textwrap.dedent(program))}", **options)


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


@pytest.fixture
def fuse(tmp_path: Path) -> Path:
    """A node of /dev/fuse's that everybody may open: that of the host may be root's alone."""
    if not Path("/dev/fuse").exists():
        pytest.skip("the host has no /dev/fuse to show")
    node = tmp_path / "fuse"
    os.mknod(node, 0o666 | stat.S_IFCHR, Path("/dev/fuse").stat().st_rdev)
    node.chmod(0o666)
    return node
