"""The course runs through the kernels of this checkout, in a state root of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELSPECS = ROOT / "kernel/wardian/jupyter/kernelspecs"


@pytest.fixture(scope="session")
def course_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables for programs that start our kernels."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "kernels").symlink_to(KERNELSPECS)
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "JUPYTER_PATH": str(folder),
        "JUPYTER_PLATFORM_DIRS": "1",
        "WARDIAN_ROOT": str(folder / "state"),
        "WARDIAN_KEEPER_IDLE_S": "0.5",
    }
    yield environment
    prune = [sys.executable, "-m", "wardian.cli", "system", "prune", "--all", "--force"]
    subprocess.run(prune, env=environment, check=False, capture_output=True)
