"""Frames on their way to a view: one whole frame, then only what differs.

A message is JSON in bytes, of two shapes::

    {"kind": "full",  "view": "layers", "frame": {...}}
    {"kind": "delta", "view": "layers", "set": {field: value}, "put": [row], "drop": [key],
     "alter": {key: {field: value}}}
    {"kind": "delta", "view": "network", "set": {...}, "patch": [[["links", 3, "is_up"], false]]}

``set`` replaces whole fields of the frame; ``put`` adds or replaces rows by their key, ``drop``
removes rows, ``alter`` replaces fields of rows; ``patch`` replaces what is at a path within a
field. The front end (extension/src/frames.ts) and :class:`wardian.observe.replica.Replica` read the
same messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from wardian.observe.build_frame import BuildFrame, BuildStep
from wardian.observe.frames import (
    LayersFrame,
    ProcessesFrame,
    ProcessRow,
    ResourcesFrame,
    UpperEntry,
)
from wardian.observe.image_frame import ImageFrame
from wardian.observe.listing import ContainersFrame, ListedContainer
from wardian.observe.network_frame import NetworkFrame

Frame = (
    LayersFrame
    | ProcessesFrame
    | ResourcesFrame
    | NetworkFrame
    | ImageFrame
    | BuildFrame
    | ContainersFrame
)
Row = UpperEntry | ProcessRow | BuildStep | ListedContainer
Path = tuple[str | int, ...]

FRAME_TYPES: dict[str, type[Frame]] = {
    kind.view: kind
    for kind in (
        LayersFrame,
        ProcessesFrame,
        ResourcesFrame,
        NetworkFrame,
        ImageFrame,
        BuildFrame,
        ContainersFrame,
    )
}
_encode = msgspec.json.Encoder().encode


def full(frame: Frame) -> bytes:
    """The message that shows a whole frame."""
    return _encode({"kind": "full", "view": frame.view, "frame": frame})


def delta(before: Frame, after: Frame) -> bytes:
    """The message that turns ``before`` into ``after``, a frame of the same view."""
    message: dict[str, Any] = {"kind": "delta", "view": after.view, "set": {}}
    rows_field = after.rows_field
    for name in after.__struct_fields__:
        if name == rows_field:
            message |= _row_changes(getattr(before, name), getattr(after, name))
            continue
        for path, value in _differences((name,), getattr(before, name), getattr(after, name)):
            if len(path) == 1:
                message["set"][name] = value
            else:
                message.setdefault("patch", []).append((path, value))
    return _encode(message)


def _row_changes(before: tuple[Row, ...], after: tuple[Row, ...]) -> dict[str, Any]:
    # Samplers keep a row's object while nothing in it changes, so identity settles most of it.
    known = {id(row) for row in before}
    fresh = [row for row in after if id(row) not in known]
    if len(before) + len(fresh) == len(after):
        return {"put": fresh, "drop": []}
    old = {row.key: row for row in before}
    keys = {row.key for row in after}
    changes: dict[str, Any] = {"put": [], "drop": [key for key in old if key not in keys]}
    for row in fresh:
        was = old.get(row.key)
        if was is None:
            changes["put"].append(row)
        elif was != row:
            changes.setdefault("alter", {})[row.key] = _altered(was, row)
    return changes


def _altered(before: Row, after: Row) -> dict[str, Any]:
    """The fields that differ: of a process it is mostly its figures, and there can be thousands."""
    names = after.__struct_fields__
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return {name: new for name, old, new in pairs if old != new}


def _differences(path: Path, before: Any, after: Any) -> Iterator[tuple[Path, Any]]:
    """The least values that differ, within structs and tuples that are as long as before."""
    if before == after:
        return
    if isinstance(after, msgspec.Struct) and type(before) is type(after):
        for name in after.__struct_fields__:
            values = (getattr(one, name) for one in (before, after))
            yield from _differences((*path, name), *values)
    elif isinstance(after, tuple) and isinstance(before, tuple) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences((*path, number), old, new)
    else:
        yield path, after
