"""Notebooks without a browser: papermill, nbconvert and nbclient, each as its own program."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
BIN = Path(sys.prefix, "bin")
PYTHON, SHELL = "wardian-python", "wardian-shell"
# For each kernel: a parameter and its use, and a cell that fails.
CELLS = {
    PYTHON: (
        "leaves = 1",
        "open('/srv/leaf', 'w').close()\nleaves * 6",
        "raise ValueError('wilted')",
    ),
    SHELL: ("leaves=1", "touch /srv/leaf\necho $((leaves * 6))", "ls /wilted"),
}
FAULT = {PYTHON: "ValueError: wilted", SHELL: "exit status 2"}
UPPER = "+ /srv/leaf"  # the layers view's line, in its static form
both_kernels = pytest.mark.parametrize("kernel", [PYTHON, SHELL])


@pytest.fixture
def run(course_environment: dict[str, str], tmp_path: Path) -> Run:
    """A program of this environment, in a directory of its own."""

    def run(program: str, *arguments: str) -> Done:
        return subprocess.run(
            [BIN / program, *arguments],
            env=course_environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def write(folder: Path, kernel: str, *, fails: bool) -> str:
    """The notebook: a parameter, its use, a view, and perhaps a cell that fails."""
    parameter, use, fault = CELLS[kernel]
    tagged = {"tags": ["parameters"]}
    cells = [
        new_markdown_cell("# Leaves", metadata={"slideshow": {"slide_type": "slide"}}),
        new_code_cell(parameter, metadata=tagged),
        *map(new_code_cell, (use, "%layers", *([fault, "%ps"] if fails else []))),
    ]
    language = "python" if kernel == PYTHON else "bash"
    spec = {"name": kernel, "display_name": kernel, "language": language}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / "in.ipynb")
    return "in.ipynb"


def code(folder: Path) -> list[NotebookNode]:
    """The code cells that were written, run."""
    cells = nbformat.read(folder / "out.ipynb", 4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def texts(cell: NotebookNode) -> str:
    """What a reader of the file sees below a cell."""
    seen = []
    for output in cell.outputs:
        seen += [output.get("text", ""), *output.get("traceback", ())]
        seen += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return plain("\n".join(seen))


def plain(text: str) -> str:
    """A text without its colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@both_kernels
def test_papermill_gives_parameters_and_fails_with_the_cell(
    run: Run, tmp_path: Path, kernel: str
) -> None:
    notebook = write(tmp_path, kernel, fails=True)
    done = run("papermill", notebook, "out.ipynb", "-p", "leaves", "7", "--no-progress-bar")
    assert done.returncode == 1, done
    assert FAULT[kernel] in plain(done.stderr)
    first = nbformat.read(tmp_path / "out.ipynb", 4).cells[0]
    assert "An Exception was encountered" in first.source
    default, injected, use, view, fault, never = code(tmp_path)
    assert (default.source, injected.metadata.tags) == (CELLS[kernel][0], ["injected-parameters"])
    assert "42" in texts(use)
    assert UPPER in texts(view)
    assert FAULT[kernel] in texts(fault)
    assert (never.execution_count, never.outputs) == (None, [])


def test_nbclient_stores_what_each_cell_showed(run: Run, tmp_path: Path) -> None:
    notebook = write(tmp_path, PYTHON, fails=False)
    done = run("jupyter-execute", "--output=out.ipynb", notebook)
    assert done.returncode == 0, done
    _, use, view = code(tmp_path)
    assert "6" in texts(use)
    assert UPPER in texts(view)
    stored = nbformat.read(tmp_path / "out.ipynb", 4).metadata.widgets
    (state,) = stored.values()
    (output,) = [output for output in view.outputs if "data" in output]
    assert output.data["application/vnd.jupyter.widget-view+json"].model_id in state.state


def test_error_ends_nbconvert_with_the_traceback_and_leaves_no_page(
    run: Run, tmp_path: Path
) -> None:
    notebook = write(tmp_path, PYTHON, fails=True)
    done = run("jupyter-nbconvert", "--execute", "--to=html", notebook)
    assert done.returncode == 1, done
    assert FAULT[PYTHON] in plain(done.stderr)
    assert not (tmp_path / "in.html").exists()


def test_page_shows_views_and_errors_without_a_network(run: Run, tmp_path: Path) -> None:
    """Where a widget's state is stored, the page would fetch its program from the internet."""
    notebook = write(tmp_path, SHELL, fails=True)
    flags = ("--execute", "--allow-errors", "--ExecutePreprocessor.store_widget_state=False")
    done = run("jupyter-nbconvert", *flags, "--to=slides", notebook)
    assert done.returncode == 0, done
    page = (tmp_path / "in.slides.html").read_text()
    assert UPPER in page
    assert FAULT[SHELL] in page
    assert "wardian-init" in page, "the view after the error, too"
