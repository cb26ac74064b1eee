"""What repo2docker makes of binder/: its own program reads it, `wardian build` the Dockerfile.

The image itself is not made here: its base is on Docker Hub and its conda packages on conda-forge.
`test_session` builds one that is laid out in the same way.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.linux.conftest import state, wardian  # fixtures, for the test here
from tests.linux.program import Wardian, out
from tests.reports import ROOT

__all__ = ["state", "wardian"]
LAID_OUT = Path(__file__).with_name("laid_out.py")
FILES = ("binder", "notebooks/en", "pyproject.toml", "constraints.txt")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The build context that repo2docker makes of this repository."""
    repository = tmp_path / "repository"
    for name in FILES:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, repository / name)
    made = tmp_path / "context"
    command = [sys.executable, str(LAID_OUT), str(repository), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def test_takes_each_file_of_binder_and_makes_what_wardian_can_read(
    context: Path, wardian: Wardian
) -> None:
    text = (context / "Dockerfile").read_text()
    packages = (ROOT / "binder/apt.txt").read_text().split()
    assert f"install --yes --no-install-recommends {' '.join(sorted(packages))} " in text
    python = (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    lock = f"py-2d{python.replace('.', '-2e')}"
    assert re.search(rf"^COPY .*{lock}.* /tmp/env/environment\.lock$", text, re.MULTILINE)
    for line in (
        'RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r "binder/requirements.txt"',
        "RUN ./binder/postBuild",
        'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"',
    ):
        assert f"\n{line}\n" in text, text
    for name in FILES:
        assert (context / "src" / name).exists(), "what the requirements and the tour are made of"
    outline = out(wardian("build", "--print", "outline", str(context)))
    assert "NB_UID" in outline
