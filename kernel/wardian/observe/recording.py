"""A recording: what several views of one container showed, with the times and the cells.

A file ``NAME.wardian-recording`` is JSON in lines, compressed by gzip. The first line says what it
is, each other one is an event, ``at`` so many seconds after the beginning::

    {"format": "wardian-recording/1", "container": "main", "notebook": "fork.ipynb",
     "machine": "Linux 6.1.0 x86_64", "begun_s": 1764175006.2}
    {"at": 0.01, "kind": "full", "view": "processes", "frame": {...}}
    {"at": 0.52, "kind": "cell", "cell": 3, "begins": true}
    {"at": 0.61, "kind": "delta", "view": "processes", "set": {...}, "put": [...], "drop": [...]}
    {"at": 2.00, "kind": "error", "view": "processes", "what": "container main has ended"}
    {"at": 9.30, "kind": "end", "why": ""}

Frames are those of :mod:`wardian.observe.wire`. A whole frame comes again once the changes since
the last one are as long as it is: so to go to any moment costs no more than to read two frames. An
event of an unknown kind is passed over; what else changes has another number in ``format``.

A file can come from anywhere. It is read with bounds, and whole frames and changes alike are held
against the types of the frames before anything is shown.
"""

from __future__ import annotations

import os
import platform
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput, NotFound, SetupError
from wardian.linux.whole import write_whole
from wardian.observe import wire
from wardian.observe.label import label
from wardian.observe.replica import Replica, ensure_shown_as_is
from wardian.observe.wire import Frame

FORMAT = "wardian-recording/1"
SUFFIX = ".wardian-recording"
MOST_FILE_BYTES = 4 << 20
MOST_BYTES = 32 << 20  # of what the file holds, unpacked
MOST_EVENTS = 50_000
MOST_SECONDS = 3600.0
_HEAD_BYTES = 1 << 16
_SPARE_EVENTS = 100
_KEY_BYTES = 16 << 10  # so little need not be whole again
_END_OF_TIME_S = 4e9  # later than 2090 nobody has recorded
_GZIP = 16 + zlib.MAX_WBITS
_NOT_ONE = "use a file that %record has made"
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Of what, where and when a recording was made."""

    format: str
    container: str
    notebook: str = ""
    machine: str = ""
    begun_s: float = 0.0

    @classmethod
    def now(cls, container: str, notebook: str = "") -> Head:
        """That of a recording which begins here and now. No name of the host is in it."""
        system = platform.uname()
        machine = f"{system.system} {system.release} {system.machine}"
        return cls(
            format=FORMAT,
            container=label(container),
            notebook=label(notebook),
            machine=machine,
            begun_s=time.time(),
        )


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that ran meanwhile, by its number in the notebook."""

    number: int
    begun_s: float
    ended_s: float | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that has been read: ``data`` is the file, ``last`` the last frame of each view.

    ``why`` it ended is said where nobody ended it.
    """

    head: Head
    data: bytes
    seconds: float
    cells: tuple[Cell, ...]
    last: dict[str, Frame]
    why: str


class Writer:
    """Writes one, in memory: its size is bounded. Times are seconds since its beginning."""

    def __init__(self, head: Head) -> None:
        self._packing = zlib.compressobj(wbits=_GZIP)
        self._packed: list[bytes] = []
        self._before: dict[str, tuple[Frame, int, int]] = {}
        self._at = 0.0
        self._packed_bytes = self._bytes = self._events = 0
        self._write(_encode(head))

    @property
    def is_full(self) -> bool:
        """Whether there is room for no more than what is being written, and an end."""
        return (
            self._packed_bytes > MOST_FILE_BYTES // 2
            or self._bytes > MOST_BYTES // 2
            or self._events >= MOST_EVENTS - _SPARE_EVENTS
        )

    def frame(self, at: float, frame: Frame) -> None:
        """Write a view's next frame: whole, or what has changed."""
        before, key_bytes, since = self._before.get(frame.view, (None, 0, 0))
        is_key = before is None or since >= max(key_bytes, _KEY_BYTES)
        message = wire.full(frame) if is_key or before is None else wire.delta(before, frame)
        size = self._event(at, message)
        self._before[frame.view] = (frame, *((size, 0) if is_key else (key_bytes, since + size)))

    def cell(self, at: float, number: int, *, begins: bool) -> None:
        """Note that a cell begins or has ended."""
        self._event(at, _encode({"kind": "cell", "cell": number, "begins": begins}))

    def error(self, at: float, view: str, what: str) -> None:
        """Note why a view sees nothing from now on; its next frame will be whole."""
        self._before.pop(view, None)
        self._event(at, _encode({"kind": "error", "view": view, "what": label(what)}))

    def end(self, at: float, why: str = "") -> bytes:
        """The file's content. Nothing can be written afterwards."""
        self._event(at, _encode({"kind": "end", "why": why}))
        self._packed.append(self._packing.flush())
        return b"".join(self._packed)

    def _event(self, at: float, message: bytes) -> int:
        """Bytes of the line."""
        self._at = min(max(self._at, round(at, 3)), MOST_SECONDS)
        self._events += 1
        line = b'{"at":%s,%s' % (_encode(self._at), message[1:])
        self._write(line)
        return len(line)

    def _write(self, line: bytes) -> None:
        packed = self._packing.compress(line + b"\n")
        self._packed.append(packed)
        self._packed_bytes += len(packed)
        self._bytes += len(line) + 1


