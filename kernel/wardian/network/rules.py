"""The nftables tables of a network: NAT, published ports, isolation, no spoofing.

Each network has two tables of its own, both named after its bridge, so that nothing of docker's,
firewalld's or ufw's is touched and nothing is left once they are gone:

inet     prerouting, output   published ports: dnat to the container
         postrouting          masquerade, on the way out and for a hairpin
         forward              into the network goes only what is known or published
         input                to the host itself goes only DNS and ICMP
bridge   prerouting           a port sends from the addresses that it was given, else nothing

A user's networks, which are beside the host and not on it, have one table more, before the host.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from wardian.errors import KernelRefused, SetupError
from wardian.linux import netlink
from wardian.linux.netlink import Message, Netlink, nested, text
from wardian.network import expressions as x
from wardian.network import ruleset
from wardian.network.definition import Endpoint, Network, Port, Protocol
from wardian.network.pool import link_local
from wardian.network.ruleset import BRIDGE, INET, Rule

_NFTABLES = 10 << 8
_NEWTABLE, _DELTABLE = _NFTABLES, _NFTABLES | 2
_NEWCHAIN = _NFTABLES | 3
_NEWRULE, _DELRULE = _NFTABLES | 6, _NFTABLES | 8
_NEWSET = _NFTABLES | 9
_NEWELEM, _DELELEM = _NFTABLES | 12, _NFTABLES | 14
_BATCH_BEGIN, _BATCH_END = 16, 17
_ADD = netlink.CREATE

_PREFIX = "wardian_"
SHIELD = "wardian_before_host"  # no bridge's: its name is longer than a link's can be
_IFNAME, _IPV4_ADDR, _IPV6_ADDR, _ETHER_ADDR = 41, 7, 8, 9  # data types, nftables' datatype.h


class Chain(msgspec.Struct, frozen=True):
    """A base chain: where it hangs (netfilter_ipv4.h, netfilter_bridge.h) and in which order."""

    name: str
    kind: str
    hook: int
    priority: int


_CHAINS: Final = {
    INET: (
        Chain("prerouting", "nat", 0, -100),
        Chain("output", "nat", 3, -100),
        Chain("postrouting", "nat", 4, 100),
        Chain("forward", "filter", 2, 0),
        Chain("input", "filter", 1, 0),
    ),
    BRIDGE: (Chain("prerouting", "filter", 0, -300),),
}

# The sets of the bridge table: name, data types and lengths of their keys' parts.
_SETS: Final = (
    ("ports", ((_IFNAME, 16),)),
    ("macs", ((_IFNAME, 16), (_ETHER_ADDR, 6))),
    ("ips", ((_IFNAME, 16), (_IPV4_ADDR, 4))),
    ("ip6s", ((_IFNAME, 16), (_IPV6_ADDR, 16))),
)


SET_NAMES: Final = tuple(name for name, _ in _SETS)


def table_name(bridge: str) -> str:
    """The name of a network's tables."""
    return f"{_PREFIX}{bridge}"


