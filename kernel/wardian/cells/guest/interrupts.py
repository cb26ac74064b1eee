"""SIGINT: ends the running cell, never our own work."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType, TracebackType
from typing import Callable, Optional, Type

from .insistence import Insistence


class Interrupts:
    """The SIGINT handler of the main thread.

    Between cells it does nothing. While a cell runs it raises KeyboardInterrupt, or calls
    ``on_interrupt`` when the cell is a coroutine. Inside ``with interrupts:`` it waits for the end
    of the block, so that no frame is cut in two.
    """

    def __init__(self) -> None:
        self.cell_is_running = False
        self.on_interrupt: Optional[Callable[[], None]] = None
        self._masks = 0
        self._is_pending = False
        self._insistence: Optional[Insistence] = None

    def insist(self) -> None:
        """From now on see to it that a SIGINT reaches the main thread; it takes a thread."""
        self._insistence = Insistence(self._handle)

    def install(self) -> None:
        """Be the handler (again: a cell may have set its own)."""
        signal.signal(signal.SIGINT, self._handle)
        if self._insistence is not None:
            self._insistence.begin()

    def _handle(self, _number: int, _frame: Optional[FrameType]) -> None:
        if self._insistence is not None:
            self._insistence.take()
        if not self.cell_is_running:
            return
        if self._masks:
            self._is_pending = True
        elif self.on_interrupt is not None:
            self.on_interrupt()
        else:
            raise KeyboardInterrupt

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._masks += 1

    def __exit__(
        self,
        _kind: Optional[Type[BaseException]],
        _value: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._masks -= 1
        if self._is_pending and not self._masks:
            self._is_pending = False
            self._handle(signal.SIGINT, None)


def wake_and_call(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Have the loop call this, from a signal handler: its wait goes on after a signal (PEP 475)."""
    loop.call_soon_threadsafe(callback)
