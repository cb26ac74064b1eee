"""How a transfer is shown: bars on a terminal, a line for each layer to other readers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from wardian.images.registry.progress import Progress, retrying

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from wardian.images.manifest import Descriptor

SHORT_ID = 12


@contextmanager
def shown(*, quiet: bool, is_aside: bool = False, heading: str = "") -> Iterator[Progress]:
    """Somebody to tell of a transfer; ``is_aside`` on stderr, ``heading`` once something moves."""
    if quiet:
        yield Progress()
    elif (sys.stderr if is_aside else sys.stdout).isatty():
        with _bars(is_aside=is_aside) as bars:
            yield _Drawn(bars, heading)
    else:
        yield _Lines(heading, is_aside=is_aside)


def _short(blob: Descriptor) -> str:
    return blob.digest.partition(":")[2][:SHORT_ID]


class _Lines(Progress):
    def __init__(self, heading: str, *, is_aside: bool) -> None:
        self._heading = heading
        self._is_aside = is_aside

    def end(self, blob: Descriptor, word: str) -> None:
        heading, self._heading = self._heading, ""
        if heading:
            click.echo(heading, err=self._is_aside)
        click.echo(f"{_short(blob)}: {word}", err=self._is_aside)

    def waits(self, why: str, wait_s: float) -> None:
        click.echo(retrying(why, wait_s), err=self._is_aside)


def _bars(*, is_aside: bool) -> Bars:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        "{task.description}",
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=is_aside),
    )


class _Drawn(Progress):
    def __init__(self, bars: Bars, heading: str) -> None:
        self._bars = bars
        self._heading = heading
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def begin(self, blob: Descriptor) -> None:
        self._task(blob)

    def advance(self, blob: Descriptor, position_bytes: int) -> None:
        self._bars.update(self._task(blob), completed=position_bytes)

    def end(self, blob: Descriptor, word: str) -> None:
        task = self._task(blob)
        self._bars.update(task, completed=blob.size, description=f"{_short(blob)}: {word}")

    def waits(self, why: str, wait_s: float) -> None:
        self._bars.console.print(retrying(why, wait_s), markup=False, highlight=False)

    def _task(self, blob: Descriptor) -> TaskID:
        with self._lock:
            if self._heading:
                self._bars.console.print(self._heading, markup=False, highlight=False)
                self._heading = ""
            if blob.digest not in self._tasks:
                self._tasks[blob.digest] = self._bars.add_task(_short(blob), total=blob.size)
            return self._tasks[blob.digest]
