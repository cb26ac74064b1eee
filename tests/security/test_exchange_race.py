"""CVE-2021-30465, CVE-2024-45310: a sibling exchanges a mount's target while it is mounted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec, Tmpfs

ROUNDS = int(os.environ.get("WARDIAN_RACE_ROUNDS", "500"))  # of each kind: 1,000 starts

# renameat2(2) with RENAME_EXCHANGE, by number as no libc needs to know it.
EXCHANGE = """
import ctypes, os, platform
number = {"x86_64": 316, "aarch64": 276}[platform.machine()]
libc = ctypes.CDLL(None)
os.makedirs("/shared/dir", exist_ok=True)
os.symlink(TARGET, "/shared/link")
open("/shared/ready", "w").close()
rounds = 0
while not os.path.exists("/shared/enough"):
    for _ in range(200):
        libc.syscall(number, -100, b"/shared/dir", -100, b"/shared/link", 2)
        rounds += 1
print(rounds)
"""


@pytest.fixture
def victim() -> Iterator[Path]:
    """A directory of the host, where nothing may be mounted or made."""
    victim = Path("/tmp") / f"victim-{os.getpid()}"
    victim.mkdir(mode=0o777)
    victim.chmod(0o777)
    yield victim
    found = os.listdir(victim)
    shutil.rmtree(victim)
    assert found == []


@pytest.fixture
def attacker(
    client: Client, spec: ContainerSpec, base_layers: tuple[str, ...], tmp_path: Path, victim: Path
) -> Iterator[tuple[Container, Bind]]:
    """A container that keeps exchanging a directory and a link in a volume."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    bind = Bind(source=str(shared), target="/shared", read_only=False)
    attacker = client.run(replace(spec, name="attacker", lowers=base_layers, binds=(bind,)))
    link = "../../../../../../../../.." + str(victim)
    program = EXCHANGE.replace("TARGET", repr(link))
    with attacker.spawn(ProcessSpec(argv=("python3", "-c", program))) as process:
        wait_until((shared / "ready").exists)
        yield attacker, bind
        (shared / "enough").touch()
        assert process.wait(20) == 0


def mount_points(host_pid: int | str | None = "self") -> set[str]:
    mounts = Path(f"/proc/{host_pid}/mountinfo").read_text()
    return {line.split()[4] for line in mounts.splitlines()}


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_target_that_is_exchanged_is_never_mounted_outside(
    client: Client,
    spec: ContainerSpec,
    attacker: tuple[Container, Bind],
    victim: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    _, shared = attacker
    source = tmp_path / "source"
    source.mkdir()
    (source / "marker").touch()
    if kind == "bind":
        racing = replace(spec, binds=(shared, Bind(source=str(source), target="/shared/dir/x")))
    else:
        racing = replace(spec, binds=(shared,), tmpfs=(Tmpfs(target="/shared/dir/x"),))
    before = mount_points()
    started, seen = 0, set()
    for number in range(ROUNDS):
        with suppress(WardianError):  # the target was a link that leads nowhere in the root
            container = client.run(replace(racing, name=f"box{number}"))
            started += 1
            # Wherever it is, it is below this container's root.
            inside = mount_points(container.info.host_pid)
            seen |= {place for place in inside if place.endswith("/x")}
            container.remove(force=True)
        assert os.listdir(victim) == []
        if number % 50 == 0:
            assert mount_points() == before
    assert mount_points() == before
    assert started
    assert started < ROUNDS or len(seen) > 1, f"nobody exchanged anything: {seen}"
