"""What is wrong with a Dockerfile: the line, the place in it, and the remedy."""

from __future__ import annotations

from wardian.errors import InvalidInput

MAX_SHOWN_CHARS = 200


class DockerfileError(InvalidInput):
    """A Dockerfile that cannot be understood or built.

    ``line`` counts from 1 and is 0 where none is to blame; ``text`` is the first line of the
    instruction.
    """

    def __init__(self, reason: str, *, line: int = 0, text: str = "", hint: str = "") -> None:
        self.reason = reason
        self.line = line
        self.text = text[:MAX_SHOWN_CHARS]
        place = f"Dockerfile:{line}: " if line else ""
        shown = f"\n{line:>6} | {self.text}" if line and self.text else ""
        super().__init__(f"{place}{reason}{shown}", hint=hint)

    def at(self, line: int, text: str) -> DockerfileError:
        """The same fault with its place, unless it has one."""
        if self.line:
            return self
        return DockerfileError(self.reason, line=line, text=text, hint=self.hint)
