"""The keeper's event loop: descriptors, connections with unsent bytes, timers."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from wardian.errors import ProtocolError
from wardian.runtime.wire import Connection, Message

Callback = Callable[[], None]


class Timer(msgspec.Struct, order=True):
    """Something to do later, unless it is cancelled."""

    due: float
    number: int  # no other timer's: what stands below it is never compared
    callback: Callback
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """Single-threaded; a callback must not block."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._stopped = False

    def watch(self, fd: int, callback: Callback) -> None:
        """Call ``callback`` whenever ``fd`` is readable (a pidfd: when its process has ended)."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def watch_writable(self, fd: int, callback: Callback) -> None:
        """Call ``callback`` whenever ``fd`` takes more, or its reader is gone."""
        self._selector.register(fd, selectors.EVENT_WRITE, callback)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        self._selector.unregister(fd)

    def later(self, delay_s: float, callback: Callback) -> Timer:
        """Call ``callback`` once, ``delay_s`` from now."""
        timer = Timer(time.monotonic() + delay_s, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def serve(
        self, connection: Connection, on_message: Callable[[Message], None], on_gone: Callback
    ) -> None:
        """Hand over every message of a connection; ``on_gone`` once, when it ends or lies."""
        connection.sock.settimeout(0)

        def ready() -> None:
            try:
                if connection.has_unsent:
                    self._flush(connection)
                messages = connection.receive_ready()
            except (EOFError, ProtocolError):
                self._drop(connection)
                on_gone()
                return
            for message in messages:
                on_message(message)

        self._selector.register(connection.sock, selectors.EVENT_READ, ready)
        if connection.has_received:
            self.later(0, lambda: ready() if connection.fileno() >= 0 else None)

    def send(self, connection: Connection, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send now or as soon as the other side reads; silently nothing if it is gone."""
        if connection.fileno() < 0:
            return
        try:
            connection.send(data, fds)
        except (EOFError, ProtocolError):
            return  # its reading end reports the loss
        if connection.has_unsent:
            self._interest(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _flush(self, connection: Connection) -> None:
        connection.flush()
        if not connection.has_unsent:
            self._interest(connection, selectors.EVENT_READ)

    def _interest(self, connection: Connection, events: int) -> None:
        key = self._selector.get_key(connection.sock)
        if key.events != events:
            self._selector.modify(connection.sock, events, key.data)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.close()

    def drop(self, connection: Connection) -> None:
        """Stop serving a connection and close it."""
        if connection.fileno() >= 0:
            self._drop(connection)

    def stop(self) -> None:
        """Return from ``run`` after the present callbacks."""
        self._stopped = True

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._stopped:
            for key, _ in self._selector.select(self._patience()):
                # An earlier callback of this round may have closed it.
                if self._selector.get_map().get(key.fd) is key:
                    _guarded(key.data)
            self._fire()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0].is_cancelled:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else None

    def _fire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                _guarded(timer.callback)


def _guarded(callback: Callback) -> None:
    """A mistake in one callback must not end the parent of every container: log it, go on."""
    try:
        callback()
    except Exception:  # noqa: BLE001  # whatever it is, the others' containers go on
        with suppress(OSError):  # the log may be on a full disk
            import traceback  # 2 ms, which who makes no mistake does without

            traceback.print_exc()
