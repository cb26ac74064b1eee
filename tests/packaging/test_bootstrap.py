"""bootstrap on a machine that lacks something: one line that says what to type, no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bootstrap"
NEEDED = ("sh", "dirname", "id", "grep", "rm", "mkdir", "touch", "cat")
PYTHON_WITHOUT_VENV = """#!/bin/sh
case "$*" in
    *%d-venv*) echo python3.11-venv ;;
    *ensurepip*) exit 1 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A place for a .venv, with the script, and a PATH with next to nothing."""
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def bootstrap(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "bootstrap", "lab"],
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def add(checkout: Path, name: str, text: str) -> None:
    program = checkout / "bin" / name
    program.write_text(text)
    program.chmod(0o755)


def test_machine_without_python_is_told_what_to_install(checkout: Path) -> None:
    done = bootstrap(checkout)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("wardian: needs Python 3.11")
    assert "apt-get install python3 python3-venv" in line
    assert not (checkout / ".venv").exists()


def test_machine_without_venv_is_told_what_to_install(checkout: Path) -> None:
    add(checkout, "python3", PYTHON_WITHOUT_VENV)
    done = bootstrap(checkout)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == "wardian: needs Python's venv module: sudo apt-get install python3.11-venv"
    assert not (checkout / ".venv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="apt-get is for root")
def test_root_has_it_installed_and_is_not_asked(checkout: Path) -> None:
    asked = checkout / "asked"
    add(checkout, "apt-get", f'#!/bin/sh\necho "$@" >> {asked}\n')
    assert bootstrap(checkout).returncode == 1  # this apt-get installs nothing
    update, install = asked.read_text().splitlines()
    assert update.startswith("update")
    assert install == "install -y -qq --no-install-recommends python3 python3-venv"
