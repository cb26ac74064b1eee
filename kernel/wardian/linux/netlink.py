"""Netlink (netlink(7)): many requests in one message to the kernel, an answer to each."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Self

import msgspec

from wardian.errors import KernelRefused

NETFILTER = 12
ROUTE = 0

REQUEST = 0x1
ACK = 0x4
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
APPEND = 0x800

_NESTED = 0x8000
_ERROR = 2
_DONE = 3
_SOL_NETLINK = 270
_CAP_ACK = 10
_EXT_ACK = 11
_ATTR_MSG = 1  # NLMSGERR_ATTR_MSG: the kernel's own words
_CAPPED = 0x100
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFREQ = struct.Struct("=16si20x")  # struct ifreq
_SIOCGIFINDEX = 0x8933
_RECEIVE_BYTES = 1 << 18


class Message(msgspec.Struct, frozen=True):
    """A netlink message: its type, flags beyond NLM_F_REQUEST, and what follows the header.

    ``subject`` is what an error is about, for people.
    """

    kind: int
    flags: int
    payload: bytes
    subject: str = ""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded (netlink(7))."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``data``: type and value."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def open_socket(protocol: int) -> socket.socket:
    """A netlink socket where this process is. Raises KernelRefused."""
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise KernelRefused("socket", error.errno or 0, "AF_NETLINK") from error


class Netlink:
    """A socket of one protocol, in the network namespace where it was opened."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._sequence = 0
        self.batches = 0  # of nfnetlink's that were carried out

    @classmethod
    def open(cls, protocol: int) -> Netlink:
        """A socket in this process's own network namespace."""
        return cls(open_socket(protocol))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *requests: Message) -> None:
        """Send all in one go and wait until each is done; KernelRefused for the first that is not.

        The kernel carries out the others all the same.
        """
        first, data = self._number(requests, ACK)
        self._send(data)
        self._hear(first, requests)

    def get(self, request: Message) -> bytes:
        """The one message that answers, its header included; KernelRefused if none does."""
        number, data = self._number((request,), 0)
        self._send(data)
        while True:
            for sequence, kind, message in self._receive():
                if sequence != number:
                    continue
                if kind == _ERROR:
                    raise _refusal(message, request)
                return message

    def transact(self, begin: Message, requests: Sequence[Message], end: Message) -> None:
        """The same for a nfnetlink batch: all of the requests are carried out, or none."""
        _, opening = self._number((begin,), 0)
        first, data = self._number(requests, ACK)
        _, closing = self._number((end,), 0)
        self._send(opening + data + closing)
        self._hear(first, requests)
        self.batches += 1

    def dump(self, request: Message) -> Iterator[bytes]:
        """Every message of a list, its header included."""
        self.drain()
        number, data = self._number((request,), DUMP)
        self._send(data)
        while True:
            for sequence, kind, message in self._receive():
                if sequence != number:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise _refusal(message, request)
                yield message

    def index_of(self, link: str) -> int:
        """The number of a link that is there, by netdevice(7): KernelRefused if it is not.

        Unlike a message it does not wait for whoever changes other links. For a name that nobody
        has the kernel looks for a module: who asks whether there is a link sends a message.
        """
        asked = _IFREQ.pack(link.encode(), 0)
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, asked)
        except OSError as error:
            raise KernelRefused("ioctl", error.errno or 0, link) from error
        return int(_IFREQ.unpack(answer)[1])

    def drain(self) -> None:
        """Forget what was not waited for."""
        with suppress(BlockingIOError):
            while self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT):
                pass

    def _number(self, requests: Sequence[Message], flags: int) -> tuple[int, bytes]:
        """The sequence number of the first, and all as bytes; the flags are the last one's alone.

        The kernel answers in order, and unasked for what it refuses.
        """
        first = self._sequence + 1
        self._sequence += len(requests)
        parts = []
        for sequence, request in enumerate(requests, first):
            length = _HEADER.size + len(request.payload)
            how = request.flags | REQUEST | (flags if sequence == self._sequence else 0)
            parts.append(
                _HEADER.pack(length, request.kind, how, sequence, 0)
                + request.payload
                + bytes(-length % 4)
            )
        return first, b"".join(parts)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, (0, 0))
        except OSError as error:
            raise KernelRefused("sendto", error.errno or 0, "AF_NETLINK") from error

    def _hear(self, first: int, requests: Sequence[Message]) -> None:
        failure: KernelRefused | None = None
        last, heard = first + len(requests) - 1, 0
        while heard < last:
            for sequence, kind, message in self._receive():
                if kind != _ERROR or sequence < first - 1:  # of what was not waited for
                    continue
                heard = max(heard, sequence)
                request = requests[sequence - first] if first <= sequence <= last else None
                if _error_of(message):
                    failure = failure or _refusal(message, request)
                    if request is None:  # the batch itself was refused: no more will come
                        raise failure
        if failure is not None:
            raise failure

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(_RECEIVE_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
            yield sequence, kind, data[at : at + length]
            at += (length + 3) & ~3


def _error_of(message: bytes) -> int:
    """The errno in an NLMSG_ERROR; 0 is an acknowledgement."""
    (code,) = struct.unpack_from("=i", message, _HEADER.size)
    return -int(code)


def _refusal(message: bytes, request: Message | None) -> KernelRefused:
    flags = _HEADER.unpack_from(message)[2]
    at = _HEADER.size + 4
    original_length = _HEADER.unpack_from(message, at)[0]
    at += _HEADER.size if flags & _CAPPED else (original_length + 3) & ~3
    words = dict(attributes(message[at:])).get(_ATTR_MSG, b"")
    subject = request.subject if request else ""
    said = words.rstrip(b"\0").decode(errors="replace")
    code = _error_of(message)
    what = f"{subject} ({said})" if said and code != errno.EEXIST else subject
    return KernelRefused("netlink", code, what.strip())
