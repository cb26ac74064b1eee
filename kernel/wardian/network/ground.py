"""The ground that bridges stand on: the host's network namespace, or one that a user may have."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Protocol

from wardian.linux import netlink
from wardian.linux.netlink import Netlink
from wardian.network.entry import enter
from wardian.network.forwarding import Forwarding


class Ground(Protocol):
    """What bridges need of a network namespace. Nobody else enters it."""

    @property
    def warning(self) -> str:
        """What a container there lacks; empty if nothing."""

    @property
    def is_hosts(self) -> bool:
        """Whether the host's own addresses are there, and its other programs."""

    def netlink(self, protocol: int) -> Netlink:
        """A netlink socket there."""

    def inside(self, namespace_fd: int) -> Netlink:
        """A socket for links, addresses and routes in a container's network namespace."""

    def open_socket(self, family: int, kind: int) -> socket.socket:
        """A socket there that does not block; OSError."""

    def set(self, sysctl: str, value: str) -> None:
        """Write a setting below /proc/sys/net; OSError."""

    def forward(self, version: int) -> None:
        """Let packets of an IP version pass from link to link. Raises SetupError."""

    def settle(self, *, is_needed: bool) -> None:
        """No bridge of ours is left: put forwarding back unless others need it."""


class HostGround:
    """Root's: the network namespace that this process is in (`rights.may_have_bridges`)."""

    warning = ""
    is_hosts = True

    def __init__(self, root: Path) -> None:
        self._forwarding = Forwarding(root)

    def netlink(self, protocol: int) -> Netlink:
        return Netlink.open(protocol)

    def inside(self, namespace_fd: int) -> Netlink:
        return enter(namespace_fd, netlink.ROUTE)

    def open_socket(self, family: int, kind: int) -> socket.socket:
        return socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def set(self, sysctl: str, value: str) -> None:
        fd = os.open(f"/proc/sys/net/{sysctl}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def forward(self, version: int) -> None:
        self._forwarding.enable(version)

    def settle(self, *, is_needed: bool) -> None:
        self._forwarding.restore(is_needed=is_needed)
