"""A replica: what a page holds of a view, made from the messages that it was sent.

Here messages are read back that may come from anybody (a recording can be a download), so each is
held against the types of the frames; what it costs to read is proportional to its length.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from wardian.errors import InvalidInput
from wardian.observe.build_frame import BuildFrame, BuildStep
from wardian.observe.frames import LayersFrame, ProcessesFrame, ProcessRow, UpperEntry
from wardian.observe.label import HIDDEN
from wardian.observe.listing import ContainersFrame, ListedContainer
from wardian.observe.wire import FRAME_TYPES, Frame

T = TypeVar("T")
_ROWS: dict[type[Any], type[Any]] = {
    LayersFrame: UpperEntry,
    ProcessesFrame: ProcessRow,
    BuildFrame: BuildStep,
    ContainersFrame: ListedContainer,
}
_MAX_STEPS = 8


class Replica:
    """One view, after any number of messages. Raises InvalidInput for what cannot be."""

    def __init__(self, view: str) -> None:
        if view not in FRAME_TYPES:
            raise InvalidInput(f"there is no such view: {view[:40]!r}")
        self._kind: Any = FRAME_TYPES[view]
        self._rows_field = self._kind.rows_field
        self._state: dict[str, Any] | None = None
        self._rows: dict[str, Any] = {}  # in their decoded form, as the rest: held against types

    @property
    def frame(self) -> Frame:
        """The frame that is shown now; its rows come in no certain order."""
        assert self._state is not None
        state = dict(self._state)
        if self._rows_field is not None:
            state[self._rows_field] = list(self._rows.values())
        return cast("Frame", _converted(state, self._kind))

    def take(self, message: dict[str, Any]) -> None:
        """Take in a message in its decoded form: a whole frame, or what has changed."""
        ensure_shown_as_is(message)
        kind = message.get("kind")
        if kind == "full":
            self._begin(message.get("frame"))
        elif kind == "delta" and self._state is not None:
            self._change(self._state, message)
        else:
            raise InvalidInput("a frame's changes come before the frame itself")

    def _begin(self, content: Any) -> None:
        frame = _converted(content, self._kind)
        state = dict(content)
        if self._rows_field is not None:
            rows = state.pop(self._rows_field)
            keys = (row.key for row in getattr(frame, self._rows_field))
            self._rows = dict(zip(keys, rows, strict=True))
        self._state = state

    def _change(self, state: dict[str, Any], message: dict[str, Any]) -> None:
        for name, value in _mapping(message.get("set", {})).items():
            if name == self._rows_field:
                raise InvalidInput("rows are put and dropped, not set")
            kind = _type_at(self._kind, (name,))
            _converted(value, kind)
            state[name] = value
        for path, value in _converted(message.get("patch", []), list[tuple[list[str | int], Any]]):
            kind = _type_at(self._kind, tuple(path))
            _converted(value, kind)
            _put(state, path, value)
        dropped = _converted(message.get("drop", []), list[str])
        put, altered = message.get("put", []), _mapping(message.get("alter", {}))
        if self._rows_field is None:
            if dropped or put or altered:
                raise InvalidInput(f"a view of {self._kind.view} has no rows")
            return
        for key in dropped:
            self._rows.pop(key, None)
        row_type = _ROWS[self._kind]
        for content in _converted(put, list[Any]):
            self._rows[_converted(content, row_type).key] = content
        for key, values in altered.items():
            content = {**self._rows.get(key, {}), **_mapping(values)}
            if key not in self._rows or _converted(content, row_type).key != key:
                raise InvalidInput("a change of a row that is not there")
            self._rows[key] = content


def ensure_shown_as_is(content: Any) -> None:
    """Refuse texts that no sampler lets through: control and bidirectional characters.

    Raises InvalidInput.
    """
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if not one.isprintable() and any(unicodedata.category(char) in HIDDEN for char in one):
                raise InvalidInput("a text with control characters: no view has written this")
        elif isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _converted(content: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"not of a view's shape: {error}") from error


def _mapping(content: Any) -> dict[str, Any]:
    return _converted(content, dict[str, Any])


def _put(state: dict[str, Any], path: list[str | int], value: Any) -> None:
    """The types of the path are right already; whether a list is that long is seen here."""
    *steps, last = path
    place: Any = state
    try:
        for step in steps:
            place = place[step]
        place[last]  # what is not there is not replaced
        place[last] = value
    except (IndexError, KeyError, TypeError) as error:
        raise InvalidInput("a change of what is not there") from error


@lru_cache(maxsize=4096)
def _type_at(kind: Any, path: tuple[str | int, ...]) -> Any:
    """The type of what is at a path within a frame. Raises InvalidInput."""
    if not path:
        return kind
    if len(path) > _MAX_STEPS:
        raise InvalidInput("no view is that deep")
    step, rest = path[0], path[1:]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (kind,) = (one for one in arguments if one is not NoneType)
        return _type_at(kind, path)
    found = None
    if origin is tuple and isinstance(step, int) and step >= 0:
        if arguments[-1] is Ellipsis:
            found = arguments[0]
        elif step < len(arguments):
            found = arguments[step]
    elif hasattr(kind, "__struct_fields__") and isinstance(step, str):
        found = _hints(kind).get(step)
    if found is None:
        raise InvalidInput(f"a view has no such part: {str(step)[:40]!r}")
    return _type_at(found, rest)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}
