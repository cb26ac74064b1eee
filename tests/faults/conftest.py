"""Containers whose keeper, init, kernel or client is about to be killed; a host to look at then."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.leftovers import Leftovers
from tests.linux.conftest import busybox_layer, keeper_pid, spec, state, wait_until
from wardian.runtime.client import Client

__all__ = ["busybox_layer", "spec", "state"]  # fixtures, for the tests here
SEED = int(os.environ.get("WARDIAN_FAULT_SEED", str(secrets.randbits(32))))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Seeded; a failing run prints the seed."""
    print(f"WARDIAN_FAULT_SEED={SEED}")  # noqa: T201  # pytest shows it with a failure
    return random.Random(f"{SEED} {request.node.name}")  # noqa: S311  # to be repeated, not secret


@pytest.fixture
def host(state: Path) -> Iterator[None]:
    """The host is as clean afterwards as before, though things were killed."""
    before = Leftovers.look()
    yield
    with Client.connect(state) as client:
        for info in client.list():
            client.container(info.id).remove(force=True)
    wait_until(lambda: keeper_pid(state) is None)
    before.assert_none(state)
