"""What is known of each container, in memory and on disk: changed in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from wardian.errors import SetupError
from wardian.runtime.loop import Loop
from wardian.runtime.state import Record, Records

NOTE_AGAIN_S = 5.0


class Ledger:
    """Keeps the records. ``changed`` hears each that is another from now on."""

    def __init__(self, disk: Records, loop: Loop, changed: Callable[[Record], None]) -> None:
        self.records: dict[str, Record] = {}
        self._disk = disk
        self._loop = loop
        self._changed = changed

    def get(self, container_id: str) -> Record | None:
        """The container's record; None if there is none any more."""
        return self.records.get(container_id)

    def first_host_ids(self) -> Iterator[int | None]:
        """Where each container's ids begin on the host; None without a user namespace."""
        return (record.first_host_id for record in self.records.values())

    def store(self, record: Record, **changes: object) -> Record:
        """Store what is to be. Raises SetupError, and then it is not so."""
        changed = self._disk.update(record, **changes)
        self._remember(changed)
        return changed

    def note(self, record: Record, **changes: object) -> Record:
        """Store what has happened already. On a full disk that is done as soon as there is room."""
        changed = replace(record, **changes)  # names checked by replace
        self._remember(changed)
        try:
            return self.store(changed)
        except SetupError:
            self._loop.later(NOTE_AGAIN_S, lambda: self._note_again(record.id))
            return changed

    def _note_again(self, container_id: str) -> None:
        if record := self.get(container_id):
            self.note(record)

    def _remember(self, record: Record) -> None:
        self.records[record.id] = record
        self._changed(record)
