"""The shelf: the lessons that are shipped with the package, in each language."""

from __future__ import annotations

import difflib
from pathlib import Path

from wardian.course.lesson import Lesson
from wardian.errors import NotFound

# In a checkout this is a symlink to notebooks/; a wheel has the notebooks themselves in its place.
SHIPPED = Path(__file__).parent / "lessons"
LANGUAGES = ("en", "ko")


def paths(language: str) -> list[Path]:
    """The notebooks of one language, in their order."""
    return sorted((SHIPPED / language).glob("[0-9]*.ipynb"))


def names() -> list[str]:
    """The lessons' names; they are the same in each language."""
    return [path.stem for path in paths(LANGUAGES[0])]


def every(*languages: str) -> list[Lesson]:
    """All lessons of these languages, in their order."""
    return [Lesson.read(path) for language in languages for path in paths(language)]


def find(word: str, language: str) -> Lesson:
    """The lesson that is meant by its name, its number, or a part of its name that no other has."""
    wanted = word.removesuffix(".ipynb").lower()
    found = {path.stem: path for path in paths(language)}
    number = f"{int(wanted):02d}-" if wanted.isdecimal() else None
    fitting = [
        name for name in found if (name.startswith(number) if number else wanted and wanted in name)
    ]
    if wanted in found:
        fitting = [wanted]
    if len(fitting) == 1:
        return Lesson.read(found[fitting[0]])
    close = fitting or difflib.get_close_matches(wanted, found, n=2, cutoff=0.4)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise NotFound(
        f"no lesson {word[:80]!r}" if not fitting else f"more than one lesson fits {word[:80]!r}",
        hint=f"{meant}`wardian course list` names all",
    )
