"""The list of containers: who there is, how each is, and what it uses; a frame of all of them.

Who there is, is asked of the keeper when it says that something has happened; figures are read of
the groups, two of each, however many there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import WardianError
from wardian.observe.frames import Source
from wardian.observe.label import label
from wardian.observe.listener import Bell, Listener
from wardian.observe.pulse import Notice
from wardian.observe.subject import NAME_LABEL, NOTEBOOK_LABEL, Subject
from wardian.runtime.client import Client
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.spec import Keep

PERIOD_S = 0.1
_STEP_BYTES = 1 << 16  # a list is looked over: small changes would be news all the time
_MIN_CPU_WINDOW_S = 0.5


class ContainerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A container. Times are seconds since the epoch; ``ports`` are docker's: ``8080→80/tcp``."""

    id: str
    name: str
    image: str
    status: str
    health: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    exit_code: int | None
    exit_reason: str
    ports: tuple[str, ...]
    networks: tuple[str, ...]
    warnings: tuple[str, ...]
    is_of_a_notebook: bool

    @classmethod
    def of(cls, info: ContainerInfo, **others: object) -> ContainerRow:
        """What the keeper says of it, as text that can be shown; ``others`` replace some of it."""
        return cls(**{**_told(info), **others})  # type: ignore[arg-type]


class ListedContainer(ContainerRow, frozen=True, kw_only=True):
    """The same with what it uses: bytes, their limit, percent of a core; None if not known."""

    host_pid: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_percent: float | None = None

    @property
    def key(self) -> str:
        """What identifies the row from frame to frame."""
        return self.id


class ContainersFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The containers of a notebook, or of this machine, the newest first."""

    view: ClassVar[str] = "containers"
    rows_field: ClassVar[str | None] = "rows"

    time_s: float
    container: str
    source: Source
    rows: tuple[ListedContainer, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which containers are listed: a notebook's, by its label, or all of a state root."""

    root: Path
    name: str
    notebook: str | None = None

    def of(self, infos: Sequence[ContainerInfo]) -> list[ContainerInfo]:
        """Those of them that are meant."""
        if self.notebook is None:
            return list(infos)
        return [one for one in infos if one.spec.labels.get(NOTEBOOK_LABEL) == self.notebook]

    def name_of(self, info: ContainerInfo) -> str:
        """What it is called here."""
        own = info.spec.labels.get(NAME_LABEL) if self.notebook is not None else None
        return own or info.name


class Meter:
    """Reads of a container what a list of many tells."""

    def __init__(self, info: ContainerInfo) -> None:
        self._group: Cgroup | None = None
        with suppress(WardianError):  # it does not run
            group = Subject.of(info).group
            self._group = group if isinstance(group, Cgroup) else None
        self._at_s = 0.0
        self._cpu_usec: int | None = None
        self._percent: float | None = None

    def read(self) -> tuple[int | None, float | None]:
        """Bytes of memory, in steps of a few pages, and percent of a core."""
        if self._group is None:
            return None, None
        load, now = self._group.load(), time.monotonic()
        if self._cpu_usec is None or load.cpu_usec is None:
            self._at_s, self._cpu_usec = now, load.cpu_usec
        elif now - self._at_s >= _MIN_CPU_WINDOW_S:
            used_usec = load.cpu_usec - self._cpu_usec
            self._percent = round(used_usec / (now - self._at_s) / 1e4, 1)
            self._at_s, self._cpu_usec = now, load.cpu_usec
        memory = load.memory_bytes
        return memory and memory // _STEP_BYTES * _STEP_BYTES, self._percent


class _Known(msgspec.Struct):
    """A container that is listed."""

    row: ListedContainer
    meter: Meter


class ContainersSampler:
    """Looks at once when something has happened, and otherwise at figures."""

    view: ClassVar[str] = ContainersFrame.view
    period_s = PERIOD_S

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._client: Client | None = None
        self._listener: Listener | None = None
        self._bell: Bell | None = None
        self._known: dict[str, _Known] = {}
        self._has_news = True
        self._before: tuple[ListedContainer, ...] | None = None

    def open(self) -> None:
        """Ask the keeper, and have it say what happens. Raises WardianError."""
        self._client = Client.connect(self._choice.root)
        self._bell = Bell()
        self._has_news, self._before = True, None
        self._listener = Listener(self._bell.ring, self._choice.root)
        self._listener.start()

    def close(self) -> None:
        """Hang up."""
        for one in (self._listener, self._bell, self._client):
            if one is not None:
                one.close()
        self._listener = self._bell = self._client = None

    def sources(self) -> tuple[int, ...]:
        """Rings when something has happened to a container."""
        return () if self._bell is None else (self._bell.fd,)

    def notice(self) -> Notice:
        """Something has: the next look asks who is there."""
        if self._bell is not None:
            self._bell.still()
        self._has_news = True
        return Notice(is_news=True)

    def sample(self) -> ContainersFrame | None:
        """The list of this moment; None while nothing but the time has changed."""
        assert self._client is not None
        if self._has_news:
            self._has_news = False
            self._meet(self._choice.of(self._client.list()))
        rows = tuple(self._measured())
        if self._before is not None and _are_same(rows, self._before):
            return None
        self._before = rows
        name = self._choice.name
        return ContainersFrame(time_s=time.time(), container=name, source=Source.EVENTS, rows=rows)

    def _meet(self, infos: Sequence[ContainerInfo]) -> None:
        known: dict[str, _Known] = {}
        for info in reversed(infos):
            row, before = self._row(info), self._known.get(info.id)
            if before is not None and before.row.host_pid == info.host_pid:
                known[info.id] = before
                row = msgspec.structs.replace(
                    row, memory_bytes=before.row.memory_bytes, cpu_percent=before.row.cpu_percent
                )
                if before.row != row:
                    before.row = row
            else:
                known[info.id] = _Known(row, Meter(info))
        self._known = known

    def _row(self, info: ContainerInfo) -> ListedContainer:
        made = ListedContainer.of(
            info,
            name=self._choice.name_of(info),
            host_pid=info.host_pid,
            memory_limit_bytes=info.spec.limits.memory_bytes,
        )
        assert isinstance(made, ListedContainer)
        return made

    def _measured(self) -> Iterator[ListedContainer]:
        """A row stays the same object while nothing in it changes."""
        for one in self._known.values():
            memory, cpu = one.meter.read()
            if (memory, cpu) != (one.row.memory_bytes, one.row.cpu_percent):
                one.row = msgspec.structs.replace(one.row, memory_bytes=memory, cpu_percent=cpu)
            yield one.row


def _are_same(rows: Sequence[ListedContainer], others: Sequence[ListedContainer]) -> bool:
    return len(rows) == len(others) and all(
        one is other for one, other in zip(rows, others, strict=True)
    )


def _told(info: ContainerInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "image": label(info.image),
        "status": info.status.value,
        "health": info.health.status.value if info.health else "",
        "created_at": info.created_at,
        "started_at": info.started_at,
        "finished_at": info.finished_at,
        "exit_code": info.exit_code,
        "exit_reason": label(info.exit_reason),
        "ports": tuple(_ports(info)),
        "networks": tuple(endpoint.network for endpoint in info.endpoints),
        "warnings": tuple(map(label, info.warnings)),
        "is_of_a_notebook": info.spec.keep is not Keep.ALWAYS,
    }


def _ports(info: ContainerInfo) -> Iterator[str]:
    for port in info.published:
        host = f"{port.host_ip}:{port.host_port}" if port.host_ip else str(port.host_port)
        yield f"{host}→{port.name}"