class Rules:
    """The tables of all networks of one network namespace."""

    def __init__(self, kernel: Netlink) -> None:
        self._kernel = kernel

    def add_network(self, network: Network) -> None:
        """Make a network's tables anew, at once: a moment with half of them never is."""
        table = table_name(network.bridge)
        requests: list[Message] = []
        for family in (INET, BRIDGE):
            requests += _without_table(family, table)
            requests.append(_named(_NEWTABLE, family, text(1, table), how=_ADD))
            requests += (_chain(family, table, chain) for chain in _CHAINS[family])
        requests += (_set(table, number, *one) for number, one in enumerate(_SETS, 1))
        requests += _network_rules(network, table)
        self._transact(requests, f"the rules of network {network.name}")

    def remove_network(self, bridge: str) -> None:
        """Remove a network's tables, if they are there."""
        table = table_name(bridge)
        self._transact(
            [one for family in (INET, BRIDGE) for one in _without_table(family, table)],
            f"the rules of bridge {bridge}",
        )

    def shield(self, addresses: Sequence[str]) -> None:
        """Let nothing go through to these, whatever a network's own rules allow."""
        table = SHIELD
        requests = [*_without_table(INET, table), _named(_NEWTABLE, INET, text(1, table), how=_ADD)]
        requests.append(_chain(INET, table, Chain("forward", "filter", 2, -10)))
        for address in addresses:
            drop = (*x.has_destination(address), x.counter(), x.verdict(x.DROP))
            requests.append(_rule(INET, table, "forward", *drop))
        self._transact(requests, "the rules before the host")

    def tables(self) -> Iterator[str]:
        """The bridges that tables of ours are there for, whoever made them."""
        for data in self._kernel.dump(_named(_NFTABLES | 1, INET)):
            name = dict(netlink.attributes(data[20:])).get(1, b"").rstrip(b"\0").decode()
            if name.startswith(_PREFIX) and name != SHIELD:
                yield name.removeprefix(_PREFIX)

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Let a port of the bridge send from its addresses."""
        self._elements(_NEWELEM, endpoint)

    def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Let it send nothing any more."""
        self._elements(_DELELEM, endpoint)

    def publish(self, endpoint: Endpoint, ports: Sequence[Port], owner: str) -> None:
        """Lead packets for ports of the host to a container; ``owner`` marks the rules."""
        table = table_name(endpoint.bridge)
        found = [
            _rule(INET, table, chain, *rule, comment=owner)
            for port in ports
            for rule in _published(endpoint, port)
            for chain in ("prerouting", "output")
        ]
        if found:
            self._transact(found, "the rules of published ports")

    def unpublish(self, bridge: str, owner: str) -> None:
        """Remove every rule that bears this mark."""
        table = table_name(bridge)
        found = [
            _named(
                _DELRULE,
                INET,
                text(1, table),
                text(2, rule.chain),
                netlink.attribute(3, struct.pack("!Q", rule.handle)),
            )
            for rule in self.rules(bridge)
            if rule.comment == owner
        ]
        if found:
            self._transact(found, "the rules of published ports")

    def rules(self, bridge: str, family: int = INET) -> Iterator[Rule]:
        """The rules of one of a network's tables."""
        return ruleset.read(self._kernel, family, table_name(bridge))

    def _elements(self, kind: int, endpoint: Endpoint) -> None:
        table, name = table_name(endpoint.bridge), endpoint.veth.encode().ljust(16, b"\0")
        keys = {
            "ports": [name],
            "macs": [name + bytes.fromhex(endpoint.mac.replace(":", "")) + b"\0\0"],
            "ips": [name + ip_address(endpoint.ip).packed] if endpoint.ip else [],
            "ip6s": [
                name + ip_address(address).packed
                # The unspecified address is a newcomer's, who looks whether its own is free.
                for address in (endpoint.ip6, link_local(endpoint.mac), "::")
                if endpoint.ip6 and address
            ],
        }
        how = _ADD if kind == _NEWELEM else 0
        requests = [
            _named(
                kind,
                BRIDGE,
                text(1, table),
                text(2, set_name),
                nested(3, *(nested(1, nested(1, netlink.attribute(1, key))) for key in found)),
                how=how,
            )
            for set_name, found in keys.items()
            if found
        ]
        self._transact(requests, f"the addresses of {endpoint.veth}")

    def _transact(self, requests: Sequence[Message], subject: str) -> None:
        begin = Message(_BATCH_BEGIN, 0, struct.pack("!BBH", 0, 0, _NFTABLES >> 8))
        end = Message(_BATCH_END, 0, struct.pack("!BBH", 0, 0, _NFTABLES >> 8))
        try:
            self._kernel.transact(begin, requests, end)
        except KernelRefused as error:
            raise SetupError(
                f"cannot put {subject} in force: {error.what}",
                hint="networks need nf_tables: modprobe -a nft_chain_nat nft_masq nft_nat nft_ct"
                " nft_fib_inet nft_meta_bridge",
            ) from error


def _named(kind: int, family: int, *attrs: bytes, how: int = 0) -> Message:
    return Message(kind, how, struct.pack("!BBH", family, 0, 0) + b"".join(attrs))


def _without_table(family: int, table: str) -> Iterator[Message]:
    """Deleting needs one that is there."""
    yield _named(_NEWTABLE, family, text(1, table), how=_ADD)
    yield _named(_DELTABLE, family, text(1, table))


def _chain(family: int, table: str, chain: Chain) -> Message:
    hook = nested(
        4, x.number(1, chain.hook), netlink.attribute(2, struct.pack("!i", chain.priority))
    )
    return _named(
        _NEWCHAIN, family, text(1, table), text(3, chain.name), hook, text(7, chain.kind), how=_ADD
    )


def _set(table: str, number: int, name: str, parts: Sequence[tuple[int, int]]) -> Message:
    """A named set; several parts make one key, each padded to four bytes (nft's concatenation)."""
    kind = 0
    for data_type, _ in parts:
        kind = kind << 6 | data_type
    length = sum((size + 3) & ~3 for _, size in parts)
    attrs = [text(1, table), text(2, name), x.number(4, kind), x.number(5, length)]
    attrs += [x.number(3, 0), x.number(10, number)]
    if len(parts) == 1:  # else `nft` shows a name backwards: NFTNL_UDATA_SET_KEYBYTEORDER, host
        attrs.append(netlink.attribute(13, bytes([0, 4]) + struct.pack("=I", 1)))
    return _named(_NEWSET, BRIDGE, *attrs, how=_ADD)


