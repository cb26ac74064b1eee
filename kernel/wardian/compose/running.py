"""An application being brought up and down: networks, volumes, containers in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from wardian.compose.project import (
    COMPLETED,
    HEALTHY,
    Build,
    NetworkEntry,
    Project,
    Service,
    VolumeEntry,
)
from wardian.compose.specs import (
    NETWORK,
    PROJECT,
    SERVICE,
    VOLUME,
    container_name,
    is_as_described,
    spec_of,
    with_volumes_of,
)
from wardian.errors import FailedPrecondition, NotFound, WardianError
from wardian.network.definition import NetworkRequest
from wardian.network.networks import Networks
from wardian.runtime import messages as m
from wardian.runtime import volume_messages as v
from wardian.runtime.spec import ContainerSpec
from wardian.storage.volume import VolumeRequest
from wardian.storage.volumes import Volumes

if TYPE_CHECKING:
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container
    from wardian.runtime.messages import ContainerInfo

EntryT = TypeVar("EntryT", NetworkEntry, VolumeEntry)
Say = Callable[[str, str, str], None]  # what it is, its name, what became of it


def containers(client: Client, project_name: str) -> list[ContainerInfo]:
    """The project's containers, the oldest first."""
    return [info for info in client.list() if info.spec.labels.get(PROJECT) == project_name]


@dataclass(frozen=True, slots=True)
class Application:
    """A project that is being brought up."""

    client: Client
    project: Project
    say: Say

    def up(
        self, services: Sequence[Service], *, build: bool, recreate: bool, start: bool = True
    ) -> None:
        """Have these services run, as the file describes them. Raises WardianError."""
        for service in services:
            self.ensure_image(service, build=build)
        specs = {one.name: spec_of(self.client, self.project, one) for one in services}
        networks, volumes = self._missing_networks(services), self._missing_volumes(services)
        for network in networks:
            self._make_network(network)
        for volume in volumes:
            self._make_volume(volume)
        for service in services:
            container = self._ensure_container(service, specs[service.name], recreate=recreate)
            if start:
                self._await(service)
                self._start(service, container)

    # --- what containers need ------------------------------------------------------------

    def ensure_image(self, service: Service, *, build: bool) -> None:
        """Build it if that is wanted, or if there is a way to and it is not here."""
        from wardian.cli.images import image_store, named

        if service.build is None:
            return
        store = image_store(self.client.root)
        if not build:
            with suppress(WardianError):
                store.get(named(store, service.image))
                return
        self.say("Image", service.image, "Building")
        build_image(service.build, service.image)
        self.say("Image", service.image, "Built")

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

    def container(self, service: str) -> Container:
        """The service's container; NotFound."""
        for info in containers(self.client, self.project.name):
            if info.spec.labels.get(SERVICE) == service:
                return self.client.container(info.id)
        raise NotFound(
            f"service {service[:128]} has no container", hint="start it: wardian compose up -d"
        )

    def _ensure_container(
        self, service: Service, spec: ContainerSpec, *, recreate: bool
    ) -> Container:
        try:
            old = self.container(service.name)
        except NotFound:
            made = self.client.create(spec)
            self.say("Container", spec.name, "Created")
            return made
        info = old.info
        if not recreate and is_as_described(info, spec):
            return old
        _stop(old)
        old.remove()
        made = self.client.create(with_volumes_of(spec, info))
        self.say("Container", spec.name, "Recreated")
        return made

    def _await(self, service: Service) -> None:
        for dependency in service.depends_on:
            if dependency.service not in self.project.services:
                continue
            try:
                self._await_one(dependency.service, dependency.condition)
            except WardianError:
                if dependency.required:
                    raise

    def _await_one(self, name: str, condition: str) -> None:
        if condition == HEALTHY:
            self.say("Container", self._name(name), "Waiting")
            try:
                self.container(name).wait_healthy()
            except FailedPrecondition as error:
                raise FailedPrecondition(
                    f"service {name}: {error.what}", hint=error.hint
                ) from error
            self.say("Container", self._name(name), "Healthy")
        elif condition == COMPLETED:
            code = self.container(name).wait()
            if code:
                raise FailedPrecondition(
                    f'service "{name}" did not complete successfully: exit {code}',
                    hint=f"see `wardian compose logs {name}`",
                )
            self.say("Container", self._name(name), "Exited")

    def _name(self, service: str) -> str:
        return container_name(self.project, self.project.service(service))

    def _start(self, service: Service, container: Container) -> None:
        info = container.info
        if info.host_pid is not None:
            self.say("Container", info.name, "Running")
            return
        if self._has_completed(service, info):
            return
        container.start()
        self.say("Container", info.name, "Started")

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


def build_image(build: Build, name: str) -> None:
    """Build a service's image. Raises WardianError."""
    from wardian.build.builder import Options
    from wardian.cli.build import run_build, teller

    options = Options(
        tags=(name,), target=build.target, arguments=build.arguments, labels=build.labels
    )
    run_build(build.context, build.dockerfile, options, teller("auto"))


def _stop(container: Container) -> None:
    info = container.info
    if info.host_pid is not None:
        container.stop(timeout_s=info.spec.stop_timeout_s, signal=info.spec.stop_signal)


def stop(client: Client, infos: Sequence[ContainerInfo], say: Say) -> None:
    """End containers, what depends on others first: the latest made first."""
    for info in reversed(infos):
        with suppress(NotFound):
            if info.host_pid is not None:
                _stop(client.container(info.id))
                say("Container", info.name, "Stopped")


def down(client: Client, project_name: str, say: Say, *, volumes: bool) -> None:
    """Remove the project's containers and networks; with ``volumes`` those, too."""
    infos = containers(client, project_name)
    stop(client, infos, say)
    for info in reversed(infos):
        with suppress(NotFound):
            client.container(info.id).remove(force=True, volumes=volumes)
            say("Container", info.name, "Removed")
    if volumes:
        for volume in Volumes(client.root).list():
            if volume.labels.get(PROJECT) == project_name:
                client.call("remove_volume", m.NameCall(volume.name), type(None))
                say("Volume", volume.name, "Removed")
    for network in Networks(client.root).list():
        if network.labels.get(PROJECT) == project_name:
            client.call("remove_network", m.NameCall(network.name), m.NetworkInfo)
            say("Network", network.name, "Removed")
