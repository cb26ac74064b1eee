"""What a network is, what a container asks of one, and what it got: immutable values."""

from __future__ import annotations

import enum
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from wardian.errors import InvalidInput

Address = IPv4Address | IPv6Address
Block = IPv4Network | IPv6Network

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
DEFAULT = "bridge"
RESERVED = ("none", "host", "container", "default")
USUAL_MTU = 1500


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """A block of addresses, the one that the host has in it, and where containers' lie."""

    block: str
    gateway: str
    ip_range: str = ""

    @property
    def network(self) -> Block:
        """The whole block."""
        return ip_network(self.block)

    @property
    def pool(self) -> Block:
        """The part that addresses are given from."""
        return ip_network(self.ip_range or self.block)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.network.version


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One bridge network. ``bridge`` is its link on the host; ``created_at`` in epoch seconds.

    An internal network has no way out. The default one has no names but those in /etc/hosts, as
    docker's.
    """

    id: str
    name: str
    bridge: str
    subnets: tuple[Subnet, ...]
    internal: bool = False
    mtu: int = USUAL_MTU
    created_at: float = 0.0
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def has_names(self) -> bool:
        """Whether containers find each other by name."""
        return self.name != DEFAULT

    def subnet(self, version: int) -> Subnet | None:
        """Its subnet of this IP version, if it has one."""
        return next((one for one in self.subnets if one.version == version), None)


class NetworkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``wardian network create``: what is not said is chosen."""

    name: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    ipv6: bool = False
    internal: bool = False
    mtu: int = USUAL_MTU
    bridge: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 68 <= self.mtu <= 65535:  # RFC 791; IFLA_MTU of a veth
            raise InvalidInput(f"not an MTU: {self.mtu}", hint="give 68 to 65535 bytes")
        if self.bridge and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", self.bridge):
            raise InvalidInput(
                f"not the name of a link: {self.bridge[:40]!r}", hint="use up to 15 letters, digits"
            )


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A container's wish to be in a network, with an address of its choice if it has one."""

    network: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for word, version in ((self.ip, 4), (self.ip6, 6)):
            if word and _version(word) != version:
                raise InvalidInput(f"not an IPv{version} address: {word[:60]!r}")
        if self.mac and not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", self.mac):
            raise InvalidInput(
                f"not a MAC address: {self.mac[:40]!r}", hint="like 02:42:ac:11:00:02"
            )
        if self.mac and int(self.mac[:2], 16) & 1:
            raise InvalidInput(f"a multicast MAC address is nobody's: {self.mac}")


class Protocol(enum.Enum):
    """What a published port carries."""

    TCP = "tcp"
    UDP = "udp"


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A published port: the host's (0: any that is free; a range: the first) and the container's.

    ``host_ip`` is empty for every address of the host.
    """

    container_port: int
    protocol: Protocol = Protocol.TCP
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0

    @property
    def name(self) -> str:
        """Docker's spelling of the container's side: ``80/tcp``."""
        return f"{self.container_port}/{self.protocol.value}"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A container's place in a network: a veth pair, addresses.

    ``interface`` is inside, ``veth`` on the host; the indices are those of each side. Addresses
    are without their prefix; empty where the network has none of that version.
    """

    network: str
    network_id: str
    bridge: str
    interface: str
    veth: str
    mac: str
    ip: str = ""
    prefix: int = 0
    gateway: str = ""
    ip6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    aliases: tuple[str, ...] = ()
    index: int = 0
    veth_index: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those it has."""
        return tuple(filter(None, (self.ip, self.ip6)))


class Dns(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--dns``, ``--dns-search`` and ``--dns-option`` say; empty: as the host."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for word in self.servers:
            if _version(word) == 0:
                raise InvalidInput(f"not the address of a DNS server: {word[:60]!r}")
        for word in (*self.search, *self.options):
            if not re.fullmatch(r"[\w.:-]{1,253}", word):
                raise InvalidInput(f"not a word for resolv.conf: {word[:60]!r}")


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot be a network's name."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"not a network name: {name[:40]!r}",
            hint="use letters, digits, '_', '.' and '-', the first a letter or digit",
        )
    if name in RESERVED:
        raise InvalidInput(f"{name} is no name for a network", hint="choose another one")


def _version(word: str) -> int:
    try:
        return ip_address(word).version
    except ValueError:
        return 0
