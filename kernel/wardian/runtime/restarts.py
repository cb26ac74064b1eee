"""The restarts that are due: containers that ended, and whose policy has them go on."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from wardian.errors import FailedPrecondition, WardianError
from wardian.runtime.ledger import Ledger
from wardian.runtime.loop import Loop, Timer
from wardian.runtime.restart_policy import GOOD_RUN_S, RestartPolicy, When, delay_s
from wardian.runtime.spec import ContainerSpec, Keep
from wardian.runtime.state import Record


class Restarts:
    """Timers of the containers that will start again. ``start`` raises WardianError."""

    def __init__(self, loop: Loop, ledger: Ledger, *, start: Callable[[Record], object]) -> None:
        self._loop = loop
        self._ledger = ledger
        self._start = start
        self._timers: dict[str, Timer] = {}

    @property
    def are_due(self) -> bool:
        """Whether any container is to start again."""
        return bool(self._timers)

    def ended(self, record: Record, exit_code: int) -> None:
        """A container has ended: start it again when its policy says so."""
        if record.spec.restart.when is When.NO:
            return
        if record.ran_s() >= GOOD_RUN_S:
            record = self._ledger.note(record, restart_count=0)
        self._go_on(record, exit_code)

    def _go_on(self, record: Record, exit_code: int) -> None:
        if record.spec.restart.starts_again(
            exit_code=exit_code, count=record.restart_count, was_stopped=record.was_stopped
        ):
            self._later(record)

    def booted(self, record: Record) -> None:
        """The machine was started anew, which docker's daemon would take for its own start."""
        if record.spec.restart.starts_with_the_machine(was_stopped=record.was_stopped):
            self._later(self._ledger.note(record, was_stopped=False, restart_count=0))

    def started(self, record: Record) -> Record:
        """Somebody starts it on purpose: its policy counts from here."""
        self.cancel(record.id)
        if record.spec.restart.when is When.NO:
            return record
        return self._ledger.note(record, was_stopped=False, restart_count=0)

    def stopped(self, record: Record) -> Record:
        """Somebody ends it on purpose: no policy starts it again."""
        self.cancel(record.id)
        if record.spec.restart.when is When.NO:
            return record
        return self._ledger.note(record, was_stopped=True)

    def changed(self, record: Record, policy: RestartPolicy) -> ContainerSpec:
        """The container's spec with another policy; FailedPrecondition if it cannot have one."""
        if policy.when is When.NO:
            self.cancel(record.id)
        elif record.spec.remove_on_exit or record.spec.keep is Keep.NEVER:
            raise FailedPrecondition(
                f"container {record.spec.name} is removed when it ends, so nothing restarts it",
                hint="leave out --restart",
            )
        return replace(record.spec, restart=policy)

    def cancel(self, container_id: str) -> None:
        """It does not start again by itself."""
        if timer := self._timers.pop(container_id, None):
            timer.cancel()

    def _later(self, record: Record) -> None:
        self._timers[record.id] = self._loop.later(
            delay_s(record.restart_count), lambda: self._due(record.id)
        )

    def _due(self, container_id: str) -> None:
        self._timers.pop(container_id, None)
        record = self._ledger.get(container_id)
        if record is None or record.was_stopped:
            return
        if record.is_running:  # lent to somebody who wants its files
            self._later(record)
            return
        record = self._ledger.note(record, restart_count=record.restart_count + 1)
        try:
            self._start(record)
        except WardianError as error:
            self._go_on(self._ledger.note(record, exit_reason=error.what), 125)
