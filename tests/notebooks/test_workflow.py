"""The workflow for courses: GitHub's schema takes it, and its steps do what they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbformat import NotebookNode, write
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "binder/ci/course.yml"
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return dict(job)


def step(job: dict[str, Any], name: str) -> str:
    """The script of a step."""
    (script,) = [one["run"] for one in job["steps"] if one.get("name") == name]
    return str(script)


def check(*paths: Path) -> Done:
    """By the published schema that check-jsonschema carries."""
    command = [
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, paths),
    ]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)


def test_github_takes_it_and_takes_no_slip(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOW.read_text().replace("timeout-minutes", "timeout-hours"))
    said = check(WORKFLOW, wrong).stdout
    assert "timeout-hours" in said
    assert str(wrong) in said and str(WORKFLOW) not in said


def test_it_installs_what_a_binder_installs(job: dict[str, Any]) -> None:
    script = step(job, "Install Debian packages").splitlines()[-1]
    packages = [word for word in shlex.split(script)[3:] if not word.startswith("-")]
    assert packages == (ROOT / "binder/apt.txt").read_text().split()
    assert "wardian[lab]" in step(job, "Install Wardian")


def test_its_commands_are_those_that_the_readme_and_the_doctor_name(job: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text()
    assert step(job, "Say what this machine allows") in readme
    line = step(job, "Allow user namespaces")
    assert line in (ROOT / "kernel/wardian/runtime/probes/remedies.py").read_text()
    requirement = yaml.safe_load(WORKFLOW.read_text())["env"]["WARDIAN_REQUIRE"]
    assert re.search(rf"`require` is the lowest rung.*`{requirement}`", readme, re.DOTALL)


def printing(word: str, *, saved: str) -> NotebookNode:
    """A cell with what is saved below it."""
    output = new_output("stream", name="stdout", text=f"{saved}\n")
    source = f"touch /srv/leaf; echo {word}"
    cell: NotebookNode = new_code_cell(source, execution_count=1, outputs=[output])
    return cell


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A repository with a notebook; what is saved of its second cell is not what that prints."""
    (tmp_path / "notebooks").mkdir()
    right, wrong = printing("fern", saved="fern"), printing("fern", saved="moss")
    kernel = {"name": "wardian-shell", "display_name": "shell", "language": "bash"}
    cells = [right, wrong, new_code_cell("%layers")]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    write(notebook, tmp_path / "notebooks/leaves.ipynb")
    return tmp_path


@pytest.fixture
def as_github_does(course: Path, course_environment: dict[str, str]) -> Callable[[str], Done]:
    """A script by bash with -eo pipefail, in the repository, with the workflow's environment."""
    environment = {
        **course_environment,
        **yaml.safe_load(WORKFLOW.read_text())["env"],
        "PATH": f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}",
    }

    def run(script: str) -> Done:
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            env=environment,
            cwd=course,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_its_steps_tell_a_right_cell_from_a_wrong_one_and_make_pages(
    job: dict[str, Any], course: Path, as_github_does: Callable[[str], Done]
) -> None:
    compared = as_github_does(step(job, "Compare each notebook's outputs with a run"))
    assert compared.returncode == 1, compared
    assert "::Cell 0" not in compared.stdout
    assert "::Cell 1" in compared.stdout
    made = as_github_does(step(job, "Make pages"))
    assert made.returncode == 0, made
    (kept,) = [one["with"]["path"] for one in job["steps"] if "upload-artifact" in str(one)]
    page = (course / kept / "leaves.html").read_text()
    assert "fern" in page and "+ /srv/leaf" in page
