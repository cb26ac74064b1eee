"""Looks at the inventory for one open panel: at once when something happens, and for figures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wardian.errors import WardianError
from wardian.jupyter.server import inventory
from wardian.jupyter.server.inventory import Inventory
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject
from wardian.runtime.client import Client
from wardian.runtime.messages import ContainerInfo

PERIOD_S = 2.0
# Ten containers that start together are one look.
SETTLE_S = 0.05
AGAIN_S = 0.5
# What is in them is replaced by rename, so their own time changes with it.
FOLDERS = ("content", "networks", "volumes")
Say = Callable[[Mapping[str, Any]], None]


class Watcher:
    """Says ``inventory`` when it has changed, ``figures`` of what runs, or an ``error``.

    ``say`` is called in a thread of the watcher's own, until `close`. Figures are told every
    ``period_s``.
    """

    def __init__(self, say: Say, period_s: float = PERIOD_S) -> None:
        self._say = say
        self._period_s = period_s
        self._listener: Client | None = None
        self._closed = threading.Event()
        self._news = threading.Event()
        self._last: Inventory | None = None
        self._samplers: dict[tuple[str, int], ResourcesSampler] = {}

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="wardian-look", daemon=True).start()
        threading.Thread(target=self._listen, name="wardian-hear", daemon=True).start()

    def close(self) -> None:
        """Say no more. May be called in any thread."""
        self._closed.set()
        self._news.set()
        if (listener := self._listener) is not None:
            listener.hang_up()

    def _look(self) -> None:
        while not self._closed.is_set():
            try:
                with Client.connect() as client:
                    self._follow(client)
            except WardianError as error:
                self._last = None
                self._say({"kind": "error", "what": error.what, "hint": error.hint})
                self._news.wait(PERIOD_S)
                self._news.clear()

    def _listen(self) -> None:
        """Every event is a reason to look; what it says is in the inventory.

        When the keeper is replaced, so is the one who tells of them.
        """
        while not self._closed.is_set():
            with suppress(WardianError), Client.connect() as self._listener:
                self._news.set()
                for _ in () if self._closed.is_set() else self._listener.events():
                    self._news.set()
            self._listener = None
            self._closed.wait(AGAIN_S)

    def _follow(self, client: Client) -> None:
        self._news.set()
        infos: list[ContainerInfo] = []
        before: tuple[int, ...] = ()
        while not self._closed.is_set():
            has_news, changes = self._news.is_set(), _changes(client.root)
            self._news.clear()
            if has_news or changes != before:
                before, infos = changes, client.list()
                self._tell(inventory.take(client, infos))
            self._say({"kind": "figures", "figures": self._figures(infos)})
            if self._news.wait(self._period_s):
                time.sleep(SETTLE_S)

    def _tell(self, now: Inventory) -> None:
        if now != self._last:
            self._last = now
            self._say({"kind": "inventory", "inventory": now})

    def _figures(self, infos: Sequence[ContainerInfo]) -> dict[str, tuple[float | None, ...]]:
        """By id: bytes of memory, their limit, percent of a core; None where it is not known."""
        running = {(info.id, info.host_pid): info for info in infos if info.host_pid}
        kept = {key: each for key, each in self._samplers.items() if key in running}
        self._samplers = kept | {
            key: ResourcesSampler(Subject.of(info))
            for key, info in running.items()
            if key not in kept
        }
        figures: dict[str, tuple[float | None, ...]] = {}
        for (container_id, _), sampler in self._samplers.items():
            with suppress(WardianError):  # it ended between the two questions
                frame = sampler.sample()
                memory, limit = frame.memory_current_bytes, frame.memory_limit_bytes
                figures[container_id] = (memory, limit, frame.cpu_percent)
        return figures


def _changes(root: Path) -> tuple[int, ...]:
    """Changes when an image, a network or a volume comes or goes: of those no event tells."""
    moments = []
    for folder in FOLDERS:
        with suppress(OSError):
            moments.append(os.stat(root / folder).st_mtime_ns)
    return tuple(moments)
