"""Signals and freezing that a page asks for: what it may ask, and how they reach a process.

Nothing is done by a bare pid. A pidfd is opened first; what it stands for is held against the
start time that the page has seen and against the members of the container's cgroup, so neither a
pid that is another's by now nor one of the host's is ever hit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from errno import ESRCH
from signal import SIGKILL, SIGSTOP
from typing import Annotated, Protocol, Self

import msgspec

from wardian.errors import FailedPrecondition, KernelRefused, NotFound
from wardian.linux.proc import Stat, Status
from wardian.linux.process import pidfd_open, pidfd_send_signal, start_ticks
from wardian.linux.signal_names import signal_name
from wardian.observe.frames import State
from wardian.observe.process_facts import SIGNALS, ignored_by
from wardian.observe.subject import Subject
from wardian.runtime.client import Client

_MOST_ROUNDS = 100  # of looking for what a tree has forked meanwhile
_Pid = Annotated[int, msgspec.Meta(gt=0, lt=1 << 31)]


class Freezer(Protocol):
    """Who can freeze a container: the container itself, or a notebook's workspace."""

    def pause(self) -> None:
        """Freeze every process. Blocks; raises WardianError."""

    def unpause(self) -> None:
        """Thaw every process. Blocks; raises WardianError."""


class FreezerByName(msgspec.Struct, frozen=True):
    """That of the container that has this name or id then."""

    name: str

    def pause(self) -> None:
        """Freeze every process."""
        with Client.connect() as client:
            client.container(self.name).pause()

    def unpause(self) -> None:
        """Thaw every process."""
        with Client.connect() as client:
            client.container(self.name).unpause()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A signal for one process, or SIGKILL for it and all below it (``is_tree``).

    What ends all others with it has to be ``is_confirmed``. ``number`` is the page's: by it an
    answer is known.
    """

    number: int
    signal: int
    host_pid: _Pid
    start_ticks: int
    is_tree: bool = False
    is_confirmed: bool = False

    @classmethod
    def of(cls, content: Mapping[str, object]) -> Self | None:
        """What a page asks for; None if it is nonsense."""
        try:
            order = msgspec.convert(content, cls)
        except msgspec.ValidationError:
            return None
        return order if order.signal in SIGNALS else None

    def carry_out(self, subject: Subject) -> None:
        """Send it. Raises WardianError."""
        pidfd = _held(subject, self.host_pid, self.start_ticks)
        try:
            self._ensure_meant(subject)
            if self.is_tree and self.host_pid != subject.init_host_pid:
                _kill_tree(subject, self.host_pid, pidfd)
            else:
                pidfd_send_signal(pidfd, SIGKILL if self.is_tree else self.signal)
        finally:
            os.close(pidfd)

    def _ensure_meant(self, subject: Subject) -> None:
        ends_all = self.is_tree or self.signal == SIGKILL
        if ends_all and self.host_pid == subject.init_host_pid and not self.is_confirmed:
            raise FailedPrecondition("all other processes would end with it", hint="confirm it")
        status = Status.from_proc(self.host_pid)
        if status is None or self.is_tree:
            return
        if status.state == State.ZOMBIE.value:
            raise FailedPrecondition("nothing was sent: a zombie has ended already")
        if self.signal in ignored_by(status):
            name = signal_name(self.signal)
            raise FailedPrecondition(f"nothing was sent: the process ignores {name}")


class Freezing(msgspec.Struct, frozen=True):
    """Whether all processes shall be frozen, or go on."""

    number: int
    freeze: bool

    @classmethod
    def of(cls, content: Mapping[str, object]) -> Self | None:
        """What a page asks for; None if it is nonsense."""
        try:
            return msgspec.convert(content, cls)
        except msgspec.ValidationError:
            return None

    def carry_out(self, freezer: Freezer | None) -> None:
        """Raises WardianError."""
        if freezer is None:
            raise FailedPrecondition("nothing can freeze these processes from here")
        if self.freeze:
            freezer.pause()
        else:
            freezer.unpause()


def _held(subject: Subject, host_pid: int, ticks: int) -> int:
    """A pidfd of the very process that was seen. Raises NotFound if it is gone or not a member."""
    pidfd = _open(host_pid, ticks)
    if host_pid not in subject.group.processes():
        os.close(pidfd)
        raise NotFound("nothing was sent: the process is none of the container's")
    return pidfd


def _open(host_pid: int, ticks: int) -> int:
    """A pidfd of the process that has started then. Raises NotFound if it is gone."""
    gone = NotFound("nothing was sent: the process has ended")
    try:
        pidfd = pidfd_open(host_pid)
    except KernelRefused as error:
        raise gone from error
    if start_ticks(host_pid) != ticks:
        os.close(pidfd)
        raise gone
    return pidfd


def _kill_tree(subject: Subject, host_pid: int, pidfd: int) -> None:
    """All are stopped before the first is killed, so that none can fork what we have not seen."""
    held = fresh = {host_pid: os.dup(pidfd)}
    try:
        for _ in range(_MOST_ROUNDS):
            for one in fresh.values():
                _send(one, SIGSTOP)
            fresh = _below(subject, held)
            held = held | fresh
            if not fresh:
                break
        for one in held.values():
            _send(one, SIGKILL)
    finally:
        for one in held.values():
            os.close(one)


def _below(subject: Subject, held: Mapping[int, int]) -> dict[int, int]:
    """Pidfds, by host pid, of the members that descend from those that are held."""
    stats = {one: Stat.from_proc(one) for one in subject.group.processes() if one not in held}
    children: dict[int, list[int]] = {}
    for host_pid, stat in stats.items():
        if stat is not None:
            children.setdefault(stat.parent_host_pid, []).append(host_pid)
    pidfds: dict[int, int] = {}
    waiting = list(held)
    while waiting:
        for host_pid in children.pop(waiting.pop(), ()):
            waiting.append(host_pid)
            stat = stats[host_pid]
            assert stat is not None
            with suppress(NotFound):  # it has ended by itself
                pidfds[host_pid] = _open(host_pid, stat.start_ticks)
    members = set(subject.group.processes())  # again: what they were before we held them is past
    for host_pid in pidfds.keys() - members:
        os.close(pidfds.pop(host_pid))
    return pidfds


def _send(pidfd: int, number: int) -> None:
    """To a process that may have ended."""
    try:
        pidfd_send_signal(pidfd, number)
    except KernelRefused as error:
        if error.errno != ESRCH:
            raise
