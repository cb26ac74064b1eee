"""A second SIGINT for the interrupt that a sleeping main thread has not noticed.

Python only takes note of a signal and has its handler run later, between two bytecodes. A signal
that comes just before a blocking call begins, or that the system gives to another thread, does not
end that call: the handler would run when the call ends by itself.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import threading
import time
from typing import Callable

from .descriptors import private_descriptor

FIRST_S = 0.1  # a main thread that can run has long had its handler called
LAST_S = 5.0  # what does not end by a signal is not pelted with them


class Insistence:
    """Sends SIGINT to the main thread again while a SIGINT has not reached its handler.

    Python writes each signal's number into a pipe when it comes (set_wakeup_fd); the handler
    empties the pipe. What is still there a while later has not been handled.
    """

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler
        self._main = threading.get_ident()
        ends = os.pipe()
        self._noted, self._note = (private_descriptor(end) for end in ends)
        for end in ends:
            os.close(end)
        for end in (self._noted, self._note):
            os.set_blocking(end, False)
        os.register_at_fork(after_in_child=self._leave)
        # Not by threading: cells that list their threads find none but their own.
        _thread.start_new_thread(self._watch, ())

    def begin(self) -> None:
        """Have signals noted, unless the user's code (a loop of its own) has them noted."""
        other = signal.set_wakeup_fd(self._note, warn_on_full_buffer=False)
        if other not in (-1, self._note):
            signal.set_wakeup_fd(other)

    def take(self) -> bool:
        """Empty the pipe; whether a SIGINT was in it."""
        found = False
        try:
            while True:
                found = signal.SIGINT in os.read(self._noted, 4096) or found
        except BlockingIOError:
            return found

    def _leave(self) -> None:
        """The pipe is the parent's: a child's signals do not belong into it."""
        other = signal.set_wakeup_fd(-1)
        if other != self._note:
            signal.set_wakeup_fd(other)
        os.close(self._noted)
        os.close(self._note)

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            select.select([self._noted], [], [])
            delay_s = FIRST_S
            time.sleep(delay_s)
            while self.take() and signal.getsignal(signal.SIGINT) == self._handler:
                signal.pthread_kill(self._main, signal.SIGINT)
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, LAST_S)
