"""Rules in force, read back from the kernel: what they ask, what they do, what they have counted.

They are told in the words of nft(8) and, for those of NAT, of ``iptables -t nat -S``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from ipaddress import ip_address, ip_interface, ip_network
from typing import Final

import msgspec
from msgspec.structs import replace

from wardian.linux.netlink import Message, Netlink, attributes, text

_GETRULE, _GETSETELEM = 10 << 8 | 7, 10 << 8 | 13
_IFNAME_BYTES = 16
INET, BRIDGE = 1, 7  # NFPROTO_*
_FAMILIES = {INET: "inet", 2: "ip", BRIDGE: "bridge", 10: "ip6"}

_META: Final = {1: "meta protocol", 6: "iifname", 7: "oifname", 15: "meta nfproto"} | {
    16: "meta l4proto"
}
# Base and place in the packet (struct nft_payload) → field.
_PAYLOAD: Final = {
    (0, 6, 6): "ether saddr",
    (0, 12, 2): "ether type",
    (1, 12, 4): "ip saddr",
    (1, 16, 4): "ip daddr",
    (1, 8, 16): "ip6 saddr",
    (1, 24, 16): "ip6 daddr",
    (1, 14, 4): "arp saddr ip",
    (2, 2, 2): "dport",
}
_CT: Final = {0: "ct state", 2: "ct status"}
_NAMES: Final = {
    "meta nfproto": {2: "ipv4", 10: "ipv6"},
    "meta l4proto": {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"},
    "ether type": {0x0806: "arp", 0x0800: "ip", 0x86DD: "ip6"},
    "fib daddr type": {2: "local"},
    "ct state": {6: "established,related"},
    "ct status": {32: "dnat"},
}
_LITTLE: Final = ("fib daddr type", "ct state", "ct status")  # in the machine's own order
_VERDICTS: Final = {0: "drop", 1: "accept", -5: "return"}
_NAT_CHAINS: Final = ("prerouting", "output", "postrouting")


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One condition: a field of the packet, and what it must be or (``is_not``) must not."""

    field: str
    value: str
    is_not: bool = False

    def __str__(self) -> str:
        is_name = self.field in ("iifname", "oifname") and not self.value.startswith("@")
        value = f'"{self.value}"' if is_name else self.value
        return f"{self.field} {'!= ' if self.is_not else ''}{value}"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is in force. ``action`` is nft's word, such as ``accept`` or ``dnat``.

    ``to`` is where a dnat leads. ``packets`` is None where nothing is counted.
    """

    family: str
    table: str
    chain: str
    handle: int
    matches: tuple[Match, ...] = ()
    action: str = ""
    to: str = ""
    packets: int | None = None
    octets: int | None = None
    comment: str = ""

    @property
    def words(self) -> str:
        """As nft(8) says it."""
        return self._told(is_plain=False)

    @property
    def plain_words(self) -> str:
        """The same without what differs from run to run: what it has counted, and whose it is."""
        return self._told(is_plain=True)

    def _told(self, *, is_plain: bool) -> str:
        words = [str(match) for match in _needed(self.matches)]
        if self.packets is not None:
            figures = "" if is_plain else f" packets {self.packets} bytes {self.octets}"
            words.append(f"counter{figures}")
        if self.action == "dnat":
            version = "ip6" if self.to.startswith("[") else "ip"
            words.append(f"dnat {version} to {self.to}")
        else:
            words.append(self.action)
        if self.comment and not is_plain:
            words.append(f'comment "{self.comment}"')
        return " ".join(filter(None, words))

    @property
    def iptables(self) -> str:
        """As ``iptables -t nat -S`` says it; empty for a rule that is not of NAT."""
        if self.chain not in _NAT_CHAINS or self.action not in ("dnat", "masquerade"):
            return ""
        words = ["-A", self.chain.upper()]
        for match in self.matches:
            words += _IPTABLES.get(match.field, _nothing)(match)
        words += ["-j", self.action.upper()]
        return " ".join([*words, *(["--to-destination", self.to] if self.to else [])])


def _nothing(_: Match) -> list[str]:
    return []


def _flag(flag: str, match: Match) -> list[str]:
    return [*(["!"] if match.is_not else []), flag, match.value]


def _address(flag: str, match: Match) -> list[str]:
    """Always with its prefix, as iptables has it."""
    return _flag(flag, replace(match, value=ip_interface(match.value).with_prefixlen))


def _port(match: Match) -> list[str]:
    protocol = match.field.partition(" ")[0]
    return ["-p", protocol, "-m", protocol, "--dport", match.value]


_IPTABLES: Final[dict[str, Callable[[Match], list[str]]]] = {
    "ip saddr": partial(_address, "-s"),
    "ip daddr": partial(_address, "-d"),
    "ip6 saddr": partial(_address, "-s"),
    "ip6 daddr": partial(_address, "-d"),
    "iifname": partial(_flag, "-i"),
    "oifname": partial(_flag, "-o"),
    "tcp dport": _port,
    "udp dport": _port,
    "fib daddr type": lambda _: ["-m", "addrtype", "--dst-type", "LOCAL"],
    "ct status": lambda _: ["-m", "conntrack", "--ctstate", "DNAT"],
}


def read(kernel: Netlink, family: int, table: str) -> Iterator[Rule]:
    """The rules of a table in their order; none if there is no such table."""
    request = Message(_GETRULE, 0, struct.pack("!BBH", family, 0, 0) + text(1, table))
    for data in kernel.dump(request):
        yield _rule(data[16], data[20:])


def elements(kernel: Netlink, family: int, table: str, set_name: str) -> Iterator[str]:
    """The keys of a set that begin with a link's name: ``veth-web 10.9.0.2``."""
    request = struct.pack("!BBH", family, 0, 0) + text(1, table) + text(2, set_name)
    for data in kernel.dump(Message(_GETSETELEM, 0, request)):
        for _, element in attributes(dict(attributes(data[20:])).get(3, b"")):
            key = dict(attributes(dict(attributes(element)).get(1, b""))).get(1, b"")
            name, rest = _text(key[:_IFNAME_BYTES]), key[_IFNAME_BYTES:]
            shown = rest[:6].hex(":") if len(rest) == 8 else rest and str(ip_address(rest))
            yield f"{name} {shown}".rstrip() if shown else name


