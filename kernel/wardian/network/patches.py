"""Who is connected to which network: the switch's table, and every change of it."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    KernelRefused,
    NotFound,
    SetupError,
    WardianError,
)
from wardian.linux import netlink
from wardian.linux.netlink import Netlink
from wardian.network import links, pool, resolver
from wardian.network import messages as m
from wardian.network.bridges import Bridges, Up
from wardian.network.definition import (
    Attachment,
    Dns,
    Endpoint,
    Network,
    NetworkRequest,
    Port,
)
from wardian.network.ground import Ground
from wardian.network.links import Links
from wardian.network.policy import Policies
from wardian.network.proxy import Opener, Proxy, open_on_host
from wardian.network.resolver import Names
from wardian.network.rules import Rules
from wardian.network.tracking import Tracking

_LINK_NAME = 15  # IFNAMSIZ without its NUL
# Binding to an address that is not there yet: ip(7), ipv6(7), <linux/in.h>, <linux/in6.h>.
_FREEBIND: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 15),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 78),
}


class Plugged(msgspec.Struct, kw_only=True):
    """A container that is connected. The descriptors are ours.

    Without one of its namespace its networks cannot change any more.
    """

    container_id: str
    name: str
    hostname: str
    dns: Dns
    ports: tuple[Port, ...]
    pidfd: int
    namespace_fd: int | None
    endpoints: list[Endpoint] = msgspec.field(default_factory=list)
    proxies: list[Proxy] = msgspec.field(default_factory=list)


class Patches:
    """Every network and endpoint of a state root. Used by one thread only."""

    def __init__(self, root: Path, ground: Ground, on_end: Callable[[Plugged], None]) -> None:
        self._ground = ground
        self._on_end = on_end
        self._links = Links(ground)
        self._kernel = ground.netlink(netlink.NETFILTER)
        self._rules = Rules(self._kernel)
        self._tracking = Tracking(self._kernel)
        self._policies = Policies(self._kernel)
        self._bridges = Bridges(root, ground, self._links, self._rules, self._names)
        self._plugged: dict[str, Plugged] = {}
        self._foreign: set[str] = set()  # links that bear names which we would have chosen

    @property
    def users(self) -> list[str]:
        """The names of the containers that are connected."""
        return sorted(plugged.name for plugged in self._plugged.values())

    def sweep(self) -> None:
        """Remove what a predecessor left and nobody uses."""
        self._bridges.sweep()

    # --- networks ------------------------------------------------------------------------

    def create_network(self, request: NetworkRequest) -> Network:
        """A new network. Raises AlreadyExists, InvalidInput, FailedPrecondition."""
        return self._bridges.create(request)

    def remove_network(self, name: str) -> Network:
        """Forget a network that nobody is in."""
        network = self._bridges.find(name)
        self._bridges.remove(network, {one.name for one, _ in self._in(network)})
        return network

    def _in(self, network: Network) -> Iterator[tuple[Plugged, Endpoint]]:
        for plugged in self._plugged.values():
            for endpoint in plugged.endpoints:
                if endpoint.network_id == network.id:
                    yield plugged, endpoint

    # --- containers ----------------------------------------------------------------------

    def attach(self, order: m.Attach, fds: Sequence[int]) -> m.Connected:
        """Connect a container that starts, all or nothing. The descriptors become ours."""
        if len(fds) != 2 and not (len(fds) == 1 and order.endpoints):
            raise InvalidInput("a container comes with its pidfd and its network namespace")
        if order.container_id in self._plugged and order.endpoints:
            plugged = self._plugged[order.container_id]  # a new keeper tells of what goes on
            for fd in fds:
                os.close(fd)
            return self._connected(plugged)
        self.detach(order.container_id)
        plugged = Plugged(
            container_id=order.container_id,
            name=order.name,
            hostname=order.hostname,
            dns=order.dns,
            ports=(),
            pidfd=fds[0],
            namespace_fd=fds[1] if len(fds) > 1 else None,
        )
        self._plugged[order.container_id] = plugged
        try:
            if order.endpoints:
                self._adopt(plugged, order.endpoints)
            for attachment in order.attachments if not order.endpoints else ():
                self._plug(plugged, attachment)
            self._publish(plugged, order.ports)
        except BaseException:
            self.detach(order.container_id)
            raise
        self._on_end(plugged)
        return self._connected(plugged)

    def _adopt(self, plugged: Plugged, endpoints: Sequence[Endpoint]) -> None:
        """Take over what another switch has connected: only rules are new, as a rule."""
        for endpoint in endpoints:
            up = self._bridges.ensure_up(self._bridges.find(endpoint.network_id))
            plugged.endpoints.append(endpoint)
            self._rules.add_endpoint(endpoint)
            if not self._links.exists(endpoint.veth):  # gone with the ground it stood on
                with suppress(KernelRefused), self._inside(plugged) as inside:
                    links.remove_inside(inside, endpoint.interface)
                self._wire(plugged, endpoint, up)

    def detach(self, container_id: str) -> None:
        """Take away all that a container had; nothing if it is not connected."""
        plugged = self._plugged.pop(container_id, None)
        if plugged is None:
            return
        for proxy in plugged.proxies:
            proxy.close()
        for endpoint in plugged.endpoints:
            self._unplug(plugged, endpoint, is_last=True)
        for fd in (plugged.pidfd, plugged.namespace_fd):
            if fd is not None:
                os.close(fd)

    def end(self, plugged: Plugged) -> None:
        """Its init has ended; it may have been started again since."""
        if self._plugged.get(plugged.container_id) is plugged:
            self.detach(plugged.container_id)

    def connect(self, order: m.Connect) -> m.Connected:
        """One network more for a container that runs."""
        plugged = self._find(order.container_id)
        network = self._bridges.find(order.attachment.network)
        if any(endpoint.network_id == network.id for endpoint in plugged.endpoints):
            raise AlreadyExists(f"container {plugged.name} is in network {network.name} already")
        self._plug(plugged, order.attachment)
        return self._connected(plugged)

    def disconnect(self, order: m.Disconnect) -> m.Connected:
        """One network less."""
        plugged = self._find(order.container_id)
        network = self._bridges.find(order.network)
        for endpoint in plugged.endpoints:
            if endpoint.network_id == network.id:
                break
        else:
            raise NotFound(f"container {plugged.name} is not in network {network.name}")
        with self._inside(plugged) as inside:
            links.remove_inside(inside, endpoint.interface)
            plugged.endpoints.remove(endpoint)
            self._unplug(plugged, endpoint, is_last=False)
            if plugged.endpoints:
                _lead_out(inside, plugged.endpoints[0])
        return self._connected(plugged)

    def rename(self, order: m.Rename) -> None:
        """Others find it by its new name from now on."""
        if plugged := self._plugged.get(order.container_id):
            plugged.name = order.name

    def _find(self, container_id: str) -> Plugged:
        try:
            return self._plugged[container_id]
        except KeyError:
            raise FailedPrecondition(
                "the container is in no network of ours",
                hint="start it with --network NAME to be able to change that",
            ) from None

    def _plug(self, plugged: Plugged, attachment: Attachment) -> None:
        network = self._bridges.find(attachment.network)
        if attachment.aliases and not network.has_names:
            raise InvalidInput(
                f"network {network.name} has no aliases: only user-made networks have names",
                hint="make one with `wardian network create`",
            )
        endpoint = self._choose(plugged, network, attachment)
        try:
            up = self._bridges.ensure_up(network)
            plugged.endpoints.append(endpoint)  # its addresses are taken from here on
            self._tracking.clear(endpoint.addresses)
            self._rules.add_endpoint(endpoint)
            self._wire(plugged, endpoint, up)
        except WardianError as error:
            if endpoint in plugged.endpoints:
                plugged.endpoints.remove(endpoint)
                self._unplug(plugged, endpoint, is_last=False)
            if _is_taken(error) and self._links.exists(endpoint.veth):
                self._foreign.add(endpoint.veth)
                self._plug(plugged, attachment)
                return
            if isinstance(error, KernelRefused):
                raise SetupError(
                    f"cannot connect {plugged.name} to network {network.name}: {error.what}"
                ) from error
            raise

    def _wire(self, plugged: Plugged, endpoint: Endpoint, up: Up) -> None:
        """The veth pair of an endpoint, the last of its container's; and what is inside."""
        with self._inside(plugged) as inside:
            mtu, namespace_fd = up.network.mtu, _namespace_of(plugged)
            outer = self._links.add_pair(endpoint, up.index, mtu, namespace_fd)
            is_first = len(plugged.endpoints) == 1 and not up.network.internal
            try:
                inner = links.configure_inside(inside, endpoint, has_default_route=is_first)
            except WardianError:
                self._links.remove(endpoint.veth)
                raise
        plugged.endpoints[-1] = replace(endpoint, index=inner, veth_index=outer)

    def _inside(self, plugged: Plugged) -> Netlink:
        return self._ground.inside(_namespace_of(plugged))

    def _unplug(self, plugged: Plugged, endpoint: Endpoint, *, is_last: bool) -> None:
        """Undo what the host knows of an endpoint."""
        if plugged.ports:
            with suppress(WardianError):
                self._rules.unpublish(endpoint.bridge, _mark(plugged))
        with suppress(WardianError):
            self._rules.remove_endpoint(endpoint)
        self._tracking.forget(endpoint.addresses)
        if is_last:  # tens of milliseconds in the kernel: after the answer, before the next order
            asyncio.get_running_loop().call_soon(self._links.remove, endpoint.veth)
        network = self._bridges.up(endpoint.network_id).network
        if not any(self._in(network)):
            self._bridges.take_down(network)

    def _choose(self, plugged: Plugged, network: Network, wish: Attachment) -> Endpoint:
        taken = {ip_address(address) for _, one in self._in(network) for address in one.addresses}
        resting = set(map(ip_address, self._tracking.doomed))
        addresses: dict[int, tuple[str, int, str]] = {}
        for version, wanted in ((4, wish.ip), (6, wish.ip6)):
            if subnet := network.subnet(version):
                chosen = pool.choose_address(
                    subnet, taken, wanted, resting=resting, network=network.name
                )
                addresses[version] = (str(chosen), subnet.network.prefixlen, subnet.gateway)
            elif wanted:
                raise InvalidInput(
                    f"network {network.name} has no IPv{version} subnet for {wanted}",
                    hint="make one with `wardian network create --subnet …`",
                )
        ip, prefix, gateway = addresses.get(4, ("", 0, ""))
        ip6, prefix6, gateway6 = addresses.get(6, ("", 0, ""))
        mac = wish.mac.lower() or pool.mac_of(ip_address(ip or ip6))
        if any(one.mac == mac for _, one in self._in(network)):
            raise AlreadyExists(f"MAC address {mac} of network {network.name} is taken")
        return Endpoint(
            network=network.name,
            network_id=network.id,
            bridge=network.bridge,
            interface=_free_interface(plugged),
            veth=self._free_veth(_short_name(plugged)),
            mac=mac,
            ip=ip,
            prefix=prefix,
            gateway=gateway,
            ip6=ip6,
            prefix6=prefix6,
            gateway6=gateway6,
            aliases=tuple(map(str.lower, wish.aliases)),
        )

    def _free_veth(self, name: str) -> str:
        """A link name that people recognise: ``veth-web``; a number where that is taken.

        Others' links are not asked for: who takes a name of theirs hears so, and chooses again.
        """
        ends = (endpoint for plugged in self._plugged.values() for endpoint in plugged.endpoints)
        taken = self._foreign.union(endpoint.veth for endpoint in ends)
        base = "veth-" + re.sub(r"[^a-zA-Z0-9_-]", "", name)
        for number in range(10_000):
            end = str(number) if number else ""
            link = base[: _LINK_NAME - len(end)] + end
            if link not in taken:
                return link
        raise SetupError("this host has no free link name")

    # --- ports ---------------------------------------------------------------------------

    def _publish(self, plugged: Plugged, ports: Sequence[Port]) -> None:
        if not ports:
            return
        outward = [one for one in plugged.endpoints if not self._is_internal(one)]
        if not outward:
            raise InvalidInput(
                "ports cannot be published from an internal network",
                hint="add a --network that is not internal",
            )
        for port in ports:
            plugged.proxies.append(Proxy.reserve(port, self._opener(port)))
        plugged.ports = tuple(proxy.port for proxy in plugged.proxies)
        for proxy in plugged.proxies:
            proxy.serve(outward[0], self._ground)
        self._rules.publish(outward[0], plugged.ports, _mark(plugged))

    def _opener(self, port: Port) -> Opener:
        """Where a port is: one of a bridge's own address where bridges are, others on the host."""
        is_ours = port.host_ip and self._bridges.has_gateway(port.host_ip)
        return self._open_at_bridge if is_ours else open_on_host

    def _open_at_bridge(self, family: int, kind: int) -> socket.socket:
        """The bridge may not be up yet; its address is there once somebody is connected."""
        sock = self._ground.open_socket(family, kind)
        sock.setsockopt(*_FREEBIND[family], 1)
        return sock

    def _is_internal(self, endpoint: Endpoint) -> bool:
        return self._bridges.up(endpoint.network_id).network.internal

    # --- names ---------------------------------------------------------------------------

    def _connected(self, plugged: Plugged) -> m.Connected:
        ups = [self._bridges.up(endpoint.network_id) for endpoint in plugged.endpoints]
        named = (subnet.gateway for up in ups if up.resolvers for subnet in up.network.subnets)
        servers = tuple(named)[:3]  # what resolv.conf(5) takes
        outward = [up.network for up in ups if not up.network.internal]
        warnings = [self._ground.warning] if outward else []
        warnings += map(self._policies.obstacle, outward)
        if not servers:
            servers = plugged.dns.servers or _reachable(resolver.host_servers())
            warnings += (up.nameless for up in ups[:1])
        return m.Connected(
            endpoints=tuple(plugged.endpoints),
            ports=plugged.ports,
            resolv_conf=resolver.resolv_conf(servers, plugged.dns),
            warnings=tuple(filter(None, warnings)),
        )

    def _names(self, network: Network, asker: str) -> Names | None:
        """What the container at an address may know; None for nobody's address."""
        found = (one for one, endpoint in self._in(network) if asker in endpoint.addresses)
        plugged = next(found, None)
        if plugged is None:
            return None
        addresses: dict[str, tuple[str, ...]] = {}
        names: dict[str, str] = {}
        for own in plugged.endpoints:
            known = self._bridges.up(own.network_id).network
            for other, place in self._in(known) if known.has_names else ():
                called = (other.name, other.container_id[:12], other.hostname, *place.aliases)
                for name in dict.fromkeys(map(str.lower, called)):
                    addresses[name] = (*addresses.get(name, ()), *place.addresses)
                for address in place.addresses:
                    names[address] = f"{other.name}.{known.name}"
        is_shut_in = all(self._is_internal(own) for own in plugged.endpoints)
        servers = () if is_shut_in else plugged.dns.servers or resolver.host_servers()
        return Names(addresses, names, tuple(servers))


