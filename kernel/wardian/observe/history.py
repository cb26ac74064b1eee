"""The frames that a view has seen: its charts begin with them, and they can be kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from wardian.observe.wire import Frame

MAX_FRAMES = 1200


class History:
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
