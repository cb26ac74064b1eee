"""kill -9 of keeper, init and client at random moments of a container's life.

Whatever dies: containers that are to live do, and in the end nothing is left on the host that
belongs to nothing: no process, mount, cgroup, socket, descriptor or file.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.linux.conftest import keeper_pid, shell, wait_until
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.paths import group_folder
from wardian.runtime.spec import ContainerSpec, Keep, ProcessSpec
from wardian.runtime.state import Status

ROUNDS = int(os.environ.get("WARDIAN_FAULT_ROUNDS", "60"))
SEED = int(os.environ.get("WARDIAN_FAULT_SEED", str(secrets.randbits(32))))
LATEST_S = 0.06  # a start takes some milliseconds, longer where the machine is busy
PER_TEST = max(1, ROUNDS // 6)
pytestmark = pytest.mark.timeout(max(120, 2 * ROUNDS))


@pytest.fixture
def chance() -> random.Random:
    """Seeded; a failing run prints the seed."""
    print(f"WARDIAN_FAULT_SEED={SEED}")  # noqa: T201  # pytest shows it with a failure
    return random.Random(SEED)  # noqa: S311  # to be repeated, not to be secret


@pytest.fixture
def host(state: Path) -> Iterator[None]:
    """The host is as clean afterwards as before, though things were killed."""
    descriptors, mounts = _descriptors(), _mounts()
    yield
    with Client.connect(state) as client:
        for info in client.list():
            client.container(info.id).remove(force=True)
    wait_until(lambda: keeper_pid(state) is None)
    wait_until(lambda: _processes(state) == [])
    folder = group_folder(state)
    assert list(Path("/sys/fs/cgroup").glob(f"*/{folder}")) == []
    assert not Path("/sys/fs/cgroup", folder).exists()
    assert _mounts() == mounts
    assert _descriptors() == descriptors
    assert os.listdir(state / "containers") == []
    assert os.listdir(state / "snapshots") == []
    left = {path.name for path in state.iterdir()}
    assert left == {"containers", "snapshots", "keeper.lock", "keeper.log"} | left & {"skeleton"}
    assert "mistake" not in (state / "keeper.log").read_text()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _mounts() -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def _processes(state: Path) -> list[int]:
    """The processes of this state root's keepers and containers, by their cgroup and title."""
    folder, title = group_folder(state), f"wardian-keeper {state}"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                group = (entry / "cgroup").read_text()
                name = (entry / "cmdline").read_text().replace("\0", " ")
                if folder in group or title in name:
                    found.append(int(entry.name))
    return found


def after(chance: random.Random, action: Callable[[], None]) -> int:
    """Fork a child that does something a random moment from now; its PID."""
    delay_s = chance.random() * LATEST_S
    host_pid = os.fork()
    if host_pid == 0:
        deadline = time.monotonic() + delay_s
        while time.monotonic() < deadline:
            time.sleep(0.0005)
        with suppress(OSError, AssertionError):
            action()
        os._exit(0)
    return host_pid


def kill_keeper(state: Path) -> None:
    if (host_pid := keeper_pid(state)) is not None:
        os.kill(host_pid, signal.SIGKILL)


ACTIONS = ("run", "spawn", "stop", "start", "remove", "pause")


def act(client: Client, name: str, action: str, spec: ContainerSpec) -> None:
    """One step of a container's life; what is refused because of a death is refused politely."""
    with suppress(WardianError):
        if action == "run":
            client.run(replace(spec, name=name))
            return
        container = client.container(name)
        match action:
            case "spawn":
                with container.spawn(ProcessSpec(argv=("true",))) as process:
                    process.wait(30)
            case "stop":
                container.stop(timeout_s=0.2)
            case "start":
                container.start()
            case "remove":
                container.remove(force=True)
            case "pause":
                container.pause()
                container.unpause()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("action", ACTIONS)
