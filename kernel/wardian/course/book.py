"""The course as a static site, by nbconvert: ``python -m wardian.course.book DIRECTORY``.

A page for each lesson, as it was saved, and a table of contents for each language.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.course import player
from wardian.course.lesson import Lesson
from wardian.course.shelf import LANGUAGES, SHIPPED, every

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbformat import NotebookNode

# A view without its kernel is empty; what it says in text is saved beside it.
VIEW = "application/vnd.jupyter.widget-view+json"
TO_LESSON = re.compile(r"\]\(([\w./-]+)\.ipynb\)")
TO_SOURCES = re.compile(r"\[([^]]*)\]\(\.\./\.\./[^)]*\)")  # what a site of lessons has not


class Words(msgspec.Struct, frozen=True):
    """What the site itself says, in one language."""

    title: str
    contents: str
    following: str
    columns: str


WORDS = {
    "en": Words("What is a container?", "Contents", "Next", "lesson | minutes | after"),
    "ko": Words("컨테이너란 무엇인가?", "차례", "다음", "강의 | 분 | 먼저 볼 강의"),
}


def build(target: Path, lessons: Sequence[Lesson]) -> None:
    """Write the site of these lessons below ``target``; what is there by other names stays."""
    for language in LANGUAGES:
        own = [lesson for lesson in lessons if lesson.language == language]
        _write(target / language / "index.html", contents(own, language), language)
        for lesson, following in pairwise((*own, None)):
            assert lesson is not None
            path = target / language / f"{lesson.name}.html"
            end = player.tail(lesson.recording, language) if lesson.recording else ""
            _write(path, page(lesson, following), language, end)
            for picture in lesson.pictures:
                place = Path(os.path.normpath(target / language / picture))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(SHIPPED / language / picture, place)
    (target / player.SCRIPT).write_text(player.script(), encoding="utf-8")
    shutil.copyfile(player.STATIC / player.STYLE, target / player.STYLE)
    others = " · ".join(f"[{WORDS[one].title}]({one}/index.html)" for one in LANGUAGES)
    _write(target / "index.html", _prose(f"# Wardian\n\n{others}"), LANGUAGES[0])


def contents(lessons: Sequence[Lesson], language: str) -> NotebookNode:
    """The table of contents of one language."""
    words = WORDS[language]
    rows = [f"# {words.title}", "", f"| {words.columns} |", "|---|---|---|"]
    for lesson in lessons:
        course = lesson.document.metadata.course
        after = ", ".join(name[:2] for name in course.needs)
        link = f"{lesson.name[:2]} [{lesson.title}]({lesson.name}.html)"
        rows.append(f"| {link} | {course.minutes} | {after} |")
    return _prose("\n".join(rows))


def page(lesson: Lesson, following: Lesson | None) -> NotebookNode:
    """A lesson as it is shown: with the way to the next one, and views as recorded, or as text."""
    import nbformat

    notebook: NotebookNode = nbformat.read(lesson.path, as_version=4)
    words = WORDS[lesson.language]
    ways = [f"[{words.contents}](index.html)"]
    if following is not None:
        ways.append(f"[{words.following}: {following.title}]({following.name}.html)")
    for cell in notebook.cells:
        view = player.view_of(cell.source) if lesson.recording else ""
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop(VIEW, None) and view:
                data["text/html"] = player.host(view, _shown_after(cell), data["text/html"])
        if cell.cell_type == "markdown":
            text = TO_LESSON.sub(r"](\1.html)", cell.source)
            cell.source = TO_SOURCES.sub(r"\1", text)
    above, below = (nbformat.v4.new_markdown_cell(" · ".join(ways)) for _ in range(2))
    notebook.cells = [above, *notebook.cells, below]
    notebook.metadata["title"] = lesson.title
    return notebook


def _shown_after(cell: NotebookNode) -> int:
    """Which cell had run when the view shows most, as its metadata says; by itself its own."""
    return int(cell.metadata.get("course", {}).get("shown_after", cell.execution_count or 0))


def _prose(text: str) -> NotebookNode:
    import nbformat

    metadata = {"title": text.partition("\n")[0].removeprefix("# ")}
    cells = [nbformat.v4.new_markdown_cell(text)]
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return notebook


def _write(path: Path, notebook: NotebookNode, language: str, end: str = "") -> None:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        language_code=language, exclude_input_prompt=True, mathjax_url="", require_js_url=""
    )
    html, _ = exporter.from_notebook_node(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.replace("</body>", f"{end}\n</body>"), encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]), every(*LANGUAGES))
