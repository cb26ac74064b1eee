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
from wardian.observe.listener import Listener
from wardian.observe.listing import Meter
from wardian.runtime.client import Client
from wardian.runtime.messages import ContainerInfo

PERIOD_S = 2.0
# Ten containers that start together are one look.
SETTLE_S = 0.05
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
        self._closed = threading.Event()
        self._news = threading.Event()
        self._listener = Listener(self._news.set)
        self._last: Inventory | None = None
        self._meters: dict[tuple[str, int], Meter] = {}

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="wardian-look", daemon=True).start()
        self._listener.start()

    def close(self) -> None:
        """Say no more. May be called in any thread."""
        self._closed.set()
        self._news.set()
        self._listener.close()

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
            self._say({"kind": "inventory", "inventory": now, "time_s": time.time()})

    def _figures(self, infos: Sequence[ContainerInfo]) -> dict[str, tuple[float | None, ...]]:
        """By id: bytes of memory, their limit, percent of a core; None where it is not known."""
        running = {(info.id, info.host_pid): info for info in infos if info.host_pid}
        self._meters = {key: self._meters.get(key) or Meter(info) for key, info in running.items()}
        figures: dict[str, tuple[float | None, ...]] = {}
        for key, info in running.items():
            memory, cpu = self._meters[key].read()
            figures[info.id] = (memory, info.spec.limits.memory_bytes, cpu)
        return figures


def _changes(root: Path) -> tuple[int, ...]:
    """Changes when an image, a network or a volume comes or goes: of those no event tells."""
    moments = []
    for folder in FOLDERS:
        with suppress(OSError):
            moments.append(os.stat(root / folder).st_mtime_ns)
    return tuple(moments)
