"""kill -9 of keeper, init and client at random moments of a container's life.

Whatever dies: containers that are to live do, and in the end nothing is left on the host that
belongs to nothing: no process, mount, cgroup, socket, descriptor or file.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.faults.killing import after, kill, pidfd_of, rounds, wait_for_end
from tests.linux.conftest import keeper_pid, open_files, shell, wait_until
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.paths import group_folder
from wardian.runtime.spec import ContainerSpec, Keep, ProcessSpec
from wardian.runtime.state import Status

pytestmark = pytest.mark.timeout(400)


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
        for number in range(rounds(18)):
            name = f"box{number}"
            if action != "run":
                act(client, name, "run", spec)
            if action == "start":
                act(client, name, "stop", spec)
            with after(chance, lambda: kill_keeper(state)):
                act(client, name, action, spec)
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
        keeper = keeper_pid(state)
        before = _descriptors(keeper)
        for number in range(rounds(60)):
            box = client.run(replace(spec, name=f"box{number}"))
            host_pid = box.info.host_pid
            assert host_pid is not None
            with pidfd_of(host_pid) as pidfd, after(chance, lambda pidfd=pidfd: kill(pidfd)):  # type: ignore[misc]  # mypy has no type for lambda defaults
                act(client, f"box{number}", chance.choice(ACTIONS[1:]), spec)
            if box.exists:
                act(client, f"box{number}", "start", spec)
                act(client, f"box{number}", "remove", spec)
        assert shell(bystander, "echo lives") == (0, "lives\n")
        assert keeper_pid(state) == keeper
        wait_until(lambda: _descriptors(keeper) <= before)


def _descriptors(host_pid: int | None) -> int:
    """Without those of the sandboxes that are prepared at the moment."""
    return sum(name.startswith("/") for name in open_files(host_pid))


@pytest.mark.usefixtures("host")
def test_client_killed_at_any_moment_leaves_what_was_to_stay(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    with Client.connect(state) as watcher:
        watcher.run(replace(spec, name="bystander"))
        for number in range(rounds(36)):
            keep = chance.choice([Keep.ALWAYS, Keep.NEVER])
            victim = os.fork()
            if victim == 0:
                with suppress(BaseException):
                    _live_a_life(state, replace(spec, name=f"box{number}", keep=keep))
                os._exit(0)
            with after(chance, lambda pid=victim: os.kill(pid, signal.SIGKILL)):  # type: ignore[misc]  # as above
                pass
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
        for number in range(rounds(12)):
            shell(box, f"echo {number} > /number")
            keeper, init = keeper_pid(state), box.info.host_pid
            assert keeper is not None and init is not None
            both = [keeper, init]
            chance.shuffle(both)
            with pidfd_of(init) as pidfd:
                for host_pid in both:
                    os.kill(host_pid, signal.SIGKILL)
                wait_for_end(pidfd)
            assert box.info.status is Status.EXITED
            box.start()
            assert shell(box, "cat /number") == (0, f"{number}\n")


@pytest.mark.usefixtures("host")
def test_zygote_killed_at_any_moment_is_replaced(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    """What every container is cloned of: its keeper forks another, at the latest for the next."""
    with Client.connect(state) as client:
        bystander = client.run(replace(spec, name="bystander"))
        keeper = keeper_pid(state)
        for number in range(rounds(20)):
            with after(chance, lambda: kill_zygote(keeper), latest_s=0.02):
                act(client, f"box{number}", "run", spec)
            box = client.run(replace(spec, name=f"after{number}"))
            assert shell(box, "echo lives") == (0, "lives\n")
            box.remove(force=True)
            act(client, f"box{number}", "remove", spec)
        assert keeper_pid(state) == keeper
        assert shell(bystander, "echo lives") == (0, "lives\n")


def kill_zygote(keeper: int | None) -> None:
    """The keeper's one child in its own PID namespace: others are, or become, inits."""
    own = os.readlink(f"/proc/{keeper}/ns/pid")
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    for host_pid in map(int, children):
        if os.readlink(f"/proc/{host_pid}/ns/pid") == own:
            os.kill(host_pid, signal.SIGKILL)


@pytest.mark.usefixtures("host")
def test_spares_of_a_killed_keeper_are_swept_by_the_next(
    state: Path, spec: ContainerSpec, chance: random.Random
) -> None:
    for _ in range(rounds(20)):
        with Client.connect(state) as client:
            client.run(replace(spec, name="box")).remove(force=True)
        with after(chance, lambda: kill_keeper(state)):
            pass


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
