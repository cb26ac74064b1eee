"""A recorder: samples views of a container, seen or not, until it is stopped or has had enough.

What it costs is bounded as for a view that is seen: the pulse gives each sampler its share of a
core and no more, and here every view is looked at five times a second at the most. How long and
how much is recorded has limits too (:mod:`wardian.observe.recording`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from wardian.errors import WardianError
from wardian.observe.pulse import Watch
from wardian.observe.recording import Head, Writer, save
from wardian.observe.wire import Frame
from wardian.widgets.feed import PULSE, SAMPLERS, Sight

INTERVAL_S = 0.2
_PATIENCE_S = 20.0


class Recorder:
    """Records views of what ``locate`` finds, into the file ``path``.

    It is written once: when a limit is reached by the pulse's thread. ``missing`` are the views
    that could not be had at the start, and why.
    """

    def __init__(
        self,
        head: Head,
        locate: Callable[[str], Sight],
        path: Path,
        *,
        seconds: float,
    ) -> None:
        self.path = path
        self.missing: dict[str, WardianError] = {}
        self.views: tuple[str, ...] = ()
        self.why = ""
        self._locate = locate
        self._seconds = seconds
        self._writer: Writer | None = Writer(head)
        self._watches: dict[str, Watch[Any] | None] = {}
        self._lock = threading.Lock()
        self._begun_s = time.monotonic()
        self._failure: WardianError | None = None
        self._spoken = threading.Event()
        self._waiting: set[str] = set()

    @property
    def is_running(self) -> bool:
        """Whether more will be recorded."""
        return self._writer is not None

    def sees(self, view: str) -> bool:
        """Whether this view is looked at now: its container may have ended."""
        return self._watches.get(view) is not None

    def start(self, views: Iterable[str], *, needs_all: bool) -> None:
        """Wait until each view was seen once, or cannot be. Raises WardianError if none can.

        With ``needs_all`` if one cannot.
        """
        self._waiting = set(views)
        wanted = sorted(self._waiting, key=list(SAMPLERS).index)
        for view in wanted:
            self._watch(view)
        self._spoken.wait(_PATIENCE_S)
        self.views = tuple(view for view in wanted if view not in self.missing)
        for view in self.missing:
            self._watches.pop(view, None)
        if self.missing and (needs_all or not self.views):
            raise next(iter(self.missing.values()))

    def mark(self, cell: int, *, begins: bool) -> None:
        """Note a cell. Views whose container had ended are looked for again."""
        with self._lock:
            if self._writer is None or self._writer.is_full:
                return
            self._writer.cell(self._at, cell, begins=begins)
            lost = [view for view, watch in self._watches.items() if watch is None]
        for view in lost:
            PULSE.call(partial(self._watch, view))

    def stop(self) -> None:
        """Keep what was recorded, unless a limit has done so already. Raises SetupError.

        Each view is looked at once more: what the last cell did is seen.
        """
        if self.is_running:
            looked = threading.Event()
            PULSE.call(partial(self._look_again, looked))
            looked.wait(_PATIENCE_S)
        self._finish("")
        if self._failure is not None:
            raise self._failure

    def discard(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._writer = None
        self._let_go()

    @property
    def _at(self) -> float:
        return min(time.monotonic() - self._begun_s, self._seconds)

    def _watch(self, view: str) -> None:
        try:
            sampler = SAMPLERS[view](self._locate(view))
        except WardianError as error:
            self._fail(view, error)
            return
        with self._lock:  # so that what fails at once fails after it was noted
            if self._writer is not None:
                self._watches[view] = PULSE.watch(
                    sampler,
                    partial(self._publish, view),
                    partial(self._fail, view),
                    self._has_time,
                    interval_s=INTERVAL_S,
                )

    def _look_again(self, looked: threading.Event) -> None:
        with self._lock:
            watches = list(self._watches.items())
        for view, watch in watches:
            with suppress(WardianError, OSError):  # it has ended: no more is to be seen
                if watch is not None and (frame := watch.sampler.sample()) is not None:
                    self._publish(view, frame)
        looked.set()

    def _publish(self, view: str, frame: Frame) -> None:
        with self._lock:
            if self._writer is None:
                return
            self._writer.frame(self._at, frame)
            is_full = self._writer.is_full
        self._hear_of(view)
        if is_full:
            self._finish("the recording had reached its largest size")

    def _fail(self, view: str, error: WardianError) -> None:
        with self._lock:
            if self._writer is None:
                return
            was_seen = view not in self._waiting
            is_news = self._watches.get(view) is not None
            self._watches[view] = None
            if was_seen and is_news:
                self._writer.error(self._at, view, error.what)
            elif not was_seen:
                self.missing[view] = error
        self._hear_of(view)

    def _hear_of(self, view: str) -> None:
        self._waiting.discard(view)
        if not self._waiting:
            self._spoken.set()

    def _has_time(self) -> bool:
        """Asked before each look."""
        if self._writer is not None and self._at >= self._seconds:
            self._finish(f"{self._seconds:g} s had passed")
        return self._writer is not None

    def _finish(self, why: str) -> None:
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return
        self._let_go()
        self.why = why
        try:
            save(self.path, writer.end(self._at, why))
        except WardianError as error:
            self._failure = error

    def _let_go(self) -> None:
        for watch in list(self._watches.values()):
            if watch is not None:
                watch.close()
