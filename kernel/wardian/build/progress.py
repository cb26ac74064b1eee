"""What a build tells while it goes on: events, and their lines in BuildKit's plain form."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec

from wardian.errors import ProtocolError

Say = Callable[["Event"], None]
MAX_CHANGES_TOLD = 200


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """``kind`` is start, output, done, warning, image; sizes are bytes.

    ``number`` counts all steps from 1 as they begin, ``step`` those of one stage. ``stage`` is ""
    where there is but one. ``changes`` are (A, M or D; path; size). ``why`` tells the reason of a
    cache miss.
    """

    kind: str
    number: int = 0
    step: int = 0
    steps: int = 0
    stage: str = ""
    instruction: str = ""
    line: int = 0
    text: str = ""
    cached: bool = False
    why: str = ""
    layer: str = ""
    size_bytes: int = 0
    seconds: float = 0.0
    changes: list[tuple[str, str, int]] = msgspec.field(default_factory=list)
    changes_count: int = 0

    def as_json(self) -> str:
        """One line, what is empty left out."""
        values = msgspec.structs.asdict(self).items()
        return json.dumps({name: value for name, value in values if value})

    @classmethod
    def from_json(cls, line: bytes) -> Event:
        """The event of such a line. Raises ProtocolError."""
        try:
            return msgspec.json.decode(line, type=cls)
        except msgspec.MsgspecError as error:
            raise ProtocolError("the build said something impossible") from error


class Plain:
    """BuildKit's plain form. Where stages are built at once, a line says of what it goes on."""

    def __init__(self) -> None:
        self._current = 0
        self._heads: dict[int, str] = {}

    def text(self, event: Event) -> str:
        """The lines of an event; "" for none."""
        if event.kind == "warning":
            return f"WARN: {event.why}: {event.text} (line {event.line})\n"
        if event.kind == "image":
            return f"naming to {event.text}\n" if event.text else ""
        head = f"#{event.number}"
        if event.kind == "start":
            where = " ".join(filter(None, (event.stage, f"{event.step}/{event.steps}")))
            self._heads[event.number] = f"{head} [{where}] {event.instruction}\n"
        lines = self._turned_to(event.number)
        if event.kind == "output":
            return lines + "".join(f"{head} {line}\n" for line in event.text.splitlines())
        if event.kind == "done":
            del self._heads[event.number]
            return lines + _done(event, head)
        return lines

    def _turned_to(self, number: int) -> str:
        """What is said where the lines before were of another step."""
        before, self._current = self._current, number
        if before == number:
            return ""
        broken_off = f"#{before} ...\n" if before in self._heads else ""
        return broken_off + ("\n" if before else "") + self._heads[number]


def listed(event: Event, most: int) -> list[str]:
    """The changes of a step, a line each, and how many more there are."""
    shown = event.changes[:most]
    lines = [f"{letter} /{ascii(path)[1:-1]}" for letter, path, _ in shown]
    more = event.changes_count - len(shown)
    return [*lines, f"… {more} more"] if more > 0 else lines


def _done(event: Event, head: str) -> str:
    result = ""
    if not event.cached and event.why:
        result += f"{head} not cached: {event.why}\n"
    if event.layer:
        result += (
            f"{head} layer {event.layer.removeprefix('sha256:')[:12]} {event.size_bytes} bytes\n"
        )
        result += "".join(f"{head}   {line}\n" for line in listed(event, 10))
    return result + (f"{head} CACHED\n" if event.cached else f"{head} DONE {event.seconds:.1f}s\n")
