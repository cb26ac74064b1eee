"""What happened to containers lately, and who wants to hear of it as it happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from wardian.runtime.messages import Event
from wardian.runtime.state import Record

REMEMBERED = 256  # as many as docker's daemon keeps
Listener = Callable[[Event], None]


class History:
    """The latest events of one keeper, oldest first; lost with it."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._listeners: list[Listener] = []

    def note(self, action: str, record: Record, *, exit_code: int | None = None) -> None:
        """Something happened to a container now."""
        spec = record.spec
        event = Event(time.time(), action, record.id, spec.name, spec.image, exit_code)
        self._events.append(event)
        for listener in list(self._listeners):
            listener(event)

    def since(self, time_s: float) -> list[Event]:
        """What happened from that moment on (seconds since the epoch)."""
        return [event for event in self._events if event.time >= time_s]

    def listen(self, listener: Listener) -> None:
        """Call it with every event to come."""
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Call it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
