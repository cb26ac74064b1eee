"""What is wrong with a Dockerfile: the line, the place in it, and the remedy."""

from __future__ import annotations

from wardian.errors import InvalidInput

DOCKERFILE = "Dockerfile"
MAX_SHOWN_CHARS = 100
MAX_SHOWN_LINES = 8  # of an instruction
_BEFORE_PLACE_CHARS = 40  # of a long line, what is shown before the place


class DockerfileError(InvalidInput):
    """A Dockerfile that cannot be understood or built.

    ``line`` counts from 1 and is 0 where none is to blame. ``text`` is the instruction as it
    stands in the file, beginning with that line; ``place`` is the part of it that is wrong, if
    that can be told. ``line`` and ``column`` then are those of the place; else ``column`` is 0.
    ``file`` is the name by which the user knows it.
    """

    def __init__(
        self,
        reason: str,
        *,
        line: int = 0,
        text: str = "",
        hint: str = "",
        place: str = "",
        file: str = "",
    ) -> None:
        self.reason = _printable(reason)
        self.place = place
        self._given = line, text
        self.line, self.column, self.text = _located(line, text, place)
        numbers = ":".join(str(number) for number in (self.line, self.column) if number)
        where = f"{_printable(file) or DOCKERFILE}:{numbers}: " if line else ""
        super().__init__(f"{where}{self.reason}{self._excerpt()}", hint=_printable(hint))

    def at(self, line: int, text: str) -> DockerfileError:
        """The same fault with its place, unless it has one."""
        if self.line:
            return self
        return DockerfileError(self.reason, line=line, text=text, hint=self.hint, place=self.place)

    def of(self, file: str) -> DockerfileError:
        """The same fault, of a file that has this name."""
        line, text = self._given
        return DockerfileError(
            self.reason, line=line, text=text, hint=self.hint, place=self.place, file=file
        )

    def _excerpt(self) -> str:
        if not self.line or not self.text.strip():
            return ""
        if not self.column:
            return self._whole()
        begin = max(0, self.column - 1 - _BEFORE_PLACE_CHARS)
        shown = _printable(self.text[begin : begin + MAX_SHOWN_CHARS])
        excerpt = f"\n{self.line:>6} | {shown}"
        offset = self.column - 1 - begin
        width = max(1, min(len(self.place.partition("\n")[0]), len(shown) - offset))
        return f"{excerpt}\n{'':>6} | {' ' * offset}{'^' * width}"

    def _whole(self) -> str:
        """The whole instruction, unless it is a long one."""
        lines = self.text.split("\n")
        shown = lines if len(lines) <= MAX_SHOWN_LINES else lines[: MAX_SHOWN_LINES - 1]
        excerpt = "".join(
            f"\n{number:>6} | {_printable(line.rstrip()[:MAX_SHOWN_CHARS])}"
            for number, line in enumerate(shown, self.line)
        )
        more = len(lines) - len(shown)
        return f"{excerpt}\n{'':>6} | … {more} more lines" if more else excerpt


def _located(line: int, text: str, place: str) -> tuple[int, int, str]:
    """The line, column and text of the place; without one, the whole instruction's."""
    lines = text.split("\n")
    if place:
        for index, each in enumerate(lines):
            if (at := each.find(place)) >= 0:
                return line + index, at + 1, each.rstrip("\r")
    return line, 0, text


def _printable(text: str) -> str:
    """No control characters: a Dockerfile may be anybody's, and this goes to a terminal."""
    return "".join(
        char if char.isprintable() else " " if char in "\t\n" else "\ufffd" for char in text
    )
