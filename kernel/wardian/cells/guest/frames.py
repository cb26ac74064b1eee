"""Frames on a stream socket, and marks in the output pipes: the bytes of the cell protocol.

Both sides use this module, hence standard library and Python 3.8. What the messages mean is told
in ``wardian/cells/protocol.py``.
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any, Deque, Iterator, List, Sequence, Union

HEADER = struct.Struct("!II")
MAX_HEAD_BYTES = 512 << 20
MAX_BUFFERS_BYTES = 1 << 30
READ_BYTES = 1 << 16
MAPPED_BYTES = 1 << 20  # from here on a frame has a mapping of its own

Bytes = Union[bytes, bytearray, memoryview, mmap.mmap]


class FrameTooLong(ValueError):
    """The other side announced more than the protocol allows."""


class Frame:
    """One frame: its head, still encoded, and the bytes of its buffers."""

    __slots__ = ("body", "head_bytes")

    def __init__(self, body: Bytes, head_bytes: int) -> None:
        self.body = body
        self.head_bytes = head_bytes

    @property
    def head(self) -> bytes | memoryview:
        """The JSON text of the message."""
        if isinstance(self.body, bytes) and len(self.body) == self.head_bytes:
            return self.body
        return memoryview(self.body)[: self.head_bytes]

    def buffers(self, sizes: Sequence[int]) -> List[memoryview]:
        """Cut the rest into the buffers that the head announced; ValueError if that can't be."""
        rest = memoryview(self.body)[self.head_bytes :]
        if sum(sizes) != len(rest) or any(size < 0 for size in sizes):
            raise ValueError("buffer sizes do not add up")
        cut, start = [], 0
        for size in sizes:
            cut.append(rest[start : start + size])
            start += size
        return cut


class FrameReader:
    """Reassembles frames from a stream socket, whose reads must not block."""

    def __init__(
        self, *, max_head_bytes: int = MAX_HEAD_BYTES, max_buffers_bytes: int = MAX_BUFFERS_BYTES
    ) -> None:
        self._limits = (max_head_bytes, max_buffers_bytes)
        self._small = bytearray()
        self._large: bytearray | mmap.mmap | None = None  # a frame too large for _small
        self._large_filled = 0
        self._large_head = 0

    def receive(self, sock: socket.socket) -> Iterator[Frame]:
        """Read once and yield what is complete.

        Raises BlockingIOError when there was nothing to read, EOFError at the end, FrameTooLong.
        """
        if self._large is not None:
            free = memoryview(self._large)[self._large_filled :]
            count = sock.recv_into(free, 0, socket.MSG_DONTWAIT)
            if not count:
                raise EOFError
            self._large_filled += count
            if self._large_filled == len(self._large):
                body, self._large = self._large, None
                yield Frame(body, self._large_head)
            return
        data = sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        if not data:
            raise EOFError
        self._small += data
        while len(self._small) >= HEADER.size:
            head, buffers = HEADER.unpack_from(self._small)
            if head > self._limits[0] or buffers > self._limits[1]:
                raise FrameTooLong(f"frame too long: {head} + {buffers} bytes")
            end = HEADER.size + head + buffers
            if len(self._small) < end:
                if end > READ_BYTES:
                    self._begin_large(head, head + buffers)
                return
            whole = bytes(self._small[HEADER.size : end])
            del self._small[:end]
            yield Frame(whole, head)

    def _begin_large(self, head: int, size: int) -> None:
        arrived = len(self._small) - HEADER.size
        self._large = _unfilled(size)
        self._large[:arrived] = memoryview(self._small)[HEADER.size :]
        self._large_filled, self._large_head = arrived, head
        self._small = bytearray()


def _unfilled(size: int) -> bytearray | mmap.mmap:
    """Room for a frame. The kernel gives its pages as they are filled; a bytearray is zeroed."""
    if size < MAPPED_BYTES:
        return bytearray(size)
    room = mmap.mmap(-1, size, mmap.MAP_PRIVATE)
    with suppress(AttributeError, OSError):  # a Python, or a kernel, without them
        room.madvise(mmap.MADV_HUGEPAGE)  # 512 times fewer page faults
    return room


def frame_parts(head: bytes, buffers: Sequence[Bytes] = ()) -> List[Bytes]:
    """The pieces of a frame, to be written one after another."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    return [HEADER.pack(len(head), sum(map(len, views))), head, *views]


def send_parts(sock: socket.socket, parts: Sequence[Bytes], flags: int = 0) -> Deque[memoryview]:
    """Send as much as goes; what is left over (nothing, when the socket blocks)."""
    left: Deque[memoryview] = deque(memoryview(part) for part in parts if len(part))
    while left:
        try:
            sent = sock.sendmsg([left[i] for i in range(min(len(left), 64))], [], flags)
        except BlockingIOError:
            break
        while left and sent >= len(left[0]):
            sent -= len(left.popleft())
        if sent:
            left[0] = left[0][sent:]
    return left


MAX_MARK_BYTES = 128  # well below PIPE_BUF, so a mark is never torn by another writer


class Marks:
    """How a place in an output pipe is named: ``ESC ] nonce ; what BEL``, in one write.

    The nonce keeps a program from writing one by accident; it is no secret.
    """

    def __init__(self, nonce: str) -> None:
        self.prefix = b"\x1b]" + nonce.encode("ascii") + b";"
        self.suffix = b"\x07"

    def mark(self, what: Any) -> bytes:
        """The bytes of one mark."""
        return self.prefix + str(what).encode("ascii") + self.suffix
