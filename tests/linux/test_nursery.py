"""Prepared sandboxes: used where they suit, and never in place of what was asked for."""

from __future__ import annotations

import os
import select
import shutil
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from wardian.cgroups.limits import Limits
from wardian.runtime.client import Client
from wardian.runtime.nursery import SPARES
from wardian.runtime.paths import group_folder
from wardian.runtime.spec import ContainerSpec, Tmpfs

LIMIT_FILES = ("memory.limit_in_bytes", "memory.max")


def children(state: Path, name: str) -> set[int]:
    """The keeper's children of this name."""
    keeper = keeper_pid(state)
    pids = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return {int(pid) for pid in pids if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"}


def spares(client: Client, state: Path) -> set[int]:
    """All sandboxes that wait, as soon as there are as many as there shall be."""
    running = {info.host_pid for info in client.list()}

    def waiting() -> set[int]:
        return children(state, "wardian-init") - running

    def all_rest() -> bool:
        """Each waits for orders: for the next message of the keeper."""
        return len(waiting()) == SPARES and all(
            "unix_stream" in Path(f"/proc/{pid}/wchan").read_text() for pid in waiting()
        )

    wait_until(all_rest)
    return waiting()


@pytest.fixture
def layer(busybox_layer: Path, tmp_path: Path) -> Path:
    """A root tree of the test's own."""
    return shutil.copytree(busybox_layer, tmp_path / "layer", symlinks=True)


def test_second_container_of_an_image_was_there_before_it_was_asked_for(
    client: Client, state: Path, spec: ContainerSpec
) -> None:
    client.run(spec)
    waiting = spares(client, state)
    second = client.run(replace(spec, name="second", limits=Limits(memory_bytes=32 << 20, pids=50)))
    assert second.info.host_pid in waiting
    assert shell(second, "hostname; cat /etc/hostname; touch /x && ls -d /x") == (
        0,
        f"{second.id[:12]}\n{second.id[:12]}\n/x\n",
    )
    assert shell(second, "grep -E 'Seccomp:|NoNewPrivs|CapEff' /proc/1/status")[1].split() == [
        "CapEff:",
        "00000000a80425fb",
        "NoNewPrivs:",
        "1",
        "Seccomp:",
        "2",
    ]
    memory = Path(second.info.cgroups.get("memory") or second.info.cgroups["unified"])
    limit = next(memory / name for name in LIMIT_FILES if (memory / name).exists())
    assert int(limit.read_text()) == 32 << 20


@pytest.mark.parametrize(
    ("changes", "command", "said"),
    [
        ({"hostname": "fern"}, "hostname; cat /etc/hostname", "fern\nfern\n"),
        ({"read_only": True}, "touch /x 2>/dev/null || echo refused", "refused\n"),
        ({"cap_drop": ("ALL",)}, "chown 1 /tmp 2>/dev/null || echo refused", "refused\n"),
        ({"tmpfs": (Tmpfs(target="/scratch"),)}, "stat -f -c %T /scratch", "tmpfs\n"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_what_a_spare_lacks_is_not_left_out(
    client: Client,
    state: Path,
    spec: ContainerSpec,
    changes: dict[str, object],
    command: str,
    said: str,
) -> None:
    client.run(spec)
    spares(client, state)
    other = replace(spec, name="other", **changes)  # from the table
    assert shell(client.run(other), command) == (0, said)
    spares(client, state)  # now of this other kind
    assert shell(client.run(replace(other, name="third")), command) == (0, said)
    assert shell(client.run(replace(spec, name="fourth")), "touch /x && chown 1 /tmp") == (0, "")


def test_layer_that_was_replaced_meanwhile_is_the_new_one(
    client: Client, state: Path, spec: ContainerSpec, layer: Path
) -> None:
    spec = replace(spec, lowers=(str(layer),))
    client.run(spec)
    spares(client, state)
    layer.rename(layer.with_name("old"))
    shutil.copytree(layer.with_name("old"), layer, symlinks=True)
    (layer / "new").touch()
    assert shell(client.run(replace(spec, name="second")), "ls -d /new") == (0, "/new\n")


def test_killed_zygote_is_replaced(client: Client, state: Path, spec: ContainerSpec) -> None:
    client.run(spec)
    spares(client, state)
    (zygote,) = children(state, "wardian-zygote")
    os.kill(zygote, signal.SIGKILL)
    boxes = [client.run(replace(spec, name=f"box{n}")) for n in range(SPARES + 2)]
    assert [shell(box, "echo here") for box in boxes] == [(0, "here\n")] * len(boxes)
    # What it has just cloned has its name for a moment.
    wait_until(lambda: len(children(state, "wardian-zygote")) == 1)
    assert children(state, "wardian-zygote") != {zygote}


def test_keeper_whose_state_root_is_removed_leaves_no_group(
    client: Client, state: Path, spec: ContainerSpec
) -> None:
    client.run(spec).remove(force=True)
    spares(client, state)
    folder = group_folder(state)
    groups = [*Path("/sys/fs/cgroup").glob("*/"), Path("/sys/fs/cgroup")]
    assert any((top / folder).exists() for top in groups)
    pidfd = os.pidfd_open(keeper_pid(state) or 0)
    shutil.rmtree(state)
    client.close()
    assert select.select([pidfd], [], [], 60)[0]
    os.close(pidfd)
    assert not [top for top in groups if (top / folder).exists()]
