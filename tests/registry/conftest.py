"""A store of the test's own, with docker's and our settings out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.program import Wardian, program
from tests.registry.server import Server, docker_registry
from wardian.images.store import ImageStore


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where logins and settings are for this test: below one directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDIAN_ROOT", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def store(state: Path) -> ImageStore:
    return ImageStore(state)


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """The store of another machine."""
    return ImageStore(tmp_path / "other")


@pytest.fixture
def wardian(state: Path) -> Wardian:
    return program(state)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry without TLS and logins."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server
