"""A lesson of the course, read from its notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import InvalidInput

PICTURE = re.compile(r"\]\((?P<path>(?:\.\./en/)?images/[\w.-]+)\)")
SOLUTION = re.compile(r"\n*<details>.*?</details>", re.DOTALL)


class Mark(msgspec.Struct, frozen=True):
    """What nbgrader has to know of a cell (its metadata's schema, version 3)."""

    grade_id: str
    grade: bool = False
    solution: bool = False
    points: float = 0


class CellMetadata(msgspec.Struct, frozen=True):
    """Of a cell."""

    nbgrader: Mark | None = None
    tags: tuple[str, ...] = ()


class Cell(msgspec.Struct, frozen=True):
    """One cell, without its outputs."""

    cell_type: str
    source: str | list[str]
    metadata: CellMetadata

    @property
    def text(self) -> str:
        """Its source."""
        return self.source if isinstance(self.source, str) else "".join(self.source)


class KernelName(msgspec.Struct, frozen=True):
    """Which kernel runs a notebook."""

    name: str


class CourseMetadata(msgspec.Struct, frozen=True):
    """What a lesson says of itself: how long it takes, and which ones come before."""

    minutes: int
    needs: tuple[str, ...] = ()


class NotebookMetadata(msgspec.Struct, frozen=True):
    """Of a notebook."""

    kernelspec: KernelName
    course: CourseMetadata


class Document(msgspec.Struct, frozen=True):
    """A lesson's file, as far as it is of interest here."""

    cells: list[Cell]
    metadata: NotebookMetadata


class Lesson(msgspec.Struct, frozen=True):
    """``path`` is the notebook that is shipped."""

    path: Path
    document: Document

    @classmethod
    def read(cls, path: Path) -> Lesson:
        """From a file. Raises InvalidInput where it is no lesson."""
        try:
            return cls(path, msgspec.json.decode(path.read_bytes(), type=Document))
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f"not a lesson: {path}: {error}", hint="`wardian course reset` puts one back"
            ) from error

    @property
    def name(self) -> str:
        """Like ``02-pid-namespace``."""
        return self.path.stem

    @property
    def language(self) -> str:
        """Like ``en``."""
        return self.path.parent.name

    @property
    def title(self) -> str:
        """The heading that it begins with."""
        return self.document.cells[0].text.splitlines()[0].removeprefix("# ")

    @property
    def pictures(self) -> list[str]:
        """Paths of the pictures that it shows, from its own folder."""
        texts = "\n".join(cell.text for cell in self.document.cells)
        return sorted({found["path"] for found in PICTURE.finditer(texts)})

    @property
    def recording(self) -> Path | None:
        """What its views showed when it was recorded; the languages share it. None without one."""
        path = self.path.parents[1] / "recordings" / f"{self.name}.wardian-recording"
        return path if path.is_file() else None

    @property
    def points(self) -> float:
        """What all its exercises are worth."""
        marks = (cell.metadata.nbgrader for cell in self.document.cells)
        return sum(mark.points for mark in marks if mark)


def without_solutions(notebook: bytes) -> bytes:
    """The same notebook where no solution is to be unfolded, as one is handed out for marks."""
    document: dict[str, Any] = msgspec.json.decode(notebook)
    for cell in document["cells"]:
        if cell["cell_type"] == "markdown":
            text = SOLUTION.sub("", "".join(cell["source"]))
            cell["source"] = text.splitlines(keepends=True)
    document["cells"] = [cell for cell in document["cells"] if cell["source"]]
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
