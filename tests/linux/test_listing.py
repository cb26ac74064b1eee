"""The list of containers against the groups, the keeper and what happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from wardian.observe.listing import Choice, ContainersFrame, ContainersSampler, ListedContainer
from wardian.observe.subject import Subject
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

STEP_BYTES = 1 << 16


class Look:
    """A sampler as the pulse uses it, with the last frame that it gave."""

    def __init__(self, client: Client) -> None:
        self.sampler = ContainersSampler(Choice(root=client.root, name="all"))
        self.sampler.open()
        self.last: ContainersFrame | None = None

    def row(self, container: Container) -> ListedContainer | None:
        self.last = self.sampler.sample() or self.last
        assert self.last is not None
        return next((row for row in self.last.rows if row.id == container.id), None)

    def status(self, container: Container) -> str:
        self.sampler.notice()
        row = self.row(container)
        return "" if row is None else row.status


@pytest.fixture
def look(client: Client) -> Iterator[Look]:
    made = Look(client)
    yield made
    made.sampler.close()
    assert made.sampler.sources() == ()


def run(client: Client, spec: ContainerSpec, name: str, *argv: str) -> Container:
    return client.run(replace(spec, name=name, process=ProcessSpec(argv=argv)))


def test_the_list_says_what_the_keeper_and_the_group_say(
    look: Look, client: Client, spec: ContainerSpec
) -> None:
    container = run(client, spec, "busy", "/bin/sh", "-c", "while :; do :; done")
    wait_until(lambda: look.status(container) == "running")
    wait_until(lambda: (((row := look.row(container)) and row.cpu_percent) or 0) > 0)
    row, info = look.row(container), container.info
    assert row is not None
    assert (row.name, row.host_pid, row.image) == ("busy", info.host_pid, info.image)
    now = Subject.of(info).group.usage().memory_current_bytes
    assert row.memory_bytes is not None
    assert now is not None
    assert abs(row.memory_bytes - now) < 1 << 20
    assert row.memory_bytes % STEP_BYTES == 0


def test_the_list_hears_of_what_happens(look: Look, client: Client, spec: ContainerSpec) -> None:
    container = run(client, spec, "still", "/bin/sleep", "1000")
    wait_until(lambda: look.status(container) == "running")
    container.pause()
    wait_until(lambda: look.status(container) == "paused")
    container.remove(force=True)
    wait_until(lambda: look.status(container) == "")
