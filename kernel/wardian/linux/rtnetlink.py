"""Links, addresses, routes and neighbours of a network namespace, as rtnetlink(7) tells them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import msgspec

from wardian.errors import KernelRefused
from wardian.linux.netlink import Message, Netlink, attributes

_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH = 18, 22, 26, 30
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg
_RTMSG = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_NDMSG = struct.Struct("=BxxxiHBB")  # struct ndmsg
_STATS = struct.Struct("=4Q")  # struct rtnl_link_stats64: packets and bytes of both directions
_HEADER_BYTES = 16
_MAIN_TABLE, _UNICAST, _IFF_UP = 254, 1, 1
_STATES: Final = {
    0x01: "incomplete",
    0x02: "reachable",
    0x04: "stale",
    0x08: "delay",
    0x10: "probe",
    0x20: "failed",
    0x40: "noarp",
    0x80: "permanent",
}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link. ``peer`` is the number of a veth's other end, ``bridge`` that of its bridge; or 0.

    ``kind`` is empty for hardware and for the loopback.
    """

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    is_up: bool
    peer: int
    bridge: int
    received_packets: int
    sent_packets: int
    received_bytes: int
    sent_bytes: int


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a link."""

    link: int
    address: str
    prefix: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the main table. ``to`` is a block, or ``default``; ``via`` a gateway, or empty."""

    to: str
    via: str
    link: int
    version: int


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """Who has an address on a link, and how well that is known (ip-neighbour(8))."""

    address: str
    mac: str
    link: int
    state: str


def links(kernel: Netlink) -> Iterator[Link]:
    """Every link."""
    for data in kernel.dump(Message(_GETLINK, 0, bytes(_IFINFO.size))):
        _, _, index, flags, _ = _IFINFO.unpack_from(data, _HEADER_BYTES)
        found = dict(attributes(data[_HEADER_BYTES + _IFINFO.size :]))
        stats = _STATS.unpack_from(found.get(23, bytes(_STATS.size)))
        yield Link(
            index=index,
            name=_text(found[3]),
            kind=_text(dict(attributes(found.get(18, b""))).get(1, b"")),
            mac=found.get(1, b"").hex(":"),
            mtu=_number(found.get(4)),
            is_up=bool(flags & _IFF_UP),
            peer=_number(found.get(5)),
            bridge=_number(found.get(10)),
            received_packets=stats[0],
            sent_packets=stats[1],
            received_bytes=stats[2],
            sent_bytes=stats[3],
        )


def addresses(kernel: Netlink) -> Iterator[Address]:
    """Every address."""
    for data in kernel.dump(Message(_GETADDR, 0, bytes(_IFADDR.size))):
        _, prefix, _, _, link = _IFADDR.unpack_from(data, _HEADER_BYTES)
        found = dict(attributes(data[_HEADER_BYTES + _IFADDR.size :]))
        if address := found.get(2) or found.get(1):
            yield Address(link=link, address=str(ip_address(address)), prefix=prefix)


def routes(kernel: Netlink) -> Iterator[Route]:
    """The routes of the main table."""
    for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        request = Message(_GETROUTE, 0, _RTMSG.pack(family, *[0] * 8))
        try:
            found_here = list(kernel.dump(request))
        except KernelRefused:  # no IPv6 here
            continue
        for data in found_here:
            _, length, _, _, table, _, _, kind, _ = _RTMSG.unpack_from(data, _HEADER_BYTES)
            found = dict(attributes(data[_HEADER_BYTES + _RTMSG.size :]))
            if table != _MAIN_TABLE or kind != _UNICAST or 4 not in found:
                continue
            to = f"{ip_address(found[1])}/{length}" if 1 in found else "default"
            via = str(ip_address(found[5])) if 5 in found else ""
            yield Route(to=to, via=via, link=_number(found[4]), version=version)


def neighbours(kernel: Netlink) -> Iterator[Neighbour]:
    """Who is known on which link; not those that no address was found for."""
    for data in kernel.dump(Message(_GETNEIGH, 0, bytes(_NDMSG.size))):
        family, link, state, _, _ = _NDMSG.unpack_from(data, _HEADER_BYTES)
        found = dict(attributes(data[_HEADER_BYTES + _NDMSG.size :]))
        if family in (socket.AF_INET, socket.AF_INET6) and 1 in found and 2 in found:
            yield Neighbour(
                address=str(ip_address(found[1])),
                mac=found[2].hex(":"),
                link=link,
                state=_STATES.get(state, str(state)),
            )


def _number(data: bytes | None) -> int:
    return int(struct.unpack("=I", data)[0]) if data and len(data) == 4 else 0


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode(errors="replace")
