"""The sampler of networks: the host's side and every container's, joined by their veth pairs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace

from wardian.errors import FailedPrecondition, WardianError
from wardian.linux import netlink
from wardian.linux.netlink import Netlink
from wardian.linux.proc import children
from wardian.network import rights, ruleset
from wardian.network.definition import Network
from wardian.network.entry import enter
from wardian.network.networks import Networks
from wardian.network.rootless import look
from wardian.network.rules import SET_NAMES, table_name
from wardian.network.ruleset import Rule
from wardian.observe.frames import Source
from wardian.observe.label import label
from wardian.observe.namespace_reader import NamespaceReader, Read
from wardian.observe.network_frame import (
    HOST,
    LinkRow,
    NamespaceRow,
    NetworkFrame,
    NetworkRow,
    space_name,
)
from wardian.observe.subject import NAME_LABEL
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.sharing import CONTAINER, PRIVATE
from wardian.runtime.spec import Network as Mode


class NetworkSampler:
    """Looks at the networks of a state root and at those containers that have a network."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: tuple[float, dict[str, LinkRow]] | None = None
        self._host_reader = NamespaceReader(is_bounded=False)
        self._readers: dict[int, NamespaceReader] = {}

    def sample(self, containers: Iterable[ContainerInfo]) -> NetworkFrame:
        """The frame of now. Raises WardianError if the host's own links cannot be read."""
        running = [one for one in containers if one.host_pid]
        owners = [one for one in running if _home(one) == one.id]
        names = _names(running)
        namespaces, unreadable = [self._host()], []
        readers, self._readers = self._readers, {}
        for info in owners:
            assert info.host_pid is not None
            reader = readers.get(info.host_pid) or NamespaceReader(is_bounded=True)
            self._readers[info.host_pid] = reader
            try:
                with _enter(info) as kernel:
                    namespaces.append(reader.read(names[info.id], kernel, info))
            except (OSError, WardianError):
                unreadable.append(names[info.id])
        links = self._rated(_joined(namespaces, owners, names))
        residents = _residents(running, names)
        return NetworkFrame(
            time_s=time.time(),
            source=Source.POLLING,
            networks=tuple(self._networks({link.name for link in links})),
            namespaces=tuple(
                replace(row, residents=tuple(residents.get(row.name, ()))) for row, _ in namespaces
            ),
            links=tuple(links),
            unreadable=tuple(unreadable),
            is_on_host=rights.may_have_bridges(),
        )

    def _host(self) -> Read:
        """Where the bridges stand. A user without a network that is up has no such place."""
        try:
            with look(self._root, netlink.ROUTE) as kernel:
                return self._host_reader.read(HOST, kernel)
        except FailedPrecondition:
            return NamespaceRow(name=HOST, routes=(), neighbours=()), []

    def _networks(self, names: set[str]) -> Iterator[NetworkRow]:
        """Those that are up, by their bridges."""
        up = [one for one in Networks(self._root).list() if one.bridge in names]
        if not up:
            return
        with look(self._root, netlink.NETFILTER) as kernel:
            for network in up:
                yield _network(network, kernel)

    def _rated(self, links: list[LinkRow]) -> list[LinkRow]:
        now = time.monotonic()
        before, self._before = self._before, (now, {link.key: link for link in links})
        if before is None:
            return links
        passed, known = now - before[0], before[1]
        return [
            replace(
                link,
                received_rate=round((link.received_bytes - old.received_bytes) / passed, 1),
                sent_rate=round((link.sent_bytes - old.sent_bytes) / passed, 1),
            )
            if (old := known.get(link.key)) and passed > 0
            else link
            for link in links
        ]


@lru_cache(1024)
def _words(rule: Rule) -> tuple[str, str]:
    return rule.plain_words, rule.iptables


def _network(network: Network, kernel: Netlink) -> NetworkRow:
    table = table_name(network.bridge)
    families = (ruleset.INET, ruleset.BRIDGE)
    rules = tuple(rule for family in families for rule in ruleset.read(kernel, family, table))
    return NetworkRow(
        name=network.name,
        bridge=network.bridge,
        subnets=tuple(subnet.block for subnet in network.subnets),
        rules=rules,
        words=tuple(_words(rule)[0] for rule in rules),
        iptables=tuple(_words(rule)[1] for rule in rules),
        sets={
            name: tuple(ruleset.elements(kernel, ruleset.BRIDGE, table, name)) for name in SET_NAMES
        },
    )


def _enter(info: ContainerInfo) -> Netlink:
    """A socket in the container's namespace. Raises OSError, WardianError.

    An init lets no ordinary user see its namespaces; a program that it started does.
    """
    assert info.host_pid is not None
    failure: OSError | None = None
    for host_pid in (info.host_pid, *children(info.host_pid)):
        try:
            fd = os.open(f"/proc/{host_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            failure = error
            continue
        try:
            return enter(fd, netlink.ROUTE)
        finally:
            os.close(fd)
    raise failure or ProcessLookupError(info.host_pid)


def _home(info: ContainerInfo) -> str:
    """Whose network namespace a container is in: its own id, another's, or ``host``."""
    word = info.spec.sharing.network
    if word.startswith(CONTAINER):
        return word.removeprefix(CONTAINER)
    if word == HOST or (word == PRIVATE and info.spec.network is Mode.HOST):
        return HOST
    return info.id


def _residents(running: Sequence[ContainerInfo], names: dict[str, str]) -> dict[str, list[str]]:
    """Who lives in a namespace that is another's, by whose it is."""
    found: dict[str, list[str]] = {}
    for info in running:
        if (home := _home(info)) != info.id:
            found.setdefault(names.get(home, home), []).append(names[info.id])
    return found


def _names(running: Sequence[ContainerInfo]) -> dict[str, str]:
    """What a notebook calls its container, where that is clear, else the whole name."""
    short = [info.spec.labels.get(NAME_LABEL, info.name) for info in running]
    return {
        info.id: space_name(label(name if short.count(name) == 1 else info.name))
        for info, name in zip(running, short, strict=True)
    }


def _joined(
    namespaces: Sequence[Read], running: Sequence[ContainerInfo], names: dict[str, str]
) -> list[LinkRow]:
    """Every link, a veth's peer by its key: what a container's is called here is on record."""
    pairs = {
        f"{names[info.id]}/{one.interface}": f"{HOST}/{one.veth}"
        for info in running
        for one in info.endpoints
    }
    pairs |= {there: here for here, there in pairs.items()}
    known = {link.key for _, links in namespaces for link in links}
    return [
        replace(link, peer=pairs[link.key])
        if pairs.get(link.key) in known
        else replace(link, peer="")
        for _, links in namespaces
        for link in links
    ]
