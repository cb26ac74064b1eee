"""`jupyter nbconvert --to slides`: what a lecturer shows of a lesson, and what not."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import SlidesExporter
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
every_notebook = pytest.mark.parametrize(
    "path",
    sorted(NOTEBOOKS.glob("*/*.ipynb")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)


def slide_type(cell: NotebookNode) -> str:
    return str(cell.metadata.slideshow.slide_type)


def has_heading(cell: NotebookNode) -> bool:
    return bool(cell.cell_type == "markdown" and cell.source.startswith(("# ", "## ")))


@every_notebook
def test_each_heading_begins_a_slide_and_what_answers_comes_after_it(path: Path) -> None:
    """A prediction is shown before the cell that decides it, so all code is a step of its own."""
    for cell in nbformat.read(path, 4).cells:
        assert (slide_type(cell) == "slide") is has_heading(cell), cell.source
        if cell.cell_type == "code" and not cell.id.startswith("exercise"):
            assert slide_type(cell) == "fragment", cell.source


@every_notebook
def test_slides_are_the_same_in_every_language(path: Path) -> None:
    def shape(of: Path) -> list[tuple[str, str]]:
        return [(cell.id, slide_type(cell)) for cell in nbformat.read(of, 4).cells]

    assert shape(path) == shape(NOTEBOOKS / "en" / path.name)


@pytest.mark.parametrize("name", ["en/02-pid-namespace", "ko/16-orchestration"])
def test_lesson_becomes_slides_with_its_solution_in_the_notes(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    made, _ = SlidesExporter().from_filename(str(path))
    page = BeautifulSoup(made, "html.parser")
    cells = nbformat.read(path, 4).cells
    by_id = {cell.id: cell for cell in cells}
    assert len(page.select(".slides > section")) == sum(map(has_heading, cells))
    notes = "".join(one.get_text() for one in page.select("aside.notes"))
    solution = by_id["exercise-solution"].source.split("```")[1].partition("\n")[2].splitlines()
    assert all(line.strip() in notes for line in solution)
    for aside in page.select("aside.notes"):
        aside.decompose()
    shown = page.select_one(".slides")
    assert shown is not None
    assert by_id["exercise"].source.splitlines()[0] in shown.get_text()
    assert "not yet:" not in shown.get_text()