def test_keeper_killed_at_any_moment_is_replaced_and_others_live_on(
    state: Path, spec: ContainerSpec, chance: random.Random, action: str
) -> None:
    with Client.connect(state) as client:
        bystander = client.run(replace(spec, name="bystander"))
        process = bystander.spawn(ProcessSpec(argv=("sleep", "1000")))
        host_pid = bystander.info.host_pid
        for number in range(PER_TEST):
            name = f"box{number}"
            if action != "run":
                act(client, name, "run", spec)
            if action == "start":
                act(client, name, "stop", spec)
            killer = after(chance, lambda: kill_keeper(state))
            act(client, name, action, spec)
            os.waitpid(killer, 0)
            infos = {info.name: info for info in client.list()}
            assert infos["bystander"].status is Status.RUNNING
            assert infos["bystander"].host_pid == host_pid
            if (info := infos.get(name)) and info.status is Status.RUNNING:
                assert shell(client.container(name), "echo lives") == (0, "lives\n")
            act(client, name, "remove", spec)
        assert shell(bystander, "pidof sleep | wc -w") == (0, "1\n")
        process.signal(signal.SIGKILL)
        assert process.wait(10) == 137
        process.close()


@pytest.mark.usefixtures("host")
def test_init_killed_at_any_moment_ends_its_container_alone(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    with Client.connect(state) as client:
        bystander = client.run(replace(spec, name="bystander"))
        for number in range(PER_TEST):
            box = client.run(replace(spec, name=f"box{number}"))
            host_pid = box.info.host_pid
            assert host_pid is not None
            killer = after(chance, lambda pid=host_pid: os.kill(pid, signal.SIGKILL))  # type: ignore[misc]
            act(client, f"box{number}", chance.choice(ACTIONS[1:]), spec)
            os.waitpid(killer, 0)
            if box.exists:
                act(client, f"box{number}", "start", spec)
                act(client, f"box{number}", "remove", spec)
        assert shell(bystander, "echo lives") == (0, "lives\n")


@pytest.mark.usefixtures("host")
def test_client_killed_at_any_moment_leaves_what_was_to_stay(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    with Client.connect(state) as watcher:
        watcher.run(replace(spec, name="bystander"))
        for number in range(PER_TEST):
            keep = chance.choice([Keep.ALWAYS, Keep.NEVER])
            victim = os.fork()
            if victim == 0:
                with suppress(BaseException):
                    _live_a_life(state, replace(spec, name=f"box{number}", keep=keep))
                os._exit(0)
            killer = after(chance, lambda pid=victim: os.kill(pid, signal.SIGKILL))  # type: ignore[misc]
            os.waitpid(killer, 0)
            os.waitpid(victim, 0)
            if keep is Keep.NEVER:
                wait_until(lambda: [info.name for info in watcher.list()] == ["bystander"])
            else:
                act(watcher, f"box{number}", "remove", spec)


def _live_a_life(state: Path, spec: ContainerSpec) -> None:
    """What a client does until it is killed."""
    client = Client.connect(state)
    box = client.run(spec)
    while True:
        with box.spawn(ProcessSpec(argv=("true",))) as process:
            process.wait(30)


@pytest.mark.usefixtures("host")
def test_keeper_and_init_killed_together_leave_a_container_that_starts_again(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    with Client.connect(state) as client:
        box = client.run(replace(spec, name="box"))
        for number in range(PER_TEST):
            shell(box, f"echo {number} > /number")
            keeper, init = keeper_pid(state), box.info.host_pid
            assert keeper is not None and init is not None
            both = [keeper, init]
            chance.shuffle(both)
            for host_pid in both:
                os.kill(host_pid, signal.SIGKILL)
            wait_until(lambda host_pid=init: not Path(f"/proc/{host_pid}").exists())  # type: ignore[misc]
            assert box.info.status is Status.EXITED
            box.start()
            assert shell(box, "cat /number") == (0, f"{number}\n")


@pytest.mark.usefixtures("host")
def test_spares_of_a_killed_keeper_are_swept_by_the_next(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    for _ in range(PER_TEST):
        with Client.connect(state) as client:
            client.run(replace(spec, name="box")).remove(force=True)
        os.waitpid(after(chance, lambda: kill_keeper(state)), 0)


def test_groups_of_a_root_that_is_gone_are_swept_by_anothers_keeper(
    state: Path, spec: ContainerSpec, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    with Client.connect(gone) as client:
        client.run(replace(spec, name="box")).remove(force=True)
        folder = group_folder(gone)
        groups = [*Path("/sys/fs/cgroup").glob("*/"), Path("/sys/fs/cgroup")]
        wait_until(lambda: any(list((top / folder).glob("*/")) for top in groups))
        kill_keeper(gone)
    wait_until(lambda: keeper_pid(gone) is None)
    shutil.rmtree(gone)
    with Client.connect(state):
        pass
    wait_until(lambda: keeper_pid(state) is None)
    assert not [top for top in groups if (top / folder).exists()]
