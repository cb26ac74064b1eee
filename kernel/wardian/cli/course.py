"""``wardian course …``: the lessons, and a student's copies of them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from wardian.cli.params import format_option
from wardian.cli.program import Command, Entry, LazyGroup, Sections

if TYPE_CHECKING:
    from wardian.course.folder import Folder
    from wardian.course.lesson import Lesson
    from wardian.course.trial import Finding, Trial

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = {
    "Name": "LESSON",
    "Language": "LANGUAGE",
    "Minutes": "MINUTES",
    "Points": "POINTS",
    "Copy": "COPY",
    "Title": "TITLE",
}
FINDING_COLUMNS = {"Cell": "CELL", "Result": "RESULT", "Source": "SOURCE"}
SOURCE_CHARS = 60
WORDS = {"ran": "ran", "broke": "failed", "solved": "solved", "open": "not yet"}


class CourseGroup(LazyGroup):
    """Its commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "list": Entry("course:listing", "List the lessons."),
            "open": Entry("course:open_", "Copy a lesson to your folder, and open it."),
            "check": Entry("course:check", "Run your copy, and say which exercises are solved."),
            "reset": Entry("course:reset", "Put a lesson and its containers back."),
        }
    }


@click.command(cls=CourseGroup)
def course() -> None:
    """The course: seventeen lessons on what a container is, each an experiment.

    \b
    wardian course list                what there is, and how long it takes
    wardian course open 02             a copy of lesson 02, in JupyterLab
    wardian course check 02            run it, and see which exercises are solved
    wardian course reset 02            begin anew
    """  # noqa: D301


