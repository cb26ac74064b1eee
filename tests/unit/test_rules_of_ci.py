"""The rules of CI on skips and second tries, tried with pytest inside pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SKIPPING = """
import pytest

def test_runs():
    pass

def test_skips():
    pytest.skip({reason!r})
"""


# Each fails when it runs for the first time.
UNSTEADY = """
import pathlib, pytest

@pytest.mark.parametrize("number", range({count}))
def test_unsteady(number):
    seen = pathlib.Path(__file__).with_name(f"seen-{{number}}")
    was_seen = seen.exists()
    seen.touch()
    assert was_seen
"""


def run_pytest(folder: Path, *, reason: str, ci: str) -> str:
    (folder / "test_it.py").write_text(SKIPPING.format(reason=reason))
    return run_in(folder, ci=ci).stdout


def run_in(folder: Path, *options: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (folder / "accepted-skips.txt").write_text((TESTS / "accepted-skips.txt").read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, folder],
        cwd=folder,
        env={"CI": ci, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("reason", "ci", "expected"),
    [
        ("no chromium here", "true", "1 failed, 1 passed"),
        ("needs cgroup v2 (this host: hybrid)", "true", "1 passed, 1 skipped"),
        ("no chromium here", "false", "1 passed, 1 skipped"),
    ],
)
def test_skip_fails_in_ci_unless_its_reason_is_accepted(
    tmp_path: Path, reason: str, ci: str, expected: str
) -> None:
    assert expected in run_pytest(tmp_path, reason=reason, ci=ci)


def test_skipped_module_fails_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(
        "import pytest\npytest.importorskip('no_such_module')\n"
    )
    assert "could not import 'no_such_module'" in run_pytest(
        tmp_path, reason="needs cgroup v2", ci="true"
    )


@pytest.mark.parametrize(("count", "code"), [(3, 0), (4, 1)])
def test_tests_that_needed_a_second_try_are_named_and_too_many_of_them_fail_the_run(
    tmp_path: Path, count: int, code: int
) -> None:
    (tmp_path / "test_it.py").write_text(UNSTEADY.format(count=count))
    done = run_in(tmp_path, "--reruns=1", ci="true")
    assert done.stdout.count("AGAIN test_it.py::test_unsteady") == count
    assert "assert was_seen" in done.stdout
    assert done.returncode == code


# The tests of another pytest, told here as tests/vm and tests/user tell them.
ELSEWHERE = """
import pathlib
from tests.reports import outcomes

def test_told(request):
    report = pathlib.Path(__file__).with_name("report.xml").read_text()
    outcomes(report)["test_it.test_unsteady[0]"].judge(request.node)
"""


def test_second_try_of_another_pytest_is_told_here(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(UNSTEADY.format(count=1))
    run_in(tmp_path, "--reruns=1", f"--junitxml={tmp_path}/report.xml", ci="")
    (tmp_path / "test_it.py").write_text(ELSEWHERE)
    done = run_in(tmp_path, "--reruns=1", ci="true")
    assert "1 passed, 1 rerun" in done.stdout
    assert "AGAIN test_it.py::test_told" in done.stdout
    assert "assert was_seen" in done.stdout
    assert "1 passed" in run_in(tmp_path, ci="").stdout
