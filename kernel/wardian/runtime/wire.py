"""Messages with file descriptors over a Unix stream socket.

A frame is ``!IH``: the length of the JSON text that follows and the number of descriptors that
come with it (unix(7), SCM_RIGHTS). Keeper, init and clients speak it with each other.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from wardian.errors import ProtocolError

HEADER = struct.Struct("!IH")
MAX_MESSAGE_BYTES = 8 << 20
MAX_DESCRIPTORS = 64
SCM_MAX_FD = 253  # what the kernel takes in one message (unix(7))
MAX_UNSENT_BYTES = 64 << 20
# Most frames fit the least. More than 128 KiB malloc(3) maps and unmaps for each message.
LEAST_READ, MOST_READ = 8 << 10, 1 << 18


class Message(msgspec.Struct, frozen=True):
    """One received frame. Whoever takes it owns its descriptors."""

    data: bytes
    fds: tuple[int, ...] = ()

    def close(self) -> None:
        """Close descriptors that nobody wants."""
        for fd in self.fds:
            os.close(fd)


class Connection:
    """One end of a socket: frames in, frames out.

    ``receive`` blocks; ``receive_ready`` and ``flush`` never do (for a non-blocking socket in an
    event loop). A peer that sends nonsense raises ProtocolError, one that is gone EOFError.
    ``max_descriptors`` is for a peer that is trusted with more of them, as the keeper is by the
    sandbox that it gives a mount for each layer.
    """

    def __init__(self, sock: socket.socket, *, max_descriptors: int = MAX_DESCRIPTORS) -> None:
        self.sock = sock
        self._max_descriptors = max_descriptors
        self._read_size = LEAST_READ
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._unsent_bytes = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        """Close the socket and every descriptor that was received but not taken."""
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors.clear()
        for _, fds in self._unsent:
            for fd in fds:
                os.close(fd)
        self._unsent.clear()
        self.sock.close()

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one frame; on a non-blocking socket what does not fit waits for ``flush``.

        The descriptors stay the caller's: copies of those that must wait are made.
        """
        if len(fds) > SCM_MAX_FD:
            raise ProtocolError(f"{len(fds)} layers and binds are more than a container can have")
        frame = memoryview(HEADER.pack(len(data), len(fds)) + data)
        if not self._unsent:
            frame, fds = self._push(frame, fds)
        if frame:
            self._unsent_bytes += len(frame)
            if self._unsent_bytes > MAX_UNSENT_BYTES:
                raise ProtocolError("the other side does not read its messages")
            self._unsent.append((frame, [os.dup(fd) for fd in fds]))

    def _push(self, frame: memoryview, fds: Sequence[int]) -> tuple[memoryview, Sequence[int]]:
        """Send what the socket takes; what is left of the frame and of the descriptors."""
        while frame:
            ancillary = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            )
            try:
                sent = self.sock.sendmsg([frame], ancillary, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError as error:
                raise EOFError("the other side is gone") from error
            frame, fds = frame[sent:], ()
        return frame, fds

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for the socket to take more."""
        return bool(self._unsent)

    @property
    def has_received(self) -> bool:
        """Whether bytes are here that no frame was made of yet."""
        return bool(self._received)

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        while self._unsent:
            frame, fds = self._unsent[0]
            rest, left = self._push(frame, fds)
            self._unsent_bytes -= len(frame) - len(rest)
            if fds and not left:
                for fd in fds:
                    os.close(fd)
            if rest:
                self._unsent[0] = (rest, left)
                return
            self._unsent.popleft()

    def receive(self) -> Message:
        """The next frame; waits for it."""
        while (message := self._take()) is None:
            self._read()
        return message

    def receive_ready(self) -> list[Message]:
        """Every frame that is here now."""
        messages = []
        with suppress(BlockingIOError):
            self._read()
        while (message := self._take()) is not None:
            messages.append(message)
        return messages

    def _read(self) -> None:
        try:
            data, ancillary, flags, _ = self.sock.recvmsg(
                self._read_size,
                socket.CMSG_SPACE(self._max_descriptors * 4),
                socket.MSG_CMSG_CLOEXEC,
            )
        except ConnectionError as error:
            raise EOFError("the other side is gone") from error
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors.extend(array.array("i", value[: len(value) // 4 * 4]))
        if flags & socket.MSG_CTRUNC or len(self._descriptors) > 2 * self._max_descriptors:
            raise ProtocolError("too many file descriptors in a message")
        if not data:
            raise EOFError("the other side is gone")
        is_full = len(data) == self._read_size
        self._read_size = min(2 * self._read_size, MOST_READ) if is_full else LEAST_READ
        self._received += data

    def _take(self) -> Message | None:
        if len(self._received) < HEADER.size:
            return None
        length, count = HEADER.unpack_from(self._received)
        if length > MAX_MESSAGE_BYTES or count > self._max_descriptors:
            raise ProtocolError(f"message too long: {length} bytes, {count} descriptors")
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        if len(self._descriptors) < count:
            raise ProtocolError("a message lacks the file descriptors that it announces")
        data = bytes(memoryview(self._received)[HEADER.size : end])
        del self._received[:end]
        return Message(data, tuple(self._descriptors.popleft() for _ in range(count)))
