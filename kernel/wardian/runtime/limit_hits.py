"""Limits that running containers hit: each is told once, soon after it happens."""

from __future__ import annotations

import time
from contextlib import suppress

from wardian.cgroups.alarm import Alarm
from wardian.cgroups.cgroup import Cgroup, Events
from wardian.errors import WardianError
from wardian.runtime.history import History
from wardian.runtime.ledger import Ledger
from wardian.runtime.loop import Loop

# v1 rings before it kills; and what comes in a burst is told as one.
SETTLE_S = 0.01
# A container that hits a limit without end must not keep the keeper busy.
REST_S = 1.0


class LimitHits:
    """Looks at a container's group when the kernel says that it may have hit a limit.

    Where it says nothing of refused forks (v1), every second. Where it has no room for watches
    (inotify(7)), when the container ends. The record has what was told (`Record.hits`), so that
    another keeper goes on from there.
    """

    def __init__(self, loop: Loop, ledger: Ledger, history: History) -> None:
        self._loop = loop
        self._ledger = ledger
        self._history = history
        self._groups: dict[str, Cgroup] = {}
        self._killed_at: dict[str, float] = {}
        self._alarm: Alarm[str] | None = None
        self._is_polling = False
        with suppress(WardianError, OSError):
            self._alarm = Alarm()
            self._listen(self._alarm)

    def watch(self, container_id: str, cgroup: Cgroup) -> None:
        """A container runs. It is not kept waiting; what it hits meanwhile is not lost."""
        self._groups[container_id] = cgroup
        self._loop.later(0, lambda: self._begin(container_id))

    def _begin(self, container_id: str) -> None:
        if (cgroup := self._groups.get(container_id)) is None:
            return
        if self._alarm is not None:
            with suppress(WardianError, OSError):
                self._alarm.watch(container_id, cgroup)
        self.look(container_id, cgroup)
        self.poll()

    def poll(self) -> None:
        """Look from now on where a limit is hit in silence; limits have changed, perhaps."""
        if not self._is_polling:
            self._poll()

    def _poll(self) -> None:
        silent = {each for each in self._groups if self._is_silent(each)}
        self._look(silent)
        self._is_polling = bool(silent)
        if silent:
            self._loop.later(REST_S, self._poll)

    def _is_silent(self, container_id: str) -> bool:
        record = self._ledger.get(container_id)
        limits_forks = record is not None and record.spec.limits.pids is not None
        return limits_forks and not self._groups[container_id].tells_of_forks

    def forget(self, container_id: str, cgroup: Cgroup) -> bool:
        """It has ended: one last look. Whether a process was killed for want of memory just now."""
        self.look(container_id, cgroup)
        killed_at = self._killed_at.pop(container_id, None)
        self._groups.pop(container_id, None)
        if self._alarm is not None:
            self._alarm.forget(container_id)
        return killed_at is not None and time.monotonic() - killed_at < REST_S

    def look(self, container_id: str, cgroup: Cgroup) -> None:
        """Tell of what it has hit since the last look."""
        now = Events()
        with suppress(WardianError, OSError):
            now = cgroup.events()
            cgroup.close()
        record = self._ledger.get(container_id)
        if record is None or now == Events():  # the group is gone, or the kernel counts nothing
            return
        was_oom, was_fork = ran_out_of_memory(now, record.hits), fork_was_refused(now, record.hits)
        if was_oom or was_fork or now.is_under_oom is not record.hits.is_under_oom:
            record = self._ledger.note(record, hits=now)
        if was_oom:
            self._history.note("oom", record)
            self._killed_at[container_id] = time.monotonic()
        if was_fork:
            self._history.note("limit_hit: pids", record)

    def _listen(self, alarm: Alarm[str]) -> None:
        self._loop.watch(alarm.fileno(), lambda: self._hear(alarm))

    def _hear(self, alarm: Alarm[str]) -> None:
        self._loop.unwatch(alarm.fileno())
        rung = alarm.rung()
        self._loop.later(SETTLE_S, lambda: self._look(rung))
        self._loop.later(REST_S, lambda: self._hear_again(alarm, rung))

    def _hear_again(self, alarm: Alarm[str], rung: set[str]) -> None:
        self._look(rung)  # who was killed later than the first time
        self._listen(alarm)

    def _look(self, container_ids: set[str]) -> None:
        for container_id in container_ids & self._groups.keys():
            self.look(container_id, self._groups[container_id])


def ran_out_of_memory(now: Events, before: Events) -> bool:
    """Whether a process was killed for want of memory since, or has begun to wait for some."""
    has_begun = now.is_under_oom and not before.is_under_oom
    return (now.oom_kill or 0) > (before.oom_kill or 0) or has_begun


def fork_was_refused(now: Events, before: Events) -> bool:
    """Whether the limit of processes was hit since."""
    return (now.pids_max or 0) > (before.pids_max or 0)
