"""Hosts of every rung, as containers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.ladder.nest import Nest, host_like, lay_out
from tests.linux.conftest import BUSYBOX, client, state  # fixtures, for the tests here
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec

__all__ = ["client", "state"]
Nested = Callable[..., Nest]


@pytest.fixture(scope="session")
def small_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer of the containers that play hosts."""
    if os.geteuid() != 0:
        pytest.skip("root makes other hosts out of containers here; run the tests as root")
    for program, package in ((str(BUSYBOX), "busybox-static"), ("newuidmap", "uidmap")):
        if not shutil.which(program):
            pytest.skip(f"no {program}; apt-get install {package}")
    layer = tmp_path_factory.mktemp("host")
    for parent in layer.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    lay_out(layer)
    return layer


@pytest.fixture
def nested(client: Client, small_host: Path, tmp_path: Path) -> Iterator[Nested]:
    """Start a host: its spec's fields by keyword, and what its administrator did, line by line."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o1777)

    def start(*preparations: str, **fields: object) -> Nest:
        plain = host_like(ContainerSpec(name="host", image="host", lowers=()), small_host, volume)
        container = client.run(replace(plain, **fields))  # a spec's
        for line in preparations:
            done = Nest(container).run("/bin/sh", "-ec", line)
            assert (done.returncode, done.stderr) == (0, ""), (line, done)
        return Nest(container)

    yield start
    for info in client.list():
        client.container(info.id).remove(force=True)
