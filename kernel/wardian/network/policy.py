"""Other people's rules that stop what a network forwards: found, and told by name.

docker and ufw let the FORWARD chain of iptables drop what nothing accepts, firewalld ends its own
with a reject. A packet has to be accepted by every table, so ours alone do not suffice. Rules that
name the bridge are taken for an exception that somebody has made for it.
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

_GETCHAIN = 10 << 8 | 4
_FORWARD = 2  # NF_INET_FORWARD
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_OURS = "wardian_"


def obstacle(kernel: Netlink, network: Network) -> str:
    """What drops what the network forwards, and what lifts it; empty if nothing does."""
    bridge = network.bridge
    families = [one for one in _FAMILIES if one != "ip6" or network.subnet(6) is not None]
    with suppress(KernelRefused):
        for family, table, chain, drops in _forward_chains(kernel, families):
            rules = [
                one
                for one in ruleset.read(kernel, _FAMILIES[family], table)
                if one.chain == chain or bridge in one.words
            ]
            if any(bridge in one.words for one in rules):
                continue
            last = rules[-1] if rules else None
            if drops or (last is not None and not last.matches and last.action in _ENDS):
                return _told(f"chain {chain} of table {family} {table}", family, table, bridge)
    if iptables.forward_policy_drops():
        return _told("the chain FORWARD of iptables-legacy", "legacy", "filter", bridge)
    return ""


_ENDS = ("drop", "reject")


def _forward_chains(
    kernel: Netlink, families: Sequence[str]
) -> Iterator[tuple[str, str, str, bool]]:
    """Base chains of others at the forward hook: family, table, name, whether the policy drops."""
    for family in families:
        request = struct.pack("!BBH", _FAMILIES[family], 0, 0)
        found = kernel.dump(Message(_GETCHAIN, 0, request))
        for data in list(found):
            parts = dict(attributes(data[20:]))
            table, name = (parts[kind].rstrip(b"\0").decode() for kind in (1, 3))
            hook = dict(attributes(parts.get(4, b"")))
            if table.startswith(_OURS) or hook.get(1) != struct.pack("!I", _FORWARD):
                continue
            yield family, table, name, parts.get(5) == bytes(4)


def _told(what: str, family: str, table: str, bridge: str) -> str:
    if family == "inet" and table == "firewalld":
        lift = f"firewall-cmd --zone=trusted --add-interface={bridge}"
    else:
        program = {"ip6": "ip6tables", "legacy": "iptables-legacy"}.get(family, "iptables")
        lift = f"{program} -I FORWARD -i {bridge} -j ACCEPT; {program} -I FORWARD -o {bridge}"
        lift += " -j ACCEPT"
    return f"{what} drops what the network forwards (as root: {lift})"
