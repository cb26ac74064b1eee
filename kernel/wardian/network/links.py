"""Links, addresses and routes by netlink (rtnetlink(7)): bridges and veth pairs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from wardian.errors import KernelRefused, SetupError
from wardian.linux import netlink, rtnetlink
from wardian.linux.netlink import Message, Netlink
from wardian.network.definition import Block, Endpoint, Network
from wardian.network.ground import Ground

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR = 20
_NEWROUTE = 24
_IFF_UP = 1
_IFA_F_NODAD = 0x02
_RT_TABLE_MAIN = 254
_RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 3, 0, 1
_NEW = netlink.CREATE | netlink.EXCLUSIVE
_ALIKE = 256  # messages that most containers of a network have alike: to encode one takes 0.2 ms


class Links:
    """The links of the network namespace where the bridges are."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._kernel = ground.netlink(netlink.ROUTE)

    # --- bridges -------------------------------------------------------------------------

    def add_bridge(self, network: Network) -> int:
        """Make a network's bridge, with the gateways' addresses, and set it up; its index.

        One that is there already (left by a switch that was killed) is used again.
        """
        name = network.bridge
        info = {"attrs": [("IFLA_INFO_KIND", "bridge")]}
        attrs = [("IFLA_IFNAME", name), ("IFLA_MTU", network.mtu), ("IFLA_LINKINFO", info)]
        try:
            self._kernel.ask(_link(_NEWLINK, _NEW, attrs, subject=f"bridge {name}"))
        except KernelRefused as error:
            if error.errno != errno.EEXIST or name not in self.bridges():
                raise SetupError(
                    f"cannot make bridge {name}: {error.what}",
                    hint=self._remedy,
                ) from error
        for folder, (setting, value) in _bridge_settings(network):
            with suppress(OSError):  # a kernel without IPv6 lacks half of them
                self._ground.set(f"{folder}/{name}/{setting}", value)
        index = self._kernel.index_of(name)
        requests = [
            _address(index, f"{one.gateway}/{one.network.prefixlen}", netlink.CREATE)
            for one in network.subnets
        ]
        self._kernel.ask(*requests, _up(index))
        return index

    @property
    def _remedy(self) -> str:
        if self._ground.is_hosts:
            return "containers' networks need root (CAP_NET_ADMIN) and the bridge module"
        without = "--network none, in a compose file network_mode: none"
        return f"let root load the bridge module (modprobe bridge), or do without: {without}"

    def remove(self, name: str) -> None:
        """Remove a link, if it is there."""
        with suppress(KernelRefused):
            self._kernel.ask(_link(_DELLINK, 0, [("IFLA_IFNAME", name)]))

    def exists(self, name: str) -> bool:
        """Whether there is a link of this name."""
        try:
            self._kernel.get(_link(_GETLINK, 0, [("IFLA_IFNAME", name)]))
        except KernelRefused:
            return False
        return True

    def bridges(self) -> list[str]:
        """Every bridge, whoever made it."""
        return [link.name for link in rtnetlink.links(self._kernel) if link.kind == "bridge"]

    # --- veth pairs ----------------------------------------------------------------------

    def add_pair(self, endpoint: Endpoint, bridge_index: int, mtu: int, namespace_fd: int) -> int:
        """A veth pair: one end in the bridge, the other inside; the first's number.

        Raises KernelRefused.
        """
        peer = {
            "attrs": [
                ("IFLA_IFNAME", endpoint.interface),
                ("IFLA_ADDRESS", endpoint.mac),
                ("IFLA_MTU", mtu),
                ("IFLA_NET_NS_FD", namespace_fd),
            ]
        }
        data = {"attrs": [("VETH_INFO_PEER", peer)]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        pair = _link(
            _NEWLINK,
            _NEW,
            [
                ("IFLA_IFNAME", endpoint.veth),
                ("IFLA_MTU", mtu),
                ("IFLA_MASTER", bridge_index),
                ("IFLA_LINKINFO", info),
            ],
            flags=_IFF_UP,
            subject=f"veth pair {endpoint.veth} ↔ {endpoint.interface}",
        )
        self._kernel.ask(pair)
        # A container's end has nothing to say on the host, and listens to no advertisement.
        with suppress(OSError):
            self._ground.set(f"ipv6/conf/{endpoint.veth}/disable_ipv6", "1")
        return self._kernel.index_of(endpoint.veth)

    def routes(self) -> set[Block]:
        """The blocks that routes lead to, here and on the host; not the default routes."""
        found = _routes(self._kernel)
        if not self._ground.is_hosts:
            with _host() as kernel:
                found |= _routes(kernel)
        return found


def host_addresses() -> list[str]:
    """The host's own addresses but those of its loopback."""
    with _host() as kernel:
        found = [one.address for one in rtnetlink.addresses(kernel)]
    return [one for one in found if not ip_address(one).is_loopback]


def _host() -> Netlink:
    return Netlink.open(netlink.ROUTE)


def _routes(kernel: Netlink) -> set[Block]:
    """Where routes lead; not the default routes."""
    found = rtnetlink.routes(kernel)
    return {ip_network(one.to, strict=False) for one in found if one.to != "default"}


def configure_inside(kernel: Netlink, endpoint: Endpoint, *, has_default_route: bool) -> int:
    """Give the inner end its addresses and routes; its number.

    ``kernel`` is a socket in the container's namespace.
    """
    index = kernel.index_of(endpoint.interface)
    requests = [_up(index)]
    for address, prefix in ((endpoint.ip, endpoint.prefix), (endpoint.ip6, endpoint.prefix6)):
        if address:
            requests.append(_address(index, f"{address}/{prefix}", _NEW))
    if has_default_route:
        gateways = filter(None, (endpoint.gateway, endpoint.gateway6))
        requests.extend(_default_route(index, gateway) for gateway in gateways)
    kernel.ask(*requests)
    return index


def remove_inside(kernel: Netlink, interface: str) -> None:
    """Remove a container's end, and with it the pair."""
    kernel.ask(_link(_DELLINK, 0, [("IFLA_IFNAME", interface)], subject=interface))


def set_default_route(kernel: Netlink, index: int, gateways: Sequence[str]) -> None:
    """Make these the way out."""
    kernel.ask(*(_default_route(index, gateway) for gateway in gateways))


def _bridge_settings(network: Network) -> Iterator[tuple[str, tuple[str, str]]]:
    """Sysctls of a bridge (ip-sysctl.rst of the kernel)."""
    yield "ipv6/conf", ("accept_ra", "0")  # containers are no routers of ours
    yield "ipv4/conf", ("send_redirects", "0")
    if network.subnet(6) is None:
        yield "ipv6/conf", ("disable_ipv6", "1")


def _message(message: Any, kind: int, flags: int, subject: str = "") -> Message:
    message["header"]["type"] = kind
    message.encode()
    return Message(kind, flags, bytes(message.data[16:]), subject)


def _link(
    kind: int,
    how: int,
    attrs: Sequence[tuple[str, Any]],
    *,
    index: int = 0,
    flags: int = 0,
    subject: str = "",
) -> Message:
    message = ifinfmsg()
    message["index"] = index
    message["flags"] = flags
    message["change"] = flags
    message["attrs"] = list(attrs)
    return _message(message, kind, how, subject)


@lru_cache(_ALIKE)
def _up(index: int) -> Message:
    return _link(_NEWLINK, 0, [], index=index, flags=_IFF_UP)


def _address(index: int, word: str, how: int) -> Message:
    address, _, prefix = word.partition("/")
    version = ip_address(address).version
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if version == 4 else socket.AF_INET6
    message["prefixlen"] = int(prefix)
    # Nobody else has it: the pool gave it out. Detection would take a second.
    message["flags"] = _IFA_F_NODAD if version == 6 else 0
    message["index"] = index
    attrs = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    if version == 4:
        attrs.append(("IFA_BROADCAST", str(ip_network(word, strict=False).broadcast_address)))
    message["attrs"] = attrs
    return _message(message, _NEWADDR, how | netlink.REPLACE, f"address {word}")


@lru_cache(_ALIKE)
def _default_route(index: int, gateway: str) -> Message:
    message = rtmsg()
    message["family"] = socket.AF_INET if ip_address(gateway).version == 4 else socket.AF_INET6
    message["table"] = _RT_TABLE_MAIN
    message["proto"] = _RTPROT_BOOT
    message["scope"] = _RT_SCOPE_UNIVERSE
    message["type"] = _RTN_UNICAST
    message["attrs"] = [("RTA_GATEWAY", gateway), ("RTA_OIF", index)]
    return _message(message, _NEWROUTE, netlink.CREATE | netlink.REPLACE, f"route to {gateway}")
