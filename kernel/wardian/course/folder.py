"""A student's folder: copies of lessons, by language, with the pictures that they show."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from wardian.course.lesson import Lesson, without_solutions
from wardian.course.shelf import SHIPPED
from wardian.errors import NotFound


class Folder(msgspec.Struct, frozen=True):
    """Nothing that is in it is replaced unless asked for by `put`."""

    root: Path

    def path(self, lesson: Lesson) -> Path:
        """Where the copy of a lesson is, or would be."""
        return self.root / lesson.language / lesson.path.name

    def copy_of(self, lesson: Lesson) -> Path:
        """The copy. Raises NotFound where there is none yet."""
        path = self.path(lesson)
        if not path.is_file():
            raise NotFound(
                f"no copy of {lesson.name} in {self.root}",
                hint=f"`wardian course open {lesson.name}` makes one",
            )
        return path

    def is_as_shipped(self, lesson: Lesson) -> bool:
        """Whether nobody has worked on the copy."""
        return self.copy_of(lesson).read_bytes() == lesson.path.read_bytes()

    def put(self, lesson: Lesson, *, solutions: bool = True) -> Path:
        """Copy a lesson here; it replaces the copy that there is, at once or not at all."""
        path = self.path(lesson)
        path.parent.mkdir(parents=True, exist_ok=True)
        for picture in lesson.pictures:
            place = Path(os.path.normpath(path.parent / picture))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SHIPPED / lesson.language / picture, place)
        if (recording := lesson.recording) is not None:
            (self.root / "recordings").mkdir(exist_ok=True)
            shutil.copyfile(recording, self.root / "recordings" / recording.name)
        notebook = lesson.path.read_bytes()
        staging = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        try:
            staging.write_bytes(notebook if solutions else without_solutions(notebook))
            os.replace(staging, path)
        except OSError:
            staging.unlink(missing_ok=True)
            raise
        return path
