"""The course's notebooks: saved outputs are those of every run, and fit to be read by strangers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))
KERNELS = {"wardian-python", "wardian-shell"}

# What would betray the machine or the moment: temporary paths, long ids, clock times, addresses.
TELLTALES = re.compile(r"/tmp/\w|\b[0-9a-f]{12,}\b|\b\d\d:\d\d:\d\d\b|0x[0-9a-f]{6,}|\btmp\w{6,}")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def run_of(path: Path) -> Any:
    """A lesson to be run. Who looks at the host's links wants no other's there."""
    makes_networks = "bridge.name=" in path.read_text()
    marks = [pytest.mark.xdist_group("networks")] if makes_networks else []
    return pytest.param(path, marks=marks, id=name_of(path))


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
originals = [path for path in NOTEBOOKS if path.parent.name == "en"]
every_original = pytest.mark.parametrize("path", [*map(run_of, originals)])
every_translation = pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path not in originals], ids=name_of
)
PREDICT = {"en": "**Predict", "ko": "**예측"}
YOUR_TURN = {"en": "## Your turn", "ko": "## 직접 해 보기"}


def texts(output: nbformat.NotebookNode) -> Iterator[str]:
    """All that a reader sees of one output."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield output.evalue
        yield re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
    else:
        data = output.data.items()
        yield from (text for kind, text in data if kind.startswith("text/"))


def code_of(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@every_original
@pytest.mark.timeout(400)
def test_outputs_are_the_same_on_every_run(path: Path, course_environment: dict[str, str]) -> None:
    """Strict nbval, with nothing sanitised: in every language, each with a kernel of its own."""
    same = sorted((ROOT / "notebooks").glob(f"*/{path.name}"))
    command = [
        *(sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(ROOT / "notebooks")),
        *("-q", "-p", "no:cacheprovider", "-p", "nbval.plugin", "--nbval"),
        *("--nbval-cell-timeout=120", *map(str, same)),
    ]
    done = subprocess.run(
        command,
        env={**course_environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # 1.8 s of each run
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"\n{len(same) * len(code_of(path))} passed" in done.stdout


@every_translation
def test_translation_has_the_same_code_and_outputs(path: Path) -> None:
    assert code_of(path) == code_of(ROOT / "notebooks/en" / path.name)


@every_translation
def test_translation_has_no_prose_of_the_original(path: Path) -> None:
    prose = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert all(re.search("[가-힣]", text) for text in prose)


def test_every_notebook_is_there_in_every_language() -> None:
    languages = {path.parent.name for path in NOTEBOOKS}
    names = {path.name for path in NOTEBOOKS}
    assert languages == set(PREDICT)
    assert len(NOTEBOOKS) == len(languages) * len(names)


@every_notebook
def test_notebook_chooses_one_of_our_kernels(path: Path) -> None:
    assert nbformat.read(path, 4).metadata.kernelspec.name in KERNELS


@every_notebook
def test_notebook_was_run_from_top_to_bottom(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every_notebook
def test_outputs_betray_no_machine_and_no_moment(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", ()):
            found = [TELLTALES.search(text) for text in texts(output)]
            assert not any(found), f"{cell.source!r}: {found}"


@every_notebook
def test_only_announced_errors_are_saved(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        kinds = {output.output_type for output in cell.get("outputs", ())}
        assert "error" not in kinds or "raises-exception" in cell.metadata.get("tags", ())


@every_notebook
def test_lesson_asks_before_it_shows_and_ends_with_exercises(path: Path) -> None:
    prose = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    language = path.parent.name
    assert sum(PREDICT[language] in text for text in prose) >= 3
    assert YOUR_TURN[language] in prose[-1]


@every_notebook
def test_two_users_of_one_machine_do_not_meet(path: Path) -> None:
    """No port of the machine is taken by its number, no process is found by its name alone."""
    for cell in code_of(path):
        assert not re.search(r"-p \d+:\d", cell.source), cell.source
        outside = cell.source.startswith(("%%both", "%%host"))
        assert not (outside and "/proc/[0-9]*/comm" in cell.source), cell.source
