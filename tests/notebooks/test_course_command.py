"""`wardian course check` and `reset`, with real kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from tests.notebooks.test_exercises import exercises

Course = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def course(course_environment: dict[str, str], tmp_path: Path) -> Course:
    def run(*words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wardian.cli", "course", *words],
            env={**course_environment, "WARDIAN_COURSE": str(tmp_path), "LANG": "C"},
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def opened(course: Course, word: str) -> Path:
    done = course("open", word, "--no-browser")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[0])


def test_check_tells_cell_by_cell_what_is_solved(course: Course) -> None:
    path = opened(course, "one-kernel")
    notebook = nbformat.read(path, 4)
    solutions = {stub.id: solution for stub, _, solution in exercises(path)}
    for cell in notebook.cells:
        cell.source = solutions.get(cell.id, cell.source)
    # The lesson itself is run by test_course; its cells on the host would take the longest here.
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("%%host")]
    nbformat.write(notebook, path)
    before = path.read_bytes()
    done = course("check", "one-kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, blank, summary = done.stdout.splitlines()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [line.split()[:2] for line in lines] == [
        [str(number), "solved" if cell.id.endswith("-check") else "ran"]
        for number, cell in enumerate(cells, start=1)
    ]
    assert lines[-1].split() == [str(len(cells)), "solved", "exercise", "new-enough"]
    assert blank == ""
    assert summary.startswith("11-one-kernel: 2 of 2 exercises solved, 2 of 2 points; 0 of ")
    assert path.read_bytes() == before


def test_check_tells_what_is_not_solved_and_what_failed(course: Course) -> None:
    path = opened(course, "one-kernel")
    notebook = nbformat.read(path, 4)
    broken = nbformat.v4.new_code_cell("printf 'no \\033[2Jscreen' >&2; false")
    notebook.cells = [broken, *[cell for cell in notebook.cells if cell.id.startswith("exercise")]]
    nbformat.write(notebook, path)
    done = course("check", "one-kernel", "--format", "json")
    assert done.returncode == 1
    first, _, last, *_ = map(json.loads, done.stdout.splitlines())
    assert first["Result"] == "failed"
    assert first["Reason"] == r"no \x1b[2Jscreen"  # nothing that a terminal obeys
    assert (last["Result"], last["Exercise"]) == ("not yet", "whose-file")
    assert last["Reason"] == "it says: image image image image image"


def test_reset_puts_a_spoilt_lesson_and_its_containers_back(
    course: Course, course_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(course, "one-kernel")
    shipped = path.read_bytes()
    monkeypatch.setenv("JUPYTER_PATH", course_environment["JUPYTER_PATH"])
    manager, client = start_new_kernel(
        kernel_name="wardian-shell",
        startup_timeout=60,
        env={**course_environment, "JPY_SESSION_NAME": str(path)},
    )
    client.execute_interactive(":", timeout=60)
    client.stop_channels()
    manager.shutdown_kernel()
    path.write_text("my work")

    checked = course("check", "one-kernel")
    assert checked.returncode == 1
    what, hint = checked.stderr.splitlines()
    assert "not a notebook" in what
    assert "`wardian course reset`" in hint

    refused = course("reset", "one-kernel", answer="n\n")
    assert refused.returncode == 1
    assert "11-one-kernel-" in refused.stdout  # the container that would be removed
    assert path.read_text() == "my work"

    done = course("reset", "one-kernel", "--force")
    assert done.returncode == 0, done.stderr
    container, printed = done.stdout.splitlines()
    assert container.startswith("11-one-kernel-")
    assert printed == str(path)
    assert path.read_bytes() == shipped
    left = subprocess.check_output(
        [sys.executable, "-m", "wardian.cli", "ps", "-a", "--format", "{{.Names}}"],
        env=course_environment,
        text=True,
    )
    assert container not in left.split()
