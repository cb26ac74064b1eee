"""What differs between two images, as a part of the newer one's frame."""

from __future__ import annotations

import json
from typing import Any

from wardian.images.comparison import Comparison, FileDifference
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.observe.frames import Mark
from wardian.observe.image_frame import Compared, DifferenceRow
from wardian.observe.instruction import instruction
from wardian.observe.label import label
from wardian.storage.changes import ChangeKind

_MOST_FILES = 500
_MOST_SETTINGS = 100
_MOST_STEPS = 100
_VALUE_CHARS = 400
_MARKS = {
    ChangeKind.ADDED: Mark.ADDED,
    ChangeKind.MODIFIED: Mark.MODIFIED,
    ChangeKind.DELETED: Mark.DELETED,
}


def compared(store: ImageStore, old: str, new: str) -> Compared:
    """What makes ``new`` another image than ``old``. Raises NotFound, InvalidInput, SetupError."""
    found = Comparison(resolve(store, old), resolve(store, new))
    history = found.history()
    files = [_row(one) for one in found.files()]
    stack = found.old_stack
    return Compared(
        reference=label(found.old.reference),
        digest=found.old.digest,
        layers=len(found.old.diff_ids),
        unpacked_bytes=sum(use.size_bytes for use in stack.layers),
        efficiency=round(stack.efficiency, 6),
        wasted_bytes=sum(each.total_bytes for each in stack.wasted),
        shared_layers=found.shared_layers,
        shared_steps=history.shared,
        old_steps=tuple(map(_step, history.old[:_MOST_STEPS])),
        new_steps=tuple(map(_step, history.new[:_MOST_STEPS])),
        settings=tuple(
            (label(one.name, max_chars=80), _value(one.old), _value(one.new))
            for one in found.settings()[:_MOST_SETTINGS]
        ),
        files=tuple(files[:_MOST_FILES]),
        files_left_out=max(0, len(files) - _MOST_FILES),
    )


def _row(one: FileDifference) -> DifferenceRow:
    return DifferenceRow(
        path=label(f"/{one.path}"),
        mark=_MARKS[one.kind],
        old_bytes=one.old_bytes,
        new_bytes=one.new_bytes,
        what=one.what,
    )


def _step(text: str) -> str:
    return label(instruction(text), max_chars=_VALUE_CHARS)


def _value(value: Any) -> str:
    """As JSON has it, but plain text as it is."""
    if value is None:
        return ""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return label(shown, max_chars=_VALUE_CHARS)
