"""Containers that nobody holds any more, and what becomes of them after a while."""

from __future__ import annotations

import os
from collections.abc import Callable

from wardian.runtime.ledger import Ledger
from wardian.runtime.loop import Loop, Timer
from wardian.runtime.spec import Keep
from wardian.runtime.state import Record

ORPHAN_GRACE_S = float(os.environ.get("WARDIAN_ORPHAN_GRACE_S", "600"))
ADOPTION_GRACE_S = 30.0
Act = Callable[[Record], None]


class Orphans:
    """Timers of the containers whose holder is gone. ``discard`` removes one, ``stop`` ends it."""

    def __init__(self, loop: Loop, ledger: Ledger, *, discard: Act, stop: Act) -> None:
        self._loop = loop
        self._ledger = ledger
        self._discard = discard
        self._stop = stop
        self._graces: dict[str, Timer] = {}

    @property
    def are_there(self) -> bool:
        """Whether any is about to be ended."""
        return bool(self._graces)

    def abandoned(self, container_id: str, keep: Keep) -> None:
        """Nobody holds the container any more."""
        record = self._ledger.get(container_id)
        if record is None or keep is Keep.ALWAYS:
            return
        if keep is Keep.NEVER:
            self._discard(record)
        else:
            self._grace(container_id, ORPHAN_GRACE_S, self._stop)

    def adopted(self, record: Record) -> None:
        """A new keeper has found it running: whoever held it may come back in a moment."""
        if record.spec.keep is not Keep.ALWAYS:
            act = self._discard if record.spec.keep is Keep.NEVER else self._stop
            self._grace(record.id, ADOPTION_GRACE_S, act)

    def cancel(self, container_id: str) -> None:
        """Somebody holds it again, or it is gone."""
        if timer := self._graces.pop(container_id, None):
            timer.cancel()

    def _grace(self, container_id: str, delay_s: float, act: Act) -> None:
        def due() -> None:
            self._graces.pop(container_id, None)
            if record := self._ledger.get(container_id):
                act(record)

        self.cancel(container_id)
        self._graces[container_id] = self._loop.later(delay_s, due)
