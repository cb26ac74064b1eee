"""The ground of an ordinary user's bridges: the holder's network namespace."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from wardian.errors import FailedPrecondition, SetupError, revived
from wardian.linux import netlink, process, unix_socket
from wardian.linux.netlink import Netlink
from wardian.network import messages as m
from wardian.network import rights
from wardian.network.entry import enter
from wardian.network.holder import SOCKET

_PATIENCE_S = 10.0
_ATTEMPTS = 5


class UserGround:
    """A connection to the holder, which is started if need be. While it is there, so is that."""

    is_hosts = False

    def __init__(self, root: Path) -> None:
        self._holder, hello = _find(root)
        self.warning = ""
        if hello.why_not:
            self.warning = f"no way out of a user's networks: {hello.why_not} (see wardian doctor)"

    def fileno(self) -> int:
        """Readable when the holder is gone."""
        return self._holder.fileno()

    def netlink(self, protocol: int) -> Netlink:
        """One that was opened there has the rights of there."""
        return Netlink(self._open(socket.AF_NETLINK, socket.SOCK_RAW, protocol))

    def inside(self, namespace_fd: int) -> Netlink:
        return enter(namespace_fd, netlink.ROUTE)

    def open_socket(self, family: int, kind: int) -> socket.socket:
        made = self._open(family, kind, 0)
        made.settimeout(0)
        return made

    def set(self, sysctl: str, value: str) -> None:
        self._ask(m.SetSysctl(sysctl, value))

    def forward(self, version: int) -> None:
        """The holder's namespace always does."""

    def settle(self, *, is_needed: bool) -> None:
        """It is nobody's but ours."""

    def _open(self, family: int, kind: int, protocol: int) -> socket.socket:
        (fd,) = self._ask(m.OpenSocket(family, kind, protocol))
        return socket.socket(fileno=fd)

    def _ask(self, errand: m.Errand) -> list[int]:
        self._holder.sendall(m.encode(errand))
        data, fds, _, _ = socket.recv_fds(self._holder, m.MAX_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise ConnectionResetError("the holder of the network namespace is gone")
        reply = m.decode_holder_reply(data)
        if isinstance(reply, m.Refused):
            raise OSError(reply.errno, os.strerror(reply.errno))
        return list(fds)


def look(root: Path, protocol: int) -> Netlink:
    """A socket to read by, where the bridges of a state root stand.

    Raises FailedPrecondition if they stand beside the host and no network is up.
    """
    if rights.may_have_bridges():
        return Netlink.open(protocol)
    try:
        with unix_socket.connect(root / SOCKET, socket.SOCK_SEQPACKET) as connection:
            holder = unix_socket.peer(connection).host_pid
        namespace_fd = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise FailedPrecondition("no network is up: no container is in one") from None
    try:
        return enter(namespace_fd, protocol)
    finally:
        os.close(namespace_fd)


def _find(root: Path) -> tuple[socket.socket, m.WayOut]:
    for _ in range(_ATTEMPTS):
        with suppress(OSError, EOFError):
            return _meet(root)
        answer = process.start_daemon("wardian.network.holder", str(root))
        if answer and answer != b"+":
            failure = m.decode_reply(answer)
            raise revived(failure.kind, failure.what, failure.hint)
    raise SetupError("the holder of the networks does not start", hint="see switch.log")


def _meet(root: Path) -> tuple[socket.socket, m.WayOut]:
    """One that is leaving takes callers and hears them no more: EOFError."""
    connection = unix_socket.connect(root / SOCKET, socket.SOCK_SEQPACKET, timeout_s=_PATIENCE_S)
    if data := connection.recv(m.MAX_BYTES):
        return connection, m.decode_holder_reply(data)
    connection.close()
    raise EOFError
