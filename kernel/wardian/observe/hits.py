"""Limits that a group hits, one by one: when, in which cell, and who was killed for it."""

from __future__ import annotations

import time
from collections import deque

import msgspec
from msgspec.structs import replace

from wardian.cgroups.cgroup import Usage
from wardian.observe.cells import Cells
from wardian.observe.frames import Hit, Limited
from wardian.observe.victims import Victim, Victims

_MOST = 8  # of each kind
_PATIENCE_S = 2.0  # after which a process that was killed has ended, mostly
_LULL_S = 1.0  # what is refused again within it is told as one


class Reading(msgspec.Struct, frozen=True):
    """What a group used at a moment of the monotonic clock."""

    at_s: float
    usage: Usage


class Hits:
    """The latest ones, by what the counts of two readings say."""

    def __init__(self, victims: Victims, cells: Cells | None) -> None:
        self._victims = victims
        self._cells = cells
        self._kills: deque[Hit] = deque(maxlen=_MOST)
        self._refusals: deque[Hit] = deque(maxlen=_MOST)
        self._refused_s = -_LULL_S
        self._nameless = 0  # how many of the last kills wait for their victims
        self._since_s = 0.0

    @property
    def all(self) -> tuple[Hit, ...]:
        """Those of memory first, each kind as it came."""
        return (*self._kills, *self._refusals)

    def take(self, before: Reading, now: Reading) -> None:
        """Note what was hit between two readings, and name whom that killed."""
        kills = _more(before.usage.oom_kill, now.usage.oom_kill)
        refused = _more(before.usage.pids_refused, now.usage.pids_refused)
        cell = None if self._cells is None else self._cells.during(before.at_s, now.at_s)
        if kills:
            counted = now.usage.oom_kill or 0
            hit = Hit(what=Limited.MEMORY, number=0, time_s=time.time(), cell=cell)
            numbers = range(counted - min(kills, _MOST) + 1, counted + 1)
            self._kills.extend(replace(hit, number=number) for number in numbers)
            self._since_s = self._since_s if self._nameless else before.at_s
            self._nameless += kills
        if refused:
            number = (before.usage.pids_refused or 0) + 1
            hit = Hit(what=Limited.PIDS, number=number, time_s=time.time(), cell=cell)
            self._refuse(replace(hit, count=refused), now.at_s)
        if self._nameless:
            self._name(now.at_s)

    def _refuse(self, hit: Hit, at_s: float) -> None:
        if self._refusals and at_s - self._refused_s < _LULL_S:
            last = self._refusals.pop()
            hit = replace(last, count=last.count + hit.count)
        self._refusals.append(hit)
        self._refused_s = at_s

    def _name(self, now_s: float) -> None:
        """As many as were counted, no fewer and no more, have been killed for it."""
        victims = self._victims.since(self._since_s)
        if len(victims) == self._nameless:
            for at, victim in enumerate(reversed(victims[-len(self._kills) :]), 1):
                self._kills[-at] = self._named(self._kills[-at], victim)
        elif len(victims) < self._nameless and now_s - self._since_s < _PATIENCE_S:
            return
        self._nameless = 0

    def _named(self, hit: Hit, victim: Victim) -> Hit:
        cell = hit.cell
        if cell is None and self._cells is not None:
            cell = self._cells.during(victim.at_s, victim.at_s)
        return replace(hit, cell=cell, comm=victim.comm, container_pid=victim.container_pid)


def _more(before: int | None, now: int | None) -> int:
    """By how much a count went up; nothing is known of one that was not there."""
    return 0 if before is None or now is None else max(0, now - before)
