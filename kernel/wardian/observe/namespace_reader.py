"""Reads one network namespace again and again, and what seldom changes not each time.

Links and their counters are read at every look; addresses, routes and neighbours when links or what
/proc says of addresses have changed, else every ten seconds. The list of sockets is the dearest,
since the kernel goes through the hash table of the whole machine for it: it is read again when the
number of sockets is another, or, after a while, when something was sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar

import msgspec

from wardian.linux import rtnetlink
from wardian.linux.netlink import Netlink
from wardian.linux.rtnetlink import Link, Neighbour, Route
from wardian.linux.sockets import Socket, in_use, sockets
from wardian.observe.label import label
from wardian.observe.network_frame import LinkRow, NamespaceRow
from wardian.runtime.messages import ContainerInfo

MOST_ROWS = 256  # of what a container's root may make ten thousands of
LASTING_S = 10.0
SOCKETS_S = 3.0
_SIGNS = ("fib_trie", "if_inet6")  # proc_pid_net(5): the addresses and routes, a page of text
_MOST_BYTES = 1 << 15
T = TypeVar("T")
Read = tuple[NamespaceRow, list[LinkRow]]


class _Lasting(msgspec.Struct, frozen=True):
    """What was read with these links."""

    signs: tuple[object, ...]
    until_s: float
    addresses: dict[int, tuple[str, ...]]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]


class _Sockets(msgspec.Struct, frozen=True):
    """A list of sockets, and what there was to be seen of them when it was read."""

    counts: tuple[str, ...]
    octets: int
    until_s: float
    sockets: tuple[Socket, ...]


class NamespaceReader:
    """The reader of the host's namespace, or of a container's, which is hostile: it is bounded."""

    def __init__(self, *, is_bounded: bool) -> None:
        self._most = MOST_ROWS if is_bounded else None
        self._lasting: _Lasting | None = None
        self._sockets: _Sockets | None = None

    def read(self, name: str, kernel: Netlink, info: ContainerInfo | None = None) -> Read:
        """What is there now. Raises KernelRefused."""
        found = self._first(rtnetlink.links(kernel))
        names = {link.index: label(link.name) for link in found}
        signs = tuple((link.index, link.name, link.mac, link.is_up) for link in found)
        lasting = self._take_lasting(kernel, (*signs, *(_signs(info) if info else ())))
        opened = self._take_sockets(info, found) if info else ()
        rows = (found, lasting.routes, lasting.neighbours, opened)
        row = NamespaceRow(
            name=name,
            routes=tuple((names.get(one.link, ""), one) for one in lasting.routes),
            neighbours=tuple((names.get(one.link, ""), one) for one in lasting.neighbours),
            sockets=opened,
            ports=info.published if info else (),
            has_more=any(len(each) == self._most for each in rows),
            host_pid=info.host_pid if info else None,
        )
        return row, [_link(name, link, names, lasting.addresses) for link in found]

    def _take_lasting(self, kernel: Netlink, signs: tuple[object, ...]) -> _Lasting:
        known, now = self._lasting, time.monotonic()
        if known is not None and known.signs == signs and now < known.until_s:
            return known
        addresses: dict[int, tuple[str, ...]] = {}
        for one in self._first(rtnetlink.addresses(kernel)):
            shown = f"{one.address}/{one.prefix}"
            addresses[one.link] = (*addresses.get(one.link, ()), shown)
        self._lasting = _Lasting(
            signs,
            now + LASTING_S,
            addresses,
            tuple(self._first(rtnetlink.routes(kernel))),
            tuple(self._first(rtnetlink.neighbours(kernel))),
        )
        return self._lasting

    def _take_sockets(self, info: ContainerInfo, found: Sequence[Link]) -> tuple[Socket, ...]:
        assert info.host_pid is not None
        counts = in_use(info.host_pid)
        octets = sum(link.received_bytes + link.sent_bytes for link in found)
        known, now = self._sockets, time.monotonic()
        is_fresh = known is not None and (known.octets == octets or now < known.until_s)
        if known is None or known.counts != counts or not is_fresh:
            opened = tuple(self._first(sockets(info.host_pid)))
            known = self._sockets = _Sockets(counts, octets, now + SOCKETS_S, opened)
        return known.sockets

    def _first(self, rows: Iterable[T]) -> list[T]:
        return list(islice(rows, self._most))


def _signs(info: ContainerInfo) -> list[bytes]:
    """What is another whenever an address is; nothing where it may not be read."""
    found = []
    for name in _SIGNS:
        with suppress(OSError), open(f"/proc/{info.host_pid}/net/{name}", "rb") as file:
            found.append(file.read(_MOST_BYTES))
    return found


def _link(
    namespace: str, link: Link, names: dict[int, str], addresses: dict[int, tuple[str, ...]]
) -> LinkRow:
    """A row, its peer's number in place of its key."""
    return LinkRow(
        namespace=namespace,
        name=names[link.index],
        index=link.index,
        kind=link.kind,
        mac=link.mac,
        mtu=link.mtu,
        is_up=link.is_up,
        addresses=addresses.get(link.index, ()),
        bridge=f"{namespace}/{names[link.bridge]}" if link.bridge in names else "",
        peer=str(link.peer) if link.kind == "veth" else "",
        received_bytes=link.received_bytes,
        sent_bytes=link.sent_bytes,
    )
