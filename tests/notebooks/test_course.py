"""The course's notebooks: saved outputs are those of every run, and fit to be read by strangers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

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
    language = os.environ.get("WARDIAN_LESSONS_IN", "*")  # one, where every second counts
    same = sorted((ROOT / "notebooks").glob(f"{language}/{path.name}"))
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
    """But for digests that a lesson prints itself: their content is the same anywhere."""
    outputs = [(cell, one) for cell in code_of(path) for one in cell.outputs]
    printed = {
        digest
        for _, one in outputs
        if one.output_type == "stream"
        for digest in re.findall(r"sha256:([0-9a-f]{8})\b", one.text)
    }
    for cell, output in outputs:
        found = [one for text in texts(output) for one in TELLTALES.findall(text)]
        assert {one[:8] for one in found} <= printed, f"{cell.source!r}: {found}"


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


LEARNED = {
    "en": ("You will have learned", "## What Docker calls this", "Sources: "),
    "ko": ("노트북을 마치면", "## Docker에서는", "출처: "),
}


@every_notebook
def test_lesson_says_what_one_learns_how_docker_calls_it_and_where_it_is_from(path: Path) -> None:
    cells = nbformat.read(path, 4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for words in LEARNED[path.parent.name]:
        assert words in prose


@every_notebook
def test_lesson_looks_through_a_view_and_from_the_host_s_side(path: Path) -> None:
    shown = [cell.source.splitlines()[-1] for cell in code_of(path)]
    assert any(re.match(r"%(layers|ps|net|stats|image)\b", line) for line in shown)
    assert any(re.match(r"%%(both|host)\b", cell.source) for cell in code_of(path))


@every_notebook
def test_every_question_of_your_turn_has_a_solution_folded_away(path: Path) -> None:
    *_, asked = [cell.source for cell in nbformat.read(path, 4).cells]
    questions = re.split(r"^\d+\. ", asked, flags=re.MULTILINE)[1:]
    assert len(questions) in (2, 3)
    for question in questions:
        assert re.search(
            r"<details><summary>\S+</summary>\n\n.+\n\s*</details>", question, re.DOTALL
        )


@every_notebook
def test_no_mark_of_markdown_is_left_to_be_read(path: Path) -> None:
    """As in `*(so)*뿐`, where a closing mark between a bracket and a letter closes nothing."""
    render = MarkdownIt("commonmark").enable("table").render
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            page = BeautifulSoup(render(cell.source), "html.parser")
            for code in page.select("code"):
                code.decompose()
            assert not re.search(r"[*`|]", page.get_text()), cell.source
