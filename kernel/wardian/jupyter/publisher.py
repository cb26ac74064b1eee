"""The iopub socket: it takes messages from any thread, and says when it can take no more.

A subscriber that reads more slowly than a cell writes must not make this process grow, and must
not lose the end of what was written. So a message that ZeroMQ has no room for waits here, and
meanwhile the runners' output is not read: the cell is slowed down by its full pipe. A subscriber
that takes nothing for long is given up: it loses messages until it reads again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from wardian.jupyter.channel import Channel, Frames

log = logging.getLogger("wardian.kernel")

# ZeroMQ holds back by number of messages (ZMQ_SNDHWM). Those that it does not copy are large; what
# they take is counted here.
COPIED_BYTES = 1 << 16
FULL_BYTES = 256 << 20
RETRY_S = 0.005
SLOW_RETRY_S = 0.05
PATIENCE_S = 30.0
GRACE_S = 0.05  # for the others, while one is given up


class Confirmed:
    """A sender that asks before it sends: by then the message has been signed."""

    def __init__(self, sender: Publisher, confirm: Callable[[], object]) -> None:
        self._sender = sender
        self._confirm = confirm

    def send_multipart(self, frames: Sequence[Any], *_: Any, **__: Any) -> None:
        """Send if ``confirm`` does not raise."""
        self._confirm()
        self._sender.send_multipart(frames)


class Publisher:
    """Sends on the loop's thread without a hop; other threads' messages keep their order.

    ``hold`` is called whenever there is no room, ``release`` when there is again.
    """

    def __init__(self, socket: zmq.Socket[bytes], welcome: Callable[[bytes], Frames]) -> None:
        self.hold: Callable[[], None] = lambda: None
        self.release: Callable[[], None] = lambda: None
        self._socket = socket
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._channel = Channel(socket)
        self._welcome = welcome
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = threading.get_ident()
        self._room = threading.Event()
        self._room.set()
        self._waiting: deque[Sequence[Any]] = deque()
        self._under_way: deque[tuple[zmq.MessageTracker, int]] = deque()
        self._under_way_bytes = 0
        self._progress_s = 0.0
        self._has_given_up = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Answer new subscribers from now on; called on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._channel.start(self._subscribed)

    def stop(self) -> None:
        """Answer no more subscribers; what waits is sent to those that can take it."""
        self._channel.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._has_given_up = True
        self._go_on()

    def send_multipart(self, frames: Sequence[Any], *_: Any, **__: Any) -> None:
        """Publish; from another thread it is published in its turn, when there is room."""
        if threading.get_ident() == self._thread_id or self._loop is None:
            self._send(frames)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, frames)
            self._room.wait()

    def _subscribed(self, frames: Frames) -> None:
        """XPUB passes on subscriptions: 1 and the topic (JEP 65 wants a welcome)."""
        for frame in frames:
            if frame[:1] == b"\x01":
                topic = frame[1:]
                prefix = [topic] if topic else []
                self._send([*prefix, *self._welcome(topic)])

    # --- when there is no room -------------------------------------------------------------

    def _send(self, frames: Sequence[Any]) -> None:
        if self._waiting or not self._try(frames):
            self._waiting.append(frames)
        if self._under_way_bytes > FULL_BYTES:
            self._forget_sent()
        if self._waiting or self._under_way_bytes > FULL_BYTES:
            self._wait()
        self._channel.look()

    def _try(self, frames: Sequence[Any], *, at_any_cost: bool = False) -> bool:
        """Hand a message to ZeroMQ; False if it has no room for it.

        ``at_any_cost`` the clients that have no room do not get it.
        """
        size = sum(map(_size, frames))
        is_large = size > COPIED_BYTES
        if self._has_given_up and is_large and self._under_way_bytes > FULL_BYTES:
            log.warning("a client does not read: %d bytes of output are lost", size)
            return True
        try:
            tracker = self._hand_over(frames, is_large=is_large)
        except zmq.Again:
            if not at_any_cost:
                return False
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            tracker = self._hand_over(frames, is_large=is_large)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            self._has_given_up = self._has_given_up and self._under_way_bytes > FULL_BYTES
        if tracker is not None:
            self._under_way.append((tracker, size))
            self._under_way_bytes += size
        return True

    def _hand_over(self, frames: Sequence[Any], *, is_large: bool) -> zmq.MessageTracker | None:
        return self._socket.send_multipart(frames, zmq.NOBLOCK, copy=not is_large, track=is_large)

    def _wait(self) -> None:
        if self._loop is None:
            return
        if self._timer is None:
            self._progress_s = time.monotonic()
            self._room.clear()
            self._timer = self._loop.call_later(RETRY_S, self._retry)
        self.hold()

    def _retry(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = time.monotonic()
        has_progress = self._forget_sent()
        while self._waiting and self._try(self._waiting[0]):
            self._waiting.popleft()
            has_progress = True
        if has_progress:
            self._progress_s = now
        is_tired = now - self._progress_s > (GRACE_S if self._has_given_up else PATIENCE_S)
        self._has_given_up = self._has_given_up or is_tired
        if is_tired or not (self._waiting or self._under_way_bytes > FULL_BYTES // 2):
            self._go_on()
        else:
            is_brisk = now - self._progress_s < SLOW_RETRY_S
            delay_s = RETRY_S if is_brisk else SLOW_RETRY_S
            self._timer = self._loop.call_later(delay_s, self._retry)
        self._channel.look()

    def _go_on(self) -> None:
        while self._waiting:
            self._try(self._waiting.popleft(), at_any_cost=True)
        self._room.set()
        self.release()

    def _forget_sent(self) -> bool:
        """Take account of the large messages that have left; whether there were some."""
        before = self._under_way_bytes
        while self._under_way and self._under_way[0][0].done:
            self._under_way_bytes -= self._under_way.popleft()[1]
        return self._under_way_bytes < before


def _size(frame: Any) -> int:
    return len(frame) if isinstance(frame, bytes) else memoryview(frame).nbytes
