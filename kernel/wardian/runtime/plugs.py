"""The keeper's side of networks: which container is connected, and what it finds in /etc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.network import messages as n
from wardian.network.client import SwitchClient
from wardian.network.definition import Attachment, Endpoint, Network, NetworkRequest
from wardian.runtime.history import History
from wardian.runtime.loop import Loop
from wardian.runtime.sandbox import Sandbox
from wardian.runtime.sharing import CONTAINER
from wardian.runtime.spec import Bind
from wardian.runtime.state import Record, write_hosts

NAMES = "resolv.conf"
UNPLUGGED: Final[dict[str, Any]] = {"endpoints": (), "published": ()}


class Plugged(msgspec.Struct, frozen=True):
    """What a start adds to the record, to the container's files and to its warnings."""

    changes: dict[str, Any]
    files: tuple[Bind, ...] = ()
    warnings: tuple[str, ...] = ()


class Plugs:
    """Connects containers by way of the switch. The records tell who is connected."""

    def __init__(
        self,
        root: Path,
        loop: Loop,
        home: Callable[[str], Path],
        records: dict[str, Record],
        enter: Callable[[Record, str], AbstractContextManager[int]],
        history: History,
    ) -> None:
        self._history = history
        self._home = home
        self._records = records
        self._enter = enter
        self._namespaces: dict[str, int] = {}
        self._switch = SwitchClient(root, loop, remind=self._remind, is_needed=self._is_needed)

    def attach(self, record: Record, sandbox: Sandbox) -> Plugged:
        """Connect a container before its init goes on; nothing for one without a network."""
        spec = record.spec
        if not spec.attachments:
            return Plugged(UNPLUGGED, self._borrowed(record))
        order = n.Attach(
            container_id=record.id,
            name=spec.name,
            hostname=spec.hostname,
            attachments=spec.attachments,
            ports=spec.ports,
            dns=spec.dns,
        )
        try:
            namespace_fd = sandbox.network_fd()
        except OSError as error:
            raise SetupError(f"container {spec.name} has ended: {error.strerror}") from error
        self._keep(record.id, namespace_fd)
        connected = self._switch.ask(order, n.Connected, (sandbox.pidfd, namespace_fd))
        self._write(record, connected)
        self._tell("connect", record, connected.endpoints)
        return Plugged(_changes(connected), (self._file(record.id, NAMES),), connected.warnings)

    def _borrowed(self, record: Record) -> tuple[Bind, ...]:
        """Who is in another's network asks whom that one asks, and has its hosts."""
        lender = self._records.get(record.spec.sharing.network.removeprefix(CONTAINER))
        if lender is None or not lender.spec.attachments:
            return ()
        return tuple(self._file(lender.id, name) for name in (NAMES, "hosts"))

    def _file(self, container_id: str, name: str) -> Bind:
        source = str(self._home(container_id) / name)
        return Bind(source=source, target=f"/etc/{name}", read_only=False)

    def _keep(self, container_id: str, namespace_fd: int) -> None:
        """For the next switch: of a container that is paused it may not be had again."""
        self._forget(container_id)
        self._namespaces[container_id] = namespace_fd

    def _forget(self, container_id: str) -> None:
        if (fd := self._namespaces.pop(container_id, None)) is not None:
            os.close(fd)

    def detach(self, record: Record) -> None:
        """Take away what it had. A switch that is gone is told of nothing: it finds out."""
        self._forget(record.id)
        self._tell("disconnect", record, record.endpoints)
        if not (record.spec.attachments or record.endpoints) or not self._switch.is_open:
            return
        with suppress(WardianError):
            self._switch.ask(n.Detach(record.id), n.Done)
        if not any(self._connected(but=record)):
            self._switch.close()

    def connect(self, record: Record, attachment: Attachment) -> dict[str, Any]:
        """One network more for a container that runs: what changes in its record."""
        connected = self._switch.ask(n.Connect(record.id, attachment), n.Connected)
        self._write(record, connected)
        self._tell("connect", record, set(connected.endpoints) - set(record.endpoints))
        attachments = (*record.spec.attachments, attachment)
        return {**_changes(connected), "spec": replace(record.spec, attachments=attachments)}

    def disconnect(self, record: Record, network: str) -> dict[str, Any]:
        """One network less."""
        connected = self._switch.ask(n.Disconnect(record.id, network), n.Connected)
        self._write(record, connected)
        (gone,) = set(record.endpoints) - set(connected.endpoints)
        self._tell("disconnect", record, (gone,))
        spec, names = record.spec, (gone.network, gone.network_id)
        rest = tuple(one for one in spec.attachments if one.network not in names)
        spec = replace(spec, attachments=rest, ports=spec.ports if rest else ())
        return {**_changes(connected), "spec": spec}

    def rename(self, record: Record) -> None:
        """It has another name for the others."""
        if record.endpoints:
            self._switch.ask(n.Rename(record.id, record.spec.name), n.Done)

    def create_network(self, request: NetworkRequest) -> Network:
        """A new network."""
        made = self._briefly(n.CreateNetwork(request))
        self._history.note_network("create", made.id, made.name)
        return made

    def remove_network(self, name: str) -> Network:
        """Forget a network that no container is connected to."""
        gone = self._briefly(n.RemoveNetwork(name))
        self._history.note_network("destroy", gone.id, gone.name)
        return gone

    def _tell(self, action: str, record: Record, endpoints: Iterable[Endpoint]) -> None:
        for one in endpoints:
            self._history.note_network(action, one.network_id, one.network, record.id)

    def adopt(self) -> None:
        """A new keeper: tell the switch, or a new one, of what runs."""
        if self._is_needed():
            self._switch.open()

    def _is_needed(self) -> bool:
        return any(self._connected())

    def _connected(self, but: Record | None = None) -> Iterable[Record]:
        return (
            record
            for record in self._records.values()
            if record.is_running and record.endpoints and record is not but
        )

    def _briefly(self, request: n.CreateNetwork | n.RemoveNetwork) -> Network:
        try:
            return self._switch.ask(request, n.Made).network
        finally:
            if not self._is_needed():
                self._switch.close()

    def _remind(self) -> None:
        """A new switch hears of every container that has been connected by another one."""
        for record in self._connected():
            assert record.host_pid is not None
            order = n.Attach(
                container_id=record.id,
                name=record.spec.name,
                hostname=record.spec.hostname,
                ports=record.published,
                dns=record.spec.dns,
                endpoints=record.endpoints,
            )
            # One that has just ended is noted in a moment.
            with suppress(WardianError, OSError):
                pidfd = os.pidfd_open(record.host_pid)
                try:
                    fds = (pidfd, *self._namespace(record))
                    self._switch.ask(order, n.Connected, fds)
                finally:
                    os.close(pidfd)

    def _namespace(self, record: Record) -> tuple[int, ...]:
        """Nothing of one that cannot show it, as it is paused: only changes need it."""
        if record.id not in self._namespaces:
            with suppress(FailedPrecondition), self._enter(record, "net") as found:
                self._keep(record.id, os.dup(found))
        fd = self._namespaces.get(record.id)
        return () if fd is None else (fd,)

    def _write(self, record: Record, connected: n.Connected) -> None:
        home, spec = self._home(record.id), record.spec
        names = dict.fromkeys((spec.hostname, spec.name))
        addresses = [one for endpoint in connected.endpoints for one in endpoint.addresses]
        try:
            write_hosts(home, tuple(names), spec.extra_hosts, addresses)
            (home / NAMES).write_text(connected.resolv_conf)
        except OSError as error:
            raise SetupError(f"cannot write the container's hosts: {error.strerror}") from error


def _changes(connected: n.Connected) -> dict[str, Any]:
    return {"endpoints": connected.endpoints, "published": connected.ports}
