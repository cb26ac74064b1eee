"""Netlink sockets of other network namespaces, whose rights they have."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from wardian.errors import KernelRefused, SetupError
from wardian.linux import namespaces, netlink
from wardian.linux.netlink import Netlink
from wardian.network import rights


def enter(namespace_fd: int, protocol: int) -> Netlink:
    """A socket there. Raises KernelRefused, SetupError."""
    return _go(namespace_fd, protocol) if rights.may_come_back() else _send(namespace_fd, protocol)


def _go(namespace_fd: int, protocol: int) -> Netlink:
    """By a visit of this thread."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace_fd, namespaces.CLONE_NEWNET)
        try:
            return Netlink.open(protocol)
        finally:
            namespaces.setns(own, namespaces.CLONE_NEWNET)
    finally:
        os.close(own)


def _send(namespace_fd: int, protocol: int) -> Netlink:
    """By the rights that its user namespace gives us, which is below ours.

    A child goes there and sends it: from a user namespace there is no way back.
    """
    user_fd = namespaces.owner(namespace_fd)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = os.fork()
        if child == 0:
            _fetch(theirs, user_fd, namespace_fd, protocol)
        os.close(user_fd)
        os.waitpid(child, 0)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not fds:
        raise SetupError("a container's network namespace cannot be entered")
    return Netlink(socket.socket(fileno=fds[0]))


def _fetch(theirs: socket.socket, user_fd: int, namespace_fd: int, protocol: int) -> None:
    """In the child: never returns."""
    try:
        with suppress(KernelRefused):
            namespaces.setns(user_fd)
            namespaces.setns(namespace_fd)
            with netlink.open_socket(protocol) as found:
                socket.send_fds(theirs, [b"+"], [found.fileno()])
    finally:
        os._exit(0)
