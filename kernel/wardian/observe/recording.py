"""A recording: the frames that a view has seen, kept so that it can be watched again.

The JSON form stands on its own: a notebook can carry it, and a view replays it without a kernel,
a container or a right to look at one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from wardian.errors import InvalidInput
from wardian.observe import wire
from wardian.observe.wire import Frame

FORMAT = "wardian-recording/1"
MAX_FRAMES = 1200


class Recording:
    """The last ``max_frames`` frames of one view of one container."""

    def __init__(self, view: str, container: str, *, max_frames: int = MAX_FRAMES) -> None:
        self.view = view
        self.container = container
        self._frames: deque[Frame] = deque(maxlen=max_frames)

    def append(self, frame: Frame) -> None:
        """Keep a frame; the oldest goes when there are too many."""
        self._frames.append(frame)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(tuple(self._frames))

    @property
    def last(self) -> Frame | None:
        """The latest frame."""
        return self._frames[-1] if self._frames else None

    def to_json(self) -> dict[str, Any]:
        """JSON-able: a format name, the first frame whole, then what changed."""
        messages: list[Any] = []
        before: Frame | None = None
        for frame in self:
            message = wire.full(frame) if before is None else wire.delta(before, frame)
            messages.append(msgspec.json.decode(message))
            before = frame
        return {
            "format": FORMAT,
            "view": self.view,
            "container": self.container,
            "messages": messages,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Recording:
        """Read what ``to_json`` made. Raises InvalidInput for anything else."""
        try:
            if content["format"] != FORMAT or content["view"] not in wire.FRAME_TYPES:
                raise InvalidInput(f"not a recording of a view: {content['format']!r}")
            recording = cls(content["view"], content["container"], max_frames=1 << 20)
            frame: Frame | None = None
            for message in content["messages"]:
                frame = wire.apply(frame, msgspec.json.encode(message))
                recording.append(frame)
        except (KeyError, TypeError, AssertionError, msgspec.ValidationError) as error:
            raise InvalidInput(
                "not a recording of a view", hint="use what a view's freeze() returned"
            ) from error
        return recording
