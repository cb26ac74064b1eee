"""The static form of a recording: when and where it was made, and the last frame of its views."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from wardian.errors import NotFound
from wardian.observe.recording import Recording
from wardian.observe.wire import FRAME_TYPES
from wardian.widgets.still import still, text


def chosen(recorded: Recording, views: Sequence[str]) -> list[str]:
    """The views that are asked for, or all of the recording. Raises NotFound."""
    there = [view for view in FRAME_TYPES if view in recorded.last]
    for view in views:
        if view not in there:
            raise NotFound(
                f"the recording has no view of {view[:40]!r}", hint=f"it has {', '.join(there)}"
            )
    return [view for view in there if not views or view in views]


def forms(recorded: Recording, views: Sequence[str]) -> dict[str, str]:
    """What is shown without a page of ours: the last frame of each view, labelled."""
    words = origin(recorded)
    frames = [recorded.last[view] for view in views]
    plain = [words, *(f"{frame.view}\n{text(frame)}" for frame in frames)]
    html = [f"<p><b>{escape(words)}</b></p>", *(still(one, is_recorded=True) for one in frames)]
    return {"text/plain": "\n\n".join(plain), "text/html": "".join(html)}


def origin(recorded: Recording) -> str:
    """When and where it was recorded; times are UTC, so that they are the same everywhere."""
    head = recorded.head
    when = datetime.fromtimestamp(head.begun_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f"{head.container} of {head.notebook}" if head.notebook else head.container
    parts = [f"recorded {when}", f"container {where}", head.machine, f"{recorded.seconds:.1f} s"]
    if recorded.why:
        parts.append(f"ended as {recorded.why}")
    return " · ".join(part for part in parts if part)
