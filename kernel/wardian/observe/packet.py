"""The way of a packet from a container, computed from a frame: links, routes, and rules met.

It is computed, not traced: a new connection's first packet is led through the routes and rules that
the kernel has said it has, as netfilter would (packet-flow diagram of the nftables wiki). Rules of
others (docker's, a firewall's) are not looked at.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import msgspec
from msgspec.structs import replace

from wardian.errors import InvalidInput, NotFound
from wardian.network.ruleset import Match, Rule
from wardian.observe.network_frame import (
    HOST,
    WORLD,
    LinkRow,
    NamespaceRow,
    NetworkFrame,
    NetworkRow,
)
from wardian.observe.phrase import Phrase

Outcome = tuple[bool, Phrase]


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """A step: in which namespace, at what (a link, a route, a chain), and the rule that it meets.

    ``rule`` is in nft's words; empty where there is none, or none that matches.
    """

    namespace: str
    at: str
    what: Phrase
    rule: str = ""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """All steps, and whether the packet arrives. ``ends`` is where, or why not."""

    hops: tuple[Hop, ...]
    arrives: bool
    ends: Phrase


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The first packet of a connection, as far as rules ask."""

    source: str
    destination: str
    port: int
    protocol: str = "tcp"
    mac: str = ""
    comes_by: str = ""
    goes_by: str = ""
    was_published: bool = False


def way(
    frame: NetworkFrame, source: str, destination: str, port: int, *, protocol: str = "tcp"
) -> Way:
    """From a container, ``host`` or ``world`` to a container's name or an address.

    Raises NotFound for who has no network, InvalidInput for no address.
    """
    target = _address(frame, source, destination)
    route = _Computation(frame)
    packet = Packet(source="", destination=target, port=port, protocol=protocol)
    if source == WORLD:
        arriving = route.default_link()
        return route.end(route.forward(replace(packet, source="0.0.0.0", comes_by=arriving)))  # noqa: S104  # anybody's
    if source == HOST:
        return route.end(route.leave_host(packet))
    return route.end(route.leave_container(source, packet))


def _address(frame: NetworkFrame, source: str, word: str) -> str:
    if frame.namespace(word) is None:
        try:
            return str(ip_address(word))
        except ValueError:
            raise NotFound(
                f"neither a container with a network nor an address: {word[:60]}",
                hint="`%net` lists them",
            ) from None
    if word == HOST:
        raise InvalidInput("give an address of the host", hint="`%net` lists them")
    theirs = _blocks(frame, word)
    ours = _blocks(frame, source) if source not in (HOST, WORLD) else []
    for address, block in theirs:
        if any(ip_network(block, strict=False) == ip_network(b, strict=False) for _, b in ours):
            return address
    if not theirs:
        raise NotFound(f"container {word} has loopback only", hint="connect it to a network")
    return theirs[0][0]


def _blocks(frame: NetworkFrame, name: str) -> list[tuple[str, str]]:
    """A namespace's addresses but loopback and link-local ones, with their blocks."""
    found = [
        (word.partition("/")[0], word)
        for link in frame.links
        if link.namespace == name
        for word in link.addresses
    ]
    return [
        (address, block)
        for address, block in found
        if not (ip_address(address).is_loopback or ip_address(address).is_link_local)
    ]


