"""How a transfer is shown: bars on a terminal, a line for each layer to other readers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from wardian.images.registry.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from wardian.images.manifest import Descriptor

SHORT_ID = 12


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """Somebody to tell of a transfer."""
    if quiet:
        yield Progress()
    elif sys.stdout.isatty():
        with _bars() as bars:
            yield _Drawn(bars)
    else:
        yield _Lines()


def _short(blob: Descriptor) -> str:
    return blob.digest.partition(":")[2][:SHORT_ID]


class _Lines(Progress):
    def end(self, blob: Descriptor, word: str) -> None:
        click.echo(f"{_short(blob)}: {word}")


def _bars() -> Bars:
    from rich import progress

    return progress.Progress(
        "{task.description}",
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )


class _Drawn(Progress):
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def begin(self, blob: Descriptor) -> None:
        self._task(blob)

    def advance(self, blob: Descriptor, position_bytes: int) -> None:
        self._bars.update(self._task(blob), completed=position_bytes)

    def end(self, blob: Descriptor, word: str) -> None:
        task = self._task(blob)
        self._bars.update(task, completed=blob.size, description=f"{_short(blob)}: {word}")

    def _task(self, blob: Descriptor) -> TaskID:
        with self._lock:
            if blob.digest not in self._tasks:
                self._tasks[blob.digest] = self._bars.add_task(_short(blob), total=blob.size)
            return self._tasks[blob.digest]
