"""The Internet sockets of a process's network namespace (proc_pid_net(5))."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec

_STATES: Final = {
    1: "established",
    2: "syn-sent",
    3: "syn-recv",
    4: "fin-wait-1",
    5: "fin-wait-2",
    6: "time-wait",
    7: "closed",
    8: "close-wait",
    9: "last-ack",
    10: "listen",
    11: "closing",
}

_COUNTED: Final = ("TCP", "UDP")  # not all: who looks has a netlink socket there


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """A socket: ``tcp`` or ``udp``, its ends as ``address:port``, its state in ss(8)'s words."""

    protocol: str
    local: str
    remote: str
    state: str


def sockets(host_pid: int, *, proc: str = "/proc") -> Iterator[Socket]:
    """Those that the namespace has now; none of a process that has ended."""
    for name in ("tcp", "tcp6", "udp", "udp6"):
        with suppress(OSError), open(f"{proc}/{host_pid}/net/{name}", encoding="ascii") as lines:
            next(lines, None)  # heads
            for line in lines:
                _, local, remote, state, *_ = line.split()
                is_udp = name.startswith("udp")
                number = int(state, 16)
                yield Socket(
                    protocol=name[:3],
                    local=_end(local),
                    remote=_end(remote),
                    state="" if is_udp and number == 7 else _STATES.get(number, "unknown"),
                )


def in_use(host_pid: int, *, proc: str = "/proc") -> tuple[str, ...]:
    """How many sockets of each protocol the namespace has: read in microseconds.

    The list of them is not: for it the kernel goes through the hash table of the whole machine.
    """
    counts: list[str] = []
    for name in ("sockstat", "sockstat6"):
        with suppress(OSError), open(f"{proc}/{host_pid}/net/{name}", encoding="ascii") as lines:
            found = (" ".join(line.split()[:3]) for line in lines)
            counts += (one for one in found if one.startswith(_COUNTED))
    return tuple(counts)


def _end(word: str) -> str:
    """``0100007F:1F90``: each word of an address in the machine's own order, the port not."""
    digits, _, port = word.partition(":")
    data = bytes.fromhex(digits)
    if sys.byteorder == "little":
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    address = ip_address(data)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return f"[{address}]:{int(port, 16)}" if address.version == 6 else f"{address}:{int(port, 16)}"