def _rule(
    family: int, table: str, chain: str, *expressions: x.Expression, comment: str = ""
) -> Message:
    attrs = [text(1, table), text(2, chain), nested(4, *expressions)]
    if comment:
        note = comment.encode()[:250] + b"\0"  # struct nftnl_udata: kind, length, text
        attrs.append(netlink.attribute(7, bytes([0, len(note)]) + note))
    return _named(_NEWRULE, family, *attrs, how=netlink.CREATE | netlink.APPEND)


def _network_rules(network: Network, table: str) -> Iterator[Message]:
    # The frames of other bridges, which come by here, too, are not ours to judge.
    others = (*x.comes_from_none_of("ports"), x.verdict(x.ACCEPT))
    yield _rule(BRIDGE, table, "prerouting", *others)
    for expressions in _spoofing():
        yield _rule(BRIDGE, table, "prerouting", *expressions, x.counter(), x.verdict(x.DROP))
    for chain, rules in (
        ("forward", _forward(network)),
        ("input", _input(network)),
        ("postrouting", _postrouting(network)),
        ("output", _output()),
    ):
        for expressions in rules:
            yield _rule(INET, table, chain, *expressions)


def _spoofing() -> Iterator[x.Expressions]:
    """Frames that a port of the bridge may not send. The host's own do not come by a port."""
    yield x.is_none_of("macs", *x.SOURCE_MAC)
    yield (*x.is_ethertype(x.ARP), *x.is_none_of("ips", *x.ARP_SENDER))
    yield (*x.is_ethertype(x.IPV4), *x.is_none_of("ips", *x.SOURCE_IP))
    yield (*x.is_ethertype(x.IPV6), *x.is_none_of("ip6s", *x.SOURCE_IP6))
    # Nothing but these three: no tagged frames in which an address could hide.
    load = x.payload(0, 12, 2)
    yield (load, x.differs(x.ARP), x.differs(x.IPV4), x.differs(x.IPV6))


def _forward(network: Network) -> Iterator[x.Expressions]:
    bridge = network.bridge
    own = (*x.comes_from(bridge), *x.goes_to(bridge))
    yield (*own, x.counter(), x.verdict(x.ACCEPT))
    yield (*x.goes_to(bridge), *x.is_known(), x.counter(), x.verdict(x.ACCEPT))
    if network.internal:
        yield (*x.comes_from(bridge), x.counter(), x.verdict(x.DROP))
    else:
        yield (*x.goes_to(bridge), *x.was_published(), x.counter(), x.verdict(x.ACCEPT))
    yield (*x.goes_to(bridge), x.counter(), x.verdict(x.DROP))


def _input(network: Network) -> Iterator[x.Expressions]:
    """A container reaches the resolver of its network and no other port of the host."""
    here = x.comes_from(network.bridge)
    yield (*here, *x.is_known(), x.counter(), x.verdict(x.ACCEPT))
    for subnet in network.subnets:
        to = x.has_destination(subnet.gateway)
        for protocol in Protocol:
            yield (*here, *to, *x.has_port(protocol, 53), x.counter(), x.verdict(x.ACCEPT))
    for icmp in (1, 58):
        yield (*here, *x.is_protocol(icmp), x.counter(), x.verdict(x.ACCEPT))
    yield (*here, x.counter(), x.verdict(x.DROP))


def _output() -> Iterator[x.Expressions]:
    """The host's own loopback is the proxy's: the kernel reroutes nothing that comes from it."""
    for block in ("127.0.0.0/8", "::1/128"):
        yield (*x.has_destination(block), x.verdict(x.ACCEPT))


def _postrouting(network: Network) -> Iterator[x.Expressions]:
    for subnet in network.subnets:
        inside = x.has_source(subnet.block)
        if not network.internal:
            away = x.goes_elsewhere(network.bridge)
            yield (*inside, *away, x.counter(), x.masquerade())
        # Who calls a published port of its own network must get the answer from the host.
        back = (*x.goes_to(network.bridge), *x.was_published())
        yield (*inside, *back, x.counter(), x.masquerade())


def _published(endpoint: Endpoint, port: Port) -> Iterable[x.Expressions]:
    """One rule an IP version; for an address of the loopback none, which is the proxy's."""
    host = ip_address(port.host_ip) if port.host_ip else None
    for address in endpoint.addresses:
        version = ip_address(address).version
        if host is not None and (host.version != version or host.is_loopback):
            continue
        to_host = (
            x.is_for_this_host()
            if host is None or host.is_unspecified
            else x.has_destination(str(host))
        )
        yield (
            *x.is_version(version),
            *to_host,
            *x.has_port(port.protocol, port.host_port),
            x.counter(),
            *x.dnat(address, port.container_port),
        )
