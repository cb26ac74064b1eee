"""Containers to attack from inside, and the host to look at afterwards."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import (  # fixtures, for the tests here
    base_layers,
    box,
    busybox_layer,
    client,
    spec,
    state,
    wardian,
)
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec

__all__ = ["base_layers", "box", "busybox_layer", "client", "spec", "state", "wardian"]


@pytest.fixture
def lab(client: Client, spec: ContainerSpec, base_layers: tuple[str, ...]) -> Container:
    """A running container of ``wardian/base``: it has Python, whose ctypes makes any call."""
    return client.run(replace(spec, lowers=base_layers))


@pytest.fixture
def untouched() -> Iterator[None]:
    """The host's files that an escape would go for are the same afterwards."""
    before = _facts()
    yield
    assert _facts() == before


def _facts() -> dict[str, tuple[int, str]]:
    interpreter = os.path.realpath(sys.executable)
    paths = (interpreter, "/etc/passwd", "/etc/shadow", "/bin/sh", "/proc/sys/kernel/core_pattern")
    return {path: _fact(Path(path)) for path in paths if os.path.exists(path)}


def _fact(path: Path) -> tuple[int, str]:
    return path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest()
