"""Other people's rules that stop what a network forwards: found, and told by name.

docker and ufw let the FORWARD chain of iptables drop what nothing accepts, firewalld ends its own
with a reject. A packet has to be accepted by every table, so ours alone do not suffice. Rules that
name the bridge are taken for an exception that somebody has made for it. What lifts it is said in
the words of the program whose table it is, as that writes its table anew.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from wardian.errors import KernelRefused
from wardian.linux import iptables
from wardian.linux.netlink import Message, Netlink, attributes
from wardian.network import ruleset
from wardian.network.definition import Network

_GETCHAIN, _GETGEN = 10 << 8 | 4, 10 << 8 | 16
_FORWARD = 2  # NF_INET_FORWARD
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_OURS = "wardian_"


class Policies:
    """What others' rules mean for our networks, looked at anew once somebody else changes any.

    nf_tables counts the batches that it has carried out; those of ours are known.
    """

    def __init__(self, kernel: Netlink) -> None:
        self._kernel = kernel
        self._known: dict[str, str] = {}
        self._theirs = -1

    def obstacle(self, network: Network) -> str:
        """What drops what the network forwards, and what lifts it; empty if nothing does."""
        theirs = _generation(self._kernel) - self._kernel.batches
        if theirs != self._theirs:
            self._known.clear()
            self._theirs = theirs
        if network.id not in self._known:
            self._known[network.id] = _in_nftables(self._kernel, network)
        return self._known[network.id] or _in_iptables(network)


def _generation(kernel: Netlink) -> int:
    """How many batches there were, by anybody."""
    with suppress(KernelRefused):
        data = kernel.get(Message(_GETGEN, 0, bytes(4)))
        return int.from_bytes(dict(attributes(data[20:]))[1], "big")
    return 0


def _in_iptables(network: Network) -> str:
    if iptables.drops_forwarded(network.bridge):
        return _told("the chain FORWARD of iptables-legacy", "", "legacy", network.bridge)
    return ""


def _in_nftables(kernel: Netlink, network: Network) -> str:
    bridge = network.bridge
    families = [one for one in _FAMILIES if one != "ip6" or network.subnet(6) is not None]
    with suppress(KernelRefused):
        for (family, table, chain, drops), others in _forward_chains(kernel, families):
            rules = [
                one
                for one in ruleset.read(kernel, _FAMILIES[family], table)
                if one.chain == chain or bridge in one.words
            ]
            if any(bridge in one.words for one in rules):
                continue
            last = rules[-1] if rules else None
            if drops or (last is not None and not last.matches and last.action in _ENDS):
                what = f"chain {chain} of table {family} {table}"
                return _told(what, _owner(table, others), family, bridge)
    return ""


_ENDS = ("drop", "reject")
_Hooked = tuple[str, str, str, bool]  # family, table, chain, whether its policy drops


def _forward_chains(
    kernel: Netlink, families: Sequence[str]
) -> Iterator[tuple[_Hooked, Sequence[str]]]:
    """Base chains of others at the forward hook, each with the names of all of its table."""
    for family in families:
        request = struct.pack("!BBH", _FAMILIES[family], 0, 0)
        hooked: list[_Hooked] = []
        names: dict[str, list[str]] = {}
        for data in list(kernel.dump(Message(_GETCHAIN, 0, request))):
            parts = dict(attributes(data[20:]))
            table, name = (parts[kind].rstrip(b"\0").decode() for kind in (1, 3))
            names.setdefault(table, []).append(name)
            hook = dict(attributes(parts.get(4, b"")))
            if not table.startswith(_OURS) and hook.get(1) == struct.pack("!I", _FORWARD):
                hooked.append((family, table, name, parts.get(5) == bytes(4)))
        yield from ((one, names[one[1]]) for one in hooked)


def _owner(table: str, chains: Sequence[str]) -> str:
    """Whose table it is, by the chains that its program makes there."""
    if table == "firewalld":
        return "firewalld"
    if _DOCKERS in chains:
        return "docker"
    return "ufw" if any(chain.startswith(("ufw-", "ufw6-")) for chain in chains) else ""


_DOCKERS = "DOCKER-USER"  # docker's chain for rules of others: it goes before its own


def _told(what: str, owner: str, family: str, bridge: str) -> str:
    if owner == "firewalld":
        lift = f"firewall-cmd --zone=trusted --add-interface={bridge}"
    elif owner == "ufw":
        lift = f"ufw route allow in on {bridge}; ufw route allow out on {bridge}"
    else:
        program = {"ip6": "ip6tables", "legacy": "iptables-legacy"}.get(family, "iptables")
        insert = f"{program} -I {_DOCKERS if owner == 'docker' else 'FORWARD'}"
        lift = f"{insert} -i {bridge} -j ACCEPT; {insert} -o {bridge} -j ACCEPT"
    whose = f" ({owner}'s)" if owner else ""
    return f"{what}{whose} drops what the network forwards (as root: {lift})"