def _is_taken(error: WardianError) -> bool:
    return isinstance(error, KernelRefused) and error.errno == errno.EEXIST


def _lead_out(inside: Netlink, endpoint: Endpoint) -> None:
    gateways = list(filter(None, (endpoint.gateway, endpoint.gateway6)))
    with suppress(KernelRefused):
        links.set_default_route(inside, endpoint.index, gateways)


def _namespace_of(plugged: Plugged) -> int:
    if plugged.namespace_fd is None:
        raise FailedPrecondition(
            f"the networks of container {plugged.name} cannot be changed any more",
            hint=f"start it anew: wardian restart {plugged.name}",
        )
    return plugged.namespace_fd


def _short_name(plugged: Plugged) -> str:
    """A notebook's container is called NOTEBOOK.NAME on the host, and NAME inside."""
    is_notebooks = plugged.hostname and plugged.name.endswith(f".{plugged.hostname}")
    return plugged.hostname if is_notebooks else plugged.name


def _free_interface(plugged: Plugged) -> str:
    """``eth0`` and so on: the lowest that is free."""
    used = {endpoint.interface for endpoint in plugged.endpoints}
    return next(name for number in range(1024) if (name := f"eth{number}") not in used)


def _reachable(servers: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in servers if not ip_address(one.partition("%")[0]).is_loopback)


def _mark(plugged: Plugged) -> str:
    return f"wardian {plugged.name} {plugged.container_id[:12]}"
