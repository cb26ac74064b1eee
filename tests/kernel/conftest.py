"""Real kernels, with real containers in a state root of the test run's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.page import Page
from tests.linux.conftest import keeper_pid, wait_until
from wardian.jupyter.kernelspec import install
from wardian.runtime.client import Client


@pytest.fixture(scope="session", autouse=True)
def state_root() -> Iterator[Path]:
    """A short path, as sockets are bound below it; nothing is left of it."""
    root = Path(tempfile.mkdtemp(prefix="wk-", dir="/tmp"))
    root.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDIAN_ROOT", str(root / "state"))
        patch.setenv("WARDIAN_KEEPER_IDLE_S", "1")
        patch.setenv("WARDIAN_ORPHAN_GRACE_S", "5")  # longer than a restart takes
        patch.setenv("JUPYTER_PATH", str(root / "share" / "jupyter"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(root / "run"))
        patch.delenv("JPY_SESSION_NAME", raising=False)
        (root / "run").mkdir()
        install(prefix=str(root))
        yield root
        _remove_containers(root / "state")
    shutil.rmtree(root)


def _remove_containers(state: Path) -> None:
    if not state.exists():
        return
    with Client.connect(state) as client:
        for info in client.list():
            client.container(info.id).remove(force=True)
    wait_until(lambda: keeper_pid(state) is None)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A Python kernel that the tests of a module share."""
    page = Page.open("wardian-python")
    yield page
    page.close()


@pytest.fixture(scope="module")
def shell_page() -> Iterator[Page]:
    """A shell kernel that the tests of a module share."""
    page = Page.open("wardian-shell")
    yield page
    page.close()


@pytest.fixture
def own_page() -> Iterator[Page]:
    """A Python kernel of a test's own, for tests that break something."""
    page = Page.open("wardian-python")
    yield page
    page.close()
