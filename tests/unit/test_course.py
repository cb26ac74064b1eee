from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from wardian.cli.program import run
from wardian.course.folder import Folder
from wardian.course.lesson import Lesson, without_solutions
from wardian.course.shelf import LANGUAGES, find, names, paths
from wardian.errors import InvalidInput, NotFound

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_shelf_has_what_is_in_the_checkout() -> None:
    for language in LANGUAGES:
        assert [path.name for path in paths(language)] == sorted(
            path.name for path in (NOTEBOOKS / language).glob("*.ipynb")
        )


@pytest.mark.parametrize("word", ["02", "2", "pid", "02-pid-namespace", "02-pid-namespace.ipynb"])
def test_lesson_is_found_by_number_name_or_a_part_of_it(word: str) -> None:
    assert find(word, "en").name == "02-pid-namespace"


@pytest.mark.parametrize(
    ("word", "what", "hint"),
    [
        ("namespace", "more than one lesson fits", "02-pid-namespace or 03-mount-namespace"),
        ("registri", "no lesson 'registri'", "did you mean 14-registry"),
        ("99", "no lesson '99'", "`wardian course list`"),
        ("", "no lesson ''", "`wardian course list`"),
    ],
)
def test_what_is_no_lesson_is_refused_with_what_comes_close(
    word: str, what: str, hint: str
) -> None:
    with pytest.raises(NotFound) as caught:
        find(word, "en")
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_file_that_is_no_lesson_is_refused(tmp_path: Path) -> None:
    for text in ("not JSON", "{}", '{"cells": [], "metadata": {}}'):
        (tmp_path / "x.ipynb").write_text(text)
        with pytest.raises(InvalidInput, match="not a lesson"):
            Lesson.read(tmp_path / "x.ipynb")


def test_copy_of_a_translation_brings_its_pictures(tmp_path: Path) -> None:
    lesson = find("09", "ko")
    assert lesson.pictures == ["../en/images/cgroup.svg"]
    path = Folder(tmp_path).put(lesson)
    assert path.read_bytes() == lesson.path.read_bytes()
    assert (path.parent / "../en/images/cgroup.svg").is_file()
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_solutions_can_be_left_out_and_nothing_else(language: str) -> None:
    for path in paths(language):
        whole = nbformat.reads(path.read_text(), 4)
        bare = nbformat.reads(without_solutions(path.read_bytes()).decode(), 4)
        nbformat.validate(bare)
        assert "<details>" not in json.dumps(bare)
        solutions = [cell for cell in whole.cells if cell.id.endswith("-solution")]
        assert len(solutions) >= 2
        kept = [cell for cell in whole.cells if cell not in solutions]
        assert [cell.id for cell in bare.cells] == [cell.id for cell in kept]
        for one, other in zip(bare.cells, kept, strict=True):
            assert one == other or "<details>" in other.source


def course(folder: Path, *words: str) -> int:
    return run(["course", words[0], "-C", str(folder), *words[1:]])


def test_copy_that_is_worked_on_is_opened_and_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert course(tmp_path, "open", "tour", "-l", "en", "--no-browser") == 0
    path, command = capsys.readouterr().out.splitlines()
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert command.endswith("=/lab/tree/en/00-tour.ipynb")
    Path(path).write_text("my work")
    assert course(tmp_path, "open", "tour", "-l", "en", "--no-browser") == 0
    assert "stays as it is" in capsys.readouterr().err
    assert Path(path).read_text() == "my work"
    assert course(tmp_path, "list", "-l", "en", "--format", "{{.Name}} {{.Copy}}") == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["00-tour changed", "01-why-containers "]


def test_list_says_what_each_lesson_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert course(tmp_path, "list", "--format", "json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["Language"], row["Name"]) for row in rows} == {
        (language, name) for language in LANGUAGES for name in names()
    }
    row = next(
        row for row in rows if row["Language"] == "ko" and row["Name"] == "03-mount-namespace"
    )
    assert row["Title"] == "나만의 루트: 마운트 네임스페이스"
    assert row["Needs"] == ["02-pid-namespace"]
    assert row["Points"] >= 1
    assert row["Kernel"] == "wardian-shell"


@pytest.mark.parametrize(
    ("locale", "name"), [("ko_KR.UTF-8", "ko"), ("de_DE.UTF-8", "en"), ("", "en")]
)
def test_language_is_that_of_the_locale_where_there_is_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    locale: str,
    name: str,
) -> None:
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LANG", locale)
    assert course(tmp_path, "open", "tour", "--no-browser") == 0
    assert f"{tmp_path}/{name}/00-tour.ipynb" in capsys.readouterr().out


def test_names_of_lessons_are_completed() -> None:
    """As the completion script of bash asks for them."""
    done = subprocess.run(
        [sys.executable, "-m", "wardian.cli"],
        env={
            "_WARDIAN_COMPLETE": "bash_complete",
            "COMP_WORDS": "wardian course open 0",
            "COMP_CWORD": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    words = [word.partition(",")[2] for word in done.stdout.split()]
    assert words == [name for name in names() if name.startswith("0")]


@pytest.mark.parametrize("command", ["check", "reset"])
def test_lesson_that_was_not_opened_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert course(tmp_path, command, "tour") == 1
    assert "hint: `wardian course open 00-tour` makes one" in capsys.readouterr().err
