"""What happened to containers lately, and who wants to hear of it as it happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from wardian.runtime.event_messages import Event
from wardian.runtime.state import Record, new_id

MAX_ACTION_CHARS = 200
REMEMBERED = 256  # as many as docker's daemon keeps
Listener = Callable[[Event], None]


class History:
    """The latest events of one keeper, oldest first; lost with it."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._listeners: list[Listener] = []

    def note(
        self,
        action: str,
        record: Record,
        *,
        exit_code: int | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Something happened to a container now; ``attributes`` are what docker tells of it."""
        spec = record.spec
        said = {**spec.labels, **(attributes or {})}
        self._tell(Event(time.time(), action, record.id, spec.name, spec.image, exit_code, said))

    def note_volume(self, action: str, name: str, attributes: Mapping[str, str]) -> None:
        """Something happened to a volume now."""
        said = dict(attributes)
        self._tell(Event(time.time(), action, name, name, "", attributes=said, type="volume"))

    def note_network(self, action: str, network_id: str, name: str, container: str = "") -> None:
        """Something happened to a network now: to itself, or a container came or went."""
        said = {"name": name, "type": "bridge"}
        if container:
            said["container"] = container
        now_s, kind = time.time(), "network"
        self._tell(Event(now_s, action, network_id, name, "", attributes=said, type=kind))

    def _tell(self, event: Event) -> None:
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


class Execution:
    """What is told of one program that was started beside the main process."""

    def __init__(self, history: History, record: Record, argv: Sequence[str]) -> None:
        self._history = history
        self._record = record
        self._words = " ".join(argv)
        self._attributes = {"execID": new_id()}

    def was_asked_for(self) -> None:
        """``exec_create: …``."""
        self._note(f"exec_create: {self._words}")

    def has_started(self) -> None:
        """``exec_start: …``."""
        self._note(f"exec_start: {self._words}")

    def has_ended(self, exit_code: int) -> None:
        """``exec_die``."""
        self._note("exec_die", exit_code)

    def _note(self, action: str, exit_code: int | None = None) -> None:
        action = action[:MAX_ACTION_CHARS]
        self._history.note(action, self._record, exit_code=exit_code, attributes=self._attributes)
