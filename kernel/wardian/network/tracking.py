"""Tracked connections (conntrack): forgotten with the container whose address they have.

Else the next container with that address is sent what belongs to the last one's connections: a UDP
flow that goes on is never looked up in the rules again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from ipaddress import ip_address

from wardian.errors import KernelRefused
from wardian.linux.netlink import Message, Netlink, attribute, attributes

_CTNETLINK = 1 << 8
_GET, _DELETE = _CTNETLINK | 1, _CTNETLINK | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18  # CTA_*
_TUPLE_IP = 1
_SOON_S = 0.02
_HEADER_BYTES = 20  # struct nlmsghdr and nfgenmsg


class Tracking:
    """The table of one network namespace.

    To look through it takes the kernel 13 ms, measured, be it empty: so it is done a moment later,
    once for all who have gone by then, unless one of their addresses is wanted again before.
    ``doomed`` are the addresses that still wait.
    """

    def __init__(self, kernel: Netlink) -> None:
        self._kernel = kernel
        self.doomed: set[str] = set()

    def forget(self, addresses: Collection[str]) -> None:
        """Soon, every connection from or to these addresses."""
        if addresses and not self.doomed:
            asyncio.get_running_loop().call_later(_SOON_S, self._forget)
        self.doomed.update(addresses)

    def clear(self, addresses: Collection[str]) -> None:
        """These are wanted again: nothing of what was theirs may be left."""
        if self.doomed.intersection(addresses):
            self._forget()

    def _forget(self) -> None:
        """Without conntrack there is nothing to forget."""
        wanted = {ip_address(one).packed for one in self.doomed}
        self.doomed.clear()
        for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            ours = {one for one in wanted if len(one) == length}
            with suppress(KernelRefused):
                doomed = list(self._deletions(family, ours)) if ours else []
                if doomed:
                    self._kernel.ask(*doomed)

    def _deletions(self, family: int, ours: Collection[bytes]) -> Iterator[Message]:
        for data in self._kernel.dump(Message(_GET, 0, _begin(family))):
            found = dict(attributes(data[_HEADER_BYTES:]))
            if any(address in ours for address in _addresses(found)):
                kept = [
                    attribute(kind | (0x8000 if kind == _TUPLE_ORIG else 0), found[kind])
                    for kind in (_TUPLE_ORIG, _ID, _ZONE)
                    if kind in found
                ]
                yield Message(_DELETE, 0, _begin(family) + b"".join(kept))


def _addresses(found: dict[int, bytes]) -> Iterator[bytes]:
    """Source and destination, of both directions."""
    for direction in (_TUPLE_ORIG, _TUPLE_REPLY):
        parts = dict(attributes(found.get(direction, b"")))
        yield from (address for _, address in attributes(parts.get(_TUPLE_IP, b"")))


def _begin(family: int) -> bytes:
    return struct.pack("!BBH", family, 0, 0)
