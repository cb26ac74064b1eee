"""Errands: what a page has asked for and takes a while, done one after another in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable

_MOST_WAITING = 64
_log = logging.getLogger(__name__)


class Errands:
    """Of those with the same key only what was asked for last is done.

    Too many are none that a person has asked for: the oldest are forgotten. The thread ends when
    nothing is left to do. It takes no more than ``share`` of a core.
    """

    def __init__(self, name: str, *, share: float = 1.0) -> None:
        self._name = name
        self._rests = 1 / share - 1  # for so many times as long as it has worked
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._is_running = False

    def run(self, key: Hashable, errand: Callable[[], None]) -> None:
        """Do this soon."""
        with self._lock:
            self._waiting.pop(key, None)
            self._waiting[key] = errand
            if len(self._waiting) > _MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def forget(self) -> None:
        """Do nothing more, but for what is being done."""
        with self._lock:
            self._waiting.clear()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                errand = self._waiting.pop(next(iter(self._waiting)))
            begun_s = time.thread_time()
            try:
                errand()
            except Exception:  # noqa: BLE001  # logged; others wait to be done
                _log.exception("what a view asked for failed")
            time.sleep(self._rests * (time.thread_time() - begun_s))
