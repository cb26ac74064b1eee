"""What a runner's programs print: from two pipes to stream messages, in order and in lumps."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from wardian.cells.guest.frames import MAX_MARK_BYTES, READ_BYTES, Marks

PIPE_BYTES = 1 << 18
LULL_S = 0.02  # text that follows other text within this time travels in one message with it
LUMP_CHARS = 1 << 18


def output_pipe() -> tuple[int, int]:
    """A pipe whose read end does not block, as roomy as the kernel allows."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_fd, False)
    with suppress(OSError):  # over the user's pipe quota (pipe(7)): the default will do
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_fd, write_fd


class TextFlow:
    """Bytes in, text out: decoded piecewise, the first at once and what follows hard on it later.

    A frontend takes 1,000 messages a second at most; a program that prints line by line would
    send more.
    """

    def __init__(self, deliver: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self._last_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Take bytes; deliver now, or within `LULL_S`."""
        text = self._decoder.decode(data)
        if not text:
            return
        self._waiting.append(text)
        self._waiting_chars += len(text)
        now = time.monotonic()
        if self._waiting_chars >= LUMP_CHARS or now - self._last_s >= LULL_S:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LULL_S, self.flush)

    def flush(self) -> None:
        """Deliver what waits (but for an unfinished character)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            text = "".join(self._waiting)
            self._waiting.clear()
            self._waiting_chars = 0
            self._last_s = time.monotonic()
            self._deliver(text)

    def finish(self) -> None:
        """Deliver everything: no more will come that completes a character."""
        if rest := self._decoder.decode(b"", final=True):
            self._waiting.append(rest)
        self._decoder.reset()
        self.flush()


class OutputPipe:
    """The read end of a runner's stdout or stderr: text and marks (see `Marks`) in their order."""

    def __init__(self, fd: int, marks: Marks) -> None:
        self.fd = fd
        self.at_end = False
        self._marks = marks
        self._tail = b""  # may be the start of a mark
        self._items: deque[bytes | str] = deque()

    def fill(self, limit_bytes: int) -> int:
        """Read until the pipe is empty or ``limit_bytes`` were read; how many it were."""
        count = 0
        while count < limit_bytes and not self.at_end:
            try:
                data = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.at_end = True
                break
            count += len(data)
            self._split(self._tail + data if self._tail else data)
        return count

    def take(self) -> bytes | str | None:
        """The next piece of text (bytes) or mark (str), None when there is none."""
        return self._items.popleft() if self._items else None

    def put_back(self, mark: str) -> None:
        """Undo the take of a mark whose time has not come."""
        self._items.appendleft(mark)

    def release_tail(self) -> None:
        """What looked like the start of a mark is text."""
        if self._tail:
            self._items.append(self._tail)
            self._tail = b""

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _split(self, data: bytes) -> None:
        self._tail = b""
        while data:
            at = data.find(b"\x1b")
            at = data.find(self._marks.prefix, at) if at >= 0 else -1
            if at < 0:
                keep = _overlap(data, self._marks.prefix)
                self._add(data[: len(data) - keep])
                self._tail = data[len(data) - keep :]
                return
            end = data.find(self._marks.suffix, at, at + MAX_MARK_BYTES)
            if end < 0 and len(data) - at < MAX_MARK_BYTES:
                self._add(data[:at])
                self._tail = data[at:]
                return
            if end < 0:  # not one of ours after all
                end = at + len(self._marks.prefix) - 1
                self._add(data[: end + 1])
            else:
                self._add(data[:at])
                what = data[at + len(self._marks.prefix) : end]
                self._items.append(what.decode("ascii", "replace"))
            data = data[end + 1 :]

    def _add(self, text: bytes) -> None:
        if text:
            self._items.append(text)


def _overlap(data: bytes, prefix: bytes) -> int:
    """How many bytes at the end of ``data`` are the start of ``prefix``."""
    at = data.rfind(b"\x1b", max(0, len(data) - len(prefix) + 1))
    return len(data) - at if at >= 0 and prefix.startswith(data[at:]) else 0