class _Computation:
    """Collects the hops of one packet. Each step says how it ends: arrived or not, and where."""

    def __init__(self, frame: NetworkFrame) -> None:
        self._frame = frame
        self._hops: list[Hop] = []

    def end(self, outcome: Outcome) -> Way:
        """The way so far is the whole way."""
        return Way(hops=tuple(self._hops), arrives=outcome[0], ends=outcome[1])

    def default_link(self) -> str:
        """Where the world is."""
        host = self._frame.namespace(HOST)
        ways = [link for link, route in host.routes if route.to == "default"] if host else []
        return ways[0] if ways else ""

    # --- steps ---------------------------------------------------------------------------

    def leave_container(self, name: str, packet: Packet) -> Outcome:
        """Out of a container by its route, through the veth pair, into the bridge."""
        space = self._frame.namespace(name)
        if space is None:
            raise NotFound(f"no such container with a network: {name[:60]}")
        found = self._route(space, packet.destination)
        if found is None:
            return False, Phrase.of("%1 has no route to %2", name, packet.destination)
        link, is_direct = found
        outer = self._frame.link(link.peer)
        if outer is None:
            if link.name == "lo":
                return True, Phrase.of("%1 itself", name)
            return False, Phrase.of("at %1", link.name)
        other_end = Phrase.of("the other end of %1's %2", name, link.name)
        self._note(HOST, outer.name, other_end)
        bridge = outer.bridge.partition("/")[2]
        source = _own(link, packet.destination)
        packet = replace(packet, source=source, mac=link.mac, comes_by=outer.name)
        if not self._judge(packet, "prerouting", "bridge"):
            return False, Phrase("dropped at the bridge: the sender's addresses are not its own")
        if is_direct and (to := self._behind(packet.destination, bridge)):
            self._note(HOST, bridge, Phrase("the bridge knows whose port it is"))
            return self._enter(to)
        return self.forward(replace(packet, comes_by=bridge))

    def leave_host(self, packet: Packet) -> Outcome:
        """From a program of the host: the output chains of NAT, then its routes."""
        host = self._host()
        packet = self._nat(packet, "output")
        found = self._route(host, packet.destination)
        if found is None:
            itself = Phrase.of("the host itself, port %1", packet.port)
            return self._is_local(packet.destination), itself
        packet = replace(packet, goes_by=found[0].name, source=_own(found[0], packet.destination))
        return self._leave_by(packet)

    def forward(self, packet: Packet) -> Outcome:
        """On the host: published ports, then to itself or on to another link."""
        packet = self._nat(packet, "prerouting")
        if self._is_local(packet.destination):
            if not self._judge(packet, "input"):
                return False, Phrase("dropped before the host's own ports")
            return True, Phrase.of("the host itself, port %1", packet.port)
        found = self._route(self._host(), packet.destination)
        if found is None:
            return False, Phrase.of("the host has no route to %1", packet.destination)
        packet = replace(packet, goes_by=found[0].name)
        if not self._judge(packet, "forward"):
            way_through = (packet.comes_by, packet.goes_by)
            return False, Phrase.of("dropped on its way from %1 to %2", *way_through)
        return self._leave_by(packet)

    def _leave_by(self, packet: Packet) -> Outcome:
        packet = self._nat(packet, "postrouting")
        if to := self._behind(packet.destination, packet.goes_by):
            return self._enter(to)
        link = self._frame.link(f"{HOST}/{packet.goes_by}")
        if link is not None and link.kind == "bridge":
            return False, Phrase.of("nobody in %1 has %2", packet.goes_by, packet.destination)
        return True, Phrase.of("leaves the host by %1", packet.goes_by)

    def _enter(self, outer: LinkRow) -> Outcome:
        inner = self._frame.link(outer.peer)
        if inner is None:
            return False, Phrase.of("at %1", outer.name)
        self._note(inner.namespace, inner.name, Phrase.of("the other end of %1", outer.name))
        return True, Phrase.of("%1", inner.namespace)

    # --- rules ---------------------------------------------------------------------------

    def _nat(self, packet: Packet, chain: str) -> Packet:
        """The first rule of any table that matches; NAT ends there."""
        for network in self._frame.networks:
            for rule in network.rules:
                is_met = rule.family == "inet" and rule.chain == chain
                if is_met and self._matches(rule, packet, network):
                    return self._changed(packet, chain, rule)
        return packet

    def _changed(self, packet: Packet, chain: str, rule: Rule) -> Packet:
        if rule.action == "masquerade":
            own = Phrase.of("from %1's own address", packet.goes_by)
            self._note(HOST, f"nat {chain}", own, rule)
        if rule.action != "dnat":
            return packet
        address, _, port = rule.to.rpartition(":")
        address = address.strip("[]")
        self._note(HOST, f"nat {chain}", Phrase.of("to %1 port %2", address, port), rule)
        return replace(packet, destination=address, port=int(port), was_published=True)

    def _judge(self, packet: Packet, chain: str, family: str = "inet") -> bool:
        """Every network has a table: each must let it pass."""
        for network in self._frame.networks:
            for rule in network.rules:
                is_met = rule.family == family and rule.chain == chain
                if is_met and self._matches(rule, packet, network):
                    if packet.comes_by in (network.bridge, *network.sets["ports"]) or (
                        packet.goes_by == network.bridge
                    ):
                        self._note(HOST, f"{network.name} {chain}", Phrase(rule.action), rule)
                    if rule.action == "drop":
                        return False
                    break
        return True

    def _matches(self, rule: Rule, packet: Packet, network: NetworkRow) -> bool:
        return all(
            self._holds(match, packet, network) is not match.is_not for match in rule.matches
        )

    def _holds(self, match: Match, packet: Packet, network: NetworkRow) -> bool:
        """Whether what is asked is so. It is the first of its connection: none is established."""
        if match.value.startswith("@"):
            own = {"ether saddr": packet.mac}.get(match.field.rpartition(" . ")[2], packet.source)
            key = packet.comes_by if match.field == "iifname" else f"{packet.comes_by} {own}"
            return key in network.sets.get(match.value[1:], ())
        version = ip_address(packet.destination).version
        said = {
            "iifname": packet.comes_by,
            "oifname": packet.goes_by,
            "meta nfproto": f"ipv{version}",
            "meta l4proto": packet.protocol,
            "ether type": "ip" if version == 4 else "ip6",
            f"{packet.protocol} dport": str(packet.port),
            "fib daddr type": "local" if self._is_local(packet.destination) else "",
            "ct status": "dnat" if packet.was_published else "",
        }
        if match.field in ("ip saddr", "ip6 saddr"):
            return _is_in(packet.source, match.value)
        if match.field in ("ip daddr", "ip6 daddr"):
            return _is_in(packet.destination, match.value)
        return said.get(match.field) == match.value

    # --- places --------------------------------------------------------------------------

    def _host(self) -> NamespaceRow:
        host = self._frame.namespace(HOST)
        assert host is not None
        return host

    def _is_local(self, address: str) -> bool:
        """Whether it is an address of the host's own."""
        wanted = ip_address(address)
        return wanted.is_loopback or any(
            ip_address(word.partition("/")[0]) == wanted
            for link in self._frame.links
            if link.namespace == HOST
            for word in link.addresses
        )

    def _behind(self, address: str, bridge: str) -> LinkRow | None:
        """The host's end of the pair that leads to who has the address."""
        for link in self._frame.links:
            words = [word.partition("/")[0] for word in link.addresses]
            outer = self._frame.link(link.peer) if link.namespace != HOST else None
            if outer is not None and address in words and outer.bridge == f"{HOST}/{bridge}":
                return outer
        return None

    def _route(self, space: NamespaceRow, address: str) -> tuple[LinkRow, bool] | None:
        """The link of the longest route, and whether the address is on it."""
        wanted = ip_address(address)
        best: tuple[int, str, str] | None = None
        for name, route in space.routes:
            block = ip_network("0.0.0.0/0" if route.version == 4 else "::/0")
            if route.to != "default":
                block = ip_network(route.to, strict=False)
            is_fit = block.version == wanted.version and wanted in block
            if is_fit and (best is None or block.prefixlen > best[0]):
                best = (block.prefixlen, name, route.via)
        if best is None:
            return None
        _, name, via = best
        link = self._frame.link(f"{space.name}/{name}")
        to = (
            Phrase.of("route to %1 via %2", address, via)
            if via
            else Phrase.of("route to %1", address)
        )
        self._note(space.name, name, to)
        return (link, not via) if link is not None else None

    def _note(self, namespace: str, at: str, what: Phrase, rule: Rule | None = None) -> None:
        words = rule.plain_words if rule is not None else ""
        self._hops.append(Hop(namespace=namespace, at=at, what=what, rule=words))


def _own(link: LinkRow, destination: str) -> str:
    """The link's address of the same version."""
    version = ip_address(destination).version
    own = [word.partition("/")[0] for word in link.addresses]
    return next((one for one in own if ip_address(one).version == version), "")


def _is_in(address: str, block: str) -> bool:
    if not address:
        return False
    network, one = ip_network(block, strict=False), ip_address(address)
    return one.version == network.version and one in network
