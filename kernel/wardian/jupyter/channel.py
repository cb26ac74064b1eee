"""ZeroMQ sockets on the asyncio loop, without another thread between them and the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import zmq

Frames = list[bytes]


class Channel:
    """A socket whose messages are handed to a function as they come.

    ZeroMQ's descriptor is edge-triggered: it tells that *something* changed, once. So a wake-up
    reads until there is nothing left, and after a send, which may swallow the edge, we look
    again (zmq_getsockopt(3), ZMQ_FD).
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._handler: Callable[[Frames], None] = lambda _: None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, handler: Callable[[Frames], None]) -> None:
        """Begin to read, with ``handler`` taking each message; called on the running loop."""
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._drain)
        self._drain()

    def stop(self) -> None:
        """Read no more; sending goes on."""
        if self._loop is not None and not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None

    def drain(self) -> None:
        """Hand over what has come but was not yet seen."""
        self._drain()

    def send_multipart(self, frames: Sequence[Any], *_: Any, copy: bool = True, **__: Any) -> None:
        """Send at once; the signature is what jupyter_client's Session calls."""
        self._socket.send_multipart(frames, copy=copy)
        self.look()

    def look(self) -> None:
        """See, in a moment, whether something came while we sent."""
        if self._loop is not None and int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        while self._loop is not None:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._handler(frames)
