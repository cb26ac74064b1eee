"""Unix sockets (unix(7)): at paths of any length, and who is at the other end."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_BACKLOG = 64
_CREDENTIALS = struct.Struct("3i")


class Peer(msgspec.Struct, frozen=True):
    """The process that connected, as it was then."""

    host_pid: int
    uid: int
    gid: int


def listen(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A listening socket at ``path``, in place of what was there; for its owner alone."""
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(sock.fileno(), 0o600)  # of which bind(2) makes the file's mode
        with _short(path) as address:
            path.unlink(missing_ok=True)
            sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def connect(
    path: Path, kind: int = socket.SOCK_STREAM, *, timeout_s: float | None = None
) -> socket.socket:
    """A socket connected to the listener at ``path``; OSError if nobody listens.

    With a time limit neither this nor any later call on the socket takes longer: TimeoutError.
    """
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout_s)
        with _short(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def peer(sock: socket.socket) -> Peer:
    """Who is connected (SO_PEERCRED): the kernel's word, not theirs."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(data))


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same path in fewer than the 108 bytes that an address has."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
