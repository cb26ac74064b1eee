"""An application being brought up and down: networks, volumes, containers in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from wardian.compose import building, granting
from wardian.compose.project import (
    COMPLETED,
    HEALTHY,
    NetworkEntry,
    Project,
    Service,
    VolumeEntry,
)
from wardian.compose.specs import (
    NETWORK,
    NUMBER,
    ONE_OFF,
    PROJECT,
    SERVICE,
    VOLUME,
    folder_of,
    is_as_described,
    numbered,
    spec_of,
    with_volumes_of,
)
from wardian.errors import FailedPrecondition, NotFound, WardianError
from wardian.network.definition import NetworkRequest
from wardian.network.networks import Networks
from wardian.runtime import messages as m
from wardian.runtime import volume_messages as v
from wardian.runtime.sharing import CONTAINER
from wardian.runtime.spec import ContainerSpec
from wardian.storage.volume import VolumeRequest
from wardian.storage.volumes import Volumes

if TYPE_CHECKING:
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container
    from wardian.runtime.messages import ContainerInfo

EntryT = TypeVar("EntryT", NetworkEntry, VolumeEntry)
Say = Callable[[str, str, str], None]  # what it is, its name, what became of it


def containers(client: Client, project_name: str, *, one_off: bool = False) -> list[ContainerInfo]:
    """The project's containers, the oldest first; with ``one_off`` those of `compose run`, too."""
    infos = (info for info in client.list() if info.spec.labels.get(PROJECT) == project_name)
    return [info for info in infos if one_off or info.spec.labels.get(ONE_OFF) != "True"]


def service_of(info: ContainerInfo) -> str:
    """The service that a container is of."""
    return info.spec.labels.get(SERVICE, "")