@lru_cache(1024)  # who looks twice a second finds most of them as they were
def _rule(family: int, data: bytes) -> Rule:
    found = dict(attributes(data))
    (handle,) = struct.unpack("!Q", found[3])
    decoder = _Decoder()
    for _, element in attributes(found.get(4, b"")):
        parts = dict(attributes(element))
        decoder.take(_text(parts.get(1, b"")), dict(attributes(parts.get(2, b""))))
    return Rule(
        family=_FAMILIES.get(family, str(family)),
        table=_text(found[1]),
        chain=_text(found[2]),
        handle=handle,
        matches=tuple(decoder.matches),
        action=decoder.action,
        to=decoder.to,
        packets=decoder.packets,
        octets=decoder.octets,
        comment=found.get(7, b"")[2:].rstrip(b"\0").decode(errors="replace"),
    )


class _Decoder:
    """Goes through a rule's expressions as the kernel does, with registers."""

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.action = ""
        self.to = ""
        self.packets: int | None = None
        self.octets: int | None = None
        self._fields: list[str] = []
        self._prefix: int | None = None
        self._registers: dict[int, bytes] = {}

    def take(self, name: str, data: dict[int, bytes]) -> None:
        """One expression, and what of it matters here."""
        match name:
            case "meta" | "payload" | "ct" | "fib":
                self._load(_field(name, data))
            case "bitwise":
                self._mask(dict(attributes(data.get(4, b""))).get(1, b""))
            case "cmp":
                value = dict(attributes(data.get(3, b""))).get(1, b"")
                self._compare(value, is_not=_number(data.get(2)) == 1)
            case "lookup":
                found = f"@{_text(data.get(1, b''))}"
                self._match(" . ".join(self._fields), found, is_not=_number(data.get(5)) == 1)
            case "counter":
                self.octets, self.packets = (_number(data.get(kind)) for kind in (1, 2))
            case "immediate":
                self._assign(_number(data.get(1)), dict(attributes(data.get(2, b""))))
            case _:
                self.action = {"masq": "masquerade", "nat": "dnat"}.get(name, name)
                self.to = self._target() if name == "nat" else ""

    def _load(self, field: str) -> None:
        if field == "dport":
            protocols = [one.value for one in self.matches if one.field == "meta l4proto"]
            field = f"{protocols[-1] if protocols else 'th'} dport"
        is_next = self._fields and field.startswith(("ether", "ip", "arp", "@"))
        self._fields = [*self._fields, field] if is_next and len(self._fields) < 2 else [field]

    def _mask(self, mask: bytes) -> None:
        if self._fields and self._fields[-1] in ("ct state", "ct status"):
            self._match(self._fields[-1], _named(self._fields[-1], mask))
            self._fields = []
            return
        self._prefix = int.from_bytes(mask, "big").bit_count()

    def _compare(self, value: bytes, *, is_not: bool) -> None:
        if not self._fields:  # the mask has said it
            return
        shown = _named(self._fields[-1], value)
        if self._prefix is not None:
            shown = str(ip_network((value, self._prefix)))
        self._match(self._fields[-1], shown, is_not=is_not)

    def _match(self, field: str, value: str, *, is_not: bool = False) -> None:
        self.matches.append(Match(field=field, value=value, is_not=is_not))
        self._prefix = None
        if not is_not or field != "ether type":  # which is compared several times
            self._fields = []

    def _assign(self, register: int, data: dict[int, bytes]) -> None:
        if verdict := data.get(2):
            code = dict(attributes(verdict)).get(1, bytes(4))
            self.action = _VERDICTS.get(struct.unpack("!i", code)[0], "goto")
        else:
            self._registers[register] = data.get(1, b"")

    def _target(self) -> str:
        address, port = (self._registers.get(register, b"") for register in (1, 2))
        where = str(ip_address(address)) if len(address) in (4, 16) else ""
        host = f"[{where}]" if ":" in where else where
        return f"{host}:{int.from_bytes(port[:2], 'big')}" if port else host


def _field(name: str, data: dict[int, bytes]) -> str:
    """What is loaded into a register."""
    if name == "payload":
        place = (_number(data.get(2)), _number(data.get(3)), _number(data.get(4)))
        return _PAYLOAD.get(place, f"@{place}")
    if name == "fib":
        return "fib daddr type"
    return (_META if name == "meta" else _CT).get(_number(data.get(2)), name)


def _needed(matches: tuple[Match, ...]) -> Iterator[Match]:
    """Without those that another one says, too, as nft leaves them out."""
    fields = {match.field.partition(" ")[0] for match in matches}
    for match in matches:
        is_said = match.field == "meta nfproto" and fields & {"ip", "ip6"}
        if not is_said and not (match.field == "meta l4proto" and match.value in fields):
            yield match


def _named(field: str, value: bytes) -> str:
    if field in ("iifname", "oifname"):
        return _text(value)
    if field in _NAMES:
        number = int.from_bytes(value, "little" if field in _LITTLE else "big")
        return _NAMES[field].get(number, str(number))
    if len(value) in (4, 16):
        return str(ip_address(value))
    return value.hex(":") if field == "ether saddr" else str(int.from_bytes(value, "big"))


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"", "big")


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode(errors="replace")
