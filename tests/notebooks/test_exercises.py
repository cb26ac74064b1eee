"""The exercises that check themselves: stubs fail, solutions pass, and nbgrader can grade them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator, ValidationError
from nbgrader.utils import determine_grade, is_grade, is_locked, is_solution

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted((NOTEBOOKS / "en").glob("*.ipynb"))
SOLUTION = re.compile(r"```\w+\n(.*?)\n```", re.DOTALL)

Run = Callable[..., NotebookNode]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
every_notebook = pytest.mark.parametrize(
    "path",
    sorted(NOTEBOOKS.glob("*/*.ipynb")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)


def exercises(path: Path) -> Iterator[tuple[NotebookNode, NotebookNode, str]]:
    """The stubs of a lesson, each with its check and its solution."""
    cells = nbformat.read(path, 4).cells
    for position, stub in enumerate(cells):
        if is_solution(stub):
            check, solution = cells[position + 1 : position + 3]
            found = SOLUTION.search(solution.source)
            assert found is not None
            yield stub, check, found[1]


@pytest.fixture(scope="module")
def kernels(course_environment: dict[str, str]) -> Iterator[dict[str, NotebookClient]]:
    """One kernel of each language for all lessons: to start seventeen would cost half a minute."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("JUPYTER_PATH", course_environment["JUPYTER_PATH"])  # our kernelspecs
        clients = {}
        for name in ("wardian-shell", "wardian-python"):
            clients[name] = NotebookClient(
                nbformat.v4.new_notebook(), kernel_name=name, allow_errors=True, timeout=120
            )
            stack.enter_context(clients[name].setup_kernel(env=course_environment))
        yield clients


@pytest.fixture
def run(path: Path, kernels: dict[str, NotebookClient]) -> Run:
    """Run a cell's source, by the kernel that the lesson is for, as the cell with its outputs."""
    client = kernels[nbformat.read(path, 4).metadata.kernelspec.name]

    def run_cell(cell: NotebookNode, source: str | None = None) -> NotebookNode:
        cell = nbformat.from_dict({**cell, "source": cell.source if source is None else source})
        client.nb.cells = [cell]
        client.execute_cell(cell, 0)
        return cell

    return run_cell


@every_lesson
def test_check_fails_for_the_stub_and_passes_for_the_solution(path: Path, run: Run) -> None:
    """By nbgrader's own rule of what an output is worth."""
    found = list(exercises(path))
    assert len(found) > 1
    for stub, check, solution in found:
        run(stub)
        assert determine_grade(run(check)) == (0, check.metadata.nbgrader.points)
        solved = run(stub, solution)
        assert not [one for one in solved.outputs if one.output_type == "error"], solved.outputs
        graded = run(check)
        points = check.metadata.nbgrader.points
        assert determine_grade(graded) == (points, points), graded.outputs


@every_notebook
def test_nbgrader_takes_the_metadata(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    MetadataValidator().validate_nb(notebook)
    for stub, check, _ in exercises(path):
        assert not is_grade(stub) and not is_locked(stub)
        assert is_grade(check) and is_locked(check) and not is_solution(check)
        assert check.metadata.nbgrader.points > 0
        assert check.metadata.nbgrader.grade_id == f"{stub.metadata.nbgrader.grade_id}-check"
        assert "raises-exception" in check.metadata.tags  # the lesson goes on without a solution


def test_nbgrader_would_refuse_a_mark_without_points() -> None:
    notebook = nbformat.read(LESSONS[0], 4)
    check = next(filter(is_grade, notebook.cells))
    del check.metadata.nbgrader["points"]
    with pytest.raises(ValidationError, match="does not have points"):
        MetadataValidator().validate_nb(notebook)


def test_every_exercise_has_a_name_of_its_own() -> None:
    names = [stub.metadata.nbgrader.grade_id for path in LESSONS for stub, *_ in exercises(path)]
    assert len(names) == len(set(names)) >= 2 * len(LESSONS)


@every_notebook
def test_solutions_are_the_same_in_every_language(path: Path) -> None:
    """The cells are held the same by test_course; solutions stand in prose."""
    original = exercises(NOTEBOOKS / "en" / path.name)
    assert [one[2] for one in exercises(path)] == [one[2] for one in original]


@every_notebook
def test_lesson_says_how_long_it_takes_and_what_comes_before(path: Path) -> None:
    course = nbformat.read(path, 4).metadata.course
    assert course == nbformat.read(NOTEBOOKS / "en" / path.name, 4).metadata.course
    assert 5 <= course.minutes <= 20
    assert all(
        name < path.stem and (path.parent / f"{name}.ipynb").exists() for name in course.needs
    )


def test_readme_has_the_times_that_the_lessons_have() -> None:
    table = (NOTEBOOKS / "README.md").read_text()
    for path in LESSONS:
        course = nbformat.read(path, 4).metadata.course
        after = ", ".join(name[:2] for name in course.needs) or "—"
        assert re.search(rf"\(en/{path.name}\) \| {course.minutes} \| {after} \|", table), path.stem