def number_of(info: ContainerInfo) -> int:
    """Which of the service's containers it is."""
    word = info.spec.labels.get(NUMBER, "")
    return int(word) if word.isascii() and word.isdigit() else 1


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How a project is to be brought up, where the file leaves it open."""

    build: bool = False
    may_build: bool = True
    recreate: bool = False
    may_recreate: bool = True
    start: bool = True
    timeout_s: float | None = None


USUAL = Wish()


class Application(msgspec.Struct, frozen=True):
    """A project that is being brought up."""

    client: Client
    project: Project
    say: Say
    wish: Wish = USUAL

    def up(self, services: Sequence[Service]) -> None:
        """Have these services run, as the file describes them. Raises WardianError."""
        for service in services:
            self.ensure_image(service, build=self.wish.build)
        specs = {one.name: spec_of(self.client, self.project, one) for one in services}
        self.ensure_networks_and_volumes(services)
        for service in services:
            made = self._ensure_containers(service, specs[service.name])
            if self.wish.start:
                self.wait_for_dependencies(service)
                for container in made:
                    self._start(service, container)

    # --- what containers need ------------------------------------------------------------

    def ensure_image(self, service: Service, *, build: bool) -> None:
        """Build it if that is wanted, or if there is a way to and it is not here."""
        from wardian.cli.images import image_store, named

        if service.build is None or not (build or self.wish.may_build):
            return
        store = image_store(self.client.root)
        if not build:
            with suppress(WardianError):
                store.get(named(store, service.image))
                return
        self.say("Image", service.image, "Building")
        building.build_image(service.build, service.image)
        self.say("Image", service.image, "Built")

    def ensure_networks_and_volumes(self, services: Sequence[Service]) -> None:
        """Make those that these services use. NotFound for one that somebody else has to make."""
        networks, volumes = self._missing_networks(services), self._missing_volumes(services)
        for network in networks:
            self._make_network(network)
        for volume in volumes:
            self._make_volume(volume)

    def _missing_networks(self, services: Sequence[Service]) -> list[NetworkEntry]:
        used = {one.network for service in services for one in service.attachments}
        wanted = [entry for entry in self.project.networks.values() if entry.name in used]
        return _missing("network", wanted, Networks(self.client.root).find)

    def _make_network(self, entry: NetworkEntry) -> None:
        labels = {**entry.labels, PROJECT: self.project.name, NETWORK: entry.key}
        request = NetworkRequest(name=entry.name, labels=labels, **entry.options)
        self.client.call("create_network", m.CreateNetworkCall(request), m.NetworkInfo)
        self.say("Network", entry.name, "Created")

    def _missing_volumes(self, services: Sequence[Service]) -> list[VolumeEntry]:
        used = {key for service in services for key in service.volumes}
        wanted = [self.project.volumes[key] for key in sorted(used)]
        return _missing("volume", wanted, Volumes(self.client.root).get)

    def _make_volume(self, entry: VolumeEntry) -> None:
        labels = {**entry.labels, PROJECT: self.project.name, VOLUME: entry.key}
        request = VolumeRequest(name=entry.name, labels=labels, options=entry.options)
        self.client.call("create_volume", v.CreateVolumeCall(request), v.VolumeInfo)
        self.say("Volume", entry.name, "Created")

    # --- containers ----------------------------------------------------------------------

    def containers(self, service: str) -> list[Container]:
        """The service's containers by their numbers; NotFound if there is none."""
        found = self._existing(service)
        if not found:
            raise NotFound(
                f"service {service[:128]} has no container",
                hint="start it: wardian compose up -d",
            )
        return [self.client.container(found[number].id) for number in sorted(found)]

    def _existing(self, service: str) -> dict[int, ContainerInfo]:
        infos = containers(self.client, self.project.name)
        return {number_of(info): info for info in infos if service_of(info) == service}

    def _ensure_containers(self, service: Service, spec: ContainerSpec) -> list[Container]:
        """As many as there are to be, each as it is described."""
        existing = self._existing(service.name)
        for number in sorted(existing, reverse=True):
            if number > service.scale:
                remove(self.client, existing[number], self.say)
        found = []
        for number in range(1, service.scale + 1):
            wanted = numbered(spec, self.project, service, number)
            info = existing.get(number)
            if info is None:
                found.append(self.client.create(wanted))
                self.say("Container", wanted.name, "Created")
            elif self._may_stay(service, info, wanted):
                found.append(self.client.container(info.id))
            else:
                found.append(self._renew(info, wanted))
        return found

    def _may_stay(self, service: Service, info: ContainerInfo, wanted: ContainerSpec) -> bool:
        if service.lender:  # one that was made anew has another network namespace
            lender = next(iter(self.containers(service.lender)))
            if info.spec.sharing.network != f"{CONTAINER}{lender.id}":
                return False
        if self.wish.recreate:
            return False
        return not self.wish.may_recreate or is_as_described(info, wanted)

    def _renew(self, info: ContainerInfo, wanted: ContainerSpec) -> Container:
        old = self.client.container(info.id)
        _stop(old, self.wish.timeout_s)
        old.remove()
        made = self.client.create(with_volumes_of(wanted, info))
        self.say("Container", wanted.name, "Recreated")
        return made

    def wait_for_dependencies(self, service: Service) -> None:
        """Until all is so that the service waits for. Raises FailedPrecondition."""
        for dependency in service.depends_on:
            if dependency.service not in self.project.services:
                continue
            try:
                self._await_one(dependency.service, dependency.condition)
            except WardianError:
                if dependency.required:
                    raise

    def _await_one(self, name: str, condition: str) -> None:
        for container in self.containers(name) if condition in (HEALTHY, COMPLETED) else ():
            if condition == HEALTHY:
                self.wait_healthy(name, container)
                continue
            if code := container.wait():
                raise FailedPrecondition(
                    f'service "{name}" did not complete successfully: exit {code}',
                    hint=f"see `wardian compose logs {name}`",
                )
            self.say("Container", container.info.name, "Exited")

    def wait_healthy(
        self, service: str, container: Container, *, timeout_s: float | None = None
    ) -> None:
        """Wait until one is well. Raises FailedPrecondition, TimeoutError."""
        called = container.info.name
        self.say("Container", called, "Waiting")
        try:
            container.wait_healthy(timeout_s=timeout_s)
        except FailedPrecondition as error:
            raise FailedPrecondition(f"service {service}: {error.what}", hint=error.hint) from error
        except TimeoutError:
            raise FailedPrecondition(
                f"service {service} is not healthy after {timeout_s:g} s",
                hint=f"see `wardian compose logs {service}`",
            ) from None
        self.say("Container", called, "Healthy")

    def _start(self, service: Service, container: Container) -> None:
        info = container.info
        if info.host_pid is not None:
            self.say("Container", info.name, "Running")
            return
        if self._has_completed(service, info):
            return
        begin(container, self.say)

    def _has_completed(self, service: Service, info: ContainerInfo) -> bool:
        """Whether it has done all that others wait for, since this project was brought up."""
        is_awaited = any(
            one.service == service.name and one.condition == COMPLETED
            for other in self.project.services.values()
            for one in other.depends_on
        )
        return is_awaited and info.finished_at is not None and info.exit_code == 0


