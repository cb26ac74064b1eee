"""The networks of a state root, and those that are up: bridge, rules, names."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import msgspec

from wardian.errors import AlreadyExists, FailedPrecondition, NotFound, WardianError
from wardian.network import pool
from wardian.network.definition import DEFAULT, Network, NetworkRequest
from wardian.network.ground import Ground
from wardian.network.links import Links, host_addresses
from wardian.network.networks import Networks, bridge_name, new_id
from wardian.network.resolver import Names, Resolver
from wardian.network.rules import Rules

NamesOf = Callable[[Network, str], Names | None]


class Up(msgspec.Struct, frozen=True):
    """A network that is up: its bridge's index, and who answers for names in it, or why nobody."""

    network: Network
    index: int
    resolvers: tuple[Resolver, ...]
    nameless: str


class Bridges:
    """Networks by name on disk, and those that are up. ``names_of`` answers for their resolvers."""

    def __init__(
        self, root: Path, ground: Ground, links: Links, rules: Rules, names_of: NamesOf
    ) -> None:
        self._root = root
        self._ground = ground
        self._links = links
        self._rules = rules
        self._names_of = names_of
        self._networks = Networks(root)
        self._up: dict[str, Up] = {}

    def up(self, network_id: str) -> Up:
        """A network that somebody is in."""
        return self._up[network_id]

    # --- on disk -------------------------------------------------------------------------

    def create(self, request: NetworkRequest) -> Network:
        """A new network. Raises AlreadyExists, InvalidInput, FailedPrecondition."""
        if request.name == DEFAULT:
            self.find(DEFAULT)
        if request.name in (DEFAULT, *(one.name for one in self._networks.list())):
            raise AlreadyExists(
                f"network {request.name} exists already",
                hint=f"remove it with `wardian network rm {request.name}`, or choose another name",
            )
        return self._make(request)

    def _make(self, request: NetworkRequest) -> Network:
        taken = [one.network for network in self._networks.list() for one in network.subnets]
        subnets = pool.choose_subnets(request, [*taken, *self._links.routes()])
        network_id = new_id()
        bridge = request.bridge or bridge_name(network_id, request.name, self._root)
        if self._links.exists(bridge):
            raise AlreadyExists(f"there is a link {bridge} already", hint="choose another name")
        network = Network(
            id=network_id,
            name=request.name,
            bridge=bridge,
            subnets=subnets,
            internal=request.internal,
            mtu=request.mtu,
            created_at=time.time(),
            labels=request.labels,
        )
        self._networks.store(network)
        return network

    def find(self, name: str) -> Network:
        """A network by name or id; the default one is made when it is first wanted."""
        try:
            return self._networks.find(name)
        except NotFound:
            if name != DEFAULT:
                raise
            return self._make(NetworkRequest(name=DEFAULT))

    def has_gateway(self, address: str) -> bool:
        """Whether it is the address of a bridge, of one that is up or would be."""
        subnets = (subnet for network in self._networks.list() for subnet in network.subnets)
        return any(ip_address(subnet.gateway) == ip_address(address) for subnet in subnets)

    def remove(self, network: Network, users: Collection[str]) -> None:
        """Forget a network. FailedPrecondition if one of ``users`` is in it."""
        if network.name == DEFAULT:
            raise FailedPrecondition(f"{DEFAULT} is the default network and stays")
        if users:
            raise FailedPrecondition(
                f"network {network.name} is in use by {', '.join(sorted(users))}",
                hint=f"stop them, or `wardian network disconnect {network.name} CONTAINER`",
            )
        self._networks.remove(network)

    # --- in the kernel -------------------------------------------------------------------

    def ensure_up(self, network: Network) -> Up:
        """A network as it is when somebody is in it. Nothing stays of one that cannot be so."""
        if up := self._up.get(network.id):
            return up
        for subnet in network.subnets:
            if not network.internal:
                self._ground.forward(subnet.version)
        try:
            if not self._ground.is_hosts:  # where the host is reached by the way out
                self._rules.shield(host_addresses())
            self._rules.add_network(network)
            index = self._links.add_bridge(network)
        except WardianError:
            self.take_down(network)
            raise
        up = self._up[network.id] = Up(network, index, *self._resolvers(network))
        return up

    def _resolvers(self, network: Network) -> tuple[tuple[Resolver, ...], str]:
        found, why = [], ""
        for subnet in network.subnets:
            server = Resolver(self._ground, lambda asker: self._names_of(network, asker))
            try:
                server.start(subnet.gateway)
            except OSError as error:  # who asks goes round it
                is_ours = isinstance(error, PermissionError)
                trouble = "needs CAP_NET_BIND_SERVICE" if is_ours else "is taken"
                why = f"port 53 of the bridge {trouble}: containers are not found by name"
            else:
                found.append(server)
        return tuple(found), why

    def take_down(self, network: Network) -> None:
        """Nobody is in it any more."""
        if up := self._up.pop(network.id, None):
            for server in up.resolvers:
                server.close()
        with suppress(WardianError):
            self._rules.remove_network(network.bridge)
        self._links.remove(network.bridge)
        self._restore()

    def sweep(self) -> None:
        """Remove the bridges and tables of networks of ours that nobody is connected to."""
        idle = {one.bridge for one in self._networks.list() if one.id not in self._up}
        for bridge in idle.intersection(self._rules.tables()):
            self._rules.remove_network(bridge)
        for bridge in idle.intersection(self._links.bridges()):
            self._links.remove(bridge)
        self._restore()

    def _restore(self) -> None:
        """Forwarding is as it was once the last is gone, unless other people's bridges need it."""
        if not self._up:
            self._ground.settle(is_needed=bool(self._links.bridges()))
