"""Who of a group was ended by SIGKILL, and when: the proc connector tells, where we may listen.

The kernel counts those whom it kills for want of memory, and does not say who they were. Where
as many ended by SIGKILL meanwhile as it counted, they are the ones.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque

import msgspec

from wardian.linux.proc import Status
from wardian.linux.proc_connector import ProcConnector, ProcEvent, What
from wardian.observe.label import label
from wardian.observe.pulse import Notice
from wardian.observe.subject import Subject

# Long enough to cost little, and short enough to read who has just begun, before it ends.
_REST_S = 0.01
_MOST_READ = 200  # at the beginning; who has more processes hears of some of them by number alone
_MOST_FOLLOWED = 20_000
_MOST_KILLED = 64


class Victim(msgspec.Struct, frozen=True):
    """A process that was killed at a moment of the monotonic clock.

    ``comm`` is "" and ``container_pid`` None if they could not be read before.
    """

    at_s: float
    comm: str
    container_pid: int | None


class Victims:
    """Follows the members of a group by name; nothing is known without the connector."""

    def __init__(self, subject: Subject, *, proc: str = "/proc") -> None:
        self._subject = subject
        self._proc = proc
        self._connector: ProcConnector | None = None
        self._members: dict[int, tuple[str, int | None]] = {}
        self._killed: deque[Victim] = deque(maxlen=_MOST_KILLED)

    def open(self) -> None:
        """Subscribe, where we may."""
        if self._connector is None:
            self._connector = ProcConnector.open()
            if self._connector is not None:
                self.list_members()

    def close(self) -> None:
        """Unsubscribe."""
        if self._connector is not None:
            self._connector.close()
        self._connector = None

    def sources(self) -> tuple[int, ...]:
        """Readable when processes begin and end."""
        return () if self._connector is None else (self._connector.fileno(),)

    def notice(self) -> Notice:
        """Read what has happened: a process may live for a moment only."""
        if self._connector is None:
            return Notice(is_news=False)
        events, were_lost = self._connector.read()
        for event in events:
            self.take(event)
        if were_lost:
            self.list_members()
        return Notice(is_news=False, rest_s=_REST_S)

    def since(self, at_s: float) -> list[Victim]:
        """Those that were killed since then."""
        self.notice()
        return [victim for victim in self._killed if victim.at_s >= at_s]

    def list_members(self) -> None:
        """Begin with who is there."""
        members = self._subject.group.processes()
        self._members = dict.fromkeys(members[:_MOST_FOLLOWED], ("", None))
        for host_pid in members[:_MOST_READ]:
            self._read(host_pid, ("", None))

    def take(self, event: ProcEvent) -> None:
        """Take an event in, of whichever process of the host."""
        host_pid = event.host_pid
        if event.what is What.FORK:
            parent = self._members.get(event.parent_host_pid)
            if parent is not None and len(self._members) < _MOST_FOLLOWED:
                self._read(host_pid, (parent[0], None))
        elif host_pid not in self._members:
            return
        elif event.what is not What.EXIT:
            self._read(host_pid, ("", self._members[host_pid][1]))
        else:
            known = self._members.pop(host_pid)
            status = event.wait_status
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                self._killed.append(Victim(time.monotonic(), *known))

    def _read(self, host_pid: int, otherwise: tuple[str, int | None]) -> None:
        """What a process is called; ``otherwise`` if it has ended."""
        status = Status.from_proc(host_pid, proc=self._proc)
        if status is None:
            self._members[host_pid] = otherwise
            return
        inner = status.ns_pids[1] if len(status.ns_pids) > 1 else None
        self._members[host_pid] = (label(status.name), inner)