def _missing(what: str, entries: Sequence[EntryT], find: Callable[[str], object]) -> list[EntryT]:
    """Those to be made; NotFound for one that somebody else has to make."""
    missing = []
    for entry in entries:
        try:
            find(entry.name)
        except NotFound:
            if entry.external:
                raise NotFound(
                    f"there is no {what} {entry.name}, which is external to the project",
                    hint=f"make it: wardian {what} create {entry.name}",
                ) from None
            missing.append(entry)
    return missing


def begin(container: Container, say: Say) -> None:
    """Start one, and tell what of its description is not in force."""
    from wardian.cli.program import complain

    container.start()
    info = container.info
    say("Container", info.name, "Started")
    for warning in info.warnings:
        complain(f"{info.name}: not in force: {warning}")


def _stop(container: Container, timeout_s: float | None) -> None:
    info = container.info
    if info.host_pid is not None:
        container.stop(
            timeout_s=info.spec.stop_timeout_s if timeout_s is None else timeout_s,
            signal=info.spec.stop_signal,
        )


def stop(
    client: Client, infos: Sequence[ContainerInfo], say: Say, *, timeout_s: float | None = None
) -> None:
    """End containers, what depends on others first: the latest made first."""
    for info in reversed(infos):
        with suppress(NotFound):
            if info.host_pid is not None:
                _stop(client.container(info.id), timeout_s)
                say("Container", info.name, "Stopped")


def remove(client: Client, info: ContainerInfo, say: Say, *, volumes: bool = False) -> None:
    """End a container and remove it."""
    stop(client, [info], say)
    _discard(client, info, say, volumes=volumes)


def _discard(client: Client, info: ContainerInfo, say: Say, *, volumes: bool) -> None:
    with suppress(NotFound):
        client.container(info.id).remove(force=True, volumes=volumes)
        say("Container", info.name, "Removed")


def down(
    client: Client,
    project_name: str,
    say: Say,
    *,
    volumes: bool,
    timeout_s: float | None = None,
) -> None:
    """Remove the project's containers and networks; with ``volumes`` those, too."""
    infos = containers(client, project_name, one_off=True)
    stop(client, infos, say, timeout_s=timeout_s)
    for info in reversed(infos):
        _discard(client, info, say, volumes=volumes)
    granting.forget(folder_of(client, project_name))
    if volumes:
        for volume in Volumes(client.root).list():
            if volume.labels.get(PROJECT) == project_name:
                client.call("remove_volume", m.NameCall(volume.name), type(None))
                say("Volume", volume.name, "Removed")
    for network in Networks(client.root).list():
        if network.labels.get(PROJECT) == project_name:
            client.call("remove_network", m.NameCall(network.name), m.NetworkInfo)
            say("Network", network.name, "Removed")