def of_frames(frames: Iterable[Frame]) -> bytes:
    """A recording of frames of one view. Raises FailedPrecondition if there are none."""
    seen = list(frames)
    if not seen:
        raise FailedPrecondition("nothing was recorded", hint="freeze a view that was seen")
    begun_s = seen[0].time_s
    writer = Writer(Head(format=FORMAT, container=seen[0].container, begun_s=begun_s))
    for frame in seen:
        if writer.is_full:
            break
        writer.frame(frame.time_s - begun_s, frame)
    return writer.end(seen[-1].time_s - begun_s)


def read(data: bytes) -> Recording:
    """Read what a Writer has written. Raises InvalidInput for anything else."""
    try:
        return _read(data)
    except (msgspec.DecodeError, zlib.error, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not a recording: {error}", hint=_NOT_ONE) from error


def load(path: Path) -> Recording:
    """Read a file. Raises NotFound or InvalidInput."""
    return read(_content(path, MOST_FILE_BYTES))


def load_head(path: Path) -> Head:
    """What a file says of itself at its beginning. Raises NotFound or InvalidInput."""
    try:
        line = zlib.decompressobj(_GZIP).decompress(_content(path, None), _HEAD_BYTES)
        return _head(line.partition(b"\n")[0])
    except (msgspec.DecodeError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"not a recording: {error}", hint=_NOT_ONE) from error


def save(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises SetupError."""
    try:
        write_whole(path, data, mode=0o666)
    except OSError as error:
        raise SetupError(
            f"the recording {path.name} cannot be written: {error.strerror}",
            hint="make the notebook's directory writable",
        ) from error


def _content(path: Path, most_bytes: int | None) -> bytes:
    """A regular file's content, or only its beginning. Raises NotFound or InvalidInput."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as f:
            data = f.read(_HEAD_BYTES if most_bytes is None else most_bytes + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not the name of a file"
        raise NotFound(
            f"the recording {label(path.name, max_chars=80)}: {why}", hint="%record list names them"
        ) from error
    if most_bytes is not None and len(data) > most_bytes:
        raise InvalidInput(f"{path.name[:80]} is too large for a recording", hint=_NOT_ONE)
    return data or b""


def _read(data: bytes) -> Recording:
    if len(data) > MOST_FILE_BYTES:
        raise InvalidInput("too large for a recording", hint=_NOT_ONE)
    unpacking = zlib.decompressobj(_GZIP)
    plain = unpacking.decompress(data, MOST_BYTES)
    if not unpacking.eof or unpacking.unused_data:
        raise InvalidInput("not one recording, whole", hint=_NOT_ONE)
    lines = plain.split(b"\n", MOST_EVENTS + 2)
    if len(lines) > MOST_EVENTS + 2 or lines.pop():  # a head, the events, nothing behind
        raise InvalidInput("not one recording, whole", hint=_NOT_ONE)
    reading = _Reading()
    head = _head(lines[0] if lines else b"")
    for event in _events(lines[1:]):
        reading.take(event)
    if reading.why is None or not reading.replicas:
        raise InvalidInput("nothing was recorded, or not to its end", hint=_NOT_ONE)
    return Recording(
        head=head,
        data=data,
        seconds=reading.at,
        cells=tuple(reading.cells),
        last={view: replica.frame for view, replica in reading.replicas.items()},
        why=reading.why,
    )


def _head(line: bytes) -> Head:
    head = msgspec.json.decode(line, type=Head)
    if head.format != FORMAT:
        raise InvalidInput(f"not a recording of this version: {head.format[:40]!r}", hint=_NOT_ONE)
    if not 0 <= head.begun_s < _END_OF_TIME_S:
        raise InvalidInput("a recording whose times cannot be", hint=_NOT_ONE)
    ensure_shown_as_is(msgspec.to_builtins(head))
    return head


def _events(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield msgspec.json.decode(line, type=dict[str, Any])


class _Reading:
    """What is known after so many events."""

    def __init__(self) -> None:
        self.at = 0.0
        self.cells: list[Cell] = []
        self.replicas: dict[str, Replica] = {}
        self.why: str | None = None

    def take(self, event: dict[str, Any]) -> None:
        """Raises InvalidInput or msgspec.ValidationError for an event that cannot be."""
        at = msgspec.convert(event.get("at"), float)
        if not self.at <= at <= MOST_SECONDS or self.why is not None:
            raise InvalidInput("a recording whose times cannot be", hint=_NOT_ONE)
        self.at = at
        kind = msgspec.convert(event.get("kind"), str)
        if kind in ("full", "delta"):
            self._frame(event)
        elif kind == "cell":
            self._cell(event)
        elif kind in ("error", "end"):
            word = msgspec.convert(event.get("what" if kind == "error" else "why"), str)
            ensure_shown_as_is(word)
            if kind == "end":
                self.why = word

    def _frame(self, event: dict[str, Any]) -> None:
        view = msgspec.convert(event.get("view"), str)
        if view not in self.replicas:
            self.replicas[view] = Replica(view)
        self.replicas[view].take(event)

    def _cell(self, event: dict[str, Any]) -> None:
        number = msgspec.convert(event.get("cell"), int)
        if msgspec.convert(event.get("begins"), bool):
            self.cells.append(Cell(number=number, begun_s=self.at))
        elif self.cells and self.cells[-1].number == number:
            begun_s = self.cells[-1].begun_s
            self.cells[-1] = Cell(number=number, begun_s=begun_s, ended_s=self.at)
