"""What a keeper tells of limits that containers hit: each hit, once, also one it did not see."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from wardian.cgroups.hierarchy import Hierarchy
from wardian.cgroups.limits import Limits
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec
from wardian.runtime.state import Status

MIB = 1 << 20
# Init is no small process: with less memory it is the one that the kernel kills.
LIMITS = Limits(memory_bytes=64 * MIB, pids=12)
EAT = "x=x; while :; do x=$x$x; done"
FORK = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 1 & done"
OOM, PIDS = "oom", "limit_hit: pids"


@pytest.fixture
def limited(spec: ContainerSpec) -> ContainerSpec:
    """A container that dies of neither limit: what hits them is a process beside the main one."""
    if missing := Hierarchy.detect().cgroup("box").unenforced(LIMITS):
        pytest.skip(f"no limits to hit here: {'; '.join(missing)}")
    return replace(spec, limits=LIMITS)


def told(client: Client, since: float) -> list[str]:
    """What was told of limits until now."""
    events = client.events(since=since, until=time.time())
    return [event.action for event in events if event.action in (OOM, PIDS)]


def is_marked(box: Container) -> bool:
    """Docker's State.OOMKilled."""
    return box.info.was_oom_killed


def wait_told(client: Client, since: float, wanted: list[str]) -> None:
    wait_until(lambda: told(client, since) == wanted)


def test_out_of_memory_is_told_while_the_container_goes_on(
    client: Client, limited: ContainerSpec
) -> None:
    since = time.time()
    box = client.run(limited)
    assert shell(box, "echo plain")[0] == 0
    assert told(client, since) == []
    assert not is_marked(box)
    assert shell(box, EAT)[0] == 137
    wait_told(client, since, [OOM])
    assert (box.info.status, is_marked(box)) == (Status.RUNNING, True)
    assert shell(box, EAT)[0] == 137
    wait_told(client, since, [OOM, OOM])
    box.stop(timeout_s=0)
    assert told(client, since) == [OOM, OOM]
    assert is_marked(box)
    box.start()
    assert not is_marked(box)


def test_refused_fork_is_told_and_no_other_container_is_named(
    client: Client, limited: ContainerSpec
) -> None:
    since = time.time()
    box = client.run(limited)
    client.run(replace(limited, name="other"))
    assert shell(box, FORK)[0] != 0
    wait_told(client, since, [PIDS])
    events = list(client.events(since=since, until=time.time()))
    assert {each.name for each in events if each.action == PIDS} == {"box"}


def test_container_that_dies_of_memory_is_told_of_before_its_end(
    client: Client, limited: ContainerSpec
) -> None:
    since = time.time()
    main = ProcessSpec(argv=("/bin/sh", "-c", EAT))
    box = client.run(replace(limited, process=main))
    box.wait()
    wait_until(lambda: box.info.status is Status.EXITED)
    actions = [event.action for event in client.events(since=since, until=time.time())]
    assert actions[-2:] == [OOM, "die"]
    assert (box.info.exit_code, box.info.exit_reason) == (137, "out of memory")


def test_container_that_outlives_a_kill_does_not_die_of_memory(
    client: Client, limited: ContainerSpec, tmp_path: Path
) -> None:
    """A process of it was killed for want of memory, and then its main one ends by itself."""
    script = f"sh -c '{EAT}'; until test -e /orders/end; do sleep 0.05; done; exit 1"
    binds = (Bind(source=str(tmp_path), target="/orders"),)
    main = ProcessSpec(argv=("/bin/sh", "-c", script))
    box = client.run(replace(limited, process=main, binds=binds))
    wait_until(lambda: is_marked(box))
    (tmp_path / "end").touch()
    box.wait()
    wait_until(lambda: box.info.status is Status.EXITED)
    assert (box.info.exit_code, box.info.exit_reason) == (1, "")
    assert is_marked(box)


def test_hit_that_no_keeper_saw_is_told_once_by_the_next(
    state: Path, client: Client, limited: ContainerSpec, tmp_path: Path
) -> None:
    since = time.time()
    orders = tmp_path / "orders"
    orders.mkdir()
    box = client.run(replace(limited, binds=(Bind(source=str(orders), target="/orders"),)))
    script = f"until test -e /orders/eat; do sleep 0.05; done; {EAT}"
    box.spawn(ProcessSpec(argv=("/bin/sh", "-c", script))).close()
    name = "/".join(Path(next(iter(box.info.cgroups.values()))).parts[-3:])
    group = Hierarchy.detect().cgroup(name)
    assert set(map(str, group.paths.values())) == set(box.info.cgroups.values())
    for times in (1, 0):
        keeper = keeper_pid(state)
        assert keeper is not None
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: keeper_pid(state) is None)
        if times:
            (orders / "eat").touch()
            wait_until(lambda: group.events().oom_kill == 1)
        with Client.connect(state) as again:
            wait_until(lambda: box.info.was_oom_killed)  # at once
            wait_told(again, since, [OOM] * times)
    group.close()


def test_keeper_keeps_no_descriptor_of_what_it_watched(
    state: Path, client: Client, limited: ContainerSpec
) -> None:
    def open_now() -> int:
        keeper = keeper_pid(state)
        assert keeper is not None
        return len(os.listdir(f"/proc/{keeper}/fd"))

    def round_of(number: int) -> None:
        box = client.run(replace(limited, name=f"box{number}"))
        shell(box, EAT)
        shell(box, FORK)
        box.remove(force=True)

    round_of(0)
    before = open_now()
    for number in range(1, 4):
        round_of(number)
    wait_until(lambda: open_now() <= before)
