"""What the networks of a state root look like at one moment: immutable, all from the kernel.

A namespace is named by its container, the host's (or a user's own, where the bridges stand) is
``host``; a container that is called by such a word is ``container:host``. Of what a container can
make without end (links, routes, sockets) a row has the first ones, and says if there are more. What
a container chose passes through :func:`wardian.observe.label.label`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from wardian.linux.rtnetlink import Neighbour, Route
from wardian.linux.sockets import Socket
from wardian.network.definition import Port
from wardian.network.ruleset import Rule
from wardian.observe.frames import Source

HOST = "host"
WORLD = "world"  # everything else; no namespace


def space_name(container: str) -> str:
    """What the namespace of a container of this name is called: never by a word of the frame's."""
    return f"container:{container}" if container in (HOST, WORLD) else container


class LinkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A link, with its addresses (and prefixes). ``peer`` and ``bridge`` are other links' keys.

    Rates are bytes a second since the frame before, None in the first.
    """

    namespace: str
    name: str
    index: int
    kind: str
    mac: str
    mtu: int
    is_up: bool
    addresses: tuple[str, ...]
    bridge: str
    peer: str
    received_bytes: int
    sent_bytes: int
    received_rate: float | None = None
    sent_rate: float | None = None

    @property
    def key(self) -> str:
        """What identifies the row from frame to frame."""
        return f"{self.namespace}/{self.name}"


class NamespaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A network namespace: what is in it but its links.

    ``residents`` are further containers that live in it; ``has_more``: than is told here.
    ``host_pid`` is the init of the container that it is named by; the host's has none.
    """

    name: str
    routes: tuple[tuple[str, Route], ...]
    neighbours: tuple[tuple[str, Neighbour], ...]
    sockets: tuple[Socket, ...] = ()
    ports: tuple[Port, ...] = ()
    residents: tuple[str, ...] = ()
    has_more: bool = False
    host_pid: int | None = None


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A network that is up, its rules with their counters in the order of the chains.

    ``sets`` are those that rules look into: a port of the bridge, and an address that is its own.
    ``words`` and ``iptables`` are the rules' own: nft's, and those of ``iptables -t nat -S``.
    """

    name: str
    bridge: str
    subnets: tuple[str, ...]
    rules: tuple[Rule, ...]
    words: tuple[str, ...]
    iptables: tuple[str, ...]
    sets: dict[str, tuple[str, ...]]


class NetworkFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once. ``unreadable`` are containers whose namespace this user may not enter.

    ``container`` is who looks; ``is_on_host``: the bridges stand in the host's own namespace.
    """

    view: ClassVar[str] = "network"
    rows_field: ClassVar[str | None] = None

    time_s: float
    source: Source
    networks: tuple[NetworkRow, ...]
    namespaces: tuple[NamespaceRow, ...]
    links: tuple[LinkRow, ...]
    unreadable: tuple[str, ...] = ()
    container: str = ""
    is_on_host: bool = True

    def namespace(self, name: str) -> NamespaceRow | None:
        """A namespace by its container's name, or ``host``."""
        return next((one for one in self.namespaces if one.name == name), None)

    def link(self, key: str) -> LinkRow | None:
        """A link by its key."""
        return next((one for one in self.links if one.key == key), None)