def complete_lesson(
    ctx: click.Context,  # noqa: ARG001  # click's interface
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """Names of lessons."""
    from wardian.course.shelf import names

    return [name for name in names() if name.startswith(incomplete)]


def usual_language() -> str:
    """That of the user's locale, if there are lessons in it."""
    from wardian.course.shelf import LANGUAGES

    said = (os.environ.get(name) for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"))
    spoken = next(filter(None, said), "")[:2]
    return spoken if spoken in LANGUAGES else LANGUAGES[0]


def language_option(function: F) -> F:
    """``--language``."""
    return click.option(
        *("-l", "--language"),
        type=click.Choice(["en", "ko"]),
        help="Of the lesson (your locale's, else English).",
    )(function)


def folder_option(function: F) -> F:
    """``--directory``."""
    return click.option(
        *("-C", "--directory"),
        type=click.Path(file_okay=False, path_type=Path),
        envvar="WARDIAN_COURSE",
        show_envvar=True,
        default=Path("~/wardian-course"),
        help="Your folder (~/wardian-course).",
    )(function)


def lesson_argument(function: F) -> F:
    """``LESSON``: a name, a number, or a part of a name that no other has."""
    return click.argument("word", metavar="LESSON", shell_complete=complete_lesson)(function)


def _find(word: str, language: str | None, directory: Path) -> tuple[Lesson, Folder]:
    from wardian.course.shelf import find

    return find(word, language or usual_language()), _folder(directory)


def _folder(directory: Path) -> Folder:
    from wardian.course.folder import Folder

    return Folder(Path(os.path.abspath(directory.expanduser())))


@click.command("list", cls=Command)
@click.option(
    "-l", "--language", type=click.Choice(["en", "ko"]), help="Only lessons in this language."
)
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@folder_option
@format_option
def listing(*, language: str | None, quiet: bool, directory: Path, style: str | None) -> None:
    """List the lessons: how long each takes, what its exercises are worth, and your copies.

    \b
    wardian course list --language ko
    wardian course list --format '{{.Name}}: {{.Minutes}} minutes, after {{join .Needs ", "}}'
    """  # noqa: D301
    from wardian.cli.format import emit
    from wardian.course.shelf import LANGUAGES, every

    folder = _folder(directory)
    rows = [_row(lesson, folder) for lesson in every(*([language] if language else LANGUAGES))]
    emit(rows, COLUMNS, style=style, quiet_field="Name" if quiet else None)


def _row(lesson: Lesson, folder: Folder) -> dict[str, Any]:
    has_copy = folder.path(lesson).is_file()
    state = ("as shipped" if folder.is_as_shipped(lesson) else "changed") if has_copy else ""
    facts = lesson.document.metadata
    return {
        "Name": lesson.name,
        "Language": lesson.language,
        "Title": lesson.title,
        "Minutes": facts.course.minutes,
        "Needs": list(facts.course.needs),
        "Points": int(lesson.points),
        "Kernel": facts.kernelspec.name,
        "Copy": state,
        "Path": str(folder.path(lesson)) if has_copy else "",
    }


@click.command("open", cls=Command)
@lesson_argument
@language_option
@folder_option
@click.option("--no-browser", is_flag=True, help="Only print the command that opens it.")
@click.option("--without-solutions", is_flag=True, help="Copy it without its solutions.")
def open_(
    *,
    word: str,
    language: str | None,
    directory: Path,
    no_browser: bool,
    without_solutions: bool,
) -> None:
    """Copy a lesson to your folder, and open the copy in JupyterLab.

    A copy that is there already is opened as you left it. The server goes on until Ctrl-C.

    \b
    wardian course open tour
    wardian course open 02 --language ko
    wardian course open 02 --no-browser
    wardian course open 02 --no-browser --without-solutions -C source/02
    """  # noqa: D301
    lesson, folder = _find(word, language, directory)
    path = folder.path(lesson)
    if not path.is_file():
        folder.put(lesson, solutions=not without_solutions)
    elif not folder.is_as_shipped(lesson):
        begin_anew = f"`wardian course reset {lesson.name}` begins anew"
        click.echo(f"{path} is there already and stays as it is; {begin_anew}", err=True)
    command = _jupyterlab(folder, path)
    if no_browser:
        click.echo(path)
        click.echo(shlex.join(command))
        return
    _ensure_jupyterlab()
    os.execvp(command[0], command)


def _ensure_jupyterlab() -> None:
    from importlib.util import find_spec

    from wardian.errors import SetupError

    if find_spec("jupyterlab") is None:
        raise SetupError("jupyterlab is not installed", hint="pip install 'wardian[lab]'")


def _jupyterlab(folder: Folder, path: Path) -> list[str]:
    """JupyterLab in the folder, with the lesson open."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.root}"]
    if os.geteuid() == 0:
        command.append("--allow-root")  # it refuses to serve as root unless told so
    return [*command, f"--LabApp.default_url=/lab/tree/{path.relative_to(folder.root)}"]


@click.command(cls=Command)
@lesson_argument
@language_option
@folder_option
@click.option(
    "--cell-timeout",
    "cell_timeout_s",
    type=click.IntRange(min=1),
    default=300,
    metavar="SECONDS",
    show_default=True,
    help="When a cell that does not end is interrupted.",
)
@format_option
def check(
    *,
    word: str,
    language: str | None,
    directory: Path,
    cell_timeout_s: int,
    style: str | None,
) -> int:
    """Run your copy of a lesson from top to bottom, and say which exercises are solved.

    It runs in containers of its own, and the file is only read. There is a line for each cell as
    it ends. The exit code is 0 if every exercise is solved and no cell failed.

    \b
    wardian course check 02
    wardian course check 02 --format json | jq -c 'select(.Points)'
    """  # noqa: D301
    import asyncio

    from wardian.course.trial import Trial

    lesson, folder = _find(word, language, directory)
    trial = Trial(folder.copy_of(lesson), cell_timeout_s)
    findings = asyncio.run(_follow(trial, style))
    broken = sum(one.verdict == "broke" for one in findings)
    solved = [one for one in findings if one.verdict == "solved"]
    exercises = [one for one in findings if one.grade_id]
    if style in (None, "table"):
        click.echo(
            f"\n{lesson.name}: {len(solved)} of {len(exercises)} exercises solved, "
            f"{sum(one.points for one in solved):g} of {sum(one.points for one in exercises):g}"
            f" points; {broken} of {len(findings)} cells failed"
        )
    return 1 if broken or len(solved) < len(exercises) else 0


async def _follow(trial: Trial, style: str | None) -> list[Finding]:
    """Print what came of each cell as soon as it is known."""
    from contextlib import aclosing

    from wardian.cli.format import emit

    found = []
    async with aclosing(trial.findings()) as findings:
        async for finding in findings:
            found.append(finding)
            if style in (None, "table"):
                click.echo(_line(finding))
            else:
                emit([_finding_row(finding)], FINDING_COLUMNS, style=style)
            sys.stdout.flush()
    return found


def _reason(finding: Finding) -> str:
    """Why a cell failed that should not have; a container may have chosen the words."""
    from wardian.observe.label import label

    return label(finding.reason) if finding.verdict in ("broke", "open") else ""


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "Cell": finding.number,
        "Result": WORDS[finding.verdict],
        "Exercise": finding.exercise,
        "Points": finding.points,
        "Reason": _reason(finding),
        "Source": finding.source,
    }


def _line(finding: Finding) -> str:
    from wardian.observe.label import label

    source = label(finding.first_line)
    if len(source) > SOURCE_CHARS:
        source = source[: SOURCE_CHARS - 1] + "…"
    said = f"exercise {finding.exercise}" if finding.exercise else source
    line = f"{finding.number:>3}  {WORDS[finding.verdict]:<7}  {said}"
    return f"{line}: {reason}" if (reason := _reason(finding)) else line


@click.command(cls=Command)
@lesson_argument
@language_option
@folder_option
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
def reset(*, word: str, language: str | None, directory: Path, force: bool) -> int:
    """Put your copy of a lesson back as it is shipped, and remove its containers.

    What you have written into the copy is lost, and so are the containers' files; volumes that
    have a name stay.
    """
    from wardian.observe.subject import NOTEBOOK_LABEL
    from wardian.runtime.client import Client

    lesson, folder = _find(word, language, directory)
    path = folder.copy_of(lesson).resolve()  # as its kernel knows it
    with Client.connect() as client:
        its_own = [
            info.name for info in client.list() if info.spec.labels.get(NOTEBOOK_LABEL) == str(path)
        ]
        what = f"your work in {path}" + (f", and {', '.join(its_own)}" if its_own else "")
        if not force and not click.confirm(f"This removes {what}. Go on?"):
            return 1
        for name in its_own:
            client.container(name).remove(force=True, volumes=True)
            click.echo(name)
    click.echo(folder.put(lesson))
    return 0
