"""Frames on their way to a view: one whole frame, then only what differs.

A message is JSON in bytes, of two shapes::

    {"kind": "full",  "view": "layers", "frame": {...}}
    {"kind": "delta", "view": "layers", "set": {field: value}, "put": [row], "drop": [key]}

``set`` replaces whole fields of the frame; ``put`` adds or replaces rows by their key, ``drop``
removes rows. The front end (extension/src/frames.ts) and :func:`apply` read the same messages.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec

from wardian.observe.frames import (
    Frame,
    LayersFrame,
    ProcessesFrame,
    ResourcesFrame,
    Row,
)

FRAME_TYPES: dict[str, type[Frame]] = {
    kind.view: kind for kind in (LayersFrame, ProcessesFrame, ResourcesFrame)
}
_encode = msgspec.json.Encoder().encode


def full(frame: Frame) -> bytes:
    """The message that shows a whole frame."""
    return _encode({"kind": "full", "view": frame.view, "frame": frame})


def delta(before: Frame, after: Frame) -> bytes:
    """The message that turns ``before`` into ``after``, a frame of the same view."""
    message: dict[str, Any] = {"kind": "delta", "view": after.view}
    rows_field = after.rows_field
    message["set"] = {
        name: value
        for name in _names(after)
        if name != rows_field and (value := getattr(after, name)) != getattr(before, name)
    }
    if rows_field is not None:
        message |= _row_changes(getattr(before, rows_field), getattr(after, rows_field))
    return _encode(message)


def apply(before: Frame | None, message: bytes) -> Frame:
    """The frame after a message, as a view would have it (rows in another order, perhaps)."""
    content = msgspec.json.decode(message)
    kind = FRAME_TYPES[content["view"]]
    if content["kind"] == "full":
        return msgspec.convert(content["frame"], kind)
    assert before is not None
    state = {name: msgspec.to_builtins(getattr(before, name)) for name in _names(before)}
    state.update(content["set"])
    if before.rows_field is not None:
        rows = {row.key: msgspec.to_builtins(row) for row in getattr(before, before.rows_field)}
        for key in content["drop"]:
            rows.pop(key, None)
        row_type = _row_type(before)
        for row in content["put"]:
            rows[msgspec.convert(row, row_type).key] = row
        state[before.rows_field] = list(rows.values())
    return msgspec.convert(state, kind)


def _row_changes(before: tuple[Row, ...], after: tuple[Row, ...]) -> dict[str, Any]:
    # Samplers keep a row's object while nothing in it changes, so identity settles most of it.
    known = {id(row) for row in before}
    fresh = [row for row in after if id(row) not in known]
    if len(before) + len(fresh) == len(after):
        return {"put": fresh, "drop": []}
    old = {row.key: row for row in before}
    keys = {row.key for row in after}
    return {
        "put": [row for row in fresh if old.get(row.key) != row],
        "drop": [key for key in old if key not in keys],
    }


def _names(frame: Frame) -> tuple[str, ...]:
    return tuple(field.name for field in fields(frame))


def _row_type(frame: Frame) -> type[Any]:
    from wardian.observe.frames import ProcessRow, UpperEntry

    return UpperEntry if isinstance(frame, LayersFrame) else ProcessRow
